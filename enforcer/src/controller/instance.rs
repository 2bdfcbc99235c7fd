//! Where one installation keeps its pins, its state and its lock.

use std::path::{Path, PathBuf};

use crate::kernel::pins::Pins;

use super::error::ControllerError;
use super::lock::Lock;
use super::store::Store;

/// One installation; a machine has one, tests have many.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Maps and links in the kernel.
    pub pins: Pins,
    /// Which policies there are.
    pub store: Store,
    /// The file that serialises changes.
    pub(super) lock: PathBuf,
    /// The file that keeps followers of events from each other.
    pub(super) followed: PathBuf,
    /// What forwarding was before it was switched off.
    pub(super) forwarding: PathBuf,
}

impl Instance {
    /// The one of this machine.
    pub fn system() -> Self {
        Self {
            pins: Pins::new("/sys/fs/bpf/enforcer".into(), "/sys/fs/bpf".into()),
            store: Store::new("/var/lib/enforcer".into()),
            lock: "/run/enforcer.lock".into(),
            followed: "/run/enforcer.events.lock".into(),
            forwarding: "/run/enforcer.forwarding".into(),
        }
    }

    /// Waits until nobody else changes it, and keeps others from it.
    pub fn lock(&self) -> Result<Lock, ControllerError> {
        Lock::wait(&self.lock)
    }

    /// The file that every change is made under; it is closed when one ends.
    pub fn lock_path(&self) -> &Path {
        &self.lock
    }

    /// One below a folder, in which `bpf` is a BPF file system.
    pub fn under(root: &Path) -> Self {
        // Links among the pins need absolute paths.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self {
            pins: Pins::new(root.join("bpf"), root.join("bpf")),
            store: Store::new(root.join("state")),
            lock: root.join("lock"),
            followed: root.join("events.lock"),
            forwarding: root.join("forwarding"),
        }
    }
}
