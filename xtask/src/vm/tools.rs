//! Programs that only virtual machines need: taken from the machine where it
//! has them, else unpacked below `target`, where they replace nothing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{Suite, own_suite};
use crate::command::find;

/// A program, and the package that brings it.
const NEEDS: [(&str, &str); 3] = [
    (QEMU, "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("ethtool", "ethtool"),
];

/// Runs the virtual machines.
pub const QEMU: &str = "qemu-system-x86_64";

const PROGRAM_FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

const LIBRARY_FOLDERS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// Where QEMU finds firmware.
const FIRMWARE_FOLDERS: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// The programs, and where those that are not installed lie.
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Finds the programs, and unpacks what is missing below `folder`.
    pub fn provide(folder: &Path) -> Result<Self> {
        let tools = Self {
            root: folder.join("tools"),
        };
        let missing: Vec<_> = NEEDS
            .into_iter()
            .filter(|(program, _)| tools.program(program).is_err())
            .map(|(_, package)| package)
            .collect();
        if !missing.is_empty() {
            let list = missing.join(", ");
            eprintln!("unpacking {list} below {}", tools.root.display());
            let suite = Suite::open(&own_suite()?, &folder.join("own"))?;
            suite
                .unpack_with_dependencies(&missing, &tools.root)
                .with_context(|| format!("install {list} by hand"))?;
        }
        Ok(tools)
    }

    /// Finds a program.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let here = PROGRAM_FOLDERS.iter();
        let mut here = here.map(|folder| self.root.join(folder).join(name));
        let found = find(name).or_else(|| here.find(|file| file.is_file()));
        found.with_context(|| format!("`{name}` is missing"))
    }

    /// Lets a program find its libraries.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let folders = LIBRARY_FOLDERS.map(|folder| self.root.join(folder));
        let folders = env::join_paths(folders).unwrap_or_default();
        command.env("LD_LIBRARY_PATH", folders)
    }

    /// Where a file would be if it were installed.
    pub fn installed_place(&self, file: &str) -> String {
        let inside = file.strip_prefix(&*self.root.to_string_lossy());
        inside.unwrap_or(file).to_owned()
    }

    /// QEMU, ready for arguments.
    pub fn qemu(&self) -> Result<Command> {
        let program = self.program(QEMU)?;
        let mut qemu = Command::new(&program);
        if program.starts_with(&self.root) {
            self.prepare(&mut qemu);
            for folder in FIRMWARE_FOLDERS {
                qemu.arg("-L").arg(self.root.join(folder));
            }
        }
        Ok(qemu)
    }
}
