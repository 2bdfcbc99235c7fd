//! What a network driver says of itself (`SIOCETHTOOL`).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The driver of an interface and the settings that matter to XDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name, such as `ixgbe`.
    pub name: String,
    /// The device takes VLAN tags off frames before XDP sees them.
    pub strips_vlan_tags: bool,
    /// The device joins received packets (LRO), which XDP cannot take.
    pub joins_packets: bool,
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
    let len = about.driver.iter().position(|byte| *byte == 0);
    let name = &about.driver[..len.unwrap_or(about.driver.len())];
    Ok(Driver {
        name: String::from_utf8_lossy(name).into_owned(),
        strips_vlan_tags: flags.value & FLAG_RXVLAN != 0,
        joins_packets: flags.value & FLAG_LRO != 0,
    })
}

// `linux/ethtool.h`
const ETHTOOL_GDRVINFO: u32 = 3;
const ETHTOOL_GFLAGS: u32 = 0x25;
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
