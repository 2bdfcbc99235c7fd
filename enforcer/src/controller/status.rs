//! What is in force.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::inspect;
use crate::kernel::links::{self, Attached, Point, Side};
use crate::kernel::maps::Capacity;
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::owner::{Owner, Owners};
use crate::kernel::pending::Previous;
use crate::kernel::probe::{self, Program};
use crate::policy::Policy;
use crate::policy::model::Mode;

use super::error::ControllerError;
use super::grow::reparsed;
use super::instance::Instance;
use super::settle::{self, Waiting};
use super::state::{Enforced, Record};

/// What is in force.
#[derive(Clone, Debug)]
pub struct Status {
    /// Number of the apply.
    pub generation: u32,
    /// What is known of the policy.
    pub policy: Option<PolicyStatus>,
    /// Why nothing is known of it.
    pub damage: Option<String>,
    /// Set while it waits to be confirmed.
    pub waiting: Option<WaitingStatus>,
    /// What the maps have room for.
    pub capacity: Capacity,
    /// The interfaces it is enforced on.
    pub interfaces: Vec<InterfaceStatus>,
    /// Interfaces that are up and neither run programs of ours nor lie above or
    /// below one that does.
    pub without_programs: Vec<String>,
}

/// What is known of an active policy.
#[derive(Clone, Debug)]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// When it was applied, in seconds since 1970.
    pub applied_at: u64,
    /// How long ago that is.
    pub age_s: u64,
    /// Whether it is an audit as a whole.
    pub audit: bool,
    /// Zones and conduits of the other mode.
    pub exceptions: Vec<String>,
    /// Interfaces that it names and that do not exist yet.
    pub missing: Vec<String>,
}

/// The policy waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingStatus {
    /// Seconds left, rounded up.
    pub left_s: u64,
    /// Number of the policy that takes its place then; `None` for none.
    pub then: Option<u32>,
    /// Name of that policy, if it is known.
    pub then_policy: Option<String>,
}

/// One interface that the policy is enforced on.
#[derive(Clone, Debug)]
pub struct InterfaceStatus {
    /// Its name now; the name at the time of the apply if it is gone.
    pub name: String,
    /// Its index at the time of the apply.
    pub ifindex: u32,
    /// Where its ingress program runs.
    pub ingress: IngressMode,
    /// The programs.
    pub programs: Vec<(Side, Program)>,
    /// Programs of others that see packets at TC before ours do, and may let them
    /// pass.
    pub before_ours: Vec<Owner>,
}

/// Where an ingress program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressMode {
    /// In the driver.
    Driver,
    /// In the network stack.
    Generic,
    /// In the network stack, behind XDP.
    Tc,
    /// Nowhere: nobody judges what comes in.
    Missing,
}

/// What is in force; `None` when nothing is.
pub fn status(instance: &Instance) -> Result<Option<Status>, ControllerError> {
    let Some(active) = settle::active(instance)? else {
        return Ok(None);
    };
    let netlink = Netlink::connect()?;
    let interfaces = netlink.interfaces()?;
    let attached = links::list(&instance.pins)?;
    let waiting = active.waiting.map(|waiting| described(instance, waiting));
    let (policy, damage, listed) = match active.record {
        Ok(record) => (Some(known(&record, &interfaces)), None, record.interfaces),
        Err(error) => (None, Some(error.told()), of_links(&attached)),
    };
    Ok(Some(Status {
        generation: active.generation,
        policy,
        damage,
        waiting,
        capacity: *active.set.maps.capacity(),
        interfaces: enforced(&listed, &interfaces, &attached),
        without_programs: without_programs(&interfaces, &attached),
    }))
}

fn known(record: &Record, interfaces: &[Interface]) -> PolicyStatus {
    let exists = |name: &String| interfaces.iter().any(|one| one.name == *name);
    let awaited = record.machine.awaited.iter();
    let policy = reparsed(record).ok().map(|(_, policy)| policy);
    let audits = |policy: &Policy| policy.defaults.mode == Mode::Audit;
    PolicyStatus {
        name: record.policy.name.clone(),
        path: record.policy.path.clone(),
        applied_at: record.applied_at,
        age_s: age_s(record.applied_at),
        audit: policy.as_ref().map_or(record.audit, audits),
        exceptions: policy.map_or_else(Vec::new, |policy| policy.mode_exceptions()),
        missing: awaited.filter(|name| !exists(name)).cloned().collect(),
    }
}

fn described(instance: &Instance, waiting: Waiting) -> WaitingStatus {
    let then = match waiting.then {
        Previous::Open => None,
        Previous::Generation(generation) => Some(generation),
    };
    let record = then.and_then(|generation| instance.store.read(generation).ok());
    WaitingStatus {
        left_s: waiting.left.as_millis().div_ceil(1000) as u64,
        then,
        then_policy: record.map(|record| record.policy.name),
    }
}

/// The interfaces that have programs, where no state file names them.
fn of_links(attached: &[Attached]) -> Vec<Enforced> {
    let indices: BTreeSet<u32> = attached.iter().map(|one| one.ifindex).collect();
    let unnamed = |ifindex| Enforced {
        ifindex,
        name: format!("#{ifindex}"),
    };
    indices.into_iter().map(unnamed).collect()
}

fn enforced(
    listed: &[Enforced],
    interfaces: &[Interface],
    attached: &[Attached],
) -> Vec<InterfaceStatus> {
    let loaded = probe::programs();
    let mut found = Vec::new();
    for enforced in listed {
        let now = interfaces
            .iter()
            .find(|one| one.ifindex == enforced.ifindex);
        let here = attached
            .iter()
            .filter(|one| one.ifindex == enforced.ifindex);
        let here = here.filter_map(|one| Some((one, loaded.get(&one.program_id?)?)));
        let here: Vec<_> = here.collect();
        found.push(InterfaceStatus {
            name: now.map_or(&enforced.name, |one| &one.name).clone(),
            ifindex: enforced.ifindex,
            before_ours: before_ours(enforced.ifindex, &here),
            ingress: ingress_mode(&here, now),
            programs: here
                .iter()
                .map(|(one, program)| (one.side(), (*program).clone()))
                .collect(),
        });
    }
    found
}

fn ingress_mode(here: &[(&Attached, &Program)], now: Option<&Interface>) -> IngressMode {
    let mut ingress = here.iter().filter(|(one, _)| one.side() == Side::Ingress);
    match (ingress.next(), now) {
        (Some((one, _)), Some(_)) if one.point == Point::Ingress => IngressMode::Tc,
        (Some((_, program)), Some(now)) if now.xdp_generic == Some(program.id) => {
            IngressMode::Generic
        }
        (Some(_), Some(_)) => IngressMode::Driver,
        _ => IngressMode::Missing,
    }
}

fn before_ours(ifindex: u32, here: &[(&Attached, &Program)]) -> Vec<Owner> {
    let orders = [
        (Point::Ingress, inspect::ingress(ifindex)),
        (Point::HandOver, inspect::ingress(ifindex)),
        (Point::Egress, inspect::egress(ifindex)),
    ];
    let before = orders.iter().flat_map(|(point, order)| {
        let mut ours = here.iter().filter(|(one, _)| one.point == *point);
        let ours = ours.next().map(|(_, program)| program.id);
        let place = order.iter().position(|one| Some(one.program_id) == ours);
        &order[..place.unwrap_or(0)]
    });
    let before: Vec<_> = before.collect();
    if before.is_empty() {
        return Vec::new();
    }
    let owners = Owners::gather();
    before.iter().map(|one| owners.of(one.program_id)).collect()
}

fn without_programs(interfaces: &[Interface], attached: &[Attached]) -> Vec<String> {
    let is_judged = |ifindex: u32| {
        attached
            .iter()
            .any(|one| one.ifindex == ifindex && one.program_id.is_some())
    };
    // A bridge does not see what its ports send each other.
    let is_judged_master = |ifindex: u32| {
        let mut others = interfaces.iter();
        let master = others.find(|other| other.ifindex == ifindex);
        is_judged(ifindex) && master.is_some_and(|it| it.kind.as_deref() != Some("bridge"))
    };
    let is_covered = |interface: &Interface| {
        let shares =
            |other: &Interface| other.master == Some(interface.ifindex) && is_judged(other.ifindex);
        is_judged(interface.ifindex)
            || interface.vlan.is_some() && interface.parent.is_some_and(is_judged)
            || interface.master.is_some_and(is_judged_master)
            || interfaces.iter().any(shares)
    };
    let open = interfaces
        .iter()
        .filter(|one| one.is_up && !one.is_loopback && !is_covered(one));
    open.map(|one| one.name.clone()).collect()
}

fn age_s(applied_at: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs().saturating_sub(applied_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_has_jumped_back_makes_no_age() {
        assert_eq!(age_s(u64::MAX), 0);
        assert!(age_s(0) > 0);
    }
}
