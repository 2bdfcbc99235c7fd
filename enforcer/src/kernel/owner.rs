//! Whom a program belongs to: what keeps it where it is, and how it goes away.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::inspect::{self, Held};
use super::probe::{self, Program};
use super::sys;

/// A program, and what is known of those it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The program.
    pub program: Program,
    /// Links that attach it.
    pub links: Vec<u32>,
    /// Pins of a link, or of the program if no link attaches it.
    pub pins: Vec<PathBuf>,
    /// Processes that hold a link, or the program if no link attaches it.
    pub processes: Vec<Process>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, cut after 15 bytes.
    pub name: String,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// XDP, in the driver or in the hardware.
    Xdp,
    /// XDP, in the network stack.
    XdpGeneric,
    /// TC ingress.
    Ingress,
    /// TC egress.
    Egress,
}

/// Everything that keeps programs in the kernel.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    programs: BTreeMap<u32, Program>,
    /// Links, and their programs.
    links: Vec<(u32, u32)>,
    pins: Vec<(Held, PathBuf)>,
    processes: Vec<(Held, Process)>,
}

impl Owners {
    /// Looks at every link, pin and process that this process may see.
    pub fn gather() -> Self {
        let mut pins = Vec::new();
        for mount in bpf_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
            let mut left = MOST_PINS;
            pins_in(&mount, MOST_FOLDERS, &mut left, &mut pins);
        }
        Self {
            programs: probe::programs(),
            links: inspect::links(),
            pins,
            processes: processes(),
        }
    }

    /// The owner of the program with an id.
    pub fn of(&self, program_id: u32) -> Owner {
        let links = self
            .links
            .iter()
            .filter(|(_, program)| *program == program_id);
        let links: Vec<u32> = links.map(|(link, _)| *link).collect();
        let keeps = |held: &Held| match held {
            Held::Link(id) => links.contains(id),
            Held::Program(id) => links.is_empty() && *id == program_id,
        };
        let pins = self.pins.iter().filter(|(held, _)| keeps(held));
        let pins = pins.map(|(_, path)| path.clone()).collect();
        let processes = self.processes.iter().filter(|(held, _)| keeps(held));
        let mut processes: Vec<_> = processes.map(|(_, process)| process.clone()).collect();
        processes.sort();
        processes.dedup();
        Owner {
            program: self.programs.get(&program_id).cloned().unwrap_or(Program {
                id: program_id,
                name: "?".to_owned(),
                tag: "?".to_owned(),
            }),
            links,
            pins,
            processes,
        }
    }
}

impl Owner {
    /// How the program is detached from an interface.
    pub fn removal(&self, interface: &str, slot: Slot) -> String {
        let stop = self
            .processes
            .iter()
            .map(|process| format!("stop {process}"));
        let unlink = self.pins.iter().map(|pin| format!("rm {}", pin.display()));
        match self.links.first() {
            // A link lasts as long as whatever holds it.
            Some(link) => {
                let ways: Vec<String> = stop.chain(unlink).collect();
                let detach = format!("bpftool link detach id {link}");
                match ways.is_empty() {
                    true => detach,
                    false => format!("{} (at once: {detach})", ways.join(", ")),
                }
            }
            None => match slot {
                Slot::Xdp => format!("ip link set dev {interface} xdp off"),
                Slot::XdpGeneric => format!("ip link set dev {interface} xdpgeneric off"),
                Slot::Ingress => format!("bpftool net detach tcx_ingress dev {interface}"),
                Slot::Egress => format!("bpftool net detach tcx_egress dev {interface}"),
            },
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { id, name, tag } = &self.program;
        write!(f, "`{name}` (id {id}, tag {tag}")?;
        for link in &self.links {
            write!(f, ", link {link}")?;
        }
        for pin in &self.pins {
            write!(f, ", pinned at {}", pin.display())?;
        }
        for process in &self.processes {
            write!(f, ", held by {process}")?;
        }
        if self.links.is_empty() && self.processes.is_empty() && self.pins.is_empty() {
            f.write_str(", held by its interface alone")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// Folders below each other that pins are looked for in.
const MOST_FOLDERS: u32 = 8;
/// Pins that are looked at in one file system.
const MOST_PINS: u32 = 10_000;

/// How the BPF file system is mounted that a path lies in, such as
/// `bpf, mode=700`.
pub fn bpf_mount_of(path: &Path) -> Option<String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut mounts = bpf_mounts(&mountinfo);
    mounts.retain(|mount| path.starts_with(mount));
    let mount = mounts
        .into_iter()
        .max_by_key(|mount| mount.as_os_str().len())?;
    let mount = mount.to_str()?.replace(' ', "\\040");
    let mut lines = mountinfo.lines().rev();
    let line = lines.find(|line| line.split(' ').nth(4) == Some(&mount))?;
    let (_, after) = line.split_once(" - ")?;
    let mut fields = after.split(' ').skip(1);
    let (source, options) = (fields.next()?, fields.next()?);
    Some(
        match options
            .strip_prefix("rw,")
            .filter(|options| *options != "relatime")
        {
            Some(options) => format!("mounted as {source}, {options}"),
            None => format!("mounted as {source}"),
        },
    )
}

/// Where BPF file systems are mounted (`proc_pid_mountinfo(5)`).
fn bpf_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_bpf = after.split(' ').next() == Some("bpf");
        let mount = before.split(' ').nth(4)?;
        // A space in a name is written as an octal number.
        is_bpf.then(|| mount.replace("\\040", " ").into())
    });
    mounts.collect()
}

fn pins_in(folder: &Path, depth: u32, left: &mut u32, pins: &mut Vec<(Held, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            pins_in(&entry.path(), depth - 1, left, pins);
        } else if kind.is_file() && *left > 0 {
            *left -= 1;
            let held = sys::open_pin(&entry.path()).ok();
            let held = held.and_then(|pin| inspect::held_by(&pin));
            pins.extend(held.map(|held| (held, entry.path())));
        }
    }
}

/// What the processes hold, our own apart.
fn processes() -> Vec<(Held, Process)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return found;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fdinfo")) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        for descriptor in descriptors.flatten() {
            let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
            let Some(held) = inspect::held(&text) else {
                continue;
            };
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let name = name.trim_end().to_owned();
            found.push((held, Process { pid, name }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let program = |id: u32| Program {
            id,
            name: "filter".to_owned(),
            tag: "00ff".to_owned(),
        };
        let process = Process {
            pid: 12,
            name: "agent".to_owned(),
        };
        Owners {
            programs: (1..=4).map(|id| (id, program(id))).collect(),
            links: vec![(20, 1), (21, 2)],
            pins: vec![
                (Held::Link(20), "/sys/fs/bpf/x/link".into()),
                (Held::Program(1), "/sys/fs/bpf/x/prog".into()),
            ],
            processes: vec![
                (Held::Link(21), process.clone()),
                (Held::Link(21), process.clone()),
                (Held::Program(3), process),
            ],
        }
    }

    #[test]
    fn owners_and_the_way_to_be_rid_of_them_are_named() {
        let cases = [
            (
                1,
                Slot::Xdp,
                "`filter` (id 1, tag 00ff, link 20, pinned at /sys/fs/bpf/x/link)",
                "rm /sys/fs/bpf/x/link (at once: bpftool link detach id 20)",
            ),
            (
                2,
                Slot::Egress,
                "`filter` (id 2, tag 00ff, link 21, held by process 12 (agent))",
                "stop process 12 (agent) (at once: bpftool link detach id 21)",
            ),
            (
                3,
                Slot::Xdp,
                "`filter` (id 3, tag 00ff, held by process 12 (agent))",
                "ip link set dev eth0 xdp off",
            ),
            (
                4,
                Slot::XdpGeneric,
                "`filter` (id 4, tag 00ff, held by its interface alone)",
                "ip link set dev eth0 xdpgeneric off",
            ),
            (
                9,
                Slot::Egress,
                "`?` (id 9, tag ?, held by its interface alone)",
                "bpftool net detach tcx_egress dev eth0",
            ),
        ];
        for (id, slot, text, removal) in cases {
            let owner = owners().of(id);
            assert_eq!(owner.to_string(), text);
            assert_eq!(owner.removal("eth0", slot), removal, "{id}");
        }
    }

    #[test]
    fn mounts_are_read() {
        let mountinfo = "\
24 30 0:22 / /proc rw shared:14 - proc proc rw
31 23 0:27 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700
77 23 0:44 / /run/my\\040own rw - bpf none rw
";
        let want: Vec<PathBuf> = vec!["/sys/fs/bpf".into(), "/run/my own".into()];
        assert_eq!(bpf_mounts(mountinfo), want);
    }
}
