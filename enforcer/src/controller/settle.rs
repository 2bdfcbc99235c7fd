//! Finishes what an interrupted command left half done.

use crate::kernel::links;
use crate::kernel::set::Set;

use super::error::ControllerError;
use super::instance::Instance;
use super::state::Record;

/// What is in force.
pub struct Active {
    /// Its programs and maps.
    pub set: Set,
    /// Its policy.
    pub record: Record,
}

/// Finds what is in force, and makes everything around it agree.
///
/// The set that the stable names lead to counts: every link runs its programs,
/// and no other set stays. Without one, nothing stays.
pub fn settle(instance: &Instance) -> Result<Option<Active>, ControllerError> {
    let Some(active) = active(instance)? else {
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
    for number in instance.pins.sets()? {
        if number != active.set.number() {
            instance.pins.remove_set(number)?;
        }
    }
    Ok(Some(active))
}

/// What is in force, without changing anything.
pub fn active(instance: &Instance) -> Result<Option<Active>, ControllerError> {
    instance.pins.check()?;
    let Some(number) = instance.pins.current()? else {
        return Ok(None);
    };
    let set = Set::open(&instance.pins, number)?;
    let record = instance.store.read(set.maps.generation())?;
    Ok(Some(Active { set, record }))
}

/// Removes every link, name and set.
pub fn clear(instance: &Instance) -> Result<(), ControllerError> {
    for attached in links::list(&instance.pins)? {
        attached.detach()?;
    }
    instance.pins.unpublish()?;
    instance.pins.remove_all_sets()?;
    Ok(())
}
