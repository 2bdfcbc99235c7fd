//! The folder of state files: one record for each policy that may still count.
//!
//! `policy-7.state` is what generation 7 was applied from, `policy-8.pending` what
//! generation 8 was, which nobody has confirmed yet. Confirming is renaming, so
//! that it needs no room on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{ControllerError, failed};
use super::sealed::{Damage, seal, unseal};
use super::state::Record;

/// The folder of state files.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// Whether a policy outlives its deadline and the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stays.
    Confirmed,
    /// It waits to be confirmed.
    Pending,
}

/// What a machine that boots has to return to.
#[derive(Debug)]
pub struct LastGood {
    /// The last policy that was confirmed and whose state file is whole.
    pub record: Option<Record>,
    /// Why later policies do not count: their state files are damaged.
    pub damaged: Vec<ControllerError>,
}

/// A file in the folder.
struct StateFile {
    name: String,
    /// The policy that it is of, if it was written to its end.
    policy: Option<(u32, Standing)>,
}

impl Standing {
    fn suffix(self) -> &'static str {
        match self {
            Self::Confirmed => "state",
            Self::Pending => "pending",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Confirmed => Self::Pending,
            Self::Pending => Self::Confirmed,
        }
    }
}

impl Store {
    /// State files in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a record so that it survives a crash at any moment: it is there
    /// whole, or not at all.
    pub fn write(&self, record: &Record, standing: Standing) -> Result<(), ControllerError> {
        let path = self.path(record.generation, standing);
        let new = path.with_extension("new");
        fs::create_dir_all(&self.folder).map_err(failed("create", &self.folder))?;
        let bytes = serde_json::to_vec(record);
        let bytes = seal(&bytes.map_err(|error| failed("write", &new)(error.into()))?);
        if let Err(error) = write_whole(&new, &bytes) {
            // A full disk needs its room; what stays, the next apply removes.
            let _ = fs::remove_file(&new);
            return Err(failed("write", new)(error));
        }
        fs::rename(&new, &path).map_err(failed("write", &path))?;
        self.sync()
    }

    /// Reads the record of a generation.
    pub fn read(&self, generation: u32) -> Result<Record, ControllerError> {
        let confirmed = self.path(generation, Standing::Confirmed);
        let path = match self.standing(generation)? {
            Some(standing) => self.path(generation, standing),
            None => confirmed,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ControllerError::NoState { generation, path });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(failed("read", path)(error));
            }
            Err(error) => {
                let source = Damage::Unreadable(error);
                return Err(ControllerError::BadState { path, source });
            }
        };
        let content = unseal(&bytes).and_then(|content| {
            let record: Record = serde_json::from_slice(content).map_err(Damage::Content)?;
            // A file under another's name is no better than a damaged one.
            match record.generation == generation {
                true => Ok(record),
                false => Err(Damage::Foreign),
            }
        });
        content.map_err(|source| ControllerError::BadState { path, source })
    }

    /// Whether a generation is confirmed; `None` without a state file.
    pub fn standing(&self, generation: u32) -> Result<Option<Standing>, ControllerError> {
        let mut files = self.files()?.into_iter();
        let found = files.find_map(|file| match file.policy {
            Some((found, standing)) if found == generation => Some(standing),
            _ => None,
        });
        Ok(found)
    }

    /// Writes down whether a generation is confirmed; it must have a state file.
    pub fn set_standing(&self, generation: u32, standing: Standing) -> Result<(), ControllerError> {
        let path = self.path(generation, standing);
        match fs::rename(self.path(generation, standing.other()), &path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => Ok(()),
            Err(error) => Err(failed("write", path)(error)),
        }
    }

    /// The highest generation that has a state file; 0 for none.
    pub fn last(&self) -> Result<u32, ControllerError> {
        let files = self.files()?.into_iter();
        let generations = files.filter_map(|file| Some(file.policy?.0));
        Ok(generations.max().unwrap_or(0))
    }

    /// What to return to when the kernel knows nothing any more: the last policy
    /// that was confirmed.
    pub fn last_good(&self) -> Result<LastGood, ControllerError> {
        let files = self.files()?.into_iter();
        let mut confirmed: Vec<u32> = files
            .filter_map(|file| match file.policy? {
                (generation, Standing::Confirmed) => Some(generation),
                (_, Standing::Pending) => None,
            })
            .collect();
        confirmed.sort_unstable();
        let mut damaged = Vec::new();
        for generation in confirmed.into_iter().rev() {
            match self.read(generation) {
                Ok(record) => {
                    let record = Some(record);
                    return Ok(LastGood { record, damaged });
                }
                Err(error) => damaged.push(error),
            }
        }
        Ok(LastGood {
            record: None,
            damaged,
        })
    }

    /// Removes all state files but those of some generations, and what writes
    /// that were killed have left.
    pub fn keep_only(&self, kept: &[u32]) -> Result<(), ControllerError> {
        for StateFile { name, policy } in self.files()? {
            if !policy.is_some_and(|(generation, _)| kept.contains(&generation)) {
                remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes the state file of a generation.
    pub fn remove_one(&self, generation: u32) -> Result<(), ControllerError> {
        remove_file(self.path(generation, Standing::Pending))?;
        remove_file(self.path(generation, Standing::Confirmed))
    }

    /// Removes all state files and the folder, unless somebody else keeps files
    /// in it.
    pub fn remove(&self) -> Result<(), ControllerError> {
        self.keep_only(&[])?;
        match fs::remove_dir(&self.folder) {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty => Ok(()),
                // Somebody mounts it.
                io::ErrorKind::ResourceBusy => Ok(()),
                _ => Err(failed("remove", &self.folder)(error)),
            },
        }
    }

    fn path(&self, generation: u32, standing: Standing) -> PathBuf {
        let suffix = standing.suffix();
        self.folder.join(format!("policy-{generation}.{suffix}"))
    }

    fn sync(&self) -> Result<(), ControllerError> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("write", &self.folder))
    }

    /// Names of all state files, and what each whole one is of.
    fn files(&self) -> Result<Vec<StateFile>, ControllerError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.folder)(error)),
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read", &self.folder))?;
            names.extend(entry.file_name().into_string());
        }
        names.retain(|name| name.starts_with("policy-"));
        let described = names.into_iter().map(|name| StateFile {
            policy: policy_of(&name),
            name,
        });
        Ok(described.collect())
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The policy of a network is nobody else's business.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_file(path: PathBuf) -> Result<(), ControllerError> {
    let removed = match fs::remove_file(&path) {
        // Nothing of ours, but in its place.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir(&path),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The policy that a file of this name is of, if it was written to its end.
fn policy_of(name: &str) -> Option<(u32, Standing)> {
    let (number, suffix) = name.strip_prefix("policy-")?.split_once('.')?;
    let both = [Standing::Confirmed, Standing::Pending];
    let standing = both.into_iter().find(|one| one.suffix() == suffix)?;
    Some((number.parse().ok()?, standing))
}

#[cfg(test)]
mod tests {
    use super::super::state::record;
    use super::*;
    use Standing::{Confirmed, Pending};

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("a/b"));
        (folder, store)
    }

    #[test]
    fn records_survive() {
        let (folder, store) = store();
        assert_eq!(store.last().unwrap(), 0);
        for (generation, standing) in [(9, Confirmed), (10, Pending)] {
            store.write(&record(generation), standing).unwrap();
            assert_eq!(store.last().unwrap(), generation);
            assert_eq!(store.read(generation).unwrap(), record(generation));
            assert_eq!(store.standing(generation).unwrap(), Some(standing));
        }
        store.keep_only(&[10]).unwrap();
        assert!(matches!(
            store.read(9),
            Err(ControllerError::NoState { .. })
        ));
        store.remove().unwrap();
        store.remove().unwrap();
        assert!(!folder.path().join("a/b").exists());
    }

    #[test]
    fn a_boot_returns_to_what_was_confirmed_last() {
        let (_folder, store) = store();
        let good = |store: &Store| store.last_good().unwrap().record.map(|it| it.generation);
        assert_eq!(good(&store), None);
        store.write(&record(3), Confirmed).unwrap();
        store.write(&record(11), Confirmed).unwrap();
        store.write(&record(12), Pending).unwrap();
        assert_eq!(good(&store), Some(11));
        store.set_standing(12, Confirmed).unwrap();
        store.set_standing(12, Confirmed).unwrap();
        assert_eq!(good(&store), Some(12));
        store.set_standing(12, Pending).unwrap();
        assert_eq!(good(&store), Some(11));

        fs::write(store.path(11, Confirmed), "{").unwrap();
        let last = store.last_good().unwrap();
        assert_eq!(last.record.map(|it| it.generation), Some(3));
        let [damaged] = &last.damaged[..] else {
            panic!("{:?}", last.damaged);
        };
        assert!(damaged.to_string().contains("policy-11"), "{damaged}");
        assert!(store.set_standing(77, Confirmed).is_err());
    }

    #[test]
    fn a_damaged_file_is_told_with_its_path_and_what_to_do() {
        let (_folder, store) = store();
        store.write(&record(7), Confirmed).unwrap();
        let path = store.path(7, Confirmed);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 4;
        let cases = [
            ("empty", Vec::new()),
            ("garbage", b"\0\0\0\0".to_vec()),
            ("cut off", whole[..whole.len() - 1].to_vec()),
            ("half", whole[..whole.len() / 2].to_vec()),
            ("a bit", flipped),
            ("not a record", seal(b"{}")),
            ("of another", {
                let other = serde_json::to_vec(&record(8)).unwrap();
                seal(&other)
            }),
        ];
        for (name, bytes) in cases {
            fs::write(&path, bytes).unwrap();
            let error = store.read(7).unwrap_err();
            assert!(
                matches!(error, ControllerError::BadState { .. }),
                "{name}: {error:?}"
            );
            let text = error.to_string();
            for part in ["policy-7.state", "apply"] {
                assert!(text.contains(part), "{name}: {text}");
            }
        }
    }

    #[test]
    fn what_is_left_of_a_killed_write_is_neither_read_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().into());
        fs::write(folder.path().join("policy-12.new"), "{").unwrap();
        fs::write(folder.path().join("policy-3.state"), "{").unwrap();
        fs::write(folder.path().join("notes"), "").unwrap();
        assert_eq!(store.last().unwrap(), 3);
        store.keep_only(&[3]).unwrap();
        assert!(!folder.path().join("policy-12.new").exists());
        store.remove().unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
