//! Applies a policy: stage, activate, sweep.

use crate::compile::{Numbering, compile};
use crate::kernel::netlink::{Interface, Netlink};
use crate::policy::{self, Findings, Source};

use super::error::ControllerError;
use super::install::{Next, enforced, now_s};
use super::instance::Instance;
use super::lock::Lock;
use super::machine::machine;
use super::programs::{self, Wanted};
use super::settle::settle;
use super::state::{AppliedPolicy, Record};

/// What an apply did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Number of the apply.
    pub generation: u32,
    /// Name of the policy.
    pub policy: String,
    /// Warnings about the policy.
    pub warnings: Findings,
    /// Names of the interfaces that it is enforced on.
    pub interfaces: Vec<String>,
    /// Those of them that had no programs before.
    pub attached: Vec<String>,
    /// Interfaces whose programs were removed.
    pub detached: Vec<String>,
}

/// Puts a policy in force.
///
/// Until it is activated, by one store, the policy before stays in force; any
/// failure leaves it so.
pub fn apply(instance: &Instance, source: &Source) -> Result<Applied, ControllerError> {
    let (policy, warnings) = policy::parse(source).map_err(ControllerError::Rejected)?;
    programs::check_privileges("applying a policy")?;
    programs::check_kernel()?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    instance.pins.prepare()?;

    let netlink = Netlink::connect()?;
    let active = settle(instance)?;
    let interfaces = netlink.interfaces()?;
    let machine = machine(&netlink)?;
    let mut numbering = match &active {
        Some(active) => active.record.numbering.clone(),
        None => Numbering::default(),
    };
    let image = compile(&policy, &machine, &mut numbering).map_err(ControllerError::Rejected)?;
    let last = match &active {
        Some(active) => active.record.generation,
        None => instance.store.last()?,
    };
    let previous = active.as_ref().map(|active| active.record.generation);
    let wanted = Wanted::of(&image.hooks, &interfaces);
    let next = Next {
        image: &image,
        wanted: &wanted,
        record: Record {
            generation: last + 1,
            applied_at: now_s(),
            policy: AppliedPolicy {
                name: policy.name.clone(),
                path: std::path::absolute(source.path()).unwrap_or(source.path().into()),
                text: source.text().to_owned(),
            },
            interfaces: enforced(&wanted),
            numbering,
            machine,
            audit: false,
            previous,
        },
    };
    let attached = next.install(instance, active)?;
    let swept = wanted.sweep(instance)?;
    let kept: Vec<u32> = previous
        .into_iter()
        .chain([next.record.generation])
        .collect();
    instance.store.keep_only(&kept)?;
    Ok(Applied {
        generation: next.record.generation,
        policy: policy.name,
        warnings,
        interfaces: wanted.interfaces().map(|one| one.name.clone()).collect(),
        attached,
        detached: swept
            .iter()
            .map(|ifindex| name_of(*ifindex, &interfaces))
            .collect(),
    })
}

fn name_of(ifindex: u32, interfaces: &[Interface]) -> String {
    let found = interfaces.iter().find(|one| one.ifindex == ifindex);
    found.map_or_else(|| format!("#{ifindex}"), |one| one.name.clone())
}
