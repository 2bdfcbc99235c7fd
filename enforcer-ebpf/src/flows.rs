//! The flow table: answers pass, new flows are judged and recorded.

use core::hint::black_box;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_jiffies64;
use enforcer_common::cell::{Cell, Slot};
use enforcer_common::decide::{self, Dropped, Ends, Judgement};
use enforcer_common::flow::{self, Direction, Flow, FlowKey};
use enforcer_common::lookup::Tables;
use enforcer_common::parse::Facts;
use enforcer_common::question::{Origin, Question};
use enforcer_common::terms::SourceKey;
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;
use enforcer_common::zone::ZoneId;

use crate::apart::{self, Apart, Found};
use crate::bridge::{self, Way};
use crate::hooks::Hooked;
use crate::maps::{Active, FLOWS, FLOWS_NEW, Scratch};
use crate::report::Amount;

/// Memory outside the stack for what a packet needs of the flow table.
#[repr(C)]
pub struct FlowScratch {
    /// The flow it belongs to.
    pub key: FlowKey,
    /// The entry of a flow that it opens.
    pub entry: Flow,
    /// What a flow asked that is judged again.
    pub question: Question,
    /// Whether its initiator sends the packet in hand: 0 or 1.
    pub is_initiator: u32,
    /// What the tables say of both its ends.
    pub ends: Ends,
    /// What was said of it, where more than that has to be looked at.
    pub judgement: Judgement,
    /// Whose rate it takes from.
    pub source: SourceKey,
    /// 1 when its terms are met.
    is_met: u32,
    /// 1 when it has been judged again in this run.
    pub is_judged_again: u32,
    /// 1 when the packet in hand can belong to a flow.
    pub has_flow: u32,
    /// What is to be done with a segment in mid-stream that answers nobody.
    pub otherwise: Found,
}

/// What the flow table says of a packet.
enum Known {
    /// It belongs to a flow, which this cell lets pass.
    Flow(Cell),
    /// It belongs to a flow, whose cell asks for more.
    OnTerms,
    /// It belongs to a flow that an older policy judged.
    Stale,
    /// It belongs to none.
    None,
}

/// Writes down which flow a packet can belong to.
#[inline(always)]
pub fn prepare(facts: &Facts, scratch: &mut FlowScratch) {
    let (key, from_low) = FlowKey::of(facts);
    scratch.key = key;
    scratch.entry.flags = if from_low { Flow::INITIATOR_IS_LOW } else { 0 };
}

/// The slot that lets a TCP segment in mid-stream pass, if its flow is
/// established under the active policy: most packets need no more than this.
#[inline(always)]
pub fn established(
    active: &Active,
    facts: &Facts,
    (from, amount): (ZoneId, &Amount),
    scratch: &mut FlowScratch,
) -> Option<Slot> {
    if facts.question.protocol() != protocol::TCP || flow::opens_tcp(facts) {
        return None;
    }
    prepare(facts, scratch);
    // SAFETY: as in `known`.
    let entry = unsafe { &mut *FLOWS.get_ptr_mut(&scratch.key)? };
    let now = ticks() as u32;
    let is_initiator = scratch.entry.initiator_is_low() == entry.initiator_is_low();
    let side = if is_initiator { entry.from } else { entry.to };
    let is_current = entry.generation == active.layout().generation
        && side == from
        && entry.cell.is_plain()
        && !entry.is_over(protocol::TCP.into(), true, (now, &active.layout().idle));
    if !is_current {
        return None;
    }
    let direction = if is_initiator {
        &mut entry.initiator
    } else {
        &mut entry.responder
    };
    account(direction, (facts, amount), now);
    Some(entry.cell.slot())
}

/// Passes what belongs to a flow, asks the policy about the rest and records
/// the flows that open; returns the slot that lets the packet pass.
#[inline(always)]
pub fn pass(
    packet: &(impl Hooked + Apart),
    way: Way,
    scratch: &mut Scratch,
) -> Result<Slot, Dropped> {
    let hook = packet.hook();
    // What was translated has met its terms when it came in.
    let is_known = scratch.facts.question.place.origin == Origin::TRANSLATED;
    scratch.flow.is_met = is_known.into();
    let mut found = apart::follow(hook);
    if way.is(Way::TO_PORT) && (found == Found::PASS || found == Found::TERMS) {
        // That was done where it came in.
        return Ok(Slot::NOWHERE);
    }
    if found == Found::STALE {
        packet.judge_again();
        scratch.flow.is_judged_again = 1;
        found = apart::follow(hook);
    }
    if found == Found::TERMS {
        found = apart::meets_terms(hook, false);
        if found == Found::PASS {
            scratch.flow.is_met = 1;
            found = apart::follow(hook);
        }
    }
    if found == Found::NOTHING {
        found = packet.judge();
        if found == Found::AMID {
            found = packet.answer();
        }
        if found == Found::TERMS {
            found = match is_known {
                true => Found::PASS,
                false => apart::meets_terms(hook, true),
            };
        }
        if found == Found::PASS && scratch.flow.has_flow != 0 {
            found = apart::opens(hook);
        }
    }
    if found == Found::PASS {
        return Ok(scratch.slot);
    }
    Err(scratch.drop)
}

/// Looks for the flow that the packet in the scratch belongs to.
#[inline(always)]
pub fn follow(active: &Active, scratch: &mut Scratch) -> Found {
    let target = decide::target(active, &scratch.facts.question, &scratch.ends);
    let facts = &scratch.facts;
    // Of what leaves or is bridged, the pair does not tell whether there is a flow.
    let is_stateless = matches!(target, Some(target) if target.pair.is_stateless())
        && facts.question.place.is_from_wire();
    let has_flow =
        facts.is_tracked() && !is_stateless && !bridge::is_copy(facts, scratch.ends.is_to_group());
    scratch.flow.has_flow = has_flow.into();
    if !has_flow {
        return Found::NOTHING;
    }
    prepare(&scratch.facts, &mut scratch.flow);
    let scratch = black_box(scratch);
    match known(active, scratch) {
        Known::Flow(cell) => {
            if scratch.flow.is_met == 0 {
                scratch.slot = cell.slot();
            }
            Found::PASS
        }
        Known::OnTerms => Found::TERMS,
        // It may not go on, or a newer policy than this run's has judged it.
        Known::Stale if scratch.flow.is_judged_again != 0 => Found::NOTHING,
        Known::Stale => Found::STALE,
        Known::None => Found::NOTHING,
    }
}

/// Asks the policy about the packet in the scratch, which belongs to no flow.
#[inline(always)]
pub fn judge(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    let routes = packet.routes(scratch);
    let (question, ends) = (&scratch.facts.question, &scratch.ends);
    let target = decide::target(active, question, ends);
    let judged = decide::judge(active, &routes, question, ends, target);
    // What is translated was judged where it came in.
    let is_judged = question.place.origin == Origin::TRANSLATED;
    let is_amid = scratch.flow.has_flow != 0 && flow::is_mid_stream(&scratch.facts) && !is_judged;
    match judged {
        Ok(judgement) => {
            if judgement.is_deferred() {
                scratch.flow.has_flow = 0;
            }
            scratch.flow.judgement = judgement;
            let judgement = &scratch.flow.judgement;
            let is_amid = is_amid && scratch.flow.has_flow != 0;
            if is_amid && decide::is_loose(active, judgement.from, Some(judgement.to)) {
                let is_audit = judgement.cell.is_audit();
                if is_audit || flow::answers_opening(&scratch.facts) {
                    scratch.drop = judgement.dropped(DropReason::TCP_NO_FLOW);
                    scratch.flow.otherwise = match is_audit {
                        true => Found::TERMS,
                        false => Found::DROP,
                    };
                    return Found::AMID;
                }
            } else if is_amid && is_amid_nothing(active, judgement) {
                scratch.drop = judgement.dropped(DropReason::TCP_NO_FLOW);
                return Found::DROP;
            }
            if !judgement.cell.is_plain() {
                return Found::TERMS;
            }
            scratch.slot = judgement.cell.slot();
            Found::PASS
        }
        Err(drop) => {
            scratch.drop = drop;
            if is_amid && decide::is_loose(active, scratch.drop.from, scratch.drop.to()) {
                scratch.flow.otherwise = Found::DROP;
                return Found::AMID;
            }
            Found::DROP
        }
    }
}

/// Whether a TCP segment in mid-stream that belongs to no flow may not be picked
/// up. An audit lets it pass.
#[inline(always)]
fn is_amid_nothing(active: &Active, judgement: &Judgement) -> bool {
    !judgement.cell.is_audit() && ticks() >= active.control.pickup_until
}

/// Timer ticks since boot.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: takes no argument and reads a kernel counter.
    unsafe { bpf_jiffies64() }
}

/// What the flow table says of the packet whose key lies in the scratch.
#[inline(always)]
fn known(active: &Active, scratch: &mut Scratch) -> Known {
    let (facts, ends, amount) = (&scratch.facts, &scratch.ends, &scratch.amount);
    let scratch = &mut scratch.flow;
    let key = &scratch.key;
    let (entry, is_established) = match FLOWS.get_ptr_mut(key) {
        Some(entry) => (entry, true),
        None => match FLOWS_NEW.get_ptr_mut(key) {
            Some(entry) => (entry, false),
            None => return Known::None,
        },
    };
    // SAFETY: the entry stays mapped while the program runs. Other CPUs may
    // write to it, each field whole: at worst a count is lost.
    let entry = unsafe { &mut *entry };
    let now = ticks() as u32;
    let limits = &active.layout().idle;
    if entry.is_over(key.protocol, is_established, (now, limits)) {
        return Known::None;
    }
    let is_initiator = scratch.entry.initiator_is_low() == entry.initiator_is_low();
    if !belongs(facts, entry, is_initiator) {
        return Known::None;
    }
    if entry.generation != active.layout().generation {
        let here = &facts.question.place;
        scratch.question = Question::of_flow(key, entry);
        scratch.question.place.exit = bridge::exit_of_flow(active, here, is_initiator);
        scratch.is_initiator = is_initiator.into();
        return Known::Stale;
    }
    let side = if is_initiator { entry.from } else { entry.to };
    // Who is told apart by a hardware address was asked as somebody on the link;
    // what leaves has none. Both in one comparison, for the verifier.
    let origin = facts.question.place.origin.0;
    let asked = |zone: ZoneId| {
        let of_any_mac = decide::zone_of_any_mac(active, &ends.source);
        !is_initiator && u32::from(zone.0 ^ of_any_mac.0) | origin == 0
    };
    if side != ends.source.zone.zone() && !asked(side) {
        return Known::None;
    }
    let question = &facts.question;
    if question.place.is_bridged()
        && !bridge::leads_to(active, question, ends.class(), (entry, is_initiator))
    {
        return Known::None;
    }
    let cell = entry.cell;
    if is_initiator && !cell.is_plain() && scratch.is_met == 0 {
        scratch.judgement = Judgement {
            from: entry.from,
            to: entry.to,
            cell,
        };
        return Known::OnTerms;
    }
    if is_initiator {
        account(&mut entry.initiator, (facts, amount), now);
        let is_confirmed = entry.responder.packets != 0 && flow::confirms(facts);
        // Where there is no room, the flow stays where it is.
        if !is_established && is_confirmed && FLOWS.insert(key, &*entry, BPF_ANY.into()).is_ok() {
            let _ = FLOWS_NEW.remove(key);
        }
        return Known::Flow(cell);
    }
    account(&mut entry.responder, (facts, amount), now);
    Known::Flow(cell)
}

/// Whether the packet goes on with the flow, rather than opening another one
/// with the same addresses and ports.
#[inline(always)]
fn belongs(facts: &Facts, entry: &Flow, is_initiator: bool) -> bool {
    if !is_initiator {
        return flow::is_answer(facts);
    }
    let is_reopened = facts.question.protocol() == protocol::TCP
        && flow::opens_tcp(facts)
        && entry.is_tcp_closed();
    flow::continues(facts) && !is_reopened
}

#[inline(always)]
fn account(direction: &mut Direction, (facts, amount): (&Facts, &Amount), now: u32) {
    direction.packets += amount.packets;
    direction.bytes += amount.bytes;
    direction.note(facts.tcp_flags);
    if direction.last_seen != now {
        direction.last_seen = now;
    }
}

/// Records the flow that the packet in the scratch opens, by the judgement there;
/// false when there is no room.
///
/// If the packet is an answer, the initiator's place is that of the question in the
/// scratch.
#[inline(always)]
pub fn open(active: &Active, scratch: &mut Scratch, is_answer: bool) -> bool {
    let judgement = scratch.flow.judgement;
    let drop = &mut scratch.drop;
    let (facts, amount) = (&scratch.facts, &scratch.amount);
    let scratch = &mut scratch.flow;
    let now = ticks() as u32;
    let first = Direction {
        packets: amount.packets,
        bytes: amount.bytes,
        last_seen: now,
        tcp_flags: facts.tcp_flags.into(),
    };
    let silent = Direction {
        packets: 0,
        bytes: 0,
        last_seen: now,
        tcp_flags: 0,
    };
    let (place, flags, initiator, responder) = if is_answer {
        let flags = Flow::INITIATOR_IS_LOW - (scratch.entry.flags & Flow::INITIATOR_IS_LOW);
        (&scratch.question.place, flags, silent, first)
    } else {
        (&facts.question.place, scratch.entry.flags, first, silent)
    };
    scratch.entry = Flow {
        generation: active.layout().generation,
        cell: judgement.cell,
        from: judgement.from,
        to: judgement.to,
        ifindex: place.ifindex,
        outer_tag: place.tags.outer,
        inner_tag: place.tags.inner,
        flags,
        origin: place.origin.0 as u8,
        reserved: [0; 5],
        created: now,
        initiator,
        mac: place.mac,
        responder,
    };
    if FLOWS_NEW
        .insert(&scratch.key, &scratch.entry, BPF_ANY.into())
        .is_err()
    {
        *drop = judgement.dropped(DropReason::FLOW_TABLE_FULL);
        return false;
    }
    // What the old entry said of these addresses and ports is over.
    let _ = FLOWS.remove(&scratch.key);
    true
}
