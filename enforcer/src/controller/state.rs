//! What is known of an applied policy beyond what the kernel knows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::compile::{Machine, Numbering};

/// One applied policy, as a state file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the apply; the kernel knows the policy by it.
    pub generation: u32,
    /// When it was applied, in seconds since 1970.
    pub applied_at: u64,
    /// The policy.
    pub policy: AppliedPolicy,
    /// The interfaces that got programs.
    pub interfaces: Vec<Enforced>,
    /// Numbers of zones and conduits.
    pub numbering: Numbering,
    /// What the policy was compiled for.
    pub machine: Machine,
    /// Whether nothing is dropped, whatever the policy says.
    #[serde(default)]
    pub audit: bool,
    /// The policy before, which `rollback` returns to.
    #[serde(default)]
    pub previous: Option<u32>,
}

/// The policy of an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedPolicy {
    /// Its name.
    pub name: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// An interface that got programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enforced {
    /// Its index at that time.
    pub ifindex: u32,
    /// Its name at that time.
    pub name: String,
}

/// A record for tests.
#[cfg(test)]
pub(super) fn record(generation: u32) -> Record {
    Record {
        generation,
        applied_at: 1_700_000_000,
        policy: AppliedPolicy {
            name: "plant".to_owned(),
            path: "/etc/enforcer/policy.yaml".into(),
            text: "version: 1\nname: \"ü\"\n".to_owned(),
        },
        interfaces: vec![Enforced {
            ifindex: 7,
            name: "eth0".to_owned(),
        }],
        numbering: Numbering::default(),
        machine: Machine::default(),
        audit: false,
        previous: generation.checked_sub(1),
    }
}
