//! Replaces programs and maps under a policy that stays in force.
//!
//! Needed when a policy outgrows the maps or wants flow maps of another size, and
//! when this executable carries other programs than those that run. At every moment each link runs the old
//! programs or the new ones, both under the same policy and with the same flows.

use crate::compile::size::{SizeClass, Sizes};
use crate::compile::{Image, compile};
use crate::kernel::KernelError;
use crate::kernel::carry::Carried;
use crate::kernel::links;
use crate::kernel::maps::{Capacity, Tables};
use crate::kernel::set::Set;
use crate::policy::{self, Findings, Policy, Source};

use super::error::ControllerError;
use super::instance::Instance;
use super::state::Record;

/// Moves what is in force to maps that have room for `image`, unless it has
/// room and runs the programs of this executable.
pub fn make_room(instance: &Instance, old: Set, image: &Image) -> Result<Set, ControllerError> {
    let wanted = capacity(image.sizes());
    let is_room =
        tables(image).fit(old.maps.capacity()) && old.maps.capacity().has_flows_of(&wanted);
    if is_room && old.is_of_this_build() {
        return Ok(old);
    }
    move_to(instance, old, |old, number| {
        copied(instance, old, image, number)
    })
}

/// Lets every link run the programs of the set with the next number, which `copied`
/// makes for the policy in force, with its counts.
pub fn move_to(
    instance: &Instance,
    old: Set,
    copied: impl FnOnce(&Set, u32) -> Result<(Set, Carried), KernelError>,
) -> Result<Set, ControllerError> {
    let number = old.number() + 1;
    let (mut set, carried) = match copied(&old, number) {
        Ok(copied) => copied,
        Err(error) => {
            // What cannot be removed now, the next apply removes.
            let _ = instance.pins.remove_set(number);
            return Err(error.into());
        }
    };
    // From here on an interrupted move is finished, not undone.
    instance.pins.publish(number)?;
    for attached in links::list(&instance.pins)? {
        attached.refresh(&set)?;
    }
    set.take_over_flows(&old)?;
    set.add_counters(&old, &carried)?;
    instance.pins.remove_set(old.number())?;
    Ok(set)
}

/// A set with the policy in force and its counts, with room for another image.
///
/// The tables are copied, not compiled again: this version may not even accept
/// the policy any more.
fn copied(
    instance: &Instance,
    old: &Set,
    next: &Image,
    number: u32,
) -> Result<(Set, Carried), KernelError> {
    let zones = old.maps.names()?.zones;
    let class = class(for_both(old.maps.used()?, next.sizes()));
    let class = class.after(&class_of(old.maps.capacity()));
    let capacity = capacity_of(class);
    let mut set = Set::create(&instance.pins, number, &capacity, Some(old))?;
    set.adopt(old)?;
    let carried = set.copy_counters(old, &zones)?;
    set.take_over_flows(old)?;
    Ok((set, carried))
}

/// The policy in a record.
pub fn reparsed(record: &Record) -> Result<(Source, Policy), ControllerError> {
    let source = Source::from_text(&record.policy.path, record.policy.text.as_str());
    match policy::parse(&source) {
        Ok((policy, _)) if record.audit => Ok((source, policy.audited())),
        Ok((policy, _)) => Ok((source, policy)),
        Err(findings) => Err(rejected(record, findings)),
    }
}

/// The image of the policy in a record, as it was applied.
pub fn recompiled(record: &Record) -> Result<Image, ControllerError> {
    let (_, policy) = reparsed(record)?;
    let mut numbering = record.numbering.clone();
    compile(&policy, &record.machine, &mut numbering).map_err(|findings| rejected(record, findings))
}

/// The policy in a record does not compile any more.
pub fn rejected(record: &Record, findings: Findings) -> ControllerError {
    ControllerError::StoredRejected {
        path: record.policy.path.clone(),
        findings,
    }
}

/// The maps' view of an image.
pub fn tables(image: &Image) -> Tables<'_> {
    Tables {
        blocks: &image.blocks,
        layout: &image.layout,
        zones: &image.zones,
        slots: &image.slots,
    }
}

/// The capacity of maps for policies of some size.
pub fn capacity(sizes: Sizes) -> Capacity {
    capacity_of(class(sizes))
}

/// The smallest class; the compiler refuses what none has room for.
fn class(sizes: Sizes) -> SizeClass {
    SizeClass::for_sizes(sizes).expect("the compiler keeps to the largest class")
}

/// The capacity of maps of a class.
pub fn capacity_of(class: SizeClass) -> Capacity {
    Capacity {
        blocks: class.blocks,
        slots: class.slots,
        zones: class.zone_ids,
        flows: class.flows,
        flows_new: class.flows_new,
    }
}

/// The class of maps that are there.
pub fn class_of(capacity: &Capacity) -> SizeClass {
    SizeClass {
        blocks: capacity.blocks,
        slots: capacity.slots,
        zone_ids: capacity.zones,
        flows: capacity.flows,
        flows_new: capacity.flows_new,
    }
}

/// Room for what is in use and for the policy that is to follow, which says how
/// many flows there may be.
fn for_both(used: Capacity, next: Sizes) -> Sizes {
    Sizes {
        blocks: used.blocks.max(next.blocks),
        zone_ids: used.zones.max(next.zone_ids),
        slots: used.slots.max(next.slots),
        ..next
    }
}
