//! ICMP errors that report a packet of a known flow.

use core::hint::black_box;

use enforcer_common::cell::Slot;
use enforcer_common::flow;
use enforcer_common::lookup::{self, Tables};
use enforcer_common::packet::Packet;
use enforcer_common::parse;
use enforcer_common::question::Question;

use crate::apart::Found;
use crate::bridge;
use crate::flows::{self, ticks};
use crate::hooks::Hooked;
use crate::maps::{Active, FLOWS, FLOWS_NEW, Scratch};

/// What an error is to the flows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It reports a packet of none.
    None,
    /// It reports a packet of a flow.
    Flow,
    /// It reports a packet of a flow that an older policy judged.
    Stale,
}

/// Whether an error reports a packet of a flow to the side that sent it:
/// [`Found::PASS`], or [`Found::STALE`]. No error opens or refreshes a flow.
#[inline(always)]
pub fn pass(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    scratch.slot = Slot::RELATED;
    match relation(active, packet, scratch) {
        Relation::Flow => Found::PASS,
        // Of a flow whose interface is gone, an error does not tell where it is now.
        Relation::Stale if lookup::is_listed(active, scratch.flow.question.place.ifindex) => {
            Found::STALE
        }
        _ => Found::NOTHING,
    }
}

#[inline(always)]
fn relation(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Relation {
    let packet = &packet.again();
    packet.pull(parse::MOST_BYTES);
    let (error, quoted) = (&scratch.facts, &mut scratch.quoted);
    if parse::quoted(packet, error, quoted).is_err() {
        return Relation::None;
    }
    let quoted = &*black_box(quoted);
    if quoted.question.source != error.question.destination {
        return Relation::None;
    }
    let scratch = &mut scratch.flow;
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
    let question = &error.question;
    if entry.generation != active.layout().generation {
        scratch.question = Question::of_flow(key, entry);
        // An error goes to who sent what it quotes.
        scratch.question.place.exit = bridge::exit_of_flow(active, &question.place, !is_initiator);
        return Relation::Stale;
    }
    if question.place.is_bridged() {
        let class = lookup::address(active, &question.destination);
        if !bridge::leads_to(active, question, class, (entry, !is_initiator)) {
            return Relation::None;
        }
    }
    Relation::Flow
}
