//! Programs on exactly the interfaces that a policy enforces.

use std::collections::BTreeMap;

use crate::kernel::KernelError;
use crate::kernel::links::{self, Attached, Hook, Side};
use crate::kernel::netlink::Interface;
use crate::kernel::probe;
use crate::kernel::set::Set;
use crate::policy::model;

use super::instance::Instance;

/// The interfaces that get programs, and the ingress hook of each.
pub struct Wanted<'a> {
    interfaces: Vec<(&'a Interface, Hook)>,
}

impl<'a> Wanted<'a> {
    /// Looks up the interfaces of an image by their indices.
    pub fn of(hooks: &BTreeMap<u32, model::Hook>, interfaces: &'a [Interface]) -> Self {
        let wanted = interfaces.iter().filter_map(|interface| {
            let hook = match hooks.get(&interface.ifindex)? {
                model::Hook::Xdp => Hook::Xdp,
                model::Hook::XdpGeneric => Hook::XdpGeneric,
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
                undo(instance, &before)?;
                return Err(error);
            }
            if !before.iter().any(|one| one.ifindex == interface.ifindex) {
                new.push(interface.name.clone());
            }
        }
        Ok(new)
    }

    /// Detaches programs from all other interfaces, and returns their indices.
    pub fn sweep(&self, instance: &Instance) -> Result<Vec<u32>, KernelError> {
        let mut swept = Vec::new();
        for attached in links::list(&instance.pins)? {
            if !self
                .interfaces()
                .any(|wanted| wanted.ifindex == attached.ifindex)
            {
                attached.detach()?;
                swept.push(attached.ifindex);
            }
        }
        swept.dedup();
        Ok(swept)
    }
}

/// Attaches the programs that an interface lacks.
fn complete(
    instance: &Instance,
    set: &Set,
    before: &[Attached],
    (interface, hook): (&Interface, Hook),
) -> Result<(), KernelError> {
    let here = |side: Side| {
        let mut here = before.iter().filter(|one| one.ifindex == interface.ifindex);
        here.find(|one| one.side == side)
    };
    match here(Side::Ingress) {
        None => links::attach(&instance.pins, set, hook, interface)?,
        Some(attached) if current_hook(attached, interface) != hook => {
            change_hook(instance, set, attached, (interface, hook))?;
        }
        Some(_) => {}
    }
    if here(Side::Egress).is_none() {
        links::attach(&instance.pins, set, Hook::Egress, interface)?;
    }
    Ok(())
}

/// Moves the ingress program between driver and network stack.
///
/// An interface has one or the other, so that for a moment nobody judges what
/// comes in.
fn change_hook(
    instance: &Instance,
    set: &Set,
    attached: &Attached,
    (interface, hook): (&Interface, Hook),
) -> Result<(), KernelError> {
    attached.detach()?;
    let result = links::attach(&instance.pins, set, hook, interface);
    if result.is_err() {
        let before = current_hook(attached, interface);
        links::attach(&instance.pins, set, before, interface)?;
    }
    result
}

fn current_hook(attached: &Attached, interface: &Interface) -> Hook {
    if interface.xdp_generic == attached.program_id {
        Hook::XdpGeneric
    } else {
        Hook::Xdp
    }
}

fn undo(instance: &Instance, before: &[Attached]) -> Result<(), KernelError> {
    for attached in links::list(&instance.pins)? {
        let is_same = |one: &Attached| (one.side, one.ifindex) == (attached.side, attached.ifindex);
        if !before.iter().any(is_same) {
            attached.detach()?;
        }
    }
    Ok(())
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
