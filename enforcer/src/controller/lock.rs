//! One change at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

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
        // The text in it belongs to the holder: it is not truncated here. Who
        // can open the file can lock it: nobody else should.
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let file = file.map_err(failed("open", path))?;
        let mut locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((_, Errno::EWOULDBLOCK)) => {
                let pid = holder(path);
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

/// The process that holds the lock.
///
/// It writes its id a moment after it has taken the lock; until then the id of
/// an earlier process stands there, which has ended.
fn holder(path: &Path) -> Option<u32> {
    const ATTEMPTS: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..ATTEMPTS {
        let text = fs::read_to_string(path).ok()?;
        let pid = text.trim().parse().ok();
        if pid.is_some_and(|pid: u32| Path::new(&format!("/proc/{pid}")).exists()) {
            return pid;
        }
        std::thread::sleep(PAUSE);
    }
    None
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
