//! Between which zones flows can exist: for the other pairs nobody looks into
//! the flow table.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::zone::ZoneId;

/// What the policy allows, and where addresses are seen.
pub(super) struct Flows {
    /// Whether anything is allowed, by pair of zone ids.
    allowed: Vec<bool>,
    zone_ids: usize,
    /// What [`super::sources::Sources::seen_elsewhere`] says.
    elsewhere: BTreeMap<ZoneId, BTreeSet<ZoneId>>,
    /// Whether anybody but the router may open flows to `unknown`, and to the
    /// router.
    to_built_in: [bool; 2],
}

const BUILT_IN: [ZoneId; 2] = [ZoneId::UNKNOWN, ZoneId::SELF];

impl Flows {
    /// For pairs of `zone_ids` zones: whether anything is `allowed`, and where
    /// else the addresses of each zone are seen.
    pub(super) fn new(
        allowed: Vec<bool>,
        (zone_ids, elsewhere): (usize, BTreeMap<ZoneId, BTreeSet<ZoneId>>),
    ) -> Self {
        let anybody = |to: ZoneId| {
            let mut froms = allowed.chunks(zone_ids).enumerate();
            froms.any(|(from, row)| from != usize::from(ZoneId::SELF.0) && row[usize::from(to.0)])
        };
        let to_built_in = BUILT_IN.map(anybody);
        Self {
            allowed,
            zone_ids,
            elsewhere,
            to_built_in,
        }
    }

    /// Whether no packet from one zone to another belongs to a flow: neither to
    /// one of this direction, nor to one that it answers.
    ///
    /// The destination of an answer has the zone of its address. When it opened
    /// the flow, it had the zone of the link that it was seen on, which may be
    /// another; `unknown`, where no program judges what comes in. What leaves
    /// the router without having come in where a program is has its destination
    /// zone by link.
    pub(super) fn are_impossible(&self, from: ZoneId, to: ZoneId) -> bool {
        let answers = |initiator: ZoneId| self.allows(initiator, from);
        if self.allows(from, to) || answers(to) || answers(ZoneId::UNKNOWN) {
            return false;
        }
        if let Some(built_in) = BUILT_IN.iter().position(|zone| *zone == from) {
            return !self.to_built_in[built_in];
        }
        let elsewhere = self.elsewhere.get(&to);
        elsewhere.is_none_or(|zones| !zones.iter().any(|zone| answers(*zone)))
    }

    fn allows(&self, from: ZoneId, to: ZoneId) -> bool {
        self.allowed[usize::from(from.0) * self.zone_ids + usize::from(to.0)]
    }
}
