//! Look-ups in the tables of one policy: plain arrays, bounded loops.

use crate::address::Addr;
use crate::cell::{AddressClass, Cell, Pair, Slot, SourceCell};
use crate::layout::{HALF_WORDS, Layout, LinkEntry, MacEntry, TRIE_POINTER};
use crate::limits::TRIE_LEVELS;
use crate::link::LinkFacts;
use crate::question::{Mac, Tags};
use crate::terms::Terms;
use crate::zone::ZoneId;

/// The tables of one policy: in the kernel a map, in user space an image.
///
/// Places are half-words from the start of the tables. A place beyond their end
/// reads as anything: only tables that contradict themselves have such places,
/// and a cell that nobody wrote never allows.
pub trait Tables {
    /// Where each table begins.
    fn layout(&self) -> &Layout;
    /// One half-word.
    fn half_word(&self, at: u32) -> u16;
    /// Two half-words, the low one first; `at` is even.
    fn word(&self, at: u32) -> u32;
    /// Four half-words, the lowest first; `at` is a multiple of four.
    fn quad(&self, at: u32) -> u64;
    /// Returns `value` in such a way that the verifier forgets what it knows of
    /// it, and with that by which way it was found.
    fn opaque(&self, value: u16) -> u16 {
        value
    }
}

/// A class of links: interface and VLAN as the policy tells them apart.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkClass(pub u16);

/// A link class, and whether an ingress program judges what arrives there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its class.
    pub class: LinkClass,
    /// An ingress program judges what arrives on the interface.
    pub is_enforced: bool,
    /// It is a port of a bridge: what arrives is judged where it leaves that.
    pub is_port: bool,
    /// It is a port, and what is routed to it may not be judged yet.
    pub is_awaited: bool,
}

/// The link that a frame came in on, or a packet leaves by.
///
/// An interface that the policy does not know has class 0.
#[inline(always)]
pub fn link(tables: &impl Tables, ifindex: u32, tags: Tags) -> Link {
    let entry = link_entry(tables, ifindex);
    if entry.ifindex != ifindex {
        return Link {
            class: LinkClass(0),
            is_enforced: false,
            is_port: false,
            is_awaited: false,
        };
    }
    let class = match entry.value & LinkEntry::BY_VLAN {
        0 => entry.value,
        _ => vlan_class(tables, entry.value & !LinkEntry::BY_VLAN, tags),
    };
    let is_enforced = entry.flags & LinkEntry::ENFORCED != 0;
    Link {
        class: LinkClass(tables.opaque(class)),
        is_enforced,
        is_port: entry.flags & LinkEntry::PORT != 0,
        is_awaited: entry.flags & LinkEntry::SEVERAL != 0,
    }
}

/// Whether a program at ingress is in force on an interface.
#[inline(always)]
pub fn has_program(tables: &impl Tables, ifindex: u32) -> bool {
    let entry = link_entry(tables, ifindex);
    entry.ifindex == ifindex && entry.flags & (LinkEntry::ENFORCED | LinkEntry::PORT) != 0
}

/// Whether an interface is a bridge whose ports are enforced.
#[inline(always)]
pub fn is_bridge(tables: &impl Tables, ifindex: u32) -> bool {
    let entry = link_entry(tables, ifindex);
    entry.ifindex == ifindex && entry.flags & LinkEntry::BRIDGE != 0
}

/// The interface by which the routing table knows what comes in on another: of
/// the port of a bridge, the bridge.
#[inline(always)]
pub fn routed_by(tables: &impl Tables, ifindex: u32) -> u32 {
    let entry = link_entry(tables, ifindex);
    let bridge = tables.word(tables.layout().bridges + 2 * entry.bridge());
    if entry.ifindex == ifindex && entry.flags & LinkEntry::PORT != 0 {
        bridge
    } else {
        ifindex
    }
}

/// The zone of a link: that of groups on it, and of frames without addresses.
#[inline(always)]
pub fn link_zone(tables: &impl Tables, link: LinkClass) -> ZoneId {
    ZoneId(link_facts(tables, link).zone)
}

/// Whether the machine had this interface when the policy was compiled for it.
#[inline(always)]
pub fn is_listed(tables: &impl Tables, ifindex: u32) -> bool {
    link_entry(tables, ifindex).ifindex == ifindex
}

/// Whether packets of an interface have no Ethernet header.
#[inline(always)]
pub fn is_bare(tables: &impl Tables, ifindex: u32) -> bool {
    let entry = link_entry(tables, ifindex);
    entry.ifindex == ifindex && entry.flags & LinkEntry::BARE != 0
}

#[inline(always)]
fn link_entry(tables: &impl Tables, ifindex: u32) -> LinkEntry {
    let layout = tables.layout();
    let hash = ifindex.wrapping_mul(layout.links_multiplier) >> (layout.links_shift & 31);
    LinkEntry::from_bits(tables.quad(layout.links + hash * LinkEntry::HALF_WORDS))
}

#[inline(always)]
fn vlan_class(tables: &impl Tables, row: u16, tags: Tags) -> u16 {
    let base = tables.layout().vlans;
    let at =
        |row: u16, tag: u32| tables.half_word(base + u32::from(row) * LinkEntry::VLAN_ROW + tag);

    let class = at(row, u32::from(tags.outer));
    if class & LinkEntry::BY_VLAN != 0 {
        return at(class & !LinkEntry::BY_VLAN, u32::from(tags.inner));
    }
    if tags.inner != 0 {
        return at(row, LinkEntry::OTHER_VLAN);
    }
    class
}

/// What is known of a link class.
#[inline(always)]
pub fn link_facts(tables: &impl Tables, link: LinkClass) -> LinkFacts {
    let index = u32::from(link.0) * LinkFacts::HALF_WORDS;
    LinkFacts::from_bits(tables.quad(tables.layout().link_classes + index))
}

/// Failsafe entries whose service covers a port class, one bit each.
#[inline(always)]
pub fn port_failsafes(tables: &impl Tables, class: u16) -> u16 {
    tables.half_word(tables.layout().port_class_info + u32::from(class))
}

/// The class of an address.
#[inline(always)]
pub fn address(tables: &impl Tables, address: &Addr) -> u16 {
    let class = match address.as_v4() {
        Some(v4) => address_v4(tables, v4),
        None => address_v6(tables, address),
    };
    tables.opaque(class)
}

#[inline(always)]
fn address_v4(tables: &impl Tables, address: u32) -> u16 {
    let base = tables.layout().v4;
    let mut entry = tables.half_word(base + (address >> 16));
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, address >> 8);
    }
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, address);
    }
    entry
}

#[inline(always)]
fn address_v6(tables: &impl Tables, address: &Addr) -> u16 {
    let base = tables.layout().v6;
    let mut rest = Shifting(address.0);
    let mut entry = tables.half_word(base + (rest.take_byte() << 8 | rest.take_byte()));
    for _ in 0..TRIE_LEVELS {
        if entry & TRIE_POINTER == 0 {
            break;
        }
        entry = step(tables, base, entry, rest.take_byte());
    }
    entry
}

/// The bytes of an address, first to last, without an index that the verifier
/// would have to follow.
struct Shifting([u32; 4]);

impl Shifting {
    #[inline(always)]
    fn take_byte(&mut self) -> u32 {
        let [a, b, c, d] = self.0;
        self.0 = [a << 8 | b >> 24, b << 8 | c >> 24, c << 8 | d >> 24, d << 8];
        a >> 24
    }
}

#[inline(always)]
fn step(tables: &impl Tables, base: u32, pointer: u16, byte: u32) -> u16 {
    let block = u32::from(pointer & !TRIE_POINTER) * HALF_WORDS;
    tables.half_word(base + block + (byte & 0xff))
}

/// What is known of an address class.
#[inline(always)]
pub fn address_class(tables: &impl Tables, class: u16) -> AddressClass {
    let index = u32::from(class) * AddressClass::HALF_WORDS;
    AddressClass::from_bits(tables.quad(tables.layout().classes + index))
}

/// The source zone of an address class on a link, from a hardware address.
#[inline(always)]
pub fn source(tables: &impl Tables, link: LinkClass, class: u16, mac: &Mac) -> SourceCell {
    if tables.layout().macs_shift != 0 {
        let cell = source_by_mac(tables, link, class, mac);
        if cell != 0 {
            return SourceCell(cell);
        }
    }
    zone(tables, link, class)
}

/// The source zone that a hardware address has; 0 where it means nothing.
///
/// A function of its own in the kernel: few policies need it.
#[inline(never)]
fn source_by_mac(tables: &impl Tables, link: LinkClass, class: u16, mac: &Mac) -> u16 {
    let layout = tables.layout();
    let bucket = MacEntry::bucket(*mac, layout.macs_multiplier, layout.macs_shift);
    let first = layout.macs + bucket * MacEntry::BUCKET * MacEntry::HALF_WORDS;
    let mut mac_class = 0;
    for place in 0..MacEntry::BUCKET {
        let entry = MacEntry::from_bits(tables.quad(first + place * MacEntry::HALF_WORDS));
        if (entry.mac.low, entry.mac.high) == (mac.low, mac.high) {
            mac_class = entry.class;
        }
    }
    if mac_class == 0 {
        return 0;
    }
    let at = u32::from(mac_class) * layout.link_count + u32::from(link.0);
    match tables.half_word(layout.mac_links + at) {
        0 => 0,
        row => {
            let at = u32::from(row - 1) * layout.address_classes + u32::from(class);
            tables.half_word(layout.mac_rows + at)
        }
    }
}

/// The zone of an address class on a link, whatever its hardware address.
#[inline(always)]
pub fn zone(tables: &impl Tables, link: LinkClass, class: u16) -> SourceCell {
    let layout = tables.layout();
    let index = u32::from(link.0) * layout.address_classes + u32::from(class);
    SourceCell(tables.half_word(layout.sources + index))
}

/// The class of a protocol and a port, a type and code of ICMP, or an EtherType.
#[inline(always)]
pub fn port_class(tables: &impl Tables, protocol: u16, service: u16) -> u16 {
    let base = tables.layout().services;
    let mut entry = tables.half_word(base + u32::from(protocol));
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, u32::from(service >> 8));
    }
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, u32::from(service));
    }
    entry
}

/// What is known of a pair of zones.
#[inline(always)]
pub fn pair(tables: &impl Tables, from: ZoneId, to: ZoneId) -> Pair {
    let layout = tables.layout();
    let index = u32::from(from.0) * layout.zones + u32::from(to.0);
    Pair(tables.word(layout.pairs + 2 * index))
}

/// What the conduit of a slot asks, beside its zones and services.
#[inline(always)]
pub fn terms(tables: &impl Tables, slot: Slot) -> Terms {
    let at = tables.layout().terms + slot.0 * Terms::HALF_WORDS;
    Terms {
        interval: tables.quad(at),
        tolerance: tables.quad(at + 4),
        audit_slot: Slot(tables.word(at + 8)),
        flags: tables.word(at + 10),
    }
}

/// What the policy says of a port class in a row.
#[inline(always)]
pub fn cell(tables: &impl Tables, pair: Pair, class: u16) -> Cell {
    let layout = tables.layout();
    let index = pair
        .row()
        .wrapping_mul(layout.port_classes)
        .wrapping_add(u32::from(class));
    Cell(tables.word(layout.rows.wrapping_add(2 * index)))
}
