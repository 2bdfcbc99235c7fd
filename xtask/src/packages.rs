//! Debian packages that tests and demo need.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{find, run};
use crate::root;

/// A program, and the packages that bring it.
type Need = (&'static str, &'static [&'static str]);

const NEEDS: [Need; 8] = [
    ("bpftool", &["bpftool"]),
    ("cc", &["gcc", "libc6-dev"]),
    ("ip", &["iproute2"]),
    ("jq", &["jq"]),
    ("nft", &["nftables"]),
    ("ping", &["iputils-ping"]),
    ("strace", &["strace"]),
    ("systemd-analyze", &["systemd"]),
];

/// Installs what is missing of the programs that tests and demo call.
pub fn ensure() -> Result<()> {
    let missing: Vec<Need> = NEEDS
        .into_iter()
        .filter(|(name, _)| find(name).is_none())
        .collect();
    if missing.is_empty() {
        eprintln!("programs: all here");
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let packages: Vec<_> = missing
        .iter()
        .flat_map(|(_, packages)| *packages)
        .copied()
        .collect();
    let names = names.join(", ");
    if find("apt-get").is_none() {
        bail!("missing programs, to be installed by hand: {names}");
    }
    install(&packages, &names)
}

/// Installs `packages`; `purpose` is what they are for.
pub fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let list = packages.join(" ");
    eprintln!("installing {list} by apt-get, for {purpose}");
    let update = run(apt_get().args(["-qq", "update"]));
    let args = ["-qq", "install", "-y", "--no-install-recommends"];
    // A list that is merely old often suffices, so the install decides.
    run(apt_get().args(args).args(packages))
        .or_else(|error| update.and(Err(error)))
        .with_context(|| format!("apt-get cannot install {list}, needed for {purpose}"))
}

fn apt_get() -> Command {
    let mut command = root::command("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // The list of what it unpacks; errors come on standard error.
        .stdout(Stdio::null());
    command
}
