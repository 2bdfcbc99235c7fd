//! What is known of an applied policy beyond what the kernel knows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::compile::{Machine, Numbering};

use super::error::{ControllerError, failed};

/// One applied policy, as a state file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the apply; the kernel knows the policy by it.
    pub generation: u32,
    /// When it was applied, in seconds since 1970.
    pub applied_at: u64,
    /// The policy.
    pub policy: AppliedPolicy,
    /// The interfaces that got programs.
    pub interfaces: Vec<Enforced>,
    /// Numbers of zones and conduits.
    pub numbering: Numbering,
    /// What the policy was compiled for.
    pub machine: Machine,
}

/// The policy of an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedPolicy {
    /// Its name.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// An interface that got programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enforced {
    /// Its index at that time.
    pub ifindex: u32,
    /// Its name at that time.
    pub name: String,
}

/// The folder of state files.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// State files in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The state file of a generation.
    pub fn path(&self, generation: u32) -> PathBuf {
        self.folder.join(format!("policy-{generation}.json"))
    }

    /// Writes a record so that it survives a crash at any moment: it is there
    /// whole, or not at all.
    pub fn write(&self, record: &Record) -> Result<(), ControllerError> {
        let path = self.path(record.generation);
        let new = path.with_extension("new");
        fs::create_dir_all(&self.folder).map_err(failed("create", &self.folder))?;
        let bytes = serde_json::to_vec(record);
        let bytes = bytes.map_err(|error| failed("write", &new)(error.into()))?;
        // The policy of a network is nobody else's business.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new);
        let written = file.and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("write", &path))?;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("write", &self.folder))
    }

    /// Reads the record of a generation.
    pub fn read(&self, generation: u32) -> Result<Record, ControllerError> {
        let path = self.path(generation);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ControllerError::NoState { generation, path });
            }
            Err(error) => return Err(failed("read", path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|source| ControllerError::BadState { path, source })
    }

    /// The highest generation that has a state file; 0 for none.
    pub fn last(&self) -> Result<u32, ControllerError> {
        let files = self.files()?;
        Ok(files
            .iter()
            .filter_map(|name| generation(name))
            .max()
            .unwrap_or(0))
    }

    /// Removes all state files, or all but that of one generation.
    pub fn remove_except(&self, kept: Option<u32>) -> Result<(), ControllerError> {
        for name in self.files()? {
            if kept.is_none() || generation(&name) != kept {
                remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes the state file of a generation.
    pub fn remove_one(&self, generation: u32) -> Result<(), ControllerError> {
        remove_file(self.path(generation))
    }

    /// Removes all state files and the folder, unless somebody else keeps files
    /// in it.
    pub fn remove(&self) -> Result<(), ControllerError> {
        self.remove_except(None)?;
        match fs::remove_dir(&self.folder) {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty => Ok(()),
                _ => Err(failed("remove", &self.folder)(error)),
            },
        }
    }

    /// Names of all state files, whole or not.
    fn files(&self) -> Result<Vec<String>, ControllerError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read", &self.folder))?;
            names.extend(entry.file_name().into_string());
        }
        names.retain(|name| name.starts_with("policy-"));
        Ok(names)
    }
}

fn remove_file(path: PathBuf) -> Result<(), ControllerError> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The generation in the name of a whole state file.
fn generation(name: &str) -> Option<u32> {
    let number = name.strip_prefix("policy-")?.strip_suffix(".json")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(generation: u32) -> Record {
        Record {
            generation,
            applied_at: 1_700_000_000,
            policy: AppliedPolicy {
                name: "plant".to_owned(),
                path: "/etc/enforcer/policy.yaml".into(),
                text: "version: 1\nname: \"ü\"\n".to_owned(),
            },
            interfaces: vec![Enforced {
                ifindex: 7,
                name: "eth0".to_owned(),
            }],
            numbering: Numbering::default(),
            machine: Machine::default(),
        }
    }

    #[test]
    fn records_survive() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("a/b"));
        assert_eq!(store.last().unwrap(), 0);
        for generation in [9, 10] {
            store.write(&record(generation)).unwrap();
            assert_eq!(store.last().unwrap(), generation);
            assert_eq!(store.read(generation).unwrap(), record(generation));
        }
        store.remove_except(Some(10)).unwrap();
        assert!(matches!(
            store.read(9),
            Err(ControllerError::NoState { .. })
        ));
        store.remove().unwrap();
        store.remove().unwrap();
        assert!(!folder.path().join("a/b").exists());
    }

    #[test]
    fn what_is_left_of_a_killed_write_is_neither_read_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().into());
        fs::write(folder.path().join("policy-12.new"), "{").unwrap();
        fs::write(folder.path().join("policy-3.json"), "{").unwrap();
        fs::write(folder.path().join("notes"), "").unwrap();
        assert_eq!(store.last().unwrap(), 3);
        assert!(matches!(
            store.read(3),
            Err(ControllerError::BadState { .. })
        ));
        store.remove().unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
