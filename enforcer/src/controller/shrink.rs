//! Gives back the memory of maps that only policies before the active one needed.
//!
//! The policy in force moves to smaller maps as one moves to larger ones, but after
//! an apply: until the new policy is active and confirmed, the one before needs its
//! room. Names that only earlier policies had, and under which nothing was counted,
//! are forgotten on the way.

use crate::compile::numbering::InUse;
use crate::compile::size::Sizes;
use crate::compile::{Image, compile};
use crate::kernel::KernelError;
use crate::kernel::carry::Carried;
use crate::kernel::maps::Capacity;
use crate::kernel::probe::possible_cpus;
use crate::kernel::set::Set;
use crate::policy::Policy;

use super::error::ControllerError;
use super::grow::{capacity_of, class_of, move_to, rejected, tables};
use super::instance::Instance;
use super::state::Record;
use super::store::Standing;

/// Moves the policy in force to smaller maps, if those that there are waste enough
/// memory.
///
/// Nothing else may count any more: no policy waits to be confirmed. `record` is
/// that of `policy`, and `sizes` are those of its tables in force.
pub fn shrink(
    instance: &Instance,
    (policy, record): (&Policy, &Record),
    sizes: Sizes,
) -> Result<(), ControllerError> {
    let Some(number) = instance.pins.current()? else {
        return Ok(());
    };
    let set = Set::open(&instance.pins, number)?;
    // Most are as small as can be.
    let nothing = Sizes {
        blocks: 0,
        zone_ids: 0,
        slots: 0,
        ..sizes
    };
    if smaller(&set, nothing).is_none() || smaller(&set, least(policy, record, sizes)?).is_none() {
        return Ok(());
    }
    let in_use = set.in_use()?;
    let in_use = InUse {
        slots: &in_use.slots,
        zones: &in_use.zones,
    };
    let numbering = record.numbering.only(policy, in_use);
    let mut numbering = numbering.map_err(|findings| rejected(record, findings))?;
    let image = compile(policy, &record.machine, &mut numbering);
    let image = image.map_err(|findings| rejected(record, findings))?;
    let Some(capacity) = smaller(&set, image.sizes()) else {
        return Ok(());
    };
    // The file first: whatever becomes of the maps, what it forgets counts no more.
    if numbering != record.numbering {
        let slim = Record {
            numbering,
            ..record.clone()
        };
        instance.store.write(&slim, Standing::Confirmed)?;
    }
    move_to(instance, set, |old, number| {
        copied(instance, (old, number), &capacity, &image)
    })?;
    Ok(())
}

/// The least that the policy may need, when all is forgotten that it does not have.
fn least(policy: &Policy, record: &Record, sizes: Sizes) -> Result<Sizes, ControllerError> {
    let refused = |findings| rejected(record, findings);
    let needed = record.numbering.only(policy, InUse::NONE);
    let mut needed = needed.map_err(refused)?;
    if needed == record.numbering {
        return Ok(sizes);
    }
    let image = compile(policy, &record.machine, &mut needed).map_err(refused)?;
    Ok(image.sizes())
}

/// The capacity of maps for `sizes`, if these are worth a move.
fn smaller(set: &Set, sizes: Sizes) -> Option<Capacity> {
    let present = class_of(set.maps.capacity());
    let class = present.smaller_for(sizes, possible_cpus())?;
    Some(capacity_of(class))
}

/// A set with the policy in force, in the tables of `image`, and its counts.
fn copied(
    instance: &Instance,
    (old, number): (&Set, u32),
    capacity: &Capacity,
    image: &Image,
) -> Result<(Set, Carried), KernelError> {
    let mut set = Set::create(&instance.pins, number, capacity, Some(old))?;
    // It is the same policy to flows, which keep zones and slots.
    let staged = set.maps.stage(&tables(image), old.maps.generation())?;
    set.maps.activate(staged);
    let carried = set.copy_counters(old, &image.zones)?;
    Ok((set, carried))
}
