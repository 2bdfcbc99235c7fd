//! From a policy to an image: what the tables of the kernel hold, so that the
//! cost of a packet does not grow with the policy.
//!
//! Links ([`links`]) and addresses ([`addresses`]) are told apart only as far as
//! the zones do, services ([`services`]) as far as the conduits do. Two classes
//! give the source zone ([`sources`]), two zones give a row, and row and service
//! give what decides ([`rows`]). Nothing here does I/O: equal policies on equal
//! machines give equal images, byte for byte.

mod addresses;
mod claims;
mod coverage;
mod devices;
mod enforced;
mod equals;
mod flows;
mod hash;
mod idle;
mod image;
mod interner;
mod link_rows;
mod links;
pub mod machine;
mod macs;
mod members;
pub mod memory;
mod modes;
pub mod numbering;
mod rows;
mod services;
pub mod size;
mod sources;
mod tables;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::BTreeMap;

pub use image::Image;
pub use machine::Machine;
pub use numbering::{AUDIT, Numbering};

use crate::policy::model::Hook;
use crate::policy::{Findings, Policy};
use addresses::Addresses;
use claims::Claims;
use enforced::Judged;
use links::Links;
use machine::Devices;
use rows::Rows;
use services::Services;
use sources::Sources;
use tables::Parts;

/// Compiles a policy for a machine.
///
/// Names that are new get numbers in `numbering`; it stays as it is when the
/// policy is refused.
pub fn compile(
    policy: &Policy,
    machine: &Machine,
    numbering: &mut Numbering,
) -> Result<Image, Findings> {
    let devices = Devices::new(machine);
    let hooks = enforced::hooks(policy, &devices);
    let zones = devices::where_seen(policy, &devices);
    let (hooks, zones) = both(hooks, zones)?;
    members::refuse_bare(&zones, &devices)?;
    let numbers = numbering.with(policy)?;
    let claims = Claims::new(&zones, policy, &devices, &numbers);
    let links = Links::new(&claims, &devices);
    let addresses = Addresses::new(&claims, machine);
    let sources = Sources::new(&claims, &addresses, &links)?;
    let services = Services::new(policy)?;
    let rows = Rows::new(policy, (&sources, &services), &numbers)?;
    let judged = Judged::new(&hooks, &devices);
    let parts = Parts {
        links: links.tables(&sources, &judged)?,
        addresses,
        sources,
        services,
        rows,
        zone_ids: numbers.zone_ids(),
    };
    let (blocks, mut layout) = tables::lay_out(parts)?;
    layout.idle = idle::seconds(&policy.limits.idle);
    *numbering = numbers;
    Ok(Image {
        blocks,
        layout,
        zones: numbering.zone_names(),
        slots: numbering.slot_names(policy.failsafe.len()),
        flows: policy.limits.flows,
        flows_new: policy.limits.flows_new,
        hooks,
    })
}

/// The interfaces that get programs, by index, and on which hook.
pub fn hooks(policy: &Policy, machine: &Machine) -> Result<BTreeMap<u32, Hook>, Findings> {
    enforced::hooks(policy, &Devices::new(machine))
}

/// Both results, or the findings of both.
fn both<A, B>(a: Result<A, Findings>, b: Result<B, Findings>) -> Result<(A, B), Findings> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(mut findings), Err(more)) => {
            findings.extend(more);
            Err(findings)
        }
        (Err(findings), _) | (_, Err(findings)) => Err(findings),
    }
}
