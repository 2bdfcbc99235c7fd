//! Finishes what an interrupted command left half done.
//!
//! The kernel decides: it knows which policy is active, whether that one waits to
//! be confirmed, and until when. Links, sets and state files are made to agree.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::compile::Numbering;
use crate::kernel::KernelError;
use crate::kernel::links;
use crate::kernel::pending::Previous;
use crate::kernel::set::Set;

use super::error::{ControllerError, Done};
use super::instance::Instance;
use super::migrate;
use super::programs;
use super::state::Record;
use super::store::Standing;

/// What is in force.
pub struct Active {
    /// Its programs and maps.
    pub set: Set,
    /// Number of the policy.
    pub generation: u32,
    /// What is known of the policy, unless its state file is missing or damaged.
    pub record: Result<Record, ControllerError>,
    /// Set while it waits to be confirmed.
    pub waiting: Option<Waiting>,
    /// The older map layout that it has just been moved out of.
    pub moved_from: Option<u32>,
}

/// A policy waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How long it still waits.
    pub left: Duration,
    /// What takes its place then.
    pub then: Previous,
}

impl Active {
    /// Numbers of zones and conduits, from the state file or else from the names
    /// that the counters have.
    pub fn numbering(&self) -> Result<Numbering, ControllerError> {
        match &self.record {
            Ok(record) => Ok(record.numbering.clone()),
            Err(_) => {
                let names = self.set.maps.names()?;
                Ok(Numbering::recovered(&names.zones, &names.slots))
            }
        }
    }
}

/// Finds what is in force, and makes everything around it agree.
///
/// A policy whose deadline has passed is removed. The set that the stable names
/// lead to counts: every link runs its programs, and no other set stays. Without
/// one, nothing stays. A set of an older layout gives way to one of this
/// version's.
pub fn settle(instance: &Instance) -> Result<Option<Active>, ControllerError> {
    let moved_from = migrate::from_older(instance)?;
    take_back(instance)?;
    let Some(mut active) = active(instance)? else {
        // Sets of another layout are not ours to remove.
        instance.pins.sets()?;
        clear(instance)?;
        return Ok(None);
    };
    for attached in links::list(&instance.pins)? {
        match attached.program_id {
            Some(_) => attached.refresh(&active.set)?,
            // The interface is gone, and the program with it.
            None => attached.detach()?,
        }
    }
    rescue_flows(instance, &mut active.set)?;
    instance.pins.remove_other_sets(active.set.number())?;
    tidy(instance, &active)?;
    Ok(Some(Active {
        moved_from,
        ..active
    }))
}

/// Removes a policy that has not been confirmed in time; returns its number.
///
/// The kernel programs use the policy before already.
pub fn take_back(instance: &Instance) -> Result<Option<u32>, ControllerError> {
    instance.pins.check()?;
    let Some(number) = instance.pins.current()? else {
        return Ok(None);
    };
    let mut set = Set::open(&instance.pins, number)?;
    let Some(pending) = set.maps.pending() else {
        // An apply that was killed may have left a deadline.
        set.maps.confirm();
        return Ok(None);
    };
    if set.now_ticks()? < pending.until {
        return Ok(None);
    }
    let generation = set.maps.generation();
    match pending.previous {
        Previous::Open => clear(instance)?,
        Previous::Generation(_) => set.maps.revert()?,
    }
    instance.store.remove_one(generation)?;
    Ok(Some(generation))
}

/// Takes over the flows of sets that the one in use has replaced, which an
/// interrupted move has left.
fn rescue_flows(instance: &Instance, set: &mut Set) -> Result<(), ControllerError> {
    for number in instance.pins.replaced_by(set.number())? {
        // What cannot be opened is half removed: its flows have been taken over.
        if let Ok(old) = Set::open(&instance.pins, number) {
            set.take_over_flows(&old)?;
        }
    }
    Ok(())
}

/// What is in force, without changing anything.
pub fn active(instance: &Instance) -> Result<Option<Active>, ControllerError> {
    instance.pins.check()?;
    let Some(number) = instance.pins.current()? else {
        return Ok(None);
    };
    let set = Set::open(&instance.pins, number)?;
    let Some((generation, waiting)) = in_force(&set)? else {
        return Ok(None);
    };
    Ok(Some(Active {
        record: instance.store.read(generation),
        set,
        generation,
        waiting,
        moved_from: None,
    }))
}

/// The policy that the programs use at this moment; `None` for none.
fn in_force(set: &Set) -> Result<Option<(u32, Option<Waiting>)>, KernelError> {
    let generation = set.maps.generation();
    let Some(pending) = set.maps.pending() else {
        return Ok(Some((generation, None)));
    };
    let ticks_left = pending.until.saturating_sub(set.now_ticks()?);
    Ok(match (ticks_left, pending.previous) {
        (0, Previous::Open) => None,
        (0, Previous::Generation(previous)) => Some((previous, None)),
        (ticks, then) => {
            let left = set.maps.time_of(ticks);
            Some((generation, Some(Waiting { left, then })))
        }
    })
}

/// Makes state files and links agree with what is in force; returns the indices
/// of interfaces that are without programs now.
///
/// Without its state file nobody knows what belongs to a policy, and all stays.
pub fn tidy(instance: &Instance, active: &Active) -> Result<Vec<u32>, ControllerError> {
    let Ok(record) = &active.record else {
        return Ok(Vec::new());
    };
    let standing = match active.waiting {
        Some(_) => Standing::Pending,
        None => Standing::Confirmed,
    };
    instance.store.set_standing(active.generation, standing)?;
    let mut kept = vec![active.generation];
    kept.extend(record.previous);
    let mut enforced: BTreeSet<u32> = indices(record).collect();
    // Until it is confirmed, all that the policy before needs stays too.
    if let Some(Waiting { then, .. }) = active.waiting
        && let Previous::Generation(before) = then
    {
        let Ok(before) = instance.store.read(before) else {
            return Ok(Vec::new());
        };
        kept.push(before.generation);
        kept.extend(before.previous);
        enforced.extend(indices(&before));
    }
    let swept = programs::sweep(instance, |ifindex| enforced.contains(&ifindex))?;
    instance.store.keep_only(&kept)?;
    Ok(swept)
}

fn indices(record: &Record) -> impl Iterator<Item = u32> {
    record.interfaces.iter().map(|one| one.ifindex)
}

/// Removes every link, name and set.
///
/// The network is open at once, on all interfaces. What then fails is told, and
/// left to the next command.
pub fn clear(instance: &Instance) -> Result<(), ControllerError> {
    open(instance)?;
    let removed = remove(instance);
    removed.map_err(Done::Open.but())
}

/// Lets every packet pass, if there is a set that decides.
fn open(instance: &Instance) -> Result<(), ControllerError> {
    let number = match instance.pins.current() {
        Ok(Some(number)) => number,
        // None of ours: nobody else knows how to open it.
        Ok(None) | Err(KernelError::Layout { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match Set::open(&instance.pins, number) {
        Ok(mut set) => set.maps.open(),
        Err(KernelError::Shape { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn remove(instance: &Instance) -> Result<(), KernelError> {
    let mut detached = Ok(());
    for attached in links::list(&instance.pins)? {
        // One that cannot be detached keeps no other attached.
        detached = detached.and(attached.detach());
    }
    detached?;
    instance.pins.unpublish()?;
    instance.pins.remove_all_sets()
}
