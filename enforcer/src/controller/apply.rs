//! Applies a policy: stage, activate, sweep.

use std::time::Duration;

use crate::compile::{Image, Machine, Numbering, compile};
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::routes::KernelRoutes;
use crate::policy::{self, Findings, Policy, Source};

use super::error::{ControllerError, Done};
use super::explain::Subject;
use super::install::{Next, enforced, now_s};
use super::instance::Instance;
use super::lock::Lock;
use super::machine::machine;
use super::programs::{self, Wanted};
use super::settle::{Active, settle};
use super::shrink::shrink;
use super::ssh;
use super::state::{AppliedPolicy, Record};
use super::tags;

/// How a policy is applied.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// Drop nothing, whatever the policy says.
    pub audit: bool,
    /// Return to what is in force now, unless it is confirmed within this time.
    pub confirm: Option<Duration>,
    /// Accept names of interfaces that come later.
    pub allow_missing: bool,
}

/// What an apply did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Number of the apply.
    pub generation: u32,
    /// Name of the policy.
    pub policy: String,
    /// Warnings about the policy.
    pub warnings: Findings,
    /// What else should be known.
    pub notes: Vec<String>,
    /// Names of the interfaces that it is enforced on.
    pub interfaces: Vec<String>,
    /// Those of them that had no programs before.
    pub attached: Vec<String>,
    /// Interfaces whose programs were removed.
    pub detached: Vec<String>,
    /// How long it waits to be confirmed, if it does.
    pub confirm: Option<Duration>,
}

/// Puts a policy in force.
///
/// Until it is activated, by one store, the policy before stays in force; any
/// failure leaves it so.
pub fn apply(
    instance: &Instance,
    source: &Source,
    options: &ApplyOptions,
) -> Result<Applied, ControllerError> {
    // What is wrong with the policy is told to everybody.
    policy::parse(source).map_err(ControllerError::Rejected)?;
    programs::check_privileges("applying a policy")?;
    programs::check_kernel()?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    apply_locked(instance, source, options)
}

/// Puts a policy in force for somebody who holds the lock.
pub(super) fn apply_locked(
    instance: &Instance,
    source: &Source,
    options: &ApplyOptions,
) -> Result<Applied, ControllerError> {
    let (policy, mut warnings) = policy::parse(source).map_err(ControllerError::Rejected)?;
    let policy = if options.audit {
        policy.audited()
    } else {
        policy
    };
    instance.pins.prepare()?;
    let netlink = Netlink::connect()?;
    let active = settle(instance)?;
    if let Some(Active { generation, .. }) = active.as_ref().filter(|it| it.waiting.is_some()) {
        let generation = *generation;
        return Err(ControllerError::Unconfirmed { generation });
    }
    let interfaces = netlink.interfaces()?;
    let mut machine = machine(&netlink)?;
    if options.allow_missing {
        warnings.extend(machine.await_missing(&policy));
    }
    let mut numbering = match &active {
        Some(active) => active.numbering()?,
        None => Numbering::default(),
    };
    let image = compile(&policy, &machine, &mut numbering).map_err(ControllerError::Rejected)?;
    tags::check(&policy, &machine, &image.hooks)?;
    if options.confirm.is_none() {
        spare_session(source, &policy, &image, &machine)?;
    }
    let wanted = Wanted::of(&image.hooks, &interfaces);
    let last = instance.store.last()?;
    let last = active.as_ref().map_or(last, |it| last.max(it.generation));
    let next = Next {
        image: &image,
        wanted: &wanted,
        confirm: options.confirm,
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
            audit: options.audit,
            previous: previous(instance, active.as_ref(), (source, options))?,
        },
    };
    let damage = active.as_ref().and_then(|it| it.record.as_ref().err());
    let damage = damage.map(|error| format!("the policy before was not known: {}", error.told()));
    let moved = active.as_ref().and_then(|it| it.moved_from);
    let moved = moved
        .map(|layout| format!("moved out of map layout {layout}: flows and counters began anew"));
    let attached = next.install(instance, active.map(|active| active.set))?;
    let swept = next.sweep(instance)?;
    if options.confirm.is_none() {
        let shrunk = shrink(instance, (&policy, &next.record), image.sizes());
        shrunk.map_err(Done::Active(next.record.generation).but())?;
    }
    Ok(Applied {
        generation: next.record.generation,
        policy: policy.name,
        warnings,
        notes: damage.into_iter().chain(moved).collect(),
        interfaces: wanted.interfaces().map(|one| one.name.clone()).collect(),
        attached,
        detached: swept
            .iter()
            .map(|ifindex| name_of(*ifindex, &interfaces))
            .collect(),
        confirm: options.confirm,
    })
}

/// Refuses a policy that would cut the SSH session that this process runs in.
fn spare_session(
    source: &Source,
    policy: &Policy,
    image: &Image,
    machine: &Machine,
) -> Result<(), ControllerError> {
    let subject = || {
        Some(Subject {
            source: source.clone(),
            policy: policy.clone(),
            image: image.clone(),
            machine: machine.clone(),
            routes: Some(KernelRoutes::connect().ok()?),
        })
    };
    match ssh::cut(subject) {
        None => Ok(()),
        Some(cut) => Err(ControllerError::CutsSession(Box::new(cut))),
    }
}

/// The policy that `rollback` returns to from the next one.
///
/// Applying the same policy again does not take the way back.
fn previous(
    instance: &Instance,
    active: Option<&Active>,
    (source, options): (&Source, &ApplyOptions),
) -> Result<Option<u32>, ControllerError> {
    let Some(active) = active else {
        let last_good = instance.store.last_good()?.record;
        return Ok(last_good.map(|record| record.generation));
    };
    Ok(match &active.record {
        Ok(record) if record.policy.text == source.text() && record.audit == options.audit => {
            record.previous
        }
        Ok(record) => Some(record.generation),
        Err(_) => None,
    })
}

fn name_of(ifindex: u32, interfaces: &[Interface]) -> String {
    let found = interfaces.iter().find(|one| one.ifindex == ifindex);
    found.map_or_else(|| format!("#{ifindex}"), |one| one.name.clone())
}
