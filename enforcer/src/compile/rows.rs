//! Pairs of zones and rows: what the conduits say of each pair, by port class.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use enforcer_common::cell::{Cell, Pair, Slot};
use enforcer_common::layout::WORDS;
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

use super::coverage::{Coverage, Rank, by_strength};
use super::equals::Equals;
use super::flows::Flows;
use super::interner::Interner;
use super::numbering::Numbering;
use super::services::Services;
use super::size::{MAX_BLOCKS, room_for};
use super::sources::Sources;
use crate::policy::model::{Action, ZoneRef};
use crate::policy::{Findings, Policy};

/// The tables `pairs` and `rows`.
pub(super) struct Rows {
    /// Pairs by source zone, then destination zone.
    pub(super) pairs: Vec<u32>,
    /// Cells by row, then port class.
    pub(super) cells: Vec<u32>,
}

/// For pairs of zones that only earlier policies had.
const UNUSED: Cell = Cell::drop(Slot::NO_CONDUIT, DropReason::NO_CONDUIT);

impl Rows {
    /// Finds what decides of every pair of zones and port class.
    pub(super) fn new(
        policy: &Policy,
        (sources, services): (&Sources, &Services),
        numbering: &Numbering,
    ) -> Result<Self, Findings> {
        let zone_ids = numbering.zone_ids() as usize;
        let zones = by_id(policy, numbering);
        let order = by_strength(policy);
        let conduits = order.iter().map(|index| &policy.conduits[*index]);
        let coverage = Coverage::new(zones.len(), conduits);
        let mut table = Table::new(policy, services, numbering, &order);
        let unused = table.row(UNUSED, &[])?;
        let mut rows = vec![unused; zone_ids * zone_ids];
        let mut equals = Equals::new(policy, &order);
        let mut known = HashMap::new();
        let mut last = None;
        for (from_id, from) in &zones {
            for (to_id, to) in &zones {
                let key = (default(policy, *from, *to), coverage.of(*from, *to));
                let row = match last {
                    // Most pairs of a large policy have no conduit.
                    Some((same, row)) if same == key => row,
                    _ => match known.entry(key) {
                        Entry::Occupied(row) => *row.get(),
                        Entry::Vacant(new) => {
                            let (default, covering) = key;
                            let ranks = coverage.ranks(&covering);
                            equals.look(&ranks, |rank| table.conduits[rank].1, (*from, *to));
                            *new.insert(table.row(default, &ranks)?)
                        }
                    },
                };
                last = Some((key, row));
                rows[usize::from(from_id.0) * zone_ids + usize::from(to_id.0)] = row;
            }
        }
        equals.finish()?;
        Ok(table.finish(&rows, zone_ids, sources))
    }
}

/// What decides of traffic that no conduit covers.
fn default(policy: &Policy, from: ZoneRef, to: ZoneRef) -> Cell {
    let (action, slot, reason) = match (from, to) {
        (ZoneRef::SelfZone, _) => {
            let action = policy.defaults.self_out;
            (action, Slot::SELF_OUT, DropReason::SELF_OUT)
        }
        (ZoneRef::Zone(zone), _) if from == to => {
            let action = policy.zones[zone].intra_zone;
            (action, Slot::INTRA_ZONE, DropReason::INTRA_ZONE)
        }
        _ => (Action::Drop, Slot::NO_CONDUIT, DropReason::NO_CONDUIT),
    };
    cell(action, slot, reason)
}

const fn cell(action: Action, slot: Slot, reason: DropReason) -> Cell {
    match action {
        Action::Allow => Cell::allow(slot),
        Action::Reject | Action::Drop => Cell::drop(slot, reason),
    }
}

/// Every zone that traffic can have, in the order of ids: what rows are
/// numbered by must not depend on the order of the file.
fn by_id(policy: &Policy, numbering: &Numbering) -> Vec<(ZoneId, ZoneRef)> {
    let built_in = [
        (ZoneId::UNKNOWN, ZoneRef::Unknown),
        (ZoneId::SELF, ZoneRef::SelfZone),
    ];
    let zones = policy.zones.iter().enumerate();
    let zones = zones.map(|(index, zone)| (numbering.zone(zone), ZoneRef::Zone(index)));
    let mut all: Vec<_> = built_in.into_iter().chain(zones).collect();
    all.sort_unstable();
    all
}

/// Distinct rows.
struct Table<'s> {
    /// Of every conduit, weakest first: its cell, and the classes it covers.
    conduits: Vec<(Cell, &'s [u16])>,
    /// Port classes, the length of a row.
    classes: usize,
    rows: Interner<Vec<u32>>,
}

impl<'s> Table<'s> {
    fn new(
        policy: &Policy,
        services: &'s Services,
        numbering: &Numbering,
        order: &[usize],
    ) -> Self {
        let conduits = order.iter().map(|index| {
            let conduit = &policy.conduits[*index];
            let cell = cell(conduit.action, numbering.slot(conduit), DropReason::CONDUIT);
            (cell, services.of_conduits[*index].as_slice())
        });
        Self {
            conduits: conduits.collect(),
            classes: services.failsafes.len(),
            rows: Interner::default(),
        }
    }

    /// The row in which each conduit decides over those before it.
    fn row(&mut self, default: Cell, conduits: &[Rank]) -> Result<usize, Findings> {
        let mut row = vec![default.0; self.classes];
        for rank in conduits {
            let (cell, classes) = self.conduits[*rank];
            for class in classes {
                row[usize::from(*class)] = cell.0;
            }
        }
        let row = self.rows.intern(row);
        let cells = self.rows.len() * self.classes;
        room_for(
            cells,
            "verdicts by pair of zones and service",
            MAX_BLOCKS * WORDS as usize,
        )?;
        Ok(row)
    }

    /// The tables, from the row of every pair of zone ids.
    fn finish(self, pairs: &[usize], zone_ids: usize, sources: &Sources) -> Rows {
        let rows = self.rows.into_values();
        let allows = |row: &Vec<u32>| row.iter().any(|cell| Cell(*cell).allows());
        let by_row: Vec<bool> = rows.iter().map(allows).collect();
        let flows = Flows::new(
            pairs.iter().map(|row| by_row[*row]).collect(),
            (zone_ids, sources.seen_elsewhere()),
        );
        let pair = |(index, row): (usize, &usize)| {
            let (from, to) = (index / zone_ids, index % zone_ids);
            let stateless = flows.are_impossible(ZoneId(from as u16), ZoneId(to as u16));
            Pair::new(*row as u32, stateless).0
        };
        Rows {
            pairs: pairs.iter().enumerate().map(pair).collect(),
            cells: rows.concat(),
        }
    }
}
