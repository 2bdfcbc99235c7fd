//! Debian packages that are unpacked into a folder and not installed.
//!
//! apt works in a folder of its own: the machine's lists, its choice of suites
//! and its packages stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{path, run};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What the machine has installed; an empty list leads to packages as such.
const INSTALLED: &str = "/var/lib/dpkg/status";

/// One suite of the archive that the machine itself is installed from.
pub struct Suite {
    /// Its name, such as `bookworm`.
    pub name: String,
    folder: PathBuf,
    config: PathBuf,
}

impl Suite {
    /// Reads the list of a suite; `folder` keeps it, and what is downloaded.
    pub fn open(name: &str, folder: &Path) -> Result<Self> {
        ensure!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "`{name}` is no suite of Debian"
        );
        let suite = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            config: folder.join("apt.conf"),
        };
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let source = format!("deb [signed-by={KEYRING}] {} {name} main\n", mirror()?);
        fs::write(folder.join("sources.list"), source)?;
        fs::write(&suite.config, config(folder))?;
        let updated = run(suite.apt("apt-get").args(["-qq", "update"]));
        updated.with_context(|| format!("the archive has no suite {name}"))?;
        Ok(suite)
    }

    /// Packages that `package` depends on, by names that start with `prefix`.
    pub fn dependencies(&self, package: &str, prefix: &str) -> Result<Vec<String>> {
        let text = self.ask(&["depends", "--important", package])?;
        let names = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        let names = names.filter(|name| name.starts_with(prefix));
        Ok(names.map(str::to_owned).collect())
    }

    /// Whether the suite has a package of that name.
    pub fn has(&self, package: &str) -> bool {
        self.ask(&["show", package]).is_ok()
    }

    /// Unpacks packages, and nothing that they depend on, into `into`.
    pub fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let archives = self.folder.join("archives");
        let mut download = self.apt("apt-get");
        download.args(["-qq", "download"]).args(packages);
        run(download.current_dir(&archives))?;
        extract(&archives, into)
    }

    /// Unpacks packages, and all that they depend on and the machine lacks.
    pub fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        let archives = self.folder.join("archives");
        let mut download = self.apt("apt-get");
        // Only to find what is missing; nothing is installed, nor removed.
        download.args(["-o", &format!("Dir::State::status={INSTALLED}")]);
        download.args(["-o", "Debug::NoLocking=true", "-qq", "-y"]);
        download.args(["--download-only", "--no-install-recommends", "install"]);
        run(download.args(packages).stdout(Stdio::null()))?;
        extract(&archives, into)
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let output = self.apt("apt-cache").args(args).output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", &self.config)
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// The name of the suite that this machine is installed from.
pub fn own_suite() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("what system is this?")?;
    let value = |key: &str| {
        let mut lines = release.lines();
        lines.find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()))
    };
    if value("ID=").as_deref() != Some("debian") {
        bail!("the kernels come from Debian's archive, and this machine does not know it");
    }
    value("VERSION_CODENAME=").context("/etc/os-release does not tell the suite")
}

/// Where the machine has its own suite from.
fn mirror() -> Result<String> {
    let suite = own_suite()?;
    let args = ["indextargets", "--format", "$(CODENAME) $(REPO_URI)"];
    let output = Command::new("apt-get")
        .args(args)
        .arg("Created-By: Packages")
        .output()
        .context("cannot run apt-get")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut targets = text.lines().filter_map(|line| line.split_once(' '));
    let found = targets.find(|(codename, _)| *codename == suite);
    found
        .map(|(_, uri)| uri.trim().to_owned())
        .with_context(|| format!("apt has no source for {suite}"))
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    )
}

/// Unpacks every package in `archives`, and removes it there.
fn extract(archives: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(archives)? {
        let package = entry?.path();
        if package.extension().is_some_and(|it| it == "deb") {
            let mut dpkg = Command::new("dpkg");
            run(dpkg
                .arg("-x")
                .arg(&package)
                .arg(into)
                // `dpkg` unpacks by programs of administrators.
                .env("PATH", path()))?;
            fs::remove_file(&package)?;
        }
    }
    Ok(())
}
