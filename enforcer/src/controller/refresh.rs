//! Follows the machine: the active policy, enforced on the interfaces and
//! addresses that there are now.
//!
//! Nothing that is in force is taken back: programs stay on an interface for as
//! long as it exists, and until the new tables are complete the old ones count.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::compile::machine::Programs;
use crate::compile::{Image, Machine, compile};
use crate::kernel::links::{Attached, Hook, Side};
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::set::Set;
use crate::kernel::{KernelError, in_one_line};
use crate::policy::{Policy, model};

use super::error::ControllerError;
use super::grow::{reparsed, tables};
use super::install::{Next, enforced};
use super::instance::Instance;
use super::lock::Lock;
use super::machine::machine_with;
use super::programs::{self, Wanted, current_hook};
use super::settle::settle;
use super::state::Record;

/// What is in force after a look at the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// Name of the policy.
    pub policy: String,
    /// Number of the tables in force.
    pub generation: u32,
    /// Whether they are new.
    pub is_new: bool,
    /// Names of the interfaces with programs.
    pub interfaces: Vec<String>,
    /// Those of them that had lacked one.
    pub attached: Vec<String>,
    /// Interfaces that the policy names and that do not exist.
    pub missing: BTreeSet<String>,
    /// Interfaces with programs that the policy does not ask for any more.
    pub kept: BTreeSet<String>,
    /// Interfaces that should have programs and refuse them, and why.
    pub refused: Vec<(String, String)>,
    /// How long the policy waits to be confirmed; until then nothing is followed.
    pub confirm_in: Option<Duration>,
}

/// Looks at the machine and makes what is in force fit; `None` when no policy is
/// active.
///
/// The caller holds the lock.
pub fn refresh(instance: &Instance, _lock: &Lock) -> Result<Option<Refreshed>, ControllerError> {
    programs::check_privileges("following changes")?;
    instance.pins.check()?;
    // What is of an older layout is moved out of it below.
    if instance.pins.older_layout()?.is_none() && instance.pins.current()?.is_none() {
        return Ok(None);
    }
    let Some(active) = settle(instance)? else {
        return Ok(None);
    };
    let record = active.record?;
    if let Some(waiting) = active.waiting {
        let found = described(&record, Vec::new());
        return Ok(Some(Refreshed {
            confirm_in: Some(waiting.left),
            ..found
        }));
    }
    let netlink = Netlink::connect()?;
    let interfaces = netlink.interfaces()?;
    let (_, policy) = reparsed(&record)?;
    let mut machine = machine_with(&interfaces, &netlink)?;
    machine.await_missing(&policy);
    let attached = programs::living(instance)?;
    if machine == record.machine && is_complete(&record, &attached) {
        return Ok(Some(described(&record, Vec::new())));
    }
    follow(
        instance,
        (active.set, &record),
        (&policy, machine),
        (&interfaces, &attached),
    )
    .map(Some)
}

/// What is in force, as far as one look at it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    set: u32,
    generation: u32,
    confirm_by: Option<u64>,
}

/// Looks whether anything has changed in what is in force; `None` when nothing
/// is, or nothing that can be read.
pub fn glance(instance: &Instance) -> Option<Glance> {
    let number = instance.pins.current().ok()??;
    let set = Set::open(&instance.pins, number).ok()?;
    Some(Glance {
        set: number,
        generation: set.maps.generation(),
        confirm_by: set.maps.pending().map(|pending| pending.until),
    })
}

fn follow(
    instance: &Instance,
    (set, known): (Set, &Record),
    (policy, mut machine): (&Policy, Machine),
    (interfaces, attached): (&[Interface], &[Attached]),
) -> Result<Refreshed, ControllerError> {
    let mut image = fitting(known, policy, &machine)?;
    if keep(&mut machine, &image, (interfaces, attached)) {
        image = fitting(known, policy, &machine)?;
    }
    let wanted = Wanted::of(&image.hooks, interfaces);
    let attempts = wanted.attach_each(instance, &set)?;
    let is_refused = !attempts.refused.is_empty();
    let refused = refuse(&mut machine, attempts.refused, attached);
    if is_refused {
        image = fitting(known, policy, &machine)?;
    }
    let wanted = Wanted::of(&image.hooks, interfaces);
    let is_new = !set.maps.enforce(&tables(&image));
    let record = Record {
        generation: known.generation + u32::from(is_new),
        interfaces: enforced(&wanted),
        machine,
        ..known.clone()
    };
    let refreshed = Refreshed {
        is_new,
        attached: attempts.attached,
        ..described(&record, refused)
    };
    if is_new {
        let next = Next {
            image: &image,
            wanted: &wanted,
            confirm: None,
            record,
        };
        let previous = next.record.previous;
        next.install(instance, Some(set))?;
        let generation = refreshed.generation;
        let kept: Vec<u32> = previous.into_iter().chain([generation]).collect();
        instance.store.keep_only(&kept)?;
    }
    Ok(refreshed)
}

/// The tables for a machine; refused, it is the machine that has changed.
fn fitting(record: &Record, policy: &Policy, machine: &Machine) -> Result<Image, ControllerError> {
    let image = compile(policy, machine, &mut record.numbering.clone());
    image.map_err(|findings| ControllerError::Unfit {
        policy: policy.name.clone(),
        findings,
    })
}

/// Whether every interface of a record has its programs.
fn is_complete(record: &Record, attached: &[Attached]) -> bool {
    let mut enforced = record.interfaces.iter();
    enforced.all(|one| programs::is_whole(one.ifindex, attached))
}

/// Keeps programs where they are though the policy does not ask for them, or
/// asks for another hook; says whether there are any.
fn keep(
    machine: &mut Machine,
    image: &Image,
    (interfaces, attached): (&[Interface], &[Attached]),
) -> bool {
    let mut keeps_any = false;
    for interface in interfaces {
        let here = attached
            .iter()
            .filter(|one| one.ifindex == interface.ifindex);
        let hooks = here.filter_map(|one| match current_hook(one, interface) {
            Hook::Xdp => Some(model::Hook::Xdp),
            Hook::XdpGeneric => Some(model::Hook::XdpGeneric),
            Hook::TcIngress => Some(model::Hook::Tc),
            Hook::HandOver | Hook::Egress => None,
        });
        let hooks: Vec<_> = hooks.collect();
        let Some(first) = hooks.first() else { continue };
        let wanted = image.hooks.get(&interface.ifindex);
        // A port of a bridge cannot be judged at XDP.
        let moves = wanted == Some(&model::Hook::Tc) && is_port(interface, interfaces);
        if !moves && !wanted.is_some_and(|wanted| hooks.contains(wanted)) {
            set_programs(machine, interface.ifindex, Programs::Kept(*first));
            keeps_any = true;
        }
    }
    keeps_any
}

fn is_port(interface: &Interface, interfaces: &[Interface]) -> bool {
    let is_bridge = |one: &&Interface| {
        Some(one.ifindex) == interface.master && one.kind.as_deref() == Some("bridge")
    };
    interfaces.iter().any(|one| is_bridge(&one))
}

/// Leaves out interfaces that refuse programs; names those that still exist.
fn refuse(
    machine: &mut Machine,
    refused: Vec<(u32, KernelError)>,
    before: &[Attached],
) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for (ifindex, error) in refused {
        if error.is_no_device() {
            // Gone since it was listed; the news of that is on its way.
            machine.interfaces.retain(|one| one.ifindex != ifindex);
            continue;
        }
        let mut here = before.iter().filter(|one| one.ifindex == ifindex);
        if !here.any(|one| one.side() == Side::Ingress) {
            set_programs(machine, ifindex, Programs::Refused);
        }
        let found = machine.interfaces.iter().find(|one| one.ifindex == ifindex);
        let name = found.map_or_else(|| format!("#{ifindex}"), |one| one.name.clone());
        named.push((name, in_one_line(&error)));
    }
    named
}

fn set_programs(machine: &mut Machine, ifindex: u32, programs: Programs) {
    let mut interfaces = machine.interfaces.iter_mut();
    if let Some(one) = interfaces.find(|one| one.ifindex == ifindex) {
        one.programs = programs;
    }
}

fn described(record: &Record, refused: Vec<(String, String)>) -> Refreshed {
    let Record { machine, .. } = record;
    let is_kept = |programs: Programs| matches!(programs, Programs::Kept(_));
    let kept = machine
        .interfaces
        .iter()
        .filter(|one| is_kept(one.programs));
    Refreshed {
        policy: record.policy.name.clone(),
        generation: record.generation,
        is_new: false,
        interfaces: record
            .interfaces
            .iter()
            .map(|one| one.name.clone())
            .collect(),
        attached: Vec::new(),
        missing: machine.awaited.clone(),
        kept: kept.map(|one| one.name.clone()).collect(),
        refused,
        confirm_in: None,
    }
}
