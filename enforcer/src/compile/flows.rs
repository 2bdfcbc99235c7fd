//! Between which zones flows can exist: for the other pairs nobody looks into
//! the flow table.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::zone::ZoneId;

use super::macs::Aliases;
use super::sources::Sources;

/// What the policy allows, and where addresses are seen.
pub(super) struct Flows<'s> {
    /// Whether anything is allowed, by pair of zone ids.
    allowed: Vec<bool>,
    zone_ids: usize,
    /// What [`Sources::seen_elsewhere`] says.
    elsewhere: BTreeMap<ZoneId, BTreeSet<ZoneId>>,
    /// What zones that hardware addresses tell are to those who write to them.
    aliases: &'s Aliases,
    /// Whether anybody but the router may open flows to `unknown`, and to the
    /// router.
    to_built_in: [bool; 2],
}

const BUILT_IN: [ZoneId; 2] = [ZoneId::UNKNOWN, ZoneId::SELF];

impl<'s> Flows<'s> {
    /// For pairs of `zone_ids` zones: whether anything is `allowed`, and what
    /// zones addresses have.
    pub(super) fn new(allowed: Vec<bool>, (zone_ids, sources): (usize, &'s Sources)) -> Self {
        let anybody = |to: ZoneId| {
            let mut froms = allowed.chunks(zone_ids).enumerate();
            froms.any(|(from, row)| from != usize::from(ZoneId::SELF.0) && row[usize::from(to.0)])
        };
        let to_built_in = BUILT_IN.map(anybody);
        Self {
            allowed,
            zone_ids,
            elsewhere: sources.seen_elsewhere(),
            aliases: &sources.aliases,
            to_built_in,
        }
    }

    /// Whether no packet from one zone to another belongs to a flow: neither to
    /// one of this direction, nor to one that it answers.
    ///
    /// The destination of an answer has the zone of its address. When it opened
    /// the flow, it had the zone of the link that it was seen on, which may be
    /// another; `unknown`, where no program judges what comes in. Who answers may
    /// be told by the hardware address, which did not count when he was asked. What leaves
    /// the router without having come in where a program is has its destination
    /// zone by link.
    pub(super) fn are_impossible(&self, from: ZoneId, to: ZoneId) -> bool {
        let aliases = self.aliases.get(&from);
        let answers = |initiator: ZoneId| {
            let mut aliases = aliases.into_iter().flatten();
            self.allows(initiator, from) || aliases.any(|zone| self.allows(initiator, *zone))
        };
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
