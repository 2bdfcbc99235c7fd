//! Forwarding is off while no policy is in force that should be.
//!
//! What it was before lies in a file that no reboot leaves: the settings of a
//! booting machine come from its own configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::kernel::forwarding::Forwarding;

use super::error::{ControllerError, failed};
use super::instance::Instance;

/// Switches forwarding off and remembers what it was, unless that was done
/// already.
///
/// A process that is killed in here leaves it as it was, or off and remembered.
pub fn close(instance: &Instance) -> Result<(), ControllerError> {
    let path = &instance.forwarding;
    if remembered(instance)?.is_none() {
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new);
        let text = Forwarding::read()?.to_text();
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(failed("write", &new))?;
        fs::rename(&new, path).map_err(failed("write", path))?;
    }
    Ok(Forwarding::switch_off()?)
}

/// Sets forwarding as it was before [`close`]; says whether there was anything
/// to do.
pub fn reopen(instance: &Instance) -> Result<bool, ControllerError> {
    let Some(before) = remembered(instance)? else {
        return Ok(false);
    };
    before.restore()?;
    let path = &instance.forwarding;
    fs::remove_file(path).map_err(failed("remove", path))?;
    Ok(true)
}

/// Whether forwarding is off because of [`close`].
pub fn is_closed(instance: &Instance) -> bool {
    instance.forwarding.exists()
}

fn remembered(instance: &Instance) -> Result<Option<Forwarding>, ControllerError> {
    let path = &instance.forwarding;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    match Forwarding::from_text(&text) {
        Some(forwarding) => Ok(Some(forwarding)),
        None => Err(failed("read", path)(io::ErrorKind::InvalidData.into())),
    }
}
