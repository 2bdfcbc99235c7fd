//! Lets TCP connections in that nobody has seen open.

use std::time::Duration;

use super::error::ControllerError;
use super::instance::Instance;
use super::lock::Lock;
use super::{programs, settle};

/// From now on and for as long as `window`, a TCP segment in mid-stream that
/// belongs to no flow opens one where a conduit allows it; with no time at all,
/// from now on none does.
pub fn pickup(instance: &Instance, window: Duration) -> Result<(), ControllerError> {
    programs::check_privileges("picking up connections")?;
    let _lock = Lock::take(&instance.lock)?;
    let active = settle::active(instance)?.ok_or(ControllerError::NothingActive)?;
    Ok(active.set.pick_up(window)?)
}
