//! Brings the last policy back after a reboot, before the network is there.
//!
//! Forwarding is off from before the first step until the policy is in force. So
//! whatever fails, and wherever this is killed, nothing is forwarded unjudged;
//! running it again goes on from there.

use std::collections::BTreeSet;

use crate::compile::compile;
use crate::kernel::netlink::Netlink;

use super::closed::{close, is_closed, reopen};
use super::error::ControllerError;
use super::grow::reparsed;
use super::install::{Next, enforced};
use super::instance::Instance;
use super::lock::Lock;
use super::machine::machine_with;
use super::programs::{self, Wanted};
use super::refresh::refresh;
use super::settle::settle;
use super::state::Record;

/// What a boot has found and done.
#[derive(Debug)]
pub struct Booted {
    /// The policy in force; `None` where there never was one.
    pub policy: Option<Restored>,
    /// State files of later policies that are damaged.
    pub damaged: Vec<ControllerError>,
    /// Whether forwarding was off in the meantime, and is now as it was.
    pub reopened: bool,
    /// Why it was not off until the policy was in force, if it was not.
    pub not_closed: Option<ControllerError>,
}

/// A policy that is in force after a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its name.
    pub policy: String,
    /// Number of the tables in force.
    pub generation: u32,
    /// Names of the interfaces with programs.
    pub interfaces: Vec<String>,
    /// Interfaces that it names and that do not exist yet.
    pub missing: BTreeSet<String>,
    /// Whether it was in force already.
    pub was_active: bool,
}

/// Puts the policy in force that was confirmed last; nothing is forwarded until
/// it is.
pub fn boot(instance: &Instance) -> Result<Booted, ControllerError> {
    programs::check_privileges("booting")?;
    attempt(instance).or_else(|error| match error {
        ControllerError::Closed(_) | ControllerError::Busy { .. } => Err(error),
        error if is_judged(instance) || is_new(instance) => Err(error),
        error => closed_if(close(instance).is_ok(), Err(error)),
    })
}

fn attempt(instance: &Instance) -> Result<Booted, ControllerError> {
    let lock = Lock::take(&instance.lock)?;
    if instance.pins.check().is_ok() && instance.pins.current()?.is_some() {
        let policy = closed_if(is_closed(instance), checked(instance, &lock))?;
        return done(instance, policy, Vec::new());
    }
    if is_new(instance) {
        return done(instance, None, Vec::new());
    }
    // If that fails, the policy is needed all the more.
    let closed = close(instance);
    let last = mount(instance).and_then(|()| instance.store.last_good());
    let restored = last.and_then(|last| match last.record {
        Some(record) => Ok((restored(instance, record)?, last.damaged)),
        None => Err(first_of(last.damaged)),
    });
    let (policy, damaged) = match closed {
        Ok(()) => closed_if(true, restored)?,
        Err(_) => restored?,
    };
    Ok(Booted {
        not_closed: closed.err(),
        ..done(instance, Some(policy), damaged)?
    })
}

/// Whether no policy was ever applied here.
fn is_new(instance: &Instance) -> bool {
    let last = instance.store.last_good();
    last.is_ok_and(|last| last.record.is_none() && last.damaged.is_empty())
}

/// Whether there are programs that judge what is forwarded.
fn is_judged(instance: &Instance) -> bool {
    matches!(instance.pins.current(), Ok(Some(_)))
}

fn done(
    instance: &Instance,
    policy: Option<Restored>,
    damaged: Vec<ControllerError>,
) -> Result<Booted, ControllerError> {
    Ok(Booted {
        policy,
        damaged,
        reopened: reopen(instance)?,
        not_closed: None,
    })
}

/// The next command needs it too, whatever becomes of this one.
fn mount(instance: &Instance) -> Result<(), ControllerError> {
    Ok(instance.pins.mount()?)
}

fn first_of(damaged: Vec<ControllerError>) -> ControllerError {
    let mut damaged = damaged.into_iter();
    damaged.next().unwrap_or(ControllerError::NothingActive)
}

/// Adds to an error that nothing is forwarded now.
fn closed_if<T>(is_closed: bool, result: Result<T, ControllerError>) -> Result<T, ControllerError> {
    result.map_err(|error| match is_closed {
        true => ControllerError::Closed(Box::new(error)),
        false => error,
    })
}

/// The policy that is in force already, on every interface that should have
/// programs.
fn checked(instance: &Instance, lock: &Lock) -> Result<Option<Restored>, ControllerError> {
    let Some(found) = refresh(instance, lock)? else {
        return Ok(None);
    };
    if let Some((interface, reason)) = found.refused.into_iter().next() {
        return Err(ControllerError::Refused { interface, reason });
    }
    Ok(Some(Restored {
        policy: found.policy,
        generation: found.generation,
        interfaces: found.interfaces,
        missing: found.missing,
        was_active: true,
    }))
}

/// Puts a policy in force as it was recorded, on the interfaces that are there.
fn restored(instance: &Instance, record: Record) -> Result<Restored, ControllerError> {
    programs::check_kernel()?;
    instance.pins.prepare()?;
    // Nothing is in force; this removes what an interrupted boot has left.
    settle(instance)?;
    let (_, policy) = reparsed(&record)?;
    let netlink = Netlink::connect()?;
    let interfaces = netlink.interfaces()?;
    let mut machine = machine_with(&interfaces, &netlink)?;
    machine.await_missing(&policy);
    let mut numbering = record.numbering.clone();
    let image = compile(&policy, &machine, &mut numbering);
    let image = image.map_err(|findings| ControllerError::Unfit {
        policy: policy.name.clone(),
        findings,
    })?;
    let wanted = Wanted::of(&image.hooks, &interfaces);
    let next = Next {
        image: &image,
        wanted: &wanted,
        confirm: None,
        record: Record {
            generation: instance.store.last()? + 1,
            interfaces: enforced(&wanted),
            numbering,
            machine,
            ..record
        },
    };
    next.install(instance, None)?;
    next.sweep(instance)?;
    Ok(Restored {
        policy: policy.name,
        generation: next.record.generation,
        interfaces: wanted.interfaces().map(|one| one.name.clone()).collect(),
        missing: next.record.machine.awaited,
        was_active: false,
    })
}
