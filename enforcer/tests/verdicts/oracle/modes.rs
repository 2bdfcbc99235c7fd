//! Modes and rates: what becomes of a packet that is to be dropped.

use std::collections::BTreeMap;
use std::net::IpAddr;

use enforcer::policy::Policy;
use enforcer::policy::model::{Conduit, Mode, Rate, RatePer, RateUnit, ZoneRef};

use super::devices::home;

/// Drop reasons that zones and conduits in audit mode are about.
const OF_POLICY: [&str; 7] = [
    "no-conduit",
    "conduit",
    "intra-zone",
    "self-out",
    "reject",
    "rate-limited",
    "icmp-unrelated",
];

/// The mode of a would-be drop between two zones that a conduit decided, or
/// none did.
pub fn mode(policy: &Policy, conduit: Option<&Conduit>, from: ZoneRef, to: ZoneRef) -> Mode {
    let of_zones = [from, to].map(|zone| zone_mode(policy, zone));
    if let Some(mode) = conduit.and_then(|conduit| conduit.mode) {
        return mode;
    }
    if of_zones.contains(&Some(Mode::Enforce)) {
        return Mode::Enforce;
    }
    let is_of_router = conduit.is_none() && from == ZoneRef::SelfZone;
    if of_zones.contains(&Some(Mode::Audit)) && !is_of_router {
        return Mode::Audit;
    }
    policy.defaults.mode
}

/// Whether an audit of the whole policy lets pass what is dropped for a reason
/// that conduits and zones have no say in.
pub fn lets_pass(policy: &Policy, reason: &str, ends: [Option<ZoneRef>; 2]) -> bool {
    let zones = ends.into_iter().flatten();
    let mut modes = zones.map(|zone| zone_mode(policy, zone));
    policy.defaults.mode == Mode::Audit
        && !OF_POLICY.contains(&reason)
        && modes.all(|mode| mode != Some(Mode::Enforce))
}

fn zone_mode(policy: &Policy, zone: ZoneRef) -> Option<Mode> {
    match home(policy, zone) {
        ZoneRef::Zone(index) => policy.zones[index].mode,
        ZoneRef::SelfZone | ZoneRef::Unknown => None,
    }
}

/// What is left of rates. No time passes: no test takes as long as the least
/// interval that is tried.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    /// By conduit, and source where each has its own: seconds until the next
    /// packet would be due if packets came evenly.
    due: BTreeMap<(String, Option<IpAddr>), u64>,
}

impl Buckets {
    /// Whether a packet conforms to the rate of a conduit; `opens` when it is
    /// judged itself and not as part of a flow.
    pub fn take(&mut self, id: &str, rate: &Rate, source: IpAddr, opens: bool) -> bool {
        if rate.of == RateUnit::Flows && !opens {
            return true;
        }
        let interval = u64::from(rate.period.seconds() / rate.limit);
        let tolerance = interval * u64::from(rate.burst - 1);
        let source = (rate.per == RatePer::Source).then_some(source);
        let due = self.due.entry((id.to_owned(), source)).or_default();
        if *due > tolerance + 64 * interval {
            // Left by another rate of the same conduit.
            *due = 0;
        }
        if *due > tolerance {
            return false;
        }
        *due += interval;
        true
    }
}
