//! Which conduits cover which pair of zones, without asking every conduit about
//! every pair.

use std::collections::BTreeMap;

use super::interner::Interner;
use crate::policy::Policy;
use crate::policy::model::{Conduit, Endpoints, ZoneRef};

/// A conduit by its strength: of two that cover the same traffic, the higher
/// rank decides.
pub(super) type Rank = usize;

/// The conduits that cover one pair of zones; equal ones have equal rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Covering {
    /// Sets of conduits by how they name the pair: as indices.
    sets: [u32; 9],
}

/// All conduits by the pairs that they cover.
///
/// `any` on one side or both would make most of a large policy's pairs: such
/// conduits are kept once for each zone, or once at all.
pub(super) struct Coverage {
    /// Distinct sets of ranks, each sorted; the first is empty.
    sets: Vec<Vec<Rank>>,
    /// How many zones there are, built-in ones included.
    zones: usize,
    /// The zone that each is a member of; itself where it is none.
    homes: Vec<usize>,
    /// `any` to `any`.
    any_to_any: u32,
    /// `any` to each zone.
    any_to_named: Vec<u32>,
    /// Each zone to `any`.
    named_to_any: Vec<u32>,
    /// Each zone to each zone.
    named_to_named: Vec<u32>,
}

/// The conduits of a policy, weakest first: by priority, then allow before
/// reject before drop, then the later in the file before the earlier.
pub(super) fn by_strength(policy: &Policy) -> Vec<usize> {
    let strength = |index: &usize| {
        let Conduit {
            priority, action, ..
        } = &policy.conduits[*index];
        (*priority, *action, std::cmp::Reverse(*index))
    };
    let mut order: Vec<usize> = (0..policy.conduits.len()).collect();
    order.sort_unstable_by_key(strength);
    order
}

impl Coverage {
    /// Sorts `conduits`, which come weakest first.
    pub(super) fn new<'p>(policy: &Policy, conduits: impl Iterator<Item = &'p Conduit>) -> Self {
        let built_in = [ZoneRef::Unknown, ZoneRef::SelfZone];
        let all = built_in
            .into_iter()
            .chain((0..policy.zones.len()).map(ZoneRef::Zone));
        let homes: Vec<usize> = all.map(|zone| index(policy.home(zone))).collect();
        let zones = homes.len();
        let mut any_to_any = Vec::new();
        let mut any_to_named = vec![Vec::new(); zones];
        let mut named_to_any = vec![Vec::new(); zones];
        let mut named_to_named: BTreeMap<usize, Vec<Rank>> = BTreeMap::new();
        for (rank, conduit) in conduits.enumerate() {
            let Conduit { from, to, .. } = conduit;
            if from.any && to.any {
                any_to_any.push(rank);
            }
            if from.any {
                named(to).for_each(|to| any_to_named[to].push(rank));
            }
            if to.any {
                named(from).for_each(|from| named_to_any[from].push(rank));
            }
            for from in named(from) {
                for to in named(to) {
                    let pair = from * zones + to;
                    named_to_named.entry(pair).or_default().push(rank);
                }
            }
        }

        let mut sets = Interner::default();
        sets.intern(Vec::new());
        let mut dense = vec![0; zones * zones];
        for (pair, ranks) in named_to_named {
            dense[pair] = sets.intern(ranks) as u32;
        }
        let mut intern = |sets_by_zone: Vec<Vec<Rank>>| -> Vec<u32> {
            sets_by_zone
                .into_iter()
                .map(|set| sets.intern(set) as u32)
                .collect()
        };
        let any_to_named = intern(any_to_named);
        let named_to_any = intern(named_to_any);
        let any_to_any = sets.intern(any_to_any) as u32;
        Self {
            sets: sets.into_values(),
            zones,
            homes,
            any_to_any,
            any_to_named,
            named_to_any,
            named_to_named: dense,
        }
    }

    /// What covers traffic between two zones: conduits that name both, and `any`
    /// where they are not the same. A device is named by what names its zone, too.
    pub(super) fn of(&self, from: ZoneRef, to: ZoneRef) -> Covering {
        const NONE: u32 = 0;
        let is_zone = |zone| matches!(zone, ZoneRef::Zone(_));
        let (a, b) = (index(from), index(to));
        let (a_home, b_home) = (self.homes[a], self.homes[b]);
        let (a_is_device, b_is_device) = (a != a_home, b != b_home);
        let only = |is_covered: bool, set| if is_covered { set } else { NONE };
        let named = |from, to| self.named_to_named[from * self.zones + to];
        let differ = a_home != b_home;
        let (from_any, to_any) = (differ && is_zone(from), differ && is_zone(to));
        Covering {
            sets: [
                named(a, b),
                only(a_is_device, named(a_home, b)),
                only(b_is_device, named(a, b_home)),
                only(a_is_device && b_is_device, named(a_home, b_home)),
                only(from_any, self.any_to_named[b]),
                only(from_any && b_is_device, self.any_to_named[b_home]),
                only(to_any, self.named_to_any[a]),
                only(to_any && a_is_device, self.named_to_any[a_home]),
                only(from_any && to_any, self.any_to_any),
            ],
        }
    }

    /// The conduits of a covering, weakest first.
    pub(super) fn ranks(&self, covering: &Covering) -> Vec<Rank> {
        let sets = covering
            .sets
            .iter()
            .map(|set| self.sets[*set as usize].as_slice());
        let mut ranks = sets.collect::<Vec<_>>().concat();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }
}

fn named(side: &Endpoints) -> impl Iterator<Item = usize> {
    side.zones.iter().copied().map(index)
}

/// A place for every zone, built-in ones first.
fn index(zone: ZoneRef) -> usize {
    match zone {
        ZoneRef::Unknown => 0,
        ZoneRef::SelfZone => 1,
        ZoneRef::Zone(zone) => zone + 2,
    }
}
