//! An archive that the kernel unpacks into its first file system: cpio, format
//! `newc` (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::BTreeSet;
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive in the making; every file in it may be run.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    /// Adds a folder and those above it; `path` is absolute.
    pub fn folder(&mut self, path: &str) {
        let above: Vec<_> = Path::new(path).ancestors().collect();
        for folder in above.into_iter().rev() {
            let name = relative(&folder.to_string_lossy()).to_owned();
            if !name.is_empty() && self.folders.insert(name.clone()) {
                self.entry(&name, FOLDER, &[]);
            }
        }
    }

    /// Adds a file, and the folders above it.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.add(path, FILE, content);
    }

    /// Adds a symbolic link, and the folders above it.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, LINK, target.as_bytes());
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        if let Some(folder) = Path::new(path).parent() {
            self.folder(&folder.to_string_lossy());
        }
        self.entry(relative(path), mode, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let len = u32::try_from(content.len()).expect("no file of this project has 4 GiB");
        let name_len = u32::try_from(name.len() + 1).expect("names are short");
        // Number, mode, user, group, links, time, size, two devices of two
        // numbers each, length of the name, check sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_starts_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.file("/a/b/init", b"12345");
        archive.link("/a/sh", "init");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        let names: Vec<_> = at
            .iter()
            .map(|at| text[at + 110..].split('\0').next().unwrap_or_default())
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/init", "a/sh", "TRAILER!!!"]);
        assert!(at.iter().all(|at| at % 4 == 0), "{at:?}");
        assert_eq!(bytes.len() % 4, 0);
    }
}
