//! Confirms a policy that waits for it, or goes back to the one before.

use crate::policy::Source;

use super::apply::{self, Applied, ApplyOptions};
use super::error::{ControllerError, Done};
use super::grow::{recompiled, reparsed};
use super::instance::Instance;
use super::lock::Lock;
use super::programs;
use super::settle::{self, Active, settle};
use super::shrink::shrink;
use super::store::Standing;

/// A policy that stays in force.
#[derive(Clone, Debug)]
pub struct Confirmed {
    /// Its number.
    pub generation: u32,
    /// Its name; `None` when its state file is damaged.
    pub policy: Option<String>,
    /// Why its state file says nothing, if it does not.
    pub damage: Option<String>,
}

/// What a rollback did.
#[derive(Clone, Debug)]
pub enum RolledBack {
    /// The policy that waited to be confirmed is gone; this one is in force, or
    /// none, as before the first apply.
    TakenBack(Option<Confirmed>),
    /// The deadline had passed already.
    Already(Option<Confirmed>),
    /// The policy before was applied again.
    Applied(Box<Applied>, Source),
}

/// Lets the policy that waits to be confirmed stay in force.
pub fn confirm(instance: &Instance) -> Result<Confirmed, ControllerError> {
    programs::check_privileges("confirming a policy")?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    let taken_back = settle::take_back(instance)?;
    let active = settle(instance)?;
    let Some(mut active) = active.filter(|active| active.waiting.is_some()) else {
        return Err(match taken_back {
            Some(generation) => ControllerError::TooLate { generation },
            None => ControllerError::NothingToConfirm,
        });
    };
    // The file first: should that fail, nothing has changed in the kernel.
    if active.record.is_ok() {
        let store = &instance.store;
        store.set_standing(active.generation, Standing::Confirmed)?;
    }
    // The programs judge the deadline for themselves: what they have let pass
    // must not come to life again.
    let pending = active.set.maps.pending();
    if pending.is_some_and(|pending| active.set.now_ticks().is_ok_and(|now| now >= pending.until)) {
        let generation = active.generation;
        settle(instance)?;
        return Err(ControllerError::TooLate { generation });
    }
    active.set.maps.confirm();
    active.waiting = None;
    let unfinished = Done::Active(active.generation);
    tidy(instance, &active).map_err(unfinished.but())?;
    Ok(described(active))
}

/// Removes what only the policy before needed.
fn tidy(instance: &Instance, active: &Active) -> Result<(), ControllerError> {
    settle::tidy(instance, active)?;
    let Ok(record) = &active.record else {
        return Ok(());
    };
    match (reparsed(record), recompiled(record)) {
        (Ok((_, policy)), Ok(image)) => shrink(instance, (&policy, record), image.sizes()),
        // Another version has applied it; memory is all that it costs.
        _ => Ok(()),
    }
}

/// Goes back to the policy before: at once, when one waits to be confirmed; else
/// by applying the one before again.
pub fn rollback(instance: &Instance) -> Result<RolledBack, ControllerError> {
    programs::check_privileges("going back to the policy before")?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    if settle::take_back(instance)?.is_some() {
        return Ok(RolledBack::Already(settle(instance)?.map(described)));
    }
    // The kernel first: whatever the state files say, this must work.
    if let Some(mut active) = settle::active(instance)?
        && active.waiting.is_some()
    {
        active.set.maps.expire();
        drop(active);
        let settled = settle(instance).map_err(Done::TakenBack.but())?;
        return Ok(RolledBack::TakenBack(settled.map(described)));
    }
    let active = settle(instance)?.ok_or(ControllerError::NothingActive)?;
    let previous = active.record?.previous;
    let previous = previous.ok_or(ControllerError::NothingBefore)?;
    let record = instance.store.read(previous)?;
    let source = Source::from_text(&record.policy.path, record.policy.text.as_str());
    let options = ApplyOptions {
        audit: record.audit,
        confirm: None,
        // What is gone since must not keep anybody from going back.
        allow_missing: true,
    };
    let applied = apply::apply_locked(instance, &source, &options)?;
    Ok(RolledBack::Applied(Box::new(applied), source))
}

fn described(active: Active) -> Confirmed {
    let generation = active.generation;
    match active.record {
        Ok(record) => Confirmed {
            generation,
            policy: Some(record.policy.name),
            damage: None,
        },
        Err(error) => Confirmed {
            generation,
            policy: None,
            damage: Some(error.told()),
        },
    }
}
