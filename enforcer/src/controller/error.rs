//! Why a command of the controller failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::unistd::geteuid;

use crate::kernel::KernelError;
use crate::policy::Findings;

use super::sealed::Damage;
use super::ssh::Cut;

/// Why a command of the controller failed.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Another process changes the same installation.
    #[error("another enforcer is at work here{}; try again when it is done", holder(.pid))]
    Busy {
        /// Its process id, if it has said so.
        pid: Option<u32>,
    },
    /// Another process follows the events.
    #[error("events are read once, and another enforcer follows them{}; end it first", holder(.pid))]
    Followed {
        /// Its process id, if it has said so.
        pid: Option<u32>,
    },
    /// The policy is refused.
    #[error("the policy is rejected: {0}")]
    Rejected(Findings),
    /// Maps of an older layout, and nothing that tells their policy.
    #[error(
        "the policy in force lies in map layout {layout}, and no state file tells which it is: run `enforcer detach`, which opens the network, then apply again"
    )]
    NothingToMove {
        /// The older layout.
        layout: u32,
    },
    /// The policy that is active does not compile any more.
    #[error("the policy that is active ({}) does not compile with this version of enforcer ({findings}): it stays in force; apply one that does", .path.display())]
    StoredRejected {
        /// Where it came from.
        path: PathBuf,
        /// Why.
        findings: Findings,
    },
    /// The policy that is active cannot be enforced on the machine as it is now.
    #[error("policy `{policy}` does not fit this machine any more: {}; what was in force stays so, and nothing new is followed: change that, or apply another policy", listed(.findings))]
    Unfit {
        /// Its name.
        policy: String,
        /// Why.
        findings: Findings,
    },
    /// A policy waits to be confirmed, and takes the place of the next one.
    #[error(
        "the active policy (generation {generation}) is not confirmed: run `enforcer confirm` or `enforcer rollback` first"
    )]
    Unconfirmed {
        /// Its number.
        generation: u32,
    },
    /// The policy would cut the session that the command runs in.
    #[error("{0}")]
    CutsSession(Box<Cut>),
    /// Nothing waits to be confirmed.
    #[error("no policy waits to be confirmed; `enforcer status` shows what is active")]
    NothingToConfirm,
    /// The deadline has passed.
    #[error(
        "too late: generation {generation} was not confirmed in time, and what was in force before is so again; apply the policy once more, `enforcer status` shows what is active"
    )]
    TooLate {
        /// The policy that is gone.
        generation: u32,
    },
    /// No policy was active before.
    #[error(
        "no policy is known that was active before: apply one, or run `enforcer detach` to open the network"
    )]
    NothingBefore,
    /// An interface that should be enforced cannot be.
    #[error("no program can be attached to interface {interface}: {reason}")]
    Refused {
        /// Its name.
        interface: String,
        /// Why.
        reason: String,
    },
    /// Zones depend on VLAN tags that a device takes off.
    #[error(
        "interface {interface} takes VLAN tags off before XDP sees them, and zones depend on them: run `ethtool -K {interface} rxvlan off`, or write `interfaces: {{ {interface}: {{ hook: tc }} }}` in the policy"
    )]
    HiddenTags {
        /// Its name.
        interface: String,
    },
    /// No policy is in force that should be, and nothing is forwarded.
    #[error(
        "forwarding stays off, because the policy is not in force again; mend that or apply another policy, then run `enforcer boot` once more (without any policy: `enforcer detach`)"
    )]
    Closed(#[source] Box<ControllerError>),
    /// What the command is for is done, and what has to follow failed.
    #[error(
        "{done}, but not all that has to follow could be done; the next command that changes something does it"
    )]
    Unfinished {
        /// What is in force.
        done: Done,
        /// What failed.
        source: Box<ControllerError>,
    },
    /// No policy is active.
    #[error("no policy is active: run `enforcer apply POLICY`")]
    NothingActive,
    /// The kernel enforces a policy that nobody knows.
    #[error("generation {generation} is active, but its state file {} is missing (what is in force stays so; `enforcer apply POLICY` writes a new one)", .path.display())]
    NoState {
        /// The active generation.
        generation: u32,
        /// The state file that should be there.
        path: PathBuf,
    },
    /// A state file does not hold what it should.
    #[error("state file {} cannot be used (what is in force stays so; `enforcer apply POLICY` writes a new one)", .path.display())]
    BadState {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Damage,
    },
    /// A file or folder of ours.
    #[error("cannot {action} {}{}", .path.display(), remedy(.source))]
    File {
        /// What was attempted.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something below.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl ControllerError {
    /// The error and all its causes, in one line.
    pub fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

/// What a command has put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The policy with this number.
    Active(u32),
    /// What was in force before a policy that waited to be confirmed.
    TakenBack,
    /// Nothing.
    Open,
}

impl Done {
    /// Tells what is in force together with what failed.
    pub(super) fn but<E: Into<ControllerError>>(self) -> impl FnOnce(E) -> ControllerError {
        move |error| match error.into() {
            unfinished @ ControllerError::Unfinished { .. } => unfinished,
            source => ControllerError::Unfinished {
                done: self,
                source: Box::new(source),
            },
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active(generation) => write!(f, "generation {generation} is active"),
            Self::TakenBack => f.write_str("what was in force before is active again"),
            Self::Open => f.write_str("the network is open"),
        }
    }
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (nothing has changed; make room there, then try again)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            " (nothing has changed; make it writable, then try again)"
        }
        io::ErrorKind::NotADirectory => {
            " (nothing has changed; a folder of enforcer belongs there, remove what is in its place)"
        }
        _ => "",
    }
}

fn listed(findings: &Findings) -> String {
    let kinds = findings.iter().map(|finding| finding.kind.to_string());
    kinds.collect::<Vec<_>>().join(", ")
}

/// Turns what the system said of a file into an error.
pub(super) fn failed(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> ControllerError {
    let path = path.into();
    move |source| {
        // Root is not helped by the advice to be root.
        if source.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root() {
            return KernelError::NotPermitted {
                action: "reading or changing the state of enforcer",
            }
            .into();
        }
        ControllerError::File {
            action,
            path,
            source,
        }
    }
}
