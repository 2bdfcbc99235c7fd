//! One change at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{ControllerError, failed};

/// Held while an installation is changed; the kernel lets go of it when the
/// process ends, however it ends.
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

impl Lock {
    /// Takes the lock, or says who holds it.
    pub fn take(path: &Path) -> Result<Self, ControllerError> {
        let mut options = OpenOptions::new();
        // The text in it belongs to the holder: it is not truncated here.
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = file.map_err(failed("open", path))?;
        let mut locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let pid = holder(&mut file);
                return Err(ControllerError::Busy { pid });
            }
            Err((_, errno)) => return Err(failed("lock", path)(errno.into())),
        };
        let written = locked
            .set_len(0)
            .and_then(|()| locked.rewind())
            .and_then(|()| writeln!(locked, "{}", std::process::id()));
        written.map_err(failed("write", path))?;
        Ok(Self(locked))
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "4294967295 and more text").unwrap();
        let first = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(ControllerError::Busy { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{:?}", other.err()),
        }
        drop(first);
        Lock::take(&path).unwrap();
    }
}
