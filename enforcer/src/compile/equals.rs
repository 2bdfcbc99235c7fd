//! Conduits that decide the same traffic with equal strength, and say different
//! things about it.
//!
//! Of equals the first in the file decides. That is of no importance while
//! they differ in their ids only; but a rate or a mode that depends on the order
//! of the file is an accident waiting to happen.

use std::collections::{BTreeMap, HashMap};

use super::coverage::Rank;
use crate::policy::model::{Conduit, Mode, Rate, ZoneRef};
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy};

/// Looks for them, pair of zones by pair of zones.
pub(super) struct Equals<'p> {
    policy: &'p Policy,
    /// Conduits by rank.
    conduits: Vec<&'p Conduit>,
    /// By the places of both in the file.
    found: BTreeMap<(usize, usize), Diagnostic>,
}

impl<'p> Equals<'p> {
    /// For the conduits of a policy in `order`, weakest first.
    pub(super) fn new(policy: &'p Policy, order: &[usize]) -> Self {
        Self {
            policy,
            conduits: order.iter().map(|index| &policy.conduits[*index]).collect(),
            found: BTreeMap::new(),
        }
    }

    /// Looks at the conduits that cover a pair of zones, weakest first;
    /// `classes` are the port classes of each.
    pub(super) fn look<'c>(
        &mut self,
        covering: &[Rank],
        classes: impl Fn(Rank) -> &'c [u16],
        pair: (ZoneRef, ZoneRef),
    ) {
        let strength = |rank: &Rank| {
            let conduit = self.conduits[*rank];
            (conduit.priority, conduit.action)
        };
        let mut clashes = Vec::new();
        for equals in covering.chunk_by(|a, b| strength(a) == strength(b)) {
            let terms = |rank: Rank| Terms::of(self.conduits[rank]);
            // Most policies end here, however many conduits they have.
            if equals.iter().all(|rank| terms(*rank) == terms(equals[0])) {
                continue;
            }
            let mut last = HashMap::new();
            for rank in equals {
                for class in classes(*rank) {
                    let before = last.insert(*class, *rank);
                    let clash = before.filter(|before| terms(*before) != terms(*rank));
                    clashes.extend(clash.map(|before| (*rank, before)));
                }
            }
        }
        // The weaker of equals stands later in the file.
        for (first, second) in clashes {
            let (first, second) = (self.conduits[first], self.conduits[second]);
            let place = (second.span.start, first.span.start);
            let policy = self.policy;
            let found = || finding(policy, (first, second), pair);
            self.found.entry(place).or_insert_with(found);
        }
    }

    /// What was found.
    pub(super) fn finish(self) -> Result<(), Findings> {
        match self.found.is_empty() {
            true => Ok(()),
            false => Err(self.found.into_values().collect()),
        }
    }
}

/// What a conduit says beyond its verdict.
#[derive(PartialEq, Eq)]
struct Terms {
    rate: Option<Rate>,
    logs: bool,
    mode: Option<Mode>,
}

impl Terms {
    fn of(conduit: &Conduit) -> Self {
        Self {
            rate: conduit.rate,
            logs: conduit.logs(),
            mode: conduit.mode,
        }
    }
}

fn finding(
    policy: &Policy,
    (first, second): (&Conduit, &Conduit),
    (from, to): (ZoneRef, ZoneRef),
) -> Diagnostic {
    let (a, b) = (Terms::of(first), Terms::of(second));
    let differences = [
        (a.rate != b.rate, "`rate`"),
        (a.logs != b.logs, "`log`"),
        (a.mode != b.mode, "`mode`"),
    ];
    let keys = differences.iter().filter(|(differ, _)| *differ);
    let keys: Vec<&str> = keys.map(|(_, key)| *key).collect();
    let kind = DiagnosticKind::Contradiction {
        first: first.id.clone(),
        second: second.id.clone(),
        from: name(policy, from),
        to: name(policy, to),
        keys: keys.join(" and "),
    };
    Diagnostic::new(kind, second.span).with_related(first.span)
}

fn name(policy: &Policy, zone: ZoneRef) -> String {
    match zone {
        ZoneRef::SelfZone => "self".to_owned(),
        ZoneRef::Unknown => "unknown".to_owned(),
        ZoneRef::Zone(zone) => policy.zones[zone].name.to_string(),
    }
}
