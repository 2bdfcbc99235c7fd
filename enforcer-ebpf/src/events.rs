//! Events: what happened to single packets, as many as the budget lets through.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use enforcer_common::decide::Dropped;
use enforcer_common::event::{Budget, Event, Kind};
use enforcer_common::lookup::Tables;
use enforcer_common::question::Origin;
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;

use crate::apart;
use crate::flows::ticks;
use crate::maps::{Active, BUDGETS, EVENTS, Scratch};

/// Tells of the drop in the scratch, unless the budget of this CPU is used up or
/// the ring is full.
#[inline(always)]
pub fn tell(active: &Active, hook: u32, kind: Kind) {
    // In a flood of drops this is all that is done.
    if takes(active, Budget::EVENTS) {
        apart::tell(hook, kind);
    }
}

/// Writes an event to the ring, of the drop in the scratch.
#[inline(always)]
pub fn send(active: &Active, kind: Kind, scratch: &Scratch) {
    let Some(mut entry) = EVENTS.reserve(0) else {
        if let Some(budget) = BUDGETS.get_ptr_mut(Budget::EVENTS) {
            // SAFETY: as in `takes`.
            unsafe { (*budget).refused += 1 };
        }
        return;
    };
    let Scratch {
        facts,
        amount,
        drop: why,
        ..
    } = scratch;
    let (question, reason) = (&facts.question, why.reason);
    let has_ip = question.protocol != protocol::ETHERNET;
    let is_parsed = has_ip && (!reason.is_of_parser() || kind == Kind::LOG);
    let is_egress = question.place.origin != Origin::WIRE;
    let to = match why.to() {
        Some(to) => to.0,
        None => Event::NO_ZONE,
    };
    let slot = match why.slot() {
        Some(slot) => slot.0,
        None => Event::NO_SLOT,
    };
    entry.write(Event {
        // SAFETY: takes no argument and reads a clock.
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        generation: active.layout().generation,
        slot,
        from: why.from.0,
        to,
        ifindex: question.place.ifindex,
        outer_tag: question.place.tags.outer,
        inner_tag: question.place.tags.inner,
        bytes: amount.bytes as u32,
        source: question.source,
        destination: question.destination,
        source_port: facts.source_port,
        service: question.service,
        protocol: question.protocol(),
        kind,
        reason: if kind == Kind::LOG { 0 } else { reason.0 },
        flags: if is_parsed { Event::PARSED } else { 0 }
            | if is_egress { Event::EGRESS } else { 0 }
            | if facts.is_arp() { Event::ARP } else { 0 },
    });
    entry.submit(0);
}

/// Takes one of a budget of this CPU; false when none is left.
#[inline(always)]
pub fn takes(active: &Active, budget: u32) -> bool {
    let Some(budget) = BUDGETS.get_ptr_mut(budget) else {
        return false;
    };
    // SAFETY: the element belongs to this CPU; programs of one CPU that
    // interrupt each other at worst miscount one.
    unsafe { (*budget).take(ticks(), active.control.jiffies_per_second) }
}

/// What kind of event a drop is.
#[inline(always)]
pub fn kind_of(drop: &Dropped) -> Kind {
    if drop.reason == DropReason::REJECT {
        Kind::REJECT
    } else {
        Kind::DROP
    }
}
