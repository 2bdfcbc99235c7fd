//! Tells when a command has changed what is in force.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::kernel::news::wait_on;

/// Watches the lock: whoever changes something closes it at the end, however
/// the process ends.
pub struct Commands {
    inotify: Inotify,
    readable: AsyncFd<OwnedFd>,
    lock: PathBuf,
}

impl Commands {
    /// Begins to watch, from a thread with a tokio runtime; creates the lock if
    /// it is not there.
    pub fn watch(lock: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let commands = Self {
            readable: wait_on(inotify.as_fd().try_clone_to_owned()?, Interest::READABLE)?,
            inotify,
            lock: lock.to_owned(),
        };
        commands.watch_file()?;
        Ok(commands)
    }

    /// Waits until a command has ended since the last call.
    pub async fn ended(&self) -> io::Result<()> {
        loop {
            let mut ready = self.readable.readable().await?;
            let mut heard = false;
            loop {
                match self.inotify.read_events() {
                    Ok(events) => {
                        heard = true;
                        let is_lost = AddWatchFlags::IN_IGNORED;
                        if events.iter().any(|event| event.mask.contains(is_lost)) {
                            // Somebody has removed the file.
                            self.watch_file()?;
                        }
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            ready.clear_ready();
            if heard {
                return Ok(());
            }
        }
    }

    fn watch_file(&self) -> io::Result<()> {
        // As the lock itself is created: for nobody else.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(&self.lock)?;
        let changes = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE_SELF;
        let watched = self.inotify.add_watch(&self.lock, changes);
        watched.map(drop).map_err(io::Error::from)
    }
}
