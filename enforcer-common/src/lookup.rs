//! Look-ups in the tables of one policy: plain arrays, bounded loops.

use crate::address::Addr;
use crate::cell::{AddressClass, Cell, Pair, SourceCell};
use crate::layout::{Block, HALF_WORDS, Layout, LinkEntry, TRIE_POINTER, WORDS};
use crate::limits::TRIE_LEVELS;
use crate::question::Tags;
use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// The tables of one policy: in the kernel a map, in user space an image.
pub trait Tables {
    /// Where each table begins.
    fn layout(&self) -> &Layout;
    /// One block, counted from the first of this policy.
    fn block(&self, index: u32) -> Option<&Block>;
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
}

type Found<T> = Result<T, DropReason>;

#[inline(always)]
fn half_word(tables: &impl Tables, base: u32, index: u32) -> Found<u16> {
    let block = tables
        .block(base + index / HALF_WORDS)
        .ok_or(DropReason::TABLE_FAULT)?;
    Ok(block[(index % HALF_WORDS) as usize])
}

#[inline(always)]
fn word(tables: &impl Tables, base: u32, index: u32) -> Found<u32> {
    let block = tables
        .block(base + index / WORDS)
        .ok_or(DropReason::TABLE_FAULT)?;
    let at = (index % WORDS) as usize * 2;
    Ok(u32::from(block[at]) | u32::from(block[at + 1]) << 16)
}

/// The link that a frame came in on, or a packet leaves by.
///
/// An interface that the policy does not know has class 0.
#[inline(always)]
pub fn link(tables: &impl Tables, ifindex: u32, tags: Tags) -> Found<Link> {
    const UNKNOWN: Link = Link {
        class: LinkClass(0),
        is_enforced: false,
    };

    let layout = tables.layout();
    let hash = ifindex.wrapping_mul(layout.links_multiplier) >> (layout.links_shift & 31);
    let index = hash * LinkEntry::HALF_WORDS;
    let block = tables
        .block(layout.links + index / HALF_WORDS)
        .ok_or(DropReason::TABLE_FAULT)?;
    let at = (index % HALF_WORDS) as usize & 0xfc;
    if u32::from(block[at]) | u32::from(block[at + 1]) << 16 != ifindex {
        return Ok(UNKNOWN);
    }
    let (value, flags) = (block[at + 2], block[at + 3]);
    let class = match value & LinkEntry::BY_VLAN {
        0 => value,
        _ => vlan_class(tables, value & !LinkEntry::BY_VLAN, tags)?,
    };
    Ok(Link {
        class: LinkClass(tables.opaque(class)),
        is_enforced: flags & LinkEntry::ENFORCED != 0,
    })
}

#[inline(always)]
fn vlan_class(tables: &impl Tables, row: u16, tags: Tags) -> Found<u16> {
    let base = tables.layout().vlans;
    let at =
        |row: u16, tag: u32| half_word(tables, base, u32::from(row) * LinkEntry::VLAN_ROW + tag);

    let class = at(row, u32::from(tags.outer))?;
    if class & LinkEntry::BY_VLAN != 0 {
        return at(class & !LinkEntry::BY_VLAN, u32::from(tags.inner));
    }
    if tags.inner != 0 {
        return at(row, LinkEntry::OTHER_VLAN);
    }
    Ok(class)
}

/// Failsafe entries that admit traffic from a link, one bit each.
#[inline(always)]
pub fn link_failsafes(tables: &impl Tables, link: LinkClass) -> Found<u16> {
    half_word(tables, tables.layout().link_classes, u32::from(link.0))
}

/// Failsafe entries whose service covers a port class, one bit each.
#[inline(always)]
pub fn port_failsafes(tables: &impl Tables, class: u16) -> Found<u16> {
    half_word(tables, tables.layout().port_class_info, u32::from(class))
}

/// The class of an address.
#[inline(always)]
pub fn address(tables: &impl Tables, address: &Addr) -> Found<u16> {
    let class = match address.as_v4() {
        Some(v4) => address_v4(tables, v4),
        None => address_v6(tables, address),
    };
    class.map(|class| tables.opaque(class))
}

#[inline(always)]
fn address_v4(tables: &impl Tables, address: u32) -> Found<u16> {
    let base = tables.layout().v4;
    let mut entry = half_word(tables, base, address >> 16)?;
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, address >> 8)?;
    }
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, address)?;
    }
    Ok(entry)
}

#[inline(always)]
fn address_v6(tables: &impl Tables, address: &Addr) -> Found<u16> {
    let base = tables.layout().v6;
    let mut rest = Shifting(address.0);
    let mut entry = half_word(tables, base, rest.take_byte() << 8 | rest.take_byte())?;
    for _ in 0..TRIE_LEVELS {
        if entry & TRIE_POINTER == 0 {
            break;
        }
        entry = step(tables, base, entry, rest.take_byte())?;
    }
    Ok(entry)
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
fn step(tables: &impl Tables, base: u32, pointer: u16, byte: u32) -> Found<u16> {
    let block = tables
        .block(base + u32::from(pointer & !TRIE_POINTER))
        .ok_or(DropReason::TABLE_FAULT)?;
    Ok(block[(byte & 0xff) as usize])
}

/// What is known of an address class.
#[inline(always)]
pub fn address_class(tables: &impl Tables, class: u16) -> Found<AddressClass> {
    let index = u32::from(class) * AddressClass::HALF_WORDS;
    let base = tables.layout().classes;
    let block = tables
        .block(base + index / HALF_WORDS)
        .ok_or(DropReason::TABLE_FAULT)?;
    let at = (index % HALF_WORDS) as usize & 0xfc;
    Ok(AddressClass {
        destination: block[at],
        flags: block[at + 1],
        failsafes: block[at + 2],
    })
}

/// The source zone of an address class on a link.
#[inline(always)]
pub fn source(tables: &impl Tables, link: LinkClass, class: u16) -> Found<SourceCell> {
    let layout = tables.layout();
    let index = u32::from(link.0) * layout.address_classes + u32::from(class);
    half_word(tables, layout.sources, index).map(SourceCell)
}

/// The class of a protocol and a port, or a type and code of ICMP.
#[inline(always)]
pub fn port_class(tables: &impl Tables, protocol: u8, service: u16) -> Found<u16> {
    let base = tables.layout().services;
    let mut entry = half_word(tables, base, u32::from(protocol))?;
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, u32::from(service >> 8))?;
    }
    if entry & TRIE_POINTER != 0 {
        entry = step(tables, base, entry, u32::from(service))?;
    }
    Ok(entry)
}

/// What is known of a pair of zones.
#[inline(always)]
pub fn pair(tables: &impl Tables, from: ZoneId, to: ZoneId) -> Found<Pair> {
    let layout = tables.layout();
    let index = u32::from(from.0) * layout.zones + u32::from(to.0);
    word(tables, layout.pairs, index).map(Pair)
}

/// What the policy says of a port class in a row.
#[inline(always)]
pub fn cell(tables: &impl Tables, pair: Pair, class: u16) -> Found<Cell> {
    let layout = tables.layout();
    let index = pair
        .row()
        .wrapping_mul(layout.port_classes)
        .wrapping_add(u32::from(class));
    word(tables, layout.rows, index).map(Cell)
}
