//! The flow table: answers pass, new flows are judged and recorded.

use core::hint::black_box;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_jiffies64;
use enforcer_common::cell::{Cell, Slot};
use enforcer_common::decide::{self, Dropped, Ends, Judgement, Route, Routes, Target};
use enforcer_common::flow::{self, Direction, Flow, FlowKey};
use enforcer_common::lookup::{self, Tables};
use enforcer_common::parse::Facts;
use enforcer_common::question::{Origin, Place, Question, Tags};
use enforcer_common::terms::SourceKey;
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;
use enforcer_common::zone::ZoneId;

use crate::events::Happened;
use crate::hooks::Fib;
use crate::maps::{Active, FLOWS, FLOWS_NEW};
use crate::report::Amount;
use crate::terms;

/// One packet and all that is known of it.
pub struct Seen<'a> {
    /// The active policy.
    pub active: &'a Active,
    /// Its headers.
    pub facts: &'a Facts,
    /// What the tables say of both ends.
    pub ends: &'a Ends,
    /// Its destination zone, where the address tells it.
    pub target: Option<Target>,
    /// What it adds to counters.
    pub amount: &'a Amount,
}

impl Seen<'_> {
    /// What does not depend on how the packet is judged.
    #[inline(always)]
    fn packet(&self) -> Happened<'_> {
        Happened {
            active: self.active,
            facts: self.facts,
            amount: self.amount,
        }
    }
}

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
    is_initiator: u32,
    /// What the tables say of both its ends.
    ends: Ends,
    /// Why it must stop.
    pub drop: Dropped,
    /// What was said of it, where more than that has to be looked at.
    pub judgement: Judgement,
    /// What lets it pass then.
    pub slot: Slot,
    /// Whose rate it takes from.
    pub source: SourceKey,
    /// 1 when its terms are met.
    is_met: u32,
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
pub fn pass(seen: &Seen, routes: &Fib, scratch: &mut FlowScratch) -> Result<Slot, Dropped> {
    let is_stateless = matches!(seen.target, Some(target) if target.pair.is_stateless());
    let has_flow = seen.facts.is_tracked() && !is_stateless;
    if has_flow {
        prepare(seen.facts, scratch);
    }
    let scratch = black_box(scratch);
    if has_flow {
        scratch.is_met = 0;
        // Once more when the flow had to be judged again, and when its cell
        // asked for more.
        for _ in 0..3 {
            match known(seen, scratch)? {
                Known::Flow(_) if scratch.is_met != 0 => return Ok(scratch.slot),
                Known::Flow(cell) => return Ok(cell.slot()),
                Known::None => break,
                Known::OnTerms if terms::meet(&seen.packet(), false, scratch) => scratch.is_met = 1,
                Known::OnTerms => return Err(scratch.drop),
                Known::Stale if judge_again(seen.active, routes, seen.facts, scratch) => {}
                Known::Stale => break,
            }
        }
    }
    let judgement = decide::judge(
        seen.active,
        routes,
        &seen.facts.question,
        seen.ends,
        seen.target,
    )?;
    if has_flow && is_amid_nothing(seen, &judgement) {
        return Err(judgement.dropped(DropReason::TCP_NO_FLOW));
    }
    let mut slot = judgement.cell.slot();
    if !judgement.cell.is_plain() {
        scratch.judgement = judgement;
        if !terms::meet(&seen.packet(), true, scratch) {
            return Err(scratch.drop);
        }
        slot = scratch.slot;
    }
    if has_flow {
        open(seen, &judgement, scratch)?;
    }
    Ok(slot)
}

/// Whether a packet that belongs to no flow is a TCP segment that opens none
/// either, and may not be picked up. An audit lets it pass.
#[inline(always)]
fn is_amid_nothing(seen: &Seen, judgement: &Judgement) -> bool {
    let is_mid_stream =
        seen.facts.question.protocol() == protocol::TCP && !flow::opens_tcp(seen.facts);
    is_mid_stream && !judgement.cell.is_audit() && ticks() >= seen.active.control.pickup_until
}

/// Timer ticks since boot.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: takes no argument and reads a kernel counter.
    unsafe { bpf_jiffies64() }
}

/// What the flow table says of the packet whose key lies in the scratch.
#[inline(always)]
fn known(seen: &Seen, scratch: &mut FlowScratch) -> Result<Known, Dropped> {
    let key = &scratch.key;
    let (entry, is_established) = match FLOWS.get_ptr_mut(key) {
        Some(entry) => (entry, true),
        None => match FLOWS_NEW.get_ptr_mut(key) {
            Some(entry) => (entry, false),
            None => return Ok(Known::None),
        },
    };
    // SAFETY: the entry stays mapped while the program runs. Other CPUs may
    // write to it, each field whole: at worst a count is lost.
    let entry = unsafe { &mut *entry };
    let now = ticks() as u32;
    let limits = &seen.active.layout().idle;
    if entry.is_over(key.protocol, is_established, (now, limits)) {
        return Ok(Known::None);
    }
    let is_initiator = scratch.entry.initiator_is_low() == entry.initiator_is_low();
    if !belongs(seen, entry, is_initiator) {
        return Ok(Known::None);
    }
    if entry.generation != seen.active.layout().generation {
        scratch.question = Question::of_flow(key, entry);
        scratch.is_initiator = is_initiator.into();
        return Ok(Known::Stale);
    }
    let side = if is_initiator { entry.from } else { entry.to };
    // Who is told apart by a hardware address was asked as somebody on the link.
    let asked =
        |zone| !is_initiator && zone == decide::zone_of_any_mac(seen.active, &seen.ends.source);
    if side != seen.ends.source.zone.zone() && !asked(side) {
        return Ok(Known::None);
    }
    let cell = entry.cell;
    if is_initiator && !cell.is_plain() && scratch.is_met == 0 {
        scratch.judgement = Judgement {
            from: entry.from,
            to: entry.to,
            cell,
        };
        return Ok(Known::OnTerms);
    }
    if is_initiator {
        account(&mut entry.initiator, (seen.facts, seen.amount), now);
        let is_confirmed = entry.responder.packets != 0 && flow::confirms(seen.facts);
        // Where there is no room, the flow stays where it is.
        if !is_established && is_confirmed && FLOWS.insert(key, &*entry, BPF_ANY.into()).is_ok() {
            let _ = FLOWS_NEW.remove(key);
        }
        return Ok(Known::Flow(cell));
    }
    account(&mut entry.responder, (seen.facts, seen.amount), now);
    Ok(Known::Flow(cell))
}

/// Whether the packet goes on with the flow, rather than opening another one
/// with the same addresses and ports.
#[inline(always)]
fn belongs(seen: &Seen, entry: &Flow, is_initiator: bool) -> bool {
    if !is_initiator {
        return flow::is_answer(seen.facts);
    }
    let is_reopened = seen.facts.question.protocol() == protocol::TCP
        && flow::opens_tcp(seen.facts)
        && entry.is_tcp_closed();
    flow::continues(seen.facts) && !is_reopened
}

/// Asks the active policy about a flow that an older one judged, and writes
/// down what it says; false when the flow may not go on.
///
/// Such a flow is none for as long as this policy holds. Its entry stays, so
/// that connections outlive a policy that is taken back.
///
/// A function of its own in the kernel: after each apply it runs once a flow.
#[inline(never)]
pub fn judge_again(
    active: &Active,
    routes: &Fib,
    facts: &Facts,
    scratch: &mut FlowScratch,
) -> bool {
    if !lookup::is_listed(active, scratch.question.place.ifindex) {
        relocate(routes, facts, scratch);
    }
    match verdict_on(active, routes, scratch) {
        Ok(judgement) => {
            let place = &scratch.question.place;
            renew(FLOWS.get_ptr_mut(&scratch.key), active, (&judgement, place));
            renew(
                FLOWS_NEW.get_ptr_mut(&scratch.key),
                active,
                (&judgement, place),
            );
            true
        }
        Err(_) => false,
    }
}

/// Finds out where a flow is seen now that the interface is gone where it was:
/// the same peers may speak through another.
#[inline(always)]
fn relocate(routes: &Fib, facts: &Facts, scratch: &mut FlowScratch) {
    let place = &mut scratch.question.place;
    let here = &facts.question.place;
    if scratch.is_initiator != 0 {
        *place = *here;
    } else if place.origin != Origin::WIRE {
        // What leaves for the responder is seen where it answers.
        place.ifindex = here.ifindex;
        place.tags = here.tags;
    } else if let Route::Via(ifindex) = routes.route(&facts.question) {
        place.ifindex = ifindex;
        place.tags = Tags::default();
    }
}

#[inline(always)]
fn verdict_on(
    active: &Active,
    routes: &Fib,
    scratch: &mut FlowScratch,
) -> Result<Judgement, Dropped> {
    let question = &*black_box(&mut scratch.question);
    scratch.ends = decide::ends(active, question);
    let ends = &*black_box(&mut scratch.ends);
    decide::decide(active, routes, question, ends)
}

#[inline(always)]
fn renew(entry: Option<*mut Flow>, active: &Active, (judgement, place): (&Judgement, &Place)) {
    if let Some(entry) = entry {
        // SAFETY: as in `known`.
        let entry = unsafe { &mut *entry };
        entry.cell = judgement.cell;
        entry.from = judgement.from;
        entry.to = judgement.to;
        entry.ifindex = place.ifindex;
        entry.outer_tag = place.tags.outer;
        entry.inner_tag = place.tags.inner;
        entry.origin = place.origin.0 as u8;
        entry.generation = active.layout().generation;
    }
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

/// Records the flow that a packet opens.
#[inline(always)]
fn open(seen: &Seen, judgement: &Judgement, scratch: &mut FlowScratch) -> Result<(), Dropped> {
    let now = ticks() as u32;
    let first = Direction {
        packets: seen.amount.packets,
        bytes: seen.amount.bytes,
        last_seen: now,
        tcp_flags: seen.facts.tcp_flags.into(),
    };
    let place = &seen.facts.question.place;
    scratch.entry = Flow {
        generation: seen.active.layout().generation,
        cell: judgement.cell,
        from: judgement.from,
        to: judgement.to,
        ifindex: place.ifindex,
        outer_tag: place.tags.outer,
        inner_tag: place.tags.inner,
        flags: scratch.entry.flags,
        origin: place.origin.0 as u8,
        reserved: [0; 5],
        created: now,
        initiator: first,
        mac: place.mac,
        responder: Direction {
            packets: 0,
            bytes: 0,
            last_seen: now,
            tcp_flags: 0,
        },
    };
    if FLOWS_NEW
        .insert(&scratch.key, &scratch.entry, BPF_ANY.into())
        .is_err()
    {
        return Err(judgement.dropped(DropReason::FLOW_TABLE_FULL));
    }
    // What the old entry said of these addresses and ports is over.
    let _ = FLOWS.remove(&scratch.key);
    Ok(())
}
