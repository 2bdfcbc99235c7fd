//! What a network driver says of itself (`SIOCETHTOOL`).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The driver of an interface and the settings that matter to XDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its name, such as `ixgbe`.
    pub name: String,
    /// The device takes VLAN tags off frames before XDP sees them (`rxvlan`).
    pub strips_vlan_tags: bool,
    /// The device joins received packets (LRO), which XDP cannot take.
    pub joins_packets: bool,
    /// The device joins them so that they can be taken apart again
    /// (`rx-gro-hw`), which some drivers refuse with XDP.
    pub joins_reversibly: bool,
    /// The network stack joins received packets (`gro`); with it, a veth takes
    /// packets that XDP sends.
    pub stack_joins_packets: bool,
    /// `None` where the driver has no say in it.
    pub channels: Option<Channels>,
}

/// Queues of a device, each served by one CPU at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// In use, for both directions.
    pub combined: u32,
    /// Most that the device has, for both directions.
    pub most_combined: u32,
    /// In use, for received packets alone.
    pub receive: u32,
    /// In use, for sent packets alone.
    pub transmit: u32,
}

/// Asks the driver of the interface called `interface`.
pub fn driver(interface: &str) -> io::Result<Driver> {
    let mut about = About {
        command: ETHTOOL_GDRVINFO,
        ..About::ZERO
    };
    ask(interface, &mut about)?;
    let mut flags = Value {
        command: ETHTOOL_GFLAGS,
        value: 0,
    };
    ask(interface, &mut flags)?;
    let features = features(interface)?;
    let has = |feature: &str| features.iter().any(|active| active == feature);
    Ok(Driver {
        name: text(&about.driver),
        strips_vlan_tags: flags.value & FLAG_RXVLAN != 0,
        joins_packets: flags.value & FLAG_LRO != 0,
        joins_reversibly: has("rx-gro-hw"),
        stack_joins_packets: has("rx-gro"),
        channels: channels(interface).ok(),
    })
}

/// Names of the features that are on.
fn features(interface: &str) -> io::Result<Vec<String>> {
    let mut count = SetSize {
        command: ETHTOOL_GSSET_INFO,
        reserved: 0,
        sets: 1 << ETH_SS_FEATURES,
        size: 0,
        padding: 0,
    };
    ask(interface, &mut count)?;
    if count.size as usize > MOST_FEATURES {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let mut names = Names {
        command: ETHTOOL_GSTRINGS,
        set: ETH_SS_FEATURES,
        len: 0,
        names: [[0; 32]; MOST_FEATURES],
    };
    ask(interface, &mut names)?;
    let mut features = Features {
        command: ETHTOOL_GFEATURES,
        blocks: MOST_FEATURES as u32 / 32,
        features: [[0; 4]; MOST_FEATURES / 32],
    };
    ask(interface, &mut features)?;
    const ACTIVE: usize = 2;
    let is_on = |index: usize| features.features[index / 32][ACTIVE] & 1 << (index % 32) != 0;
    let on = (0..count.size as usize).filter(|index| is_on(*index));
    Ok(on.map(|index| text(&names.names[index])).collect())
}

fn channels(interface: &str) -> io::Result<Channels> {
    let mut counts = ChannelCounts {
        command: ETHTOOL_GCHANNELS,
        most: [0; 4],
        used: [0; 4],
    };
    ask(interface, &mut counts)?;
    let [receive, transmit, _, combined] = counts.used;
    Ok(Channels {
        combined,
        most_combined: counts.most[3],
        receive,
        transmit,
    })
}

fn text(bytes: &[u8; 32]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..len.unwrap_or(bytes.len())]).into_owned()
}

// `linux/ethtool.h`
const ETHTOOL_GDRVINFO: u32 = 3;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_SS_FEATURES: u32 = 4;
/// More than there are: Linux 6.18 has 64.
const MOST_FEATURES: usize = 128;
const FLAG_RXVLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_drvinfo`
#[repr(C)]
struct About {
    command: u32,
    driver: [u8; 32],
    /// Version, firmware, bus and counts, 160 bytes in all.
    rest: [u32; 40],
}

impl About {
    const ZERO: Self = Self {
        command: 0,
        driver: [0; 32],
        rest: [0; 40],
    };
}

const _: () = assert!(size_of::<About>() == 196);

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    value: u32,
}

/// `struct ethtool_sset_info`, asked about one set.
#[repr(C)]
struct SetSize {
    command: u32,
    reserved: u32,
    sets: u64,
    size: u32,
    padding: u32,
}

/// `struct ethtool_gstrings`
#[repr(C)]
struct Names {
    command: u32,
    set: u32,
    len: u32,
    names: [[u8; 32]; MOST_FEATURES],
}

/// `struct ethtool_gfeatures`: for each block of 32 features whether they are
/// available, requested, active, never changed.
#[repr(C)]
struct Features {
    command: u32,
    blocks: u32,
    features: [[u32; 4]; MOST_FEATURES / 32],
}

/// `struct ethtool_channels`: for receiving, sending, other things, and both.
#[repr(C)]
struct ChannelCounts {
    command: u32,
    most: [u32; 4],
    used: [u32; 4],
}

/// The arguments of one ethtool command.
///
/// # Safety
///
/// As large as the command, its first word, makes the kernel write.
unsafe trait Arguments {}
// SAFETY: for `ETHTOOL_GDRVINFO`, which writes 196 bytes.
unsafe impl Arguments for About {}
// SAFETY: for `ETHTOOL_GFLAGS`, which writes 8 bytes.
unsafe impl Arguments for Value {}
// SAFETY: for `ETHTOOL_GSSET_INFO` about one set, which writes 20 bytes.
unsafe impl Arguments for SetSize {}
// SAFETY: for `ETHTOOL_GSTRINGS`, which writes 12 bytes and 32 for each string;
// before it is asked, their number has been found to be within bounds.
unsafe impl Arguments for Names {}
// SAFETY: for `ETHTOOL_GFEATURES`, which writes 8 bytes and 16 for each of at
// most `blocks` blocks.
unsafe impl Arguments for Features {}
// SAFETY: for `ETHTOOL_GCHANNELS`, which writes 36 bytes.
unsafe impl Arguments for ChannelCounts {}

fn ask<A: Arguments>(interface: &str, arguments: &mut A) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all bits zero is a value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (target, byte) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *target = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(arguments).cast();
    // SAFETY: the request and what it points to live through the call, and
    // `Arguments` promises that they are large enough.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
