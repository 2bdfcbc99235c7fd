//! Programs on exactly the interfaces that a policy enforces.

use std::collections::BTreeMap;

use crate::kernel::KernelError;
use crate::kernel::links::{self, Attached, Hook, Point, Side};
use crate::kernel::netlink::Interface;
use crate::kernel::probe;
use crate::kernel::set::Set;
use crate::policy::model;

use super::instance::Instance;

/// The interfaces that get programs, and the ingress hook of each.
pub struct Wanted<'a> {
    interfaces: Vec<(&'a Interface, Hook)>,
}

/// What became of interfaces that should get programs.
#[derive(Default)]
pub struct Attempts {
    /// Names of those that lacked a program and have got it.
    pub attached: Vec<String>,
    /// Indices of those that refuse one, and why.
    pub refused: Vec<(u32, KernelError)>,
}

impl<'a> Wanted<'a> {
    /// Looks up the interfaces of an image by their indices.
    pub fn of(hooks: &BTreeMap<u32, model::Hook>, interfaces: &'a [Interface]) -> Self {
        let wanted = interfaces.iter().filter_map(|interface| {
            let hook = match hooks.get(&interface.ifindex)? {
                model::Hook::Xdp => Hook::Xdp,
                model::Hook::XdpGeneric => Hook::XdpGeneric,
                model::Hook::Tc => Hook::TcIngress,
            };
            Some((interface, hook))
        });
        Self {
            interfaces: wanted.collect(),
        }
    }

    /// The interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &'a Interface> {
        self.interfaces.iter().map(|(interface, _)| *interface)
    }

    /// Attaches what is not attached yet; when that fails, what this call has
    /// attached is detached again.
    ///
    /// Returns the names of interfaces that had no program of ours.
    pub fn attach(&self, instance: &Instance, set: &Set) -> Result<Vec<String>, KernelError> {
        let before = links::list(&instance.pins)?;
        let mut new = Vec::new();
        for (interface, hook) in &self.interfaces {
            if let Err(error) = complete(instance, set, &before, (interface, *hook)) {
                // What failed is the error to report.
                let _ = undo(instance, &before, |_| true);
                return Err(error);
            }
            if !before.iter().any(|one| one.ifindex == interface.ifindex) {
                new.push(interface.name.clone());
            }
        }
        Ok(new)
    }

    /// Attaches what is not attached yet, as far as the interfaces take it.
    ///
    /// An interface that refuses a program keeps those that it has.
    pub fn attach_each(&self, instance: &Instance, set: &Set) -> Result<Attempts, KernelError> {
        let before = living(instance)?;
        let mut attempts = Attempts::default();
        for (interface, hook) in &self.interfaces {
            let is_here = |one: &Attached| one.ifindex == interface.ifindex;
            let is_whole = is_whole(interface.ifindex, &before);
            match complete(instance, set, &before, (interface, *hook)) {
                Ok(()) if !is_whole => attempts.attached.push(interface.name.clone()),
                Ok(()) => {}
                // It vanished meanwhile, which the next look will tell.
                Err(error) if error.is_interface_gone() => {}
                Err(error) => {
                    undo(instance, &before, is_here)?;
                    attempts.refused.push((interface.ifindex, error));
                }
            }
        }
        Ok(attempts)
    }

    /// Detaches programs from all other interfaces, and returns their indices.
    pub fn sweep(&self, instance: &Instance) -> Result<Vec<u32>, KernelError> {
        sweep(instance, |ifindex| {
            self.interfaces().any(|wanted| wanted.ifindex == ifindex)
        })
    }
}

/// Detaches programs from all interfaces that are not wanted, and returns their
/// indices.
pub fn sweep(
    instance: &Instance,
    is_wanted: impl Fn(u32) -> bool,
) -> Result<Vec<u32>, KernelError> {
    let mut swept = Vec::new();
    for attached in links::list(&instance.pins)? {
        if !is_wanted(attached.ifindex) {
            attached.detach()?;
            swept.push(attached.ifindex);
        }
    }
    swept.sort_unstable();
    swept.dedup();
    Ok(swept)
}

/// Attaches the programs that an interface lacks.
fn complete(
    instance: &Instance,
    set: &Set,
    before: &[Attached],
    (interface, hook): (&Interface, Hook),
) -> Result<(), KernelError> {
    let on = |side| {
        let here = before.iter().filter(|one| one.ifindex == interface.ifindex);
        here.filter(move |one| one.side() == side)
    };
    let ingress = on(Side::Ingress);
    let (wanted, others): (Vec<_>, Vec<_>) =
        ingress.partition(|one| current_hook(one, interface) == hook);
    if wanted.is_empty() {
        attach_ingress(instance, set, &others, (interface, hook))?;
    }
    for other in others {
        // Where it stood in the way it is gone already.
        if other.point != Point::of(hook) {
            other.detach()?;
        }
    }
    // Where TC judges what comes in, it hands over, too.
    let hands_over = Point::of(hook) == Point::Xdp;
    match on(Side::Between).next() {
        None if hands_over => links::attach(&instance.pins, set, Hook::HandOver, interface)?,
        Some(other) if !hands_over => other.detach()?,
        _ => {}
    }
    if on(Side::Egress).next().is_none() {
        links::attach(&instance.pins, set, Hook::Egress, interface)?;
    }
    Ok(())
}

/// Attaches an ingress program where others of ours may be.
///
/// An interface has one place for XDP, in the driver or in the network stack.
/// While the program moves from one to the other, the TC ingress program judges
/// what comes in.
fn attach_ingress(
    instance: &Instance,
    set: &Set,
    others: &[&Attached],
    (interface, hook): (&Interface, Hook),
) -> Result<(), KernelError> {
    let attach = |hook| links::attach(&instance.pins, set, hook, interface);
    let at = |point| others.iter().find(|one| one.point == point);
    let Some(in_the_way) = at(Point::of(hook)) else {
        return attach(hook);
    };
    let stands_in = at(Point::Ingress).is_none();
    if stands_in {
        attach(Hook::TcIngress)?;
    }
    in_the_way.detach()?;
    let moved = attach(hook);
    if moved.is_err() {
        attach(current_hook(in_the_way, interface))?;
    }
    if stands_in {
        links::detach(&instance.pins, Point::Ingress, interface.ifindex)?;
    }
    moved
}

/// The hook that a program runs on.
pub fn current_hook(attached: &Attached, interface: &Interface) -> Hook {
    match attached.point {
        Point::Ingress => Hook::TcIngress,
        Point::HandOver => Hook::HandOver,
        Point::Egress => Hook::Egress,
        Point::Xdp if interface.xdp_generic == attached.program_id => Hook::XdpGeneric,
        Point::Xdp => Hook::Xdp,
    }
}

/// What is attached, without what went with its interface.
pub fn living(instance: &Instance) -> Result<Vec<Attached>, KernelError> {
    let mut attached = links::list(&instance.pins)?;
    attached.retain(|one| one.program_id.is_some());
    Ok(attached)
}

/// Whether programs judge what comes in and what goes out on an interface, and
/// what comes in is handed over.
pub fn is_whole(ifindex: u32, attached: &[Attached]) -> bool {
    let has = |point: Point| {
        let mut here = attached.iter().filter(|one| one.ifindex == ifindex);
        here.any(|one| one.point == point)
    };
    let hands_over = has(Point::Ingress) || has(Point::Xdp) && has(Point::HandOver);
    hands_over && has(Point::Egress)
}

/// Detaches what is new among the programs that are `meant`.
fn undo(
    instance: &Instance,
    before: &[Attached],
    meant: impl Fn(&Attached) -> bool,
) -> Result<(), KernelError> {
    let mut undone = Ok(());
    for attached in links::list(&instance.pins)? {
        let is_same =
            |one: &Attached| (one.point, one.ifindex) == (attached.point, attached.ifindex);
        if meant(&attached) && !before.iter().any(is_same) {
            undone = undone.and(attached.detach());
        }
    }
    undone
}

/// Fails early and clearly without the privileges that all else needs.
pub fn check_privileges(action: &'static str) -> Result<(), KernelError> {
    match probe::missing_capabilities() {
        Ok(missing) if !missing.is_empty() => Err(KernelError::NotPermitted { action }),
        _ => Ok(()),
    }
}

/// Fails early and clearly on a kernel that lacks what the programs need.
pub fn check_kernel() -> Result<(), KernelError> {
    match probe::is_at_least(5, 15) {
        true => Ok(()),
        false => Err(KernelError::TooOld(probe::release().unwrap_or_default())),
    }
}
