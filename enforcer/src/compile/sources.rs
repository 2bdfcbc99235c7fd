//! Source zones by link and address, and classes of both: links and addresses
//! that no look-up tells apart share one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use enforcer_common::cell::{AddressClass, SourceCell};
use enforcer_common::layout::{HALF_WORDS, LinkEntry};
use enforcer_common::link::LinkFacts;
use enforcer_common::zone::ZoneId;

use super::addresses::{Addresses, Signature};
use super::claims::{By, Claim, Claims};
use super::interner::Interner;
use super::link_rows::{self, LinkRow};
use super::links::Links;
use super::macs::{Aliases, MacRows, MacTables, Macs};
use super::size::{MAX_BLOCKS, room_for};
use super::trie::MAX_TRIE;
use crate::policy::Findings;

/// The tables of source zones.
pub(super) struct Sources {
    /// The class of each signature of [`Addresses`].
    pub(super) address_classes: Vec<u16>,
    /// What is known of each address class.
    pub(super) known: Vec<AddressClass>,
    /// The class of each kind of [`Links`], then of each set of kinds.
    pub(super) link_classes: Vec<u16>,
    /// What is known of each link class.
    pub(super) links: Vec<LinkFacts>,
    /// The classes of links where only the port of a bridge tells some zones.
    pub(super) several: BTreeSet<u16>,
    /// Cells by link class, then address class.
    pub(super) cells: Vec<u16>,
    /// What hardware addresses change in them.
    pub(super) by_mac: MacTables,
    /// What zones that hardware addresses tell are to those who write to them.
    pub(super) aliases: Aliases,
}

impl Sources {
    /// Finds the source zone of every address on every link.
    pub(super) fn new(
        claims: &Claims,
        addresses: &Addresses,
        links: &Links,
    ) -> Result<Self, Findings> {
        let columns = Columns {
            claims,
            addresses,
            places: places(claims, links),
            by_link: by_link(claims, links),
        };
        let limit = MAX_BLOCKS * HALF_WORDS as usize;
        let macs = Macs::new(claims);
        let mut seen = HashMap::new();
        let mut chains = Vec::new();
        let mut known: Vec<AddressClass> = Vec::new();
        let mut by_class: Vec<Vec<u16>> = Vec::new();
        let mut address_classes = Vec::with_capacity(addresses.signatures.len());
        for signature in &addresses.signatures {
            let class = columns.known(signature);
            let column = columns.column(signature);
            let chain = columns.claims_by_mac(signature);
            let what = (class.destination, class.flags, class.failsafes);
            let number =
                *seen
                    .entry((what, column, chain))
                    .or_insert_with_key(|(_, column, chain)| {
                        known.push(class);
                        by_class.push(column.clone());
                        chains.push(chain.clone());
                        by_class.len() - 1
                    });
            room_for(by_class.len(), "classes of addresses", MAX_TRIE)?;
            let cells = by_class.len() * (links.kinds.len() + links.merged.len());
            room_for(cells, "source zones by link and address", limit)?;
            address_classes.push(number as u16);
        }

        let mut mac_rows = MacRows::new(&macs);
        let kinds = links.kinds.iter().enumerate().map(|(link, kind)| {
            let cells: Vec<u16> = by_class.iter().map(|column| column[link]).collect();
            LinkRow {
                facts: link_facts(claims, kind, columns.by_link[link]),
                by_mac: mac_rows.of_link(kind, &cells, &chains),
                cells,
            }
        });
        let kinds: Vec<LinkRow> = kinds.collect();
        let any_of = |set: &Vec<usize>| {
            let rows: Vec<_> = set.iter().map(|kind| &kinds[*kind]).collect();
            LinkRow::of_any(&rows)
        };
        let merged: Vec<LinkRow> = links.merged.iter().map(any_of).collect();
        let mut rows = Interner::default();
        let all = kinds.into_iter().chain(merged);
        let link_classes = all.map(|row| rows.intern(row) as u16).collect();
        let (mac_rows, aliases) = mac_rows.finish();
        room_for(
            rows.len(),
            "classes of links",
            usize::from(LinkEntry::BY_VLAN),
        )?;
        let rows = rows.into_values();
        let by_mac = macs.tables(rows.iter().map(|row| row.by_mac.as_slice()), mac_rows)?;
        let links = rows.iter().map(|row| row.facts).collect();
        let is_several = |cell: &u16| SourceCell(*cell).is_several();
        let several = (0..)
            .zip(&rows)
            .filter(|(_, row)| row.cells.iter().any(is_several));
        let several = several.map(|(class, _)| class).collect();
        let cells: Vec<Vec<u16>> = rows.iter().map(|row| row.cells.clone()).collect();
        Ok(Self {
            by_mac,
            aliases,
            address_classes,
            known,
            link_classes,
            links,
            several,
            cells: cells.concat(),
        })
    }
}

impl Sources {
    /// For each zone that an address has as a destination, the other zones that
    /// it can have as a source: where it is seen on a link that the entry with
    /// its longest prefix does not take in.
    pub(super) fn seen_elsewhere(&self) -> BTreeMap<ZoneId, BTreeSet<ZoneId>> {
        let mut elsewhere: BTreeMap<ZoneId, BTreeSet<ZoneId>> = BTreeMap::new();
        for row in self.cells.chunks(self.known.len().max(1)) {
            for (class, cell) in self.known.iter().zip(row) {
                let (home, cell) = (ZoneId(class.destination), SourceCell(*cell));
                if cell.zone() != home && !cell.is_refused() {
                    elsewhere.entry(home).or_default().insert(cell.zone());
                }
            }
        }
        for row in self.by_mac.rows.chunks(self.known.len().max(1)) {
            for (class, cell) in self.known.iter().zip(row) {
                let (home, cell) = (ZoneId(class.destination), SourceCell(*cell));
                if cell.0 != 0 && !cell.is_refused() {
                    elsewhere.entry(home).or_default().insert(cell.zone());
                }
            }
        }
        elsewhere
    }
}

/// Source zones by address: one column for each, with a cell for each link.
struct Columns<'a> {
    claims: &'a Claims,
    addresses: &'a Addresses,
    /// The links where each combination of keys holds.
    places: Vec<Vec<usize>>,
    /// The zone that each link has without regard to the address.
    by_link: Vec<ZoneId>,
}

impl Columns<'_> {
    /// What is known of an address without regard to the link.
    fn known(&self, signature: &Signature) -> AddressClass {
        let meaning = signature.meaning;
        let destination = if meaning.is_nowhere() {
            ZoneId::UNKNOWN.0
        } else if meaning.is_router() {
            ZoneId::SELF.0
        } else {
            match self.destination(signature) {
                // No route tells which of several zones a group is in.
                AddressClass::BY_ROUTE if meaning.is_group() => ZoneId::SELF.0,
                zone => zone,
            }
        };
        AddressClass {
            destination,
            flags: if meaning.is_group() {
                AddressClass::GROUP
            } else {
                0
            },
            failsafes: signature.failsafes,
        }
    }

    /// The zone that claims the longest prefix, if it is only one.
    fn destination(&self, signature: &Signature) -> u16 {
        match self.addresses.claims(signature).next().map(Vec::as_slice) {
            Some([.., last]) if last.is_of_device() => last.zone.0,
            Some(group) if group.iter().all(|claim| claim.zone == group[0].zone) => group[0].zone.0,
            None if !self.claims.anywhere.iter().any(Claim::is_of_any_mac) => ZoneId::UNKNOWN.0,
            _ => AddressClass::BY_ROUTE,
        }
    }

    /// The source zone on every link.
    fn column(&self, signature: &Signature) -> Vec<u16> {
        let is_never_source = signature.meaning.is_never_source();
        let groups: Vec<_> = self.addresses.claims(signature).collect();
        let mut column = self.by_link.clone();
        let of_any_mac = |claim: &&Claim| claim.is_of_any_mac();
        for claim in groups.iter().rev().copied().flatten().filter(of_any_mac) {
            for link in &self.places[claim.keys] {
                column[*link] = claim.zone;
            }
        }
        let mut forged = vec![is_never_source; column.len()];
        let mut bound = vec![false; column.len()];
        for claim in groups
            .iter()
            .copied()
            .flatten()
            .filter(|claim| claim.by == By::Bound)
        {
            for link in &self.places[claim.keys] {
                bound[*link] = true;
            }
        }
        if let Some(longest) = groups.first().filter(|group| self.claims.is_bound(group)) {
            // Elsewhere the address is forged, whoever claims what is around it.
            let is_here = |link: &usize| {
                let mut claims = longest.iter();
                claims.any(|claim| self.places[claim.keys].binary_search(link).is_ok())
            };
            for link in (0..column.len()).filter(|link| !is_here(link)) {
                forged[link] = true;
                column[link] = self.by_link[link];
            }
        }
        let cells = column.into_iter().zip(forged).zip(bound);
        let cell = |((zone, is_forged), is_bound)| match (is_forged, is_bound) {
            (true, _) => SourceCell::new(zone, true).0,
            (_, true) => SourceCell::new(zone, false).violating().0,
            _ => SourceCell::new(zone, false).0,
        };
        cells.map(cell).collect()
    }

    /// The claims on an address by hardware addresses, and those that decide over
    /// such, weakest first. Those of [`By::Station`] are lies.
    fn claims_by_mac(&self, signature: &Signature) -> Vec<Claim> {
        let groups: Vec<_> = self.addresses.claims(signature).collect();
        let groups = groups.into_iter().rev();
        let all = [&self.claims.anywhere].into_iter().chain(groups).flatten();
        let all = all.filter(|claim| !claim.is_of_any_mac() || claim.is_of_device());
        let mut all: Vec<Claim> = all.copied().collect();
        for claim in &mut all {
            if let By::Station(families) = claim.by
                && !signature.meaning.is_of(families)
            {
                claim.by = By::Device;
            }
        }
        all.sort_by_key(|claim| (claim.is_of_device(), !claim.is_of_any_mac()));
        all
    }
}

fn places(claims: &Claims, links: &Links) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); claims.keys.len()];
    for (link, kind) in links.kinds.iter().enumerate() {
        for keys in kind {
            places[*keys].push(link);
        }
    }
    places
}

fn by_link(claims: &Claims, links: &Links) -> Vec<ZoneId> {
    let zone = |kind: &Vec<usize>| {
        let mut claims = claims.anywhere.iter().rev();
        let best =
            claims.find(|claim| claim.is_of_any_mac() && kind.binary_search(&claim.keys).is_ok());
        best.map_or(ZoneId::UNKNOWN, |claim| claim.zone)
    };
    links.kinds.iter().map(zone).collect()
}

/// What is known of a link beside the zones of addresses.
fn link_facts(claims: &Claims, kind: &[usize], by_link: ZoneId) -> LinkFacts {
    LinkFacts {
        zone: link_rows::zone_of(claims, kind, by_link).0,
        failsafes: failsafes(claims, kind),
        essentials_off: claims.essentials_off(kind),
        reserved: 0,
    }
}

/// One bit for each failsafe entry that admits traffic from a link.
fn failsafes(claims: &Claims, kind: &[usize]) -> u16 {
    let admits = |keys: &usize| kind.binary_search(keys).is_ok();
    let entries = claims.failsafes.iter().enumerate();
    entries
        .filter(|(_, (_, keys))| admits(keys))
        .fold(0, |bits, (index, _)| bits | 1 << index)
}
