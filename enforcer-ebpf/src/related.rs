//! ICMP errors that report a packet of a known flow.

use core::hint::black_box;

use enforcer_common::cell::Slot;
use enforcer_common::flow;
use enforcer_common::lookup::{self, Tables};
use enforcer_common::packet::Packet;
use enforcer_common::parse::{self, Facts};
use enforcer_common::question::Question;

use crate::flows::{self, FlowScratch, ticks};
use crate::hooks::{Fib, Hooked};
use crate::maps::{Active, FLOWS, FLOWS_NEW};

/// What an error is to the flows.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It reports a packet of none.
    None,
    /// It reports a packet of a flow.
    Flow,
    /// It reports a packet of a flow that an older policy judged.
    Stale,
}

/// The slot that lets an error pass which reports a packet of a flow to the
/// side that sent it; `None` when it does not. No error opens or refreshes a flow.
#[inline(always)]
pub fn pass(
    active: &Active,
    packet: &impl Hooked,
    routes: &Fib,
    (error, quoted, scratch): (&Facts, &mut Facts, &mut FlowScratch),
) -> Option<Slot> {
    let is_related = match relation_of(packet, active, error, (quoted, scratch)) {
        Relation::None => false,
        Relation::Flow => true,
        // Of a flow whose interface is gone, an error does not tell where it is now.
        Relation::Stale => {
            lookup::is_listed(active, scratch.question.place.ifindex)
                && flows::judge_again(active, routes, quoted, scratch)
        }
    };
    is_related.then_some(Slot::RELATED)
}

#[inline(always)]
fn relation_of<P: Hooked>(
    packet: &P,
    active: &Active,
    error: &Facts,
    scratch: (&mut Facts, &mut FlowScratch),
) -> Relation {
    relation::<P>(active, packet.context(), error, scratch)
}

/// A function of its own in the kernel: errors are rare.
#[inline(never)]
fn relation<P: Hooked>(
    active: &Active,
    context: &P::Context,
    error: &Facts,
    (quoted, scratch): (&mut Facts, &mut FlowScratch),
) -> Relation {
    let packet = &P::again(context, active.forgotten(0));
    packet.pull(parse::MOST_BYTES);
    if parse::quoted(packet, error, quoted).is_err() {
        return Relation::None;
    }
    let quoted = &*black_box(quoted);
    if quoted.question.source != error.question.destination {
        return Relation::None;
    }
    flows::prepare(quoted, scratch);
    let scratch = black_box(scratch);
    let key = &scratch.key;
    let (entry, is_established) = match FLOWS.get_ptr_mut(key) {
        Some(entry) => (entry, true),
        None => match FLOWS_NEW.get_ptr_mut(key) {
            Some(entry) => (entry, false),
            None => return Relation::None,
        },
    };
    // SAFETY: the entry stays mapped while the program runs.
    let entry = unsafe { &*entry };
    let when = (ticks() as u32, &active.layout().idle);
    if entry.is_over(key.protocol, is_established, when) {
        return Relation::None;
    }
    let is_initiator = scratch.entry.initiator_is_low() == entry.initiator_is_low();
    let belongs = if is_initiator {
        flow::continues(quoted)
    } else {
        flow::is_answer(quoted)
    };
    if !belongs {
        return Relation::None;
    }
    if entry.generation != active.layout().generation {
        scratch.question = Question::of_flow(key, entry);
        return Relation::Stale;
    }
    Relation::Flow
}
