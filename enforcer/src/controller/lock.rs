//! One change at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{ControllerError, failed};

/// Held while an installation is changed; the kernel lets go of it when the
/// process ends, however it ends.
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// How long a command waits for another: longer than a change takes.
const PATIENCE: Duration = Duration::from_secs(10);

impl Lock {
    /// Takes the lock; when its holder takes too long, says who that is.
    pub fn take(path: &Path) -> Result<Self, ControllerError> {
        Self::take_within(path, PATIENCE)
    }

    /// Takes the lock; when somebody holds it, says who that is.
    pub fn take_at_once(path: &Path) -> Result<Self, ControllerError> {
        match Flock::lock(opened(path)?, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => Self::signed(locked, path),
            Err((_, Errno::EWOULDBLOCK)) => Err(ControllerError::Busy { pid: holder(path) }),
            Err((_, errno)) => Err(failed("lock", path)(errno.into())),
        }
    }

    /// Takes the lock, however long that takes.
    pub fn wait(path: &Path) -> Result<Self, ControllerError> {
        let mut file = opened(path)?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(locked) if is_removed(&locked) => file = opened(path)?,
                Ok(locked) => return Self::signed(locked, path),
                Err((same, Errno::EINTR)) => file = same,
                Err((_, errno)) => return Err(failed("lock", path)(errno.into())),
            }
        }
    }

    fn take_within(path: &Path, patience: Duration) -> Result<Self, ControllerError> {
        match Flock::lock(opened(path)?, FlockArg::LockExclusiveNonblock) {
            Ok(locked) if !is_removed(&locked) => return Self::signed(locked, path),
            // Somebody has the lock, or has had it and has removed the file.
            Ok(_) | Err((_, Errno::EWOULDBLOCK)) => {}
            Err((_, errno)) => return Err(failed("lock", path)(errno.into())),
        }
        let (send, taken) = mpsc::sync_channel(0);
        let waited_for = path.to_owned();
        // Nobody waits for the thread: when it comes too late, it gives back
        // what it has got.
        thread::spawn(move || send.send(Self::wait(&waited_for)));
        match taken.recv_timeout(patience) {
            Ok(taken) => taken,
            Err(_) => Err(ControllerError::Busy { pid: holder(path) }),
        }
    }

    /// Removes the file, and lets go. Who has opened it before finds that out
    /// when he gets the lock, and takes the next file.
    pub fn remove(self, path: &Path) -> Result<(), ControllerError> {
        fs::remove_file(path).map_err(failed("remove", path))
    }

    /// Writes down who holds the lock.
    fn signed(mut locked: Flock<File>, path: &Path) -> Result<Self, ControllerError> {
        let written = locked
            .set_len(0)
            .and_then(|()| locked.rewind())
            .and_then(|()| writeln!(locked, "{}", std::process::id()));
        written.map_err(failed("write", path))?;
        Ok(Self(locked))
    }
}

/// The file, which the first one creates.
fn opened(path: &Path) -> Result<File, ControllerError> {
    // The text in it belongs to the holder: it is not truncated here. Who can
    // open the file can lock it: nobody else should.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    file.map_err(failed("open", path))
}

/// Whether the file has lost its name since it was opened: a lock on it keeps
/// nobody away.
fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() == 0)
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
        match Lock::take_within(&path, Duration::ZERO) {
            Err(ControllerError::Busy { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{:?}", other.err()),
        }
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn whoever_waits_while_the_file_is_removed_gets_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for second in [Lock::take, Lock::wait] {
            let first = Lock::wait(&path).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    let lock = second(&path).unwrap();
                    // What is held is what everybody else finds.
                    assert_eq!(holder(&path), Some(std::process::id()));
                    lock.remove(&path).unwrap();
                });
                first.remove(&path).unwrap();
                waiting.join().unwrap();
            });
            assert!(!path.exists());
        }
    }

    #[test]
    fn many_that_remove_the_file_never_hold_the_lock_at_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::wait(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        lock.remove(&path).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn the_second_one_gets_the_lock_when_the_first_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for second in [Lock::take, Lock::wait] {
            let first = Lock::wait(&path).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| second(&path).map(drop));
                drop(first);
                waiting.join().unwrap().unwrap();
            });
        }
    }
}
