//! Moves a policy out of maps of an older layout, which this version cannot
//! read.
//!
//! Nothing is read but the state file of the last policy that was confirmed. It
//! gets a set of its own; once the stable names lead there, the links follow one
//! by one, as after any move, and every packet is judged by the old programs or
//! the new ones. Flows and counters begin anew; connections that exist are
//! picked up where the policy allows them.

use crate::kernel::set::Set;

use super::error::ControllerError;
use super::grow::{capacity, recompiled, tables};
use super::instance::Instance;

/// Moves what is in force out of an older layout, and tells which; `None` when
/// it lies in this version's.
///
/// The links still run the old programs when this returns.
pub fn from_older(instance: &Instance) -> Result<Option<u32>, ControllerError> {
    let Some(layout) = instance.pins.older_layout()? else {
        return Ok(None);
    };
    let last = instance.store.last_good()?;
    let Some(record) = last.record else {
        return Err(ControllerError::NothingToMove { layout });
    };
    let image = recompiled(&record)?;
    // What an interrupted move has left.
    instance.pins.remove_own_sets()?;
    const FIRST: u32 = 1;
    let moved = (|| {
        let mut set = Set::create(&instance.pins, FIRST, &capacity(image.sizes()), None)?;
        let staged = set.maps.stage(&tables(&image), record.generation)?;
        set.maps.activate(staged);
        instance.pins.publish(FIRST)
    })();
    if let Err(error) = moved {
        // The old set stays in use; what cannot be removed now, the next move
        // removes.
        let _ = instance.pins.remove_own_sets();
        return Err(error.into());
    }
    Ok(Some(layout))
}
