//! What can go wrong between this program and the kernel.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use super::btf::BadObject;
use super::links::Hook;
use super::owner::{Owner, Slot};

/// What can go wrong between this program and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The object inside this executable cannot be read.
    #[error("the kernel programs inside this executable are damaged")]
    BadObject(#[source] BadObject),
    /// The object inside this executable lacks a program or a map.
    #[error("the kernel programs inside this executable lack `{0}`")]
    Incomplete(&'static str),
    /// The kernel wants more privileges.
    #[error("{action} needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON): run it with sudo")]
    NotPermitted {
        /// What was attempted.
        action: &'static str,
    },
    /// The running kernel lacks what the programs need.
    #[error("Linux {0} is too old: enforcer needs 5.15 or later")]
    TooOld(String),
    /// The verifier, or something before it, refused a program.
    #[error("the kernel refuses program `{program}`, which needs Linux 5.15 ({refusal}):\n{}", end_of(.log))]
    Refused {
        /// Its name.
        program: &'static str,
        /// What the system said.
        refusal: io::Error,
        /// All that the verifier said.
        log: String,
    },
    /// The object could not be loaded.
    #[error("cannot load the kernel programs and maps")]
    Load(#[source] Box<EbpfError>),
    /// The kernel refused what names the fields of maps, and the loader went on
    /// without.
    #[error(
        "`{0}` is in the kernel without the names that `bpftool` shows; whatever refused them (memory, a security module) may do so for this moment only: try again"
    )]
    Nameless(&'static str),
    /// A loaded program could not be used.
    #[error("program `{program}` cannot be used")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the system said.
        source: Box<ProgramError>,
    },
    /// A map could not be opened.
    #[error("cannot open map `{map}`")]
    OpenMap {
        /// Its name.
        map: &'static str,
        /// What the system said.
        source: Box<MapError>,
    },
    /// A map could not be read or written.
    #[error("cannot {action} map `{map}`")]
    Map {
        /// What was attempted.
        action: &'static str,
        /// Its name.
        map: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A pinned map is not what this version uses.
    #[error("{} has {property} {found} where this version of enforcer has {expected}: run `enforcer detach`, which opens the network, then apply again", .path.display())]
    Shape {
        /// Where it is pinned.
        path: PathBuf,
        /// What differs.
        property: &'static str,
        /// What the map has.
        found: u32,
        /// What this version has.
        expected: u32,
    },
    /// Pins of another map layout.
    #[error("{} belongs to map layout {found}, this version of enforcer has {expected}: {}", .path.display(), other_layout(*.found, *.expected))]
    Layout {
        /// The folder.
        path: PathBuf,
        /// Its layout version.
        found: u32,
        /// That of this version.
        expected: u32,
    },
    /// The maps hold two policies that both may come to count.
    #[error(
        "the active policy is not confirmed: run `enforcer confirm` or `enforcer rollback` first"
    )]
    Unconfirmed,
    /// The folder for pins is not in a BPF file system.
    #[error("{} is not a BPF file system: mount one with `mount -t bpf bpf {}`", .0.display(), .0.display())]
    NotBpffs(PathBuf),
    /// Somebody else has put something where the pins belong.
    #[error("{} is no folder of this user's: remove it, then try again", .0.display())]
    ForeignFolder(PathBuf),
    /// A file, folder or pin.
    #[error("cannot {action} {}", .path.display())]
    Pin {
        /// What was attempted.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another program has the only place there is.
    #[error(
        "interface {interface} already runs the XDP program {owner}, and an interface takes one only; to detach it: {}", .owner.removal(.interface, *.slot)
    )]
    SlotTaken {
        /// Name of the interface.
        interface: String,
        /// The other program.
        owner: Box<Owner>,
        /// Where it runs.
        slot: Slot,
    },
    /// The driver has no XDP.
    #[error(
        "the driver of interface {interface} has no XDP; `interfaces: {{ {interface}: {{ hook: xdp-generic }} }}` in the policy judges its packets in the network stack, more slowly"
    )]
    NoDriverXdp {
        /// Name of the interface.
        interface: String,
    },
    /// A program could not be attached.
    #[error("cannot attach the {hook} program to interface {interface}{}", hint(.hook, .source))]
    Attach {
        /// Where.
        hook: Hook,
        /// Name of the interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be attached by a filter.
    #[error("cannot attach the TC egress program to interface {interface}")]
    Filter {
        /// Name of the interface.
        interface: String,
        /// What the system said.
        source: Box<ProgramError>,
    },
    /// Interfaces, addresses or routes could not be read.
    #[error("cannot read {0} from the kernel")]
    Netlink(&'static str, #[source] Box<rtnetlink::Error>),
    /// Something else the system refused.
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
}

impl KernelError {
    /// Whether the interface that a program was meant for is not there any more.
    pub fn is_interface_gone(&self) -> bool {
        matches!(self, Self::Attach { source, .. } if source.raw_os_error() == Some(libc::ENODEV))
    }

    /// Lets a refusal for lack of privileges speak for itself.
    pub(super) fn permission(self, action: &'static str) -> Self {
        if self.is_caused_by(is_denied) {
            return Self::NotPermitted { action };
        }
        self
    }

    /// Whether the interface that it is about does not exist any more.
    pub fn is_no_device(&self) -> bool {
        self.is_caused_by(|error| error.raw_os_error() == Some(libc::ENODEV))
    }

    fn is_caused_by(&self, is_meant: impl Fn(&io::Error) -> bool) -> bool {
        let mut causes = causes(self);
        causes.any(|error| error.downcast_ref::<io::Error>().is_some_and(&is_meant))
    }
}

/// An error and what caused it, the last cause last.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// An error and all its causes, in one line.
pub fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let texts = causes(error).map(|error| error.to_string().replace('\n', "; "));
    texts.collect::<Vec<_>>().join(": ")
}

/// Whether the system refused for lack of privileges.
pub(super) fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// What to do about pins of another layout.
fn other_layout(found: u32, expected: u32) -> &'static str {
    match found < expected {
        true => {
            "`enforcer apply`, or `enforcer run`, moves the policy over without a gap; flows and counters then begin anew"
        }
        false => {
            "use the newer enforcer that has made them, or run `enforcer detach`, which opens the network, then apply again"
        }
    }
}

/// The last lines of a verifier log, where the reason stands.
fn end_of(log: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// What drivers mean by the errors they give.
fn hint(hook: &Hook, error: &io::Error) -> &'static str {
    match (hook, error.raw_os_error()) {
        (Hook::Xdp, Some(libc::EINVAL | libc::ERANGE | libc::EMSGSIZE)) => {
            "; drivers refuse XDP while the MTU is too large, or while LRO is on"
        }
        (Hook::Xdp, Some(libc::ENOSPC | libc::ENOMEM)) => {
            "; drivers need one free queue per CPU for XDP"
        }
        _ => "",
    }
}
