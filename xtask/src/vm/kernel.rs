//! A kernel of another suite, and the modules that a router needs of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt::Suite;

/// Leads to the newest kernel of a suite that runs in a virtual machine.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// What the tests use; kernels have some of it built in.
const MODULES: [&str; 12] = [
    "veth",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "8021q",
    "tun",
    "bridge",
    "bonding",
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_masq",
];

/// An unpacked kernel.
pub struct Kernel {
    /// As it calls itself, such as `6.1.0-50-cloud-amd64`.
    pub release: String,
    tree: PathBuf,
}

impl Kernel {
    /// Unpacks the newest kernel of a suite below `folder`, unless it lies there.
    pub fn fetch(suite: &str, folder: &Path) -> Result<Self> {
        let suite = Suite::open(suite, &folder.join(suite))?;
        let images = suite.dependencies(PACKAGE, "linux-image-")?;
        let image = images.into_iter().next();
        let image = image.with_context(|| format!("{} has no {PACKAGE}", suite.name))?;
        let release = image.replacen("linux-image-", "", 1);
        let kernel = Self {
            tree: folder.join(&image),
            release,
        };
        if !kernel.tree.exists() {
            // Since Linux 7.2 the image is in several packages.
            let others = ["linux-binary-", "linux-modules-"];
            let others = others.map(|name| format!("{name}{}", kernel.release));
            let mut packages = vec![image];
            packages.extend(others.into_iter().filter(|name| suite.has(name)));
            let new = kernel.tree.with_extension("new");
            suite.unpack(&packages, &new)?;
            fs::rename(&new, &kernel.tree)?;
        }
        Ok(kernel)
    }

    /// Major and minor version.
    pub fn series(&self) -> Result<(u32, u32)> {
        series(&self.release).with_context(|| format!("what version is {}?", self.release))
    }

    /// What the machine starts.
    pub fn image(&self) -> Result<PathBuf> {
        let places = [
            format!("boot/vmlinuz-{}", self.release),
            format!("usr/lib/modules/{}/vmlinuz", self.release),
            format!("lib/modules/{}/vmlinuz", self.release),
        ];
        let mut places = places.iter().map(|place| self.tree.join(place));
        let found = places.find(|place| place.exists());
        found.with_context(|| format!("no vmlinuz in {}", self.tree.display()))
    }

    /// The modules by name, each after those that it depends on.
    pub fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = self.module_folder()?;
        let mut files = Vec::new();
        list(&folder, &mut files)?;
        let mut found = Found {
            files,
            seen: BTreeSet::new(),
            modules: Vec::new(),
        };
        for name in MODULES {
            found.add(name)?;
        }
        Ok(found.modules)
    }

    fn module_folder(&self) -> Result<PathBuf> {
        let places = ["usr/lib/modules", "lib/modules"];
        let mut places = places.map(|it| self.tree.join(it).join(&self.release));
        places.sort_by_key(|place| !place.join("kernel").exists());
        let [best, _] = places;
        ensure!(best.exists(), "no modules in {}", self.tree.display());
        Ok(best)
    }
}

struct Found {
    files: Vec<PathBuf>,
    seen: BTreeSet<String>,
    modules: Vec<(String, Vec<u8>)>,
}

impl Found {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let mut files = self.files.iter();
        let found = files.find(|file| module_name(&file.to_string_lossy()) == name);
        // Else it is built in; if not, a test will miss it.
        let Some(file) = found else { return Ok(()) };
        let bytes = unpacked(file)?;
        for other in dependencies(&bytes) {
            self.add(&other)?;
        }
        self.modules.push((name, bytes));
        Ok(())
    }
}

/// `nf_tables` of `kernel/net/netfilter/nf_tables.ko.xz`.
fn module_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.split(".ko").next().unwrap_or(name);
    name.replace('-', "_")
}

/// Names in the field `depends` of a module.
fn dependencies(module: &[u8]) -> Vec<String> {
    let mut fields = module.split(|byte| *byte == 0);
    let depends = fields.find_map(|field| field.strip_prefix(b"depends="));
    let depends = String::from_utf8_lossy(depends.unwrap_or_default());
    let names = depends.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn unpacked(file: &Path) -> Result<Vec<u8>> {
    if file.extension() == Some(OsStr::new("ko")) {
        return Ok(fs::read(file)?);
    }
    let output = Command::new("xz").arg("-dc").arg(file).output();
    let output = output.context("cannot run `xz`")?;
    ensure!(
        output.status.success(),
        "`xz` cannot unpack {}",
        file.display()
    );
    Ok(output.stdout)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else if entry.file_name().to_string_lossy().contains(".ko") {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn series(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_read() {
        assert_eq!(module_name("net/8021q/8021q.ko"), "8021q");
        assert_eq!(module_name("net/a-b/nft-ct.ko.xz"), "nft_ct");
        assert_eq!(series("6.1.0-50-cloud-amd64"), Some((6, 1)));
        assert_eq!(series("7.2.13+deb14-cloud-amd64"), Some((7, 2)));
        assert_eq!(series("next"), None);
        let module = b"\x7fELF\0license=GPL\0depends=stp,llc\0name=bridge\0";
        assert_eq!(dependencies(module), ["stp", "llc"]);
        assert_eq!(dependencies(b"depends=\0"), Vec::<String>::new());
    }
}
