//! Takes everything away: the network is open again.

use crate::kernel::links;

use super::error::{ControllerError, Done};
use super::instance::Instance;
use super::lock::Lock;
use super::{closed, programs, settle};

/// Removes every program, map, pin and state file, and the lock file, and lets a
/// machine forward again whose boot has failed; says how many programs were
/// attached.
pub fn detach(instance: &Instance) -> Result<usize, ControllerError> {
    programs::check_privileges("detaching programs")?;
    instance.pins.check()?;
    let lock = Lock::take(&instance.lock)?;
    let attached = links::list(&instance.pins)?;
    let count = attached
        .iter()
        .filter(|one| one.program_id.is_some())
        .count();
    settle::clear(instance)?;
    closed::reopen(instance)?;
    remove(instance, lock).map_err(Done::Open.but())?;
    Ok(count)
}

fn remove(instance: &Instance, lock: Lock) -> Result<(), ControllerError> {
    instance.pins.remove()?;
    instance.store.remove()?;
    lock.remove(&instance.lock)
}
