//! Puts a compiled policy in force: stage, attach, activate.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::compile::Image;
use crate::kernel::netlink::Interface;
use crate::kernel::set::Set;

use super::error::ControllerError;
use super::grow::{self, tables};
use super::instance::Instance;
use super::programs::Wanted;
use super::settle::{Active, clear};
use super::state::{Enforced, Record};
use super::store::Standing;

/// The policy that is to be put in force.
pub struct Next<'a> {
    /// Its tables.
    pub image: &'a Image,
    /// Its interfaces.
    pub wanted: &'a Wanted<'a>,
    /// What will be known of it.
    pub record: Record,
}

impl Next<'_> {
    /// Puts it in force, in place of the one before.
    ///
    /// Until it is activated, by one store, the policy before stays in force;
    /// any failure leaves it so. Returns the names of interfaces that had no
    /// programs.
    pub fn install(
        &self,
        instance: &Instance,
        active: Option<Active>,
    ) -> Result<Vec<String>, ControllerError> {
        match active {
            Some(active) => replace(instance, active, self),
            None => begin(instance, self),
        }
    }
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
    instance.store.write(&next.record, Standing::Confirmed)?;
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
    instance.store.write(&next.record, Standing::Confirmed)?;
    // The old policy knows nothing of new interfaces: until the new one is
    // active, their traffic belongs to no zone and is dropped.
    let attached = next.wanted.attach(instance, &active.set);
    match attached {
        Ok(_) => active.set.maps.activate(staged),
        Err(_) => instance.store.remove_one(generation)?,
    }
    Ok(attached?)
}

/// The interfaces that get programs, as a record names them.
pub fn enforced(wanted: &Wanted<'_>) -> Vec<Enforced> {
    let one = |interface: &Interface| Enforced {
        ifindex: interface.ifindex,
        name: interface.name.clone(),
    };
    wanted.interfaces().map(one).collect()
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
