//! Where everything is pinned.
//!
//! ```text
//! <folder>/v3-3/…             maps and programs of set 3, map layout 3
//! <folder>/drop_counters      → v3-3/drop_counters, and so on: stable names
//! <folder>/links/xdp-7        what attaches the XDP program to interface 7
//! ```
//!
//! `control` among the stable names says which set counts; it is switched last.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use enforcer_common::limits::LAYOUT_VERSION;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::geteuid;

use super::error::{KernelError, is_denied};
use super::shape::Shape;

/// The folder for pins.
#[derive(Clone, Debug)]
pub struct Pins {
    folder: PathBuf,
    mount: PathBuf,
}

/// Names that always lead to the maps in use; the last one decides.
const STABLE: [&Shape; 6] = [
    &Shape::DROPS,
    &Shape::CONDUITS,
    &Shape::FLOWS,
    &Shape::FLOWS_NEW,
    &Shape::EVENTS,
    &Shape::CONTROL,
];

impl Pins {
    /// Pins in `folder`, which lies in the BPF file system mounted at `mount`.
    pub fn new(folder: PathBuf, mount: PathBuf) -> Self {
        Self { folder, mount }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Checks that the BPF file system is there, and that the folder in it is
    /// not one that another user has put there.
    pub fn check(&self) -> Result<(), KernelError> {
        match statfs(&self.mount) {
            Ok(found) if found.filesystem_type() == BPF_FS_MAGIC => self.check_owner(),
            Err(nix::Error::EACCES) => Err(KernelError::NotPermitted {
                action: "looking at the pins",
            }),
            _ => Err(KernelError::NotBpffs(self.mount.clone())),
        }
    }

    /// Mounts the BPF file system, if it is not there.
    pub fn mount(&self) -> Result<(), KernelError> {
        if !matches!(self.check(), Err(KernelError::NotBpffs(_))) {
            return Ok(());
        }
        let failed = failed("mount a BPF file system at", &self.mount);
        fs::create_dir_all(&self.mount).map_err(&failed)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let mounted = mount(
            Some("bpf"),
            &self.mount,
            Some("bpf"),
            flags,
            Some("mode=700"),
        );
        mounted.map_err(|errno| failed(errno.into()))
    }

    /// Everybody can create folders in a BPF file system that is mounted without
    /// `mode=700`.
    fn check_owner(&self) -> Result<(), KernelError> {
        match fs::symlink_metadata(&self.folder) {
            Ok(found) if found.uid() != 0 && found.uid() != geteuid().as_raw() => {
                Err(KernelError::ForeignFolder(self.folder.clone()))
            }
            Ok(found) if !found.is_dir() => Err(KernelError::ForeignFolder(self.folder.clone())),
            _ => Ok(()),
        }
    }

    /// Creates the folders.
    pub fn prepare(&self) -> Result<(), KernelError> {
        self.check()?;
        for folder in [self.folder.clone(), self.links()] {
            fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        }
        Ok(())
    }

    /// The folder for links.
    pub fn links(&self) -> PathBuf {
        self.folder.join("links")
    }

    /// The folder of a set.
    pub fn set(&self, number: u32) -> PathBuf {
        self.folder.join(format!("v{LAYOUT_VERSION}-{number}"))
    }

    /// Number of the set in use.
    pub fn current(&self) -> Result<Option<u32>, KernelError> {
        let name = self.folder.join(Shape::CONTROL.name);
        match fs::read_link(&name) {
            Ok(target) => {
                let set = target.parent().and_then(Path::to_str).unwrap_or_default();
                self.number_of(set)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &name)(error)),
        }
    }

    /// Numbers of all sets, whether in use or not.
    pub fn sets(&self) -> Result<Vec<u32>, KernelError> {
        let mut numbers = Vec::new();
        for name in names_in(&self.folder)? {
            numbers.extend(self.number_of(&name)?);
        }
        Ok(numbers)
    }

    /// Numbers of the sets of this version's layout that a later one, `number`,
    /// has replaced.
    pub fn replaced_by(&self, number: u32) -> Result<Vec<u32>, KernelError> {
        let names = names_in(&self.folder)?;
        let sets = names.iter().filter_map(|name| set_of(name));
        let own = sets.filter(|(layout, _)| *layout == LAYOUT_VERSION);
        let numbers = own.map(|(_, number)| number);
        Ok(numbers.filter(|earlier| *earlier < number).collect())
    }

    /// The layout of the set in use, if it is older than this version's.
    pub fn older_layout(&self) -> Result<Option<u32>, KernelError> {
        match self.current() {
            Err(KernelError::Layout { found, .. }) if found < LAYOUT_VERSION => Ok(Some(found)),
            other => other.map(|_| None),
        }
    }

    /// Lets the stable names lead to a set.
    pub fn publish(&self, number: u32) -> Result<(), KernelError> {
        let set = self.set(number);
        let set = Path::new(set.file_name().unwrap_or_default());
        for shape in STABLE {
            let name = self.folder.join(shape.name);
            let new = self.folder.join(format!("{}-new", shape.name));
            remove_file(&new)?;
            symlink(set.join(shape.name), &new).map_err(failed("create", &new))?;
            fs::rename(&new, &name).map_err(failed("replace", &name))?;
        }
        Ok(())
    }

    /// Removes the stable names; from then on no set is in use.
    pub fn unpublish(&self) -> Result<(), KernelError> {
        for shape in STABLE.iter().rev() {
            remove_file(&self.folder.join(shape.name))?;
            remove_file(&self.folder.join(format!("{}-new", shape.name)))?;
        }
        Ok(())
    }

    /// Removes the pins of a set.
    pub fn remove_set(&self, number: u32) -> Result<(), KernelError> {
        remove_set(&self.set(number))
    }

    /// Removes the pins of all sets, also of those of other layouts.
    pub fn remove_all_sets(&self) -> Result<(), KernelError> {
        self.remove_sets(|_, _| true)
    }

    /// Removes the pins of all sets but one, also of those of other layouts.
    pub fn remove_other_sets(&self, kept: u32) -> Result<(), KernelError> {
        self.remove_sets(|layout, number| (layout, number) != (LAYOUT_VERSION, kept))
    }

    /// Removes the pins of all sets of this version's layout.
    pub fn remove_own_sets(&self) -> Result<(), KernelError> {
        self.remove_sets(|layout, _| layout == LAYOUT_VERSION)
    }

    fn remove_sets(&self, is_meant: impl Fn(u32, u32) -> bool) -> Result<(), KernelError> {
        for name in names_in(&self.folder)? {
            if set_of(&name).is_some_and(|(layout, number)| is_meant(layout, number)) {
                remove_set(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes the folders, which must be empty; a mount point stays.
    pub fn remove(&self) -> Result<(), KernelError> {
        remove_folder(&self.links())?;
        if self.folder != self.mount {
            remove_folder(&self.folder)?;
        }
        Ok(())
    }

    /// The number in the name of a set's folder; `None` for other names.
    fn number_of(&self, name: &str) -> Result<Option<u32>, KernelError> {
        match set_of(name) {
            None => Ok(None),
            Some((LAYOUT_VERSION, number)) => Ok(Some(number)),
            Some((found, _)) => Err(KernelError::Layout {
                path: self.folder.join(name),
                found,
                expected: LAYOUT_VERSION,
            }),
        }
    }
}

/// Layout version and number in the name of a set's folder.
fn set_of(name: &str) -> Option<(u32, u32)> {
    let (layout, number) = name.strip_prefix('v')?.split_once('-')?;
    Some((layout.parse().ok()?, number.parse().ok()?))
}

fn remove_set(folder: &Path) -> Result<(), KernelError> {
    for name in names_in(folder)? {
        remove_file(&folder.join(name))?;
    }
    remove_folder(folder)
}

/// Names in a folder, sorted; none if the folder does not exist.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, KernelError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Removes a file or pin, if it exists.
pub(super) fn remove_file(path: &Path) -> Result<(), KernelError> {
    ignore_missing(fs::remove_file(path)).map_err(failed("remove", path))
}

fn remove_folder(path: &Path) -> Result<(), KernelError> {
    ignore_missing(fs::remove_dir(path)).map_err(failed("remove", path))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The error for a path, with `sudo` as the remedy where that is all it takes.
pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> KernelError {
    let path = path.to_path_buf();
    move |source| {
        if is_denied(&source) {
            return KernelError::NotPermitted {
                action: "changing or reading pins",
            };
        }
        KernelError::Pin {
            action,
            path: path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> (tempfile::TempDir, Pins) {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::new(folder.path().join("pins"), folder.path().into());
        fs::create_dir(pins.folder()).unwrap();
        (folder, pins)
    }

    #[test]
    fn stable_names_lead_to_the_set_in_use() {
        let (_folder, pins) = pins();
        assert_eq!(pins.current().unwrap(), None);
        for number in [1, 2] {
            fs::create_dir(pins.set(number)).unwrap();
            fs::write(pins.set(number).join("control"), number.to_string()).unwrap();
            pins.publish(number).unwrap();
            assert_eq!(pins.current().unwrap(), Some(number));
            let control = fs::read_to_string(pins.folder().join("control")).unwrap();
            assert_eq!(control, number.to_string());
        }
        assert_eq!(pins.sets().unwrap(), [1, 2]);
        pins.remove_set(1).unwrap();
        pins.remove_set(1).unwrap();
        assert_eq!(pins.sets().unwrap(), [2]);
        pins.unpublish().unwrap();
        pins.remove_set(2).unwrap();
        pins.remove().unwrap();
        assert!(!pins.folder().exists());
    }

    #[test]
    fn sets_of_another_layout_are_refused() {
        let (_folder, pins) = pins();
        fs::create_dir(pins.folder().join("v999-1")).unwrap();
        let error = pins.sets().unwrap_err().to_string();
        assert!(error.contains("map layout 999"), "{error}");
        pins.remove_all_sets().unwrap();
        assert!(pins.sets().unwrap().is_empty());
    }

    #[test]
    fn only_an_older_layout_can_be_moved_out_of() {
        let (_folder, pins) = pins();
        assert_eq!(pins.older_layout().unwrap(), None);
        let control = pins.folder().join("control");
        symlink("v1-7/control", &control).unwrap();
        assert_eq!(pins.older_layout().unwrap(), Some(1));
        for (set, is_own) in [("v1-7", false), ("v3-1", true), ("v3-9", true)] {
            fs::create_dir(pins.folder().join(set)).unwrap();
            assert_eq!(set_of(set).unwrap().0 == LAYOUT_VERSION, is_own);
        }
        pins.remove_own_sets().unwrap();
        assert_eq!(names_in(pins.folder()).unwrap(), ["control", "v1-7"]);
        pins.publish(3).unwrap();
        pins.remove_other_sets(3).unwrap();
        assert!(!pins.folder().join("v1-7").exists());
        remove_file(&control).unwrap();
        symlink("v999-1/control", &control).unwrap();
        let error = pins.older_layout().unwrap_err().to_string();
        assert!(error.contains("map layout 999"), "{error}");
    }

    #[test]
    fn an_ordinary_file_system_is_refused() {
        let (folder, pins) = pins();
        let error = pins.prepare().unwrap_err().to_string();
        let mount = folder.path().display();
        assert!(
            error.contains(&format!("mount -t bpf bpf {mount}")),
            "{error}"
        );
    }
}
