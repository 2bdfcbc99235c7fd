//! Puts a compiled policy in force: stage, attach, activate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::compile::Image;
use crate::kernel::KernelError;
use crate::kernel::maps::Staged;
use crate::kernel::netlink::Interface;
use crate::kernel::set::Set;

use super::error::{ControllerError, Done};
use super::grow::{self, tables};
use super::instance::Instance;
use super::programs::Wanted;
use super::settle::clear;
use super::state::{Enforced, Record};
use super::store::Standing;

/// The policy that is to be put in force.
pub struct Next<'a> {
    /// Its tables.
    pub image: &'a Image,
    /// Its interfaces.
    pub wanted: &'a Wanted<'a>,
    /// How long it waits to be confirmed, if it does.
    pub confirm: Option<Duration>,
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
        active: Option<Set>,
    ) -> Result<Vec<String>, ControllerError> {
        let attached = match active {
            Some(set) => replace(instance, set, self),
            None => begin(instance, self),
        }?;
        if self.confirm.is_none() {
            let generation = self.record.generation;
            let standing = instance.store.set_standing(generation, Standing::Confirmed);
            standing.map_err(Done::Active(generation).but())?;
        }
        Ok(attached)
    }

    /// Removes what only policies before needed; returns the indices of
    /// interfaces that are without programs now.
    ///
    /// While the policy waits to be confirmed, all that is stays.
    pub fn sweep(&self, instance: &Instance) -> Result<Vec<u32>, ControllerError> {
        if self.confirm.is_some() {
            return Ok(Vec::new());
        }
        let generation = self.record.generation;
        let unfinished = Done::Active(generation);
        let swept = self.wanted.sweep(instance).map_err(unfinished.but())?;
        let kept = [self.record.previous, Some(generation)];
        let kept: Vec<u32> = kept.into_iter().flatten().collect();
        let removed = instance.store.keep_only(&kept);
        removed.map_err(unfinished.but())?;
        Ok(swept)
    }

    fn activate(&self, set: &mut Set, staged: Staged) -> Result<(), KernelError> {
        match self.confirm {
            None => set.maps.activate(staged),
            Some(time) => {
                let until = set.now_ticks()? + set.maps.ticks_of(time);
                set.maps.activate_until(staged, until);
            }
        }
        Ok(())
    }
}

/// Puts the first policy in force: nothing is loaded yet.
fn begin(instance: &Instance, next: &Next<'_>) -> Result<Vec<String>, ControllerError> {
    const FIRST: u32 = 1;
    let started = start(instance, next, FIRST);
    if started.is_err() {
        // What failed is the error to report; what cannot be removed now, the
        // next apply removes.
        let cleared = clear(instance);
        let _ = cleared.and_then(|()| instance.store.remove_one(next.record.generation));
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
    // Until it is active, no boot may return to it.
    instance.store.write(&next.record, Standing::Pending)?;
    next.activate(&mut set, staged)?;
    // An apply that is killed from here on is completed by the next one.
    instance.pins.publish(number)?;
    let attached = next.wanted.attach(instance, &set);
    if attached.is_err() {
        // Whatever cannot be detached now passes everything.
        set.maps.open();
    }
    Ok(attached?)
}

/// Puts a policy in the place of another.
fn replace(
    instance: &Instance,
    active: Set,
    next: &Next<'_>,
) -> Result<Vec<String>, ControllerError> {
    let mut set = grow::make_room(instance, active, next.image)?;
    let generation = next.record.generation;
    let staged = set.maps.stage(&tables(next.image), generation)?;
    instance.store.write(&next.record, Standing::Pending)?;
    // The old policy knows nothing of new interfaces: until the new one is
    // active, their traffic belongs to no zone and is dropped.
    let attached = next.wanted.attach(instance, &set);
    let activated = attached.and_then(|attached| {
        next.activate(&mut set, staged)?;
        Ok(attached)
    });
    if activated.is_err() {
        // What failed is the error to report; the next apply removes the file.
        let _ = instance.store.remove_one(generation);
    }
    Ok(activated?)
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
