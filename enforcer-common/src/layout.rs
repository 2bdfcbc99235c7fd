//! Where each table of one policy lies in its element of the `tables` map.
//!
//! All tables of a policy lie in one element of one array map: a program looks
//! the element up once, and every table access after that is a plain load. User
//! space cuts the element into blocks of 512 bytes.

use crate::idle::Idle;
use crate::question::Mac;

/// What tables are cut into.
pub type Block = [u16; 256];

/// Half-words in a block.
pub const HALF_WORDS: u32 = 256;

/// Words in a block.
pub const WORDS: u32 = 128;

/// Half-words in an element of the `tables` map as the object declares it: the
/// smallest size class. The loader writes the real number, a power of two, into
/// the object's type information, and one less into its global `TABLE_MASK`.
pub const DECLARED_HALF_WORDS: usize = 1024 * 256;

/// Where the tables of one policy begin, in half-words from the start of the
/// element, and their strides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Number of the applied policy; 0 while the slot holds none.
    pub generation: u32,
    /// Links by interface index: [`LinkEntry`] of four half-words each.
    pub links: u32,
    /// Odd multiplier of the collision-free hash over interface indices.
    pub links_multiplier: u32,
    /// Right shift of the product; the table has `2^(32 - shift)` entries.
    pub links_shift: u32,
    /// Link class by VLAN id: rows of 4096 half-words.
    pub vlans: u32,
    /// What is known of each link class: [`crate::link::LinkFacts`].
    pub link_classes: u32,
    /// Source zone by link class and address class: half-words.
    pub sources: u32,
    /// Number of address classes, the stride of `sources`.
    pub address_classes: u32,
    /// What is known of each address class.
    pub classes: u32,
    /// IPv4 trie.
    pub v4: u32,
    /// IPv6 trie.
    pub v6: u32,
    /// Port classes by protocol and port: a trie with a root of two blocks, the
    /// first entry of the second for [`crate::wire::protocol::ETHERNET`].
    pub services: u32,
    /// What is known of each port class: failsafe bits, one half-word.
    pub port_class_info: u32,
    /// Pairs of zones: words.
    pub pairs: u32,
    /// Number of zone ids, the stride of `pairs`.
    pub zones: u32,
    /// Conduit cells by row and port class: words.
    pub rows: u32,
    /// Number of port classes, the stride of `rows`.
    pub port_classes: u32,
    /// What conduits with a rate or a log ask, by slot:
    /// [`crate::terms::Terms`].
    pub terms: u32,
    /// [`Layout::AUDIT`].
    pub flags: u32,
    /// Hardware addresses that the policy names: [`MacEntry`] of four
    /// half-words each, in buckets of [`MacEntry::BUCKET`].
    pub macs: u32,
    /// Odd multiplier of the hash over hardware addresses.
    pub macs_multiplier: u32,
    /// Right shift of the product; there are `2^(32 - shift)` buckets. 0 when
    /// the policy names no hardware address.
    pub macs_shift: u32,
    /// Row of `mac_rows`, plus one, by class of hardware addresses and link
    /// class; 0 where such addresses mean nothing.
    pub mac_links: u32,
    /// Number of link classes, the stride of `mac_links`.
    pub link_count: u32,
    /// Source zones by row and address class: half-words, 0 where the source
    /// zone is that of any hardware address.
    pub mac_rows: u32,
    /// Interface indices of bridges, by their numbers in [`LinkEntry::flags`]:
    /// words.
    pub bridges: u32,
    /// For later use; zero.
    pub reserved: u32,
    /// After how long without a packet flows are over.
    pub idle: Idle,
}

impl Layout {
    /// The whole policy is audited: what would be dropped passes, unless a zone
    /// or conduit says `enforce`.
    pub const AUDIT: u32 = 1;
}

const _: () = assert!(size_of::<Layout>() == 144);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Layout {}

/// One interface in the `links` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEntry {
    /// Kernel's interface index; 0 in an empty entry.
    pub ifindex: u32,
    /// Link class, or with [`LinkEntry::BY_VLAN`] the row of `vlans` to ask.
    pub value: u16,
    /// [`LinkEntry::ENFORCED`] and so on; of a [`LinkEntry::PORT`] the number
    /// of its bridge in the upper byte.
    pub flags: u16,
}

impl LinkEntry {
    /// The value is a row of `vlans`, not a link class.
    pub const BY_VLAN: u16 = 1 << 15;
    /// An ingress program judges what arrives on the interface.
    pub const ENFORCED: u16 = 1;
    /// Packets of the interface have no Ethernet header.
    pub const BARE: u16 = 2;
    /// A port of a bridge: its ingress program only looks at senders, and the
    /// frame is judged where it leaves the bridge.
    pub const PORT: u16 = 4;
    /// A bridge with such ports.
    pub const BRIDGE: u16 = 8;
    /// Of a port: only it tells the zone of some addresses behind its bridge.
    pub const SEVERAL: u16 = 16;
    /// How many bridges there may be.
    pub const MAX_BRIDGES: usize = 256;
    /// Half-words an entry takes.
    pub const HALF_WORDS: u32 = 4;

    /// The flags of a port of the bridge with this number.
    pub const fn port_of(bridge: usize) -> u16 {
        Self::PORT | (bridge as u16) << 8
    }

    /// The number of the bridge whose port it is.
    #[inline(always)]
    pub const fn bridge(&self) -> u32 {
        (self.flags >> 8) as u32
    }

    /// The entry that is these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            ifindex: bits as u32,
            value: (bits >> 32) as u16,
            flags: (bits >> 48) as u16,
        }
    }

    /// Half-words of a VLAN row.
    pub const VLAN_ROW: u32 = 4096;
    /// VLAN id that no frame may carry (IEEE 802.1Q): its place in a row holds
    /// the class of frames with two tags that no entry names.
    pub const OTHER_VLAN: u32 = 4095;
}

/// One hardware address in the `macs` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacEntry {
    /// The address.
    pub mac: Mac,
    /// Its class; 0 in an empty entry.
    pub class: u16,
}

impl MacEntry {
    /// Half-words an entry takes.
    pub const HALF_WORDS: u32 = 4;
    /// Entries of a bucket.
    pub const BUCKET: u32 = 4;

    /// The bucket of an address in a table with these parameters.
    #[inline(always)]
    pub const fn bucket(mac: Mac, multiplier: u32, shift: u32) -> u32 {
        /// 2^32 divided by the golden ratio: mixes the maker's half in.
        const GOLDEN: u32 = 0x9e37_79b1;
        let mixed = mac.low ^ (mac.high as u32).wrapping_mul(GOLDEN);
        mixed.wrapping_mul(multiplier) >> (shift & 31)
    }

    /// The entry that is these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            mac: Mac {
                low: bits as u32,
                high: (bits >> 32) as u16,
                padding: 0,
            },
            class: (bits >> 48) as u16,
        }
    }
}

/// A trie entry with this bit is a block, counted from the trie's first.
pub const TRIE_POINTER: u16 = 1 << 15;
