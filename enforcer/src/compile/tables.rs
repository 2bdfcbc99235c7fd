//! All tables of a policy, one after the other.

use enforcer_common::cell::AddressClass;
use enforcer_common::idle::Idle;
use enforcer_common::layout::{Block, Layout, LinkEntry};
use enforcer_common::link::LinkFacts;
use ipnet::IpNet;

use super::addresses::Addresses;
use super::hash;
use super::image::Blocks;
use super::links::LinkTables;
use super::rows::Rows;
use super::services::Services;
use super::size::{MAX_BLOCKS, MAX_INTERFACES, room_for};
use super::sources::Sources;
use super::trie::{Prefix, Trie};
use crate::policy::Findings;

/// Bits that the root of an address trie looks at.
const ROOT_BITS: u32 = 16;

/// What the passes found.
pub(super) struct Parts {
    pub(super) links: LinkTables,
    pub(super) addresses: Addresses,
    pub(super) sources: Sources,
    pub(super) services: Services,
    pub(super) rows: Rows,
    /// The highest zone id, and one.
    pub(super) zone_ids: u32,
}

/// Lays all tables out.
pub(super) fn lay_out(parts: Parts) -> Result<(Vec<Block>, Layout), Findings> {
    let Parts {
        links,
        addresses,
        sources,
        services,
        rows,
        zone_ids,
    } = parts;
    let interfaces = links.entries.len();
    room_for(interfaces, "interfaces", MAX_INTERFACES)?;
    room_for(
        links.vlans.len(),
        "rows of VLANs",
        usize::from(LinkEntry::BY_VLAN),
    )?;
    let hash = hash::collision_free(&links.entries);
    let (v4, v6) = tries(&addresses, &sources.address_classes);

    let mut blocks = Blocks::default();
    let layout = Layout {
        generation: 0,
        links: blocks.half_words(&hash.table(&links.entries)),
        links_multiplier: hash.multiplier,
        links_shift: hash.shift(),
        vlans: blocks.half_words(&links.vlans.concat()),
        link_classes: blocks.half_words(&link_facts(&sources.links)),
        sources: blocks.half_words(&sources.cells),
        address_classes: sources.known.len() as u32,
        classes: blocks.half_words(&known(&sources.known)),
        v4: blocks.blocks(v4.finish("blocks for IPv4 prefixes")?),
        v6: blocks.blocks(v6.finish("blocks for IPv6 prefixes")?),
        services: blocks.blocks(services.trie),
        port_class_info: blocks.half_words(&services.failsafes),
        pairs: blocks.words(&rows.pairs),
        zones: zone_ids,
        rows: blocks.words(&rows.cells),
        port_classes: services.failsafes.len() as u32,
        terms: blocks.half_words(&rows.terms),
        flags: rows.flags,
        macs: blocks.half_words(&sources.by_mac.entries),
        macs_multiplier: sources.by_mac.multiplier,
        macs_shift: sources.by_mac.shift,
        mac_links: blocks.half_words(&sources.by_mac.links),
        link_count: sources.links.len() as u32,
        mac_rows: blocks.half_words(&sources.by_mac.rows),
        bridges: blocks.words(&links.bridges),
        reserved: 0,
        idle: Idle::default(),
    };
    let blocks = blocks.into_inner();
    room_for(blocks.len(), "blocks of tables", MAX_BLOCKS)?;
    Ok((blocks, layout))
}

/// The table of what is known of each link class.
fn link_facts(classes: &[LinkFacts]) -> Vec<u16> {
    classes
        .iter()
        .flat_map(|facts| facts.half_words())
        .collect()
}

/// The table of what is known of each address class.
fn known(classes: &[AddressClass]) -> Vec<u16> {
    let half_words = |class: &AddressClass| {
        let table: [u16; AddressClass::HALF_WORDS as usize] =
            [class.destination, class.flags, class.failsafes, 0];
        table
    };
    classes.iter().flat_map(half_words).collect()
}

/// The tries from IPv4 and IPv6 addresses to their classes.
fn tries(addresses: &Addresses, classes: &[u16]) -> (Trie, Trie) {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (prefix, signature) in &addresses.prefixes {
        let value = classes[*signature];
        let len = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(prefix) => v4.push(Prefix {
                bits: u128::from(prefix.addr().to_bits()) << 96,
                len,
                value,
            }),
            IpNet::V6(prefix) => v6.push(Prefix {
                bits: prefix.addr().to_bits(),
                len,
                value,
            }),
        }
    }
    let trie = |prefixes: &[Prefix]| Trie::of_prefixes(ROOT_BITS, prefixes, classes[0]);
    (trie(&v4), trie(&v6))
}
