//! What this machine can do, and what runs on it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use aya::programs::ProgramInfo;
use aya::programs::loaded_programs;
use aya::util::KernelVersion;

use super::error::KernelError;

/// A program in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its id, unique while it is loaded.
    pub id: u32,
    /// Its name, cut after 15 bytes.
    pub name: String,
    /// A hash of its instructions.
    pub tag: String,
}

/// Every program that is loaded, by id.
pub fn programs() -> BTreeMap<u32, Program> {
    let programs = loaded_programs().flatten().map(described);
    programs.map(|program| (program.id, program)).collect()
}

/// The program with an id, if it is loaded.
pub fn program(id: u32) -> Option<Program> {
    programs().remove(&id)
}

/// The program that is pinned at `path`.
pub fn program_at(path: &Path) -> Result<Program, KernelError> {
    let info = ProgramInfo::from_pin(path);
    let info = info.map_err(|error| KernelError::Pin {
        action: "open",
        path: path.into(),
        source: io::Error::other(error),
    })?;
    Ok(described(info))
}

fn described(info: ProgramInfo) -> Program {
    Program {
        id: info.id(),
        name: String::from_utf8_lossy(info.name()).into_owned(),
        tag: format!("{:016x}", info.tag()),
    }
}

/// A setting of the kernel, such as `net/core/bpf_jit_enable`.
pub fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(value.trim().to_owned())
}

/// Whether the running kernel is at least this version.
pub fn is_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(major, minor, 0))
}

/// Major and minor version of the running kernel; zeroes if it does not tell.
pub fn version() -> (u32, u32) {
    let release = release().unwrap_or_default();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Most bytes that this process may lock in memory; `None` for no limit.
pub fn memlock() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Tables of iptables in its older form, such as `ip filter`.
pub fn legacy_iptables() -> Vec<String> {
    let mut tables = Vec::new();
    for (family, file) in [("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")] {
        // `/proc/net` leads to the namespace of the thread that reads it.
        let names = fs::read_to_string(Path::new("/proc/thread-self/net").join(file));
        let names = names.unwrap_or_default();
        tables.extend(names.lines().map(|name| format!("{family} {name}")));
    }
    tables
}

/// Version of the running kernel, as it calls itself.
pub fn release() -> Option<String> {
    sysctl("kernel/osrelease")
}

/// The capabilities that loading and attaching programs takes and that this
/// process lacks.
pub fn missing_capabilities() -> io::Result<Vec<&'static str>> {
    const SYS_ADMIN: u32 = 21;
    /// Each with the one that stands for it.
    const NEEDED: [(&str, u32, u32); 3] = [
        ("CAP_NET_ADMIN", 12, 12),
        ("CAP_PERFMON", 38, SYS_ADMIN),
        ("CAP_BPF", 39, SYS_ADMIN),
    ];

    let status = fs::read_to_string("/proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let has = |bit: u32| effective & 1 << bit != 0;
    let missing = NEEDED
        .into_iter()
        .filter(|(_, bit, other)| !has(*bit) && !has(*other));
    Ok(missing.map(|(name, _, _)| name).collect())
}

/// How far the kernel is locked down, `none` included; `None` where it cannot
/// be.
pub fn lockdown() -> Option<String> {
    let choices = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, chosen) = choices.split_once('[')?;
    let (chosen, _) = chosen.split_once(']')?;
    Some(chosen.to_owned())
}

/// CPUs that the kernel keeps counters for; 1 where that cannot be read.
pub fn possible_cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |count| count as u32)
}
