//! What is known of each link: source zones by address, and what does not depend
//! on the address.

use enforcer_common::cell::SourceCell;
use enforcer_common::link::LinkFacts;
use enforcer_common::zone::ZoneId;

use super::claims::{Claim, Claims};

/// What is known of a link.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct LinkRow {
    /// What does not depend on addresses.
    pub(super) facts: LinkFacts,
    /// Source zones by address class.
    pub(super) cells: Vec<u16>,
    /// The row of zones that each class of hardware addresses has.
    pub(super) by_mac: Vec<u16>,
}

impl LinkRow {
    /// What holds on one of several links, when nobody can tell which: what all
    /// of them agree on.
    pub(super) fn of_any(rows: &[&Self]) -> Self {
        let (first, others) = rows.split_first().expect("a set of links has members");
        let macs_agree = others.iter().all(|row| row.by_mac == first.by_mac);
        let cell = |class: usize| match macs_agree {
            true => agreed(rows.iter().map(|row| SourceCell(row.cells[class]))),
            false => SourceCell::several(false),
        };
        let zones = rows.iter().map(|row| ZoneId(row.facts.zone));
        let all = |bits: fn(&LinkFacts) -> u16| {
            let bits = rows.iter().map(|row| bits(&row.facts));
            bits.fold(u16::MAX, |all, bits| all & bits)
        };
        let facts = LinkFacts {
            failsafes: all(|facts| facts.failsafes),
            essentials_off: all(|facts| facts.essentials_off),
            zone: only(zones).unwrap_or(ZoneId::UNKNOWN).0,
            reserved: 0,
        };
        Self {
            facts,
            cells: (0..first.cells.len()).map(|class| cell(class).0).collect(),
            by_mac: match macs_agree {
                true => first.by_mac.clone(),
                false => vec![0; first.by_mac.len()],
            },
        }
    }
}

/// The zone that an address has wherever it can come from.
fn agreed(cells: impl Iterator<Item = SourceCell> + Clone) -> SourceCell {
    let genuine = cells.clone().filter(|cell| !cell.is_spoofed());
    let (is_spoofed, zone) = match genuine.clone().next() {
        Some(_) => (false, only(genuine.map(|cell| cell.zone()))),
        None => (true, only(cells.map(|cell| cell.zone()))),
    };
    match zone {
        Some(zone) => SourceCell::new(zone, is_spoofed),
        None => SourceCell::several(is_spoofed),
    }
}

/// The zone of a link: that of groups, and of frames without addresses.
///
/// It is the one that the link has without regard to addresses; else the only
/// one that names its interface; else the only one that can be there at all.
pub(super) fn zone_of(claims: &Claims, kind: &[usize], by_link: ZoneId) -> ZoneId {
    if by_link != ZoneId::UNKNOWN {
        return by_link;
    }
    let all = claims.prefixes.values().flatten().chain(&claims.anywhere);
    // Devices are members of zones that are there themselves.
    let zones = all.filter(|claim| !claim.is_of_device());
    let here = zones.filter(|claim| kind.binary_search(&claim.keys).is_ok());
    let zone = |claim: &Claim| claim.zone;
    let names_it = |claim: &&Claim| !claims.keys[claim.keys].interfaces.is_empty();
    let of_interface = here.clone().filter(names_it).map(zone);
    match of_interface.clone().next() {
        Some(_) => only(of_interface),
        None => only(here.map(zone)),
    }
    .unwrap_or(ZoneId::UNKNOWN)
}

/// The zone, if all are the same.
fn only(mut zones: impl Iterator<Item = ZoneId>) -> Option<ZoneId> {
    let first = zones.next()?;
    zones.all(|zone| zone == first).then_some(first)
}
