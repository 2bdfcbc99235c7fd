//! Pairs of zones and rows: what the conduits say of each pair, by port class.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use enforcer_common::cell::{Cell, Pair, Slot};
use enforcer_common::layout::{Layout, WORDS};
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

use super::coverage::{Coverage, Rank, by_strength};
use super::equals::Equals;
use super::flows::Flows;
use super::interner::Interner;
use super::modes::{self, PairMode};
use super::numbering::Numbering;
use super::services::Services;
use super::size::{MAX_BLOCKS, room_for};
use super::sources::Sources;
use crate::policy::model::{Mode, State, ZoneRef};
use crate::policy::{Findings, Policy};

/// The tables `pairs` and `rows`.
pub(super) struct Rows {
    /// Pairs by source zone, then destination zone.
    pub(super) pairs: Vec<u32>,
    /// Cells by row, then port class.
    pub(super) cells: Vec<u32>,
    /// What conduits with a rate or a log ask, by slot.
    pub(super) terms: Vec<u16>,
    /// The flags of the layout.
    pub(super) flags: u32,
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
        let coverage = Coverage::new(policy, conduits);
        let mut table = Table::new(policy, services, numbering, &order);
        let unused = table.row(UNUSED, Between::default(), &[])?;
        let mut rows = vec![unused; zone_ids * zone_ids];
        let mut betweens = vec![Between::default(); zone_ids * zone_ids];
        let mut equals = Equals::new(policy, &order);
        let mut known = HashMap::new();
        let mut last = None;
        for (from_id, from) in &zones {
            for (to_id, to) in &zones {
                let between = Between {
                    is_loose: is_loose(policy, *from, *to),
                    mode: modes::of_pair(policy, *from, *to),
                    are_zones: policy.home(*from) != policy.home(*to)
                        && ![*from, *to].contains(&ZoneRef::SelfZone),
                };
                let default = modes::default_cell(policy, *from, *to);
                let key = (default, between, coverage.of(*from, *to));
                let row = match last {
                    // Most pairs of a large policy have no conduit.
                    Some((same, row)) if same == key => row,
                    _ => match known.entry(key) {
                        Entry::Occupied(row) => *row.get(),
                        Entry::Vacant(new) => {
                            let ranks = coverage.ranks(&key.2);
                            equals.look(&ranks, |rank| table.conduits[rank].1, (*from, *to));
                            *new.insert(table.row(default, between, &ranks)?)
                        }
                    },
                };
                last = Some((key, row));
                let pair = usize::from(from_id.0) * zone_ids + usize::from(to_id.0);
                rows[pair] = row;
                betweens[pair] = between;
            }
        }
        equals.finish()?;
        let (pairs, cells) = table.finish(&rows, &betweens, (zone_ids, sources));
        Ok(Self {
            pairs,
            cells,
            terms: modes::terms(policy, numbering)?,
            flags: match policy.defaults.mode {
                Mode::Audit => Layout::AUDIT,
                Mode::Enforce => 0,
            },
        })
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

/// Whether one of two zones is loose. The router itself sees both directions.
fn is_loose(policy: &Policy, from: ZoneRef, to: ZoneRef) -> bool {
    let loose =
        |zone| matches!(zone, ZoneRef::Zone(index) if policy.zones[index].state == State::Loose);
    let has_router = [from, to].contains(&ZoneRef::SelfZone);
    !has_router && (loose(from) || loose(to))
}

/// What matters of a pair of zones beside the conduits that cover it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Between {
    mode: PairMode,
    /// Both are zones, but not the same, and no members of the same.
    are_zones: bool,
    /// Of one of them TCP segments in mid-stream may be the first that are seen.
    is_loose: bool,
}

/// What decides of ICMP errors about no flow, where `default` decides of the rest.
fn unrelated(default: Cell) -> Cell {
    let slot = default.slot();
    let drop = Cell::drop(slot, DropReason::ICMP_UNRELATED);
    match (default.allows(), default.is_audit()) {
        (false, _) => drop,
        (true, true) => drop.audited(slot),
        (true, false) => default,
    }
}

/// Distinct rows.
struct Table<'s> {
    /// Of every conduit, weakest first: its cell by the mode of the zones, and
    /// the classes it covers.
    conduits: Vec<(BTreeMap<PairMode, Cell>, &'s [u16])>,
    /// Port classes, the length of a row.
    classes: usize,
    /// The classes of ICMP errors.
    errors: &'s [u16],
    /// The classes of redirects.
    redirects: &'s [u16],
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
            let modes = [None, Some(Mode::Enforce), Some(Mode::Audit)];
            let cells = modes.map(|mode| (mode, modes::cell(policy, conduit, mode, numbering)));
            (cells.into(), services.of_conduits[*index].as_slice())
        });
        Self {
            conduits: conduits.collect(),
            classes: services.failsafes.len(),
            errors: &services.errors,
            redirects: &services.redirects,
            rows: Interner::default(),
        }
    }

    /// The row in which each conduit decides over those before it.
    ///
    /// ICMP errors that nothing lets pass have reported no known flow. Between
    /// two zones no redirect passes.
    fn row(
        &mut self,
        default: Cell,
        between: Between,
        conduits: &[Rank],
    ) -> Result<usize, Findings> {
        let mut row = vec![default.0; self.classes];
        for class in self.errors {
            row[usize::from(*class)] = unrelated(default).0;
        }
        for rank in conduits {
            let (cells, classes) = &self.conduits[*rank];
            let cell = cells[&between.mode];
            let is_meant = cell.allows() && !cell.is_audit();
            for class in *classes {
                let is_moot = is_meant && between.are_zones && self.redirects.contains(class);
                if !is_moot {
                    row[usize::from(*class)] = cell.0;
                }
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

    /// Pairs and cells, from the row of every pair of zone ids, and from what
    /// else matters of it.
    fn finish(
        self,
        pairs: &[usize],
        betweens: &[Between],
        (zone_ids, sources): (usize, &Sources),
    ) -> (Vec<u32>, Vec<u32>) {
        let rows = self.rows.into_values();
        let allows = |row: &Vec<u32>| row.iter().any(|cell| Cell(*cell).allows());
        let by_row: Vec<bool> = rows.iter().map(allows).collect();
        let flows = Flows::new(
            pairs.iter().map(|row| by_row[*row]).collect(),
            (zone_ids, sources),
        );
        let pair = |(index, row): (usize, &usize)| {
            let (from, to) = (index / zone_ids, index % zone_ids);
            let stateless = flows.are_impossible(ZoneId(from as u16), ZoneId(to as u16));
            let pair = Pair::new(*row as u32, stateless);
            let Between {
                mode,
                are_zones,
                is_loose,
            } = betweens[index];
            let are_members = [from, to]
                .iter()
                .all(|id| *id >= usize::from(ZoneId::FIRST));
            let is_joined =
                are_members && !are_zones || by_row[*row] || by_row[pairs[to * zone_ids + from]];
            let pair = if is_joined { pair.joined() } else { pair };
            let pair = match is_loose {
                true => pair.loose(),
                false => pair,
            };
            let pair = match mode {
                Some(Mode::Enforce) => pair.enforced(),
                _ => pair,
            };
            match are_zones {
                true => pair.between_zones().0,
                false => pair.0,
            }
        };
        let pairs = pairs.iter().enumerate().map(pair).collect();
        (pairs, rows.concat())
    }
}
