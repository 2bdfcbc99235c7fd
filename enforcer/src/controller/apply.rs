//! Applies a policy: stage, activate, sweep.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::compile::{Image, Numbering, compile};
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::set::Set;
use crate::policy::{self, Findings, Source};

use super::error::ControllerError;
use super::grow::{self, tables};
use super::instance::Instance;
use super::lock::Lock;
use super::machine::machine;
use super::programs::{self, Wanted};
use super::settle::{Active, clear, settle};
use super::state::{AppliedPolicy, Enforced, Record};

/// What an apply did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Number of the apply.
    pub generation: u32,
    /// Name of the policy.
    pub policy: String,
    /// Warnings about the policy.
    pub warnings: Findings,
    /// Names of the interfaces that it is enforced on.
    pub interfaces: Vec<String>,
    /// Those of them that had no programs before.
    pub attached: Vec<String>,
    /// Interfaces whose programs were removed.
    pub detached: Vec<String>,
}

/// Puts a policy in force.
///
/// Until it is activated, by one store, the policy before stays in force; any
/// failure leaves it so.
pub fn apply(instance: &Instance, source: &Source) -> Result<Applied, ControllerError> {
    let (policy, warnings) = policy::parse(source).map_err(ControllerError::Rejected)?;
    programs::check_privileges("applying a policy")?;
    programs::check_kernel()?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    instance.pins.prepare()?;

    let netlink = Netlink::connect()?;
    let active = settle(instance)?;
    let interfaces = netlink.interfaces()?;
    let machine = machine(&netlink)?;
    let mut numbering = match &active {
        Some(active) => active.record.numbering.clone(),
        None => Numbering::default(),
    };
    let image = compile(&policy, &machine, &mut numbering).map_err(ControllerError::Rejected)?;
    let last = match &active {
        Some(active) => active.record.generation,
        None => instance.store.last()?,
    };
    let wanted = Wanted::of(&image.hooks, &interfaces);
    let next = Next {
        image: &image,
        wanted: &wanted,
        record: Record {
            generation: last + 1,
            applied_at: now_s(),
            policy: AppliedPolicy {
                name: policy.name.clone(),
                path: std::path::absolute(source.path()).unwrap_or(source.path().into()),
                text: source.text().to_owned(),
            },
            interfaces: enforced(&wanted),
            numbering,
            machine,
        },
    };
    let attached = match active {
        Some(active) => replace(instance, active, &next)?,
        None => begin(instance, &next)?,
    };
    let swept = wanted.sweep(instance)?;
    instance.store.remove_except(Some(next.record.generation))?;
    Ok(Applied {
        generation: next.record.generation,
        policy: policy.name,
        warnings,
        interfaces: wanted.interfaces().map(|one| one.name.clone()).collect(),
        attached,
        detached: swept
            .iter()
            .map(|ifindex| name_of(*ifindex, &interfaces))
            .collect(),
    })
}

/// The policy that is to be put in force.
struct Next<'a> {
    image: &'a Image,
    wanted: &'a Wanted<'a>,
    record: Record,
}

/// Puts the first policy in force: nothing is loaded yet.
fn begin(instance: &Instance, next: &Next<'_>) -> Result<Vec<String>, ControllerError> {
    const FIRST: u32 = 1;
    let started = start(instance, next, FIRST);
    if started.is_err() {
        // What failed is the error to report; what cannot be removed now, the
        // next apply removes.
        let _ = clear(instance);
        let _ = instance.store.remove_one(next.record.generation);
    }
    started
}

fn start(
    instance: &Instance,
    next: &Next<'_>,
    number: u32,
) -> Result<Vec<String>, ControllerError> {
    let capacity = grow::capacity(next.image.sizes());
    let mut set = Set::create(&instance.pins, number, &capacity, None)?;
    let generation = next.record.generation;
    let staged = set.maps.stage(&tables(next.image), generation)?;
    instance.store.write(&next.record)?;
    set.maps.activate(staged);
    // An apply that is killed from here on is completed by the next one.
    instance.pins.publish(number)?;
    Ok(next.wanted.attach(instance, &set)?)
}

/// Puts a policy in the place of another.
fn replace(
    instance: &Instance,
    active: Active,
    next: &Next<'_>,
) -> Result<Vec<String>, ControllerError> {
    let mut active = grow::make_room(instance, active, next.image)?;
    let generation = next.record.generation;
    let staged = active.set.maps.stage(&tables(next.image), generation)?;
    instance.store.write(&next.record)?;
    // The old policy knows nothing of new interfaces: until the new one is
    // active, their traffic belongs to no zone and is dropped.
    let attached = next.wanted.attach(instance, &active.set);
    match attached {
        Ok(_) => active.set.maps.activate(staged),
        Err(_) => instance.store.remove_one(generation)?,
    }
    Ok(attached?)
}

fn enforced(wanted: &Wanted<'_>) -> Vec<Enforced> {
    let one = |interface: &Interface| Enforced {
        ifindex: interface.ifindex,
        name: interface.name.clone(),
    };
    wanted.interfaces().map(one).collect()
}

fn name_of(ifindex: u32, interfaces: &[Interface]) -> String {
    let found = interfaces.iter().find(|one| one.ifindex == ifindex);
    found.map_or_else(|| format!("#{ifindex}"), |one| one.name.clone())
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
