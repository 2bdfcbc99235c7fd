//! The kernel programs: every packet that crosses an enforced interface is
//! judged here, and what no rule lets pass is dropped and counted.
//!
//! The order of judgement: parse, essential protocols, failsafe, source zone
//! and anti-spoofing, flow table, destination zone, policy, new flow. Errors are
//! drop reasons; only the entry points turn them into a hook's action, and
//! anything unforeseen drops.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "compare and exchange exists for this target only as an intrinsic"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "keys and entries stay in map memory; by value they would be copied to the stack"
)]

mod again;
mod apart;
mod bridge;
mod events;
mod flows;
mod fragments;
mod hooks;
mod loose;
mod maps;
mod reject;
mod related;
mod report;
mod terms;
mod translated;
mod unusual;

use core::hint::black_box;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use enforcer_common::cell::Slot;
use enforcer_common::counter::Addition;
use enforcer_common::decide::{self, Dropped};
use enforcer_common::event::Kind;
use enforcer_common::lookup;
use enforcer_common::packet::Packet;
use enforcer_common::parse::{self, Facts, Payload};
use enforcer_common::question::{Mac, Origin, Place, Tags};
use enforcer_common::verdict::DropReason;

use crate::apart::{Apart, Found};
use crate::bridge::Way;
use crate::hooks::{Buffer, Hooked, Ingress};
use crate::maps::{Active, InForce, Scratch};

/// Judges every packet that comes in.
#[xdp]
pub fn enforcer_xdp(ctx: XdpContext) -> u32 {
    match arrive(&ctx) {
        Some(Verdict::Pass) => xdp_action::XDP_PASS,
        Some(Verdict::Answer) => xdp_action::XDP_TX,
        Some(Verdict::Drop | Verdict::Reject) | None => xdp_action::XDP_DROP,
    }
}

/// Judges every packet that comes in where XDP cannot: on devices without
/// Ethernet, and where the policy says so.
#[classifier]
pub fn enforcer_ingress(ctx: TcContext) -> i32 {
    match arrive_late(&ctx) {
        Some(Verdict::Pass) => TC_ACT_UNSPEC,
        _ => TC_ACT_SHOT,
    }
}

/// Tells the program at TC egress from which zone a packet comes that XDP has
/// judged.
#[classifier]
pub fn enforcer_handover(ctx: TcContext) -> i32 {
    let _ = tell_zone(&ctx);
    TC_ACT_UNSPEC
}

/// Judges what the router itself sends, and what it forwards from interfaces
/// without a program; all else was judged when it came in. Records the flows of
/// what has got an address of the router since.
#[classifier]
pub fn enforcer_egress(ctx: TcContext) -> i32 {
    match leave(&ctx) {
        Some(Verdict::Pass) => TC_ACT_UNSPEC,
        _ => TC_ACT_SHOT,
    }
}

/// What happens to a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It passes.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped, and its sender is told where that is possible.
    Reject,
    /// In its place lies what its sender is told.
    Answer,
}

#[inline(always)]
fn arrive(ctx: &XdpContext) -> Option<Verdict> {
    let scratch = Scratch::of(Scratch::XDP)?;
    let packet = Ingress::new(ctx, Scratch::XDP, scratch.zero);
    let active = match Active::read(scratch, packet.ifindex())? {
        InForce::Policy(active) => active,
        InForce::Nothing => return Some(Verdict::Pass),
    };
    scratch.amount = packet.amount();
    let place = place(&packet, packet.ifindex(), Origin::WIRE);
    let verdict = settle(&active, &packet, (place, Way::ROUTED), scratch);
    if verdict == Verdict::Reject && apart::answers(ctx, Scratch::XDP) {
        return Some(Verdict::Answer);
    }
    Some(verdict)
}

#[inline(always)]
fn arrive_late(ctx: &TcContext) -> Option<Verdict> {
    let scratch = Scratch::of(Scratch::INGRESS)?;
    let packet = Buffer::new(ctx, Scratch::INGRESS, scratch.zero);
    let ifindex = packet.ifindex();
    let active = match Active::read(scratch, ifindex)? {
        InForce::Policy(active) => active,
        InForce::Nothing => return Some(Verdict::Pass),
    };
    let packet = packet.bare(lookup::is_bare(&active, ifindex));
    packet.pull_headers();
    scratch.amount = packet.amount();
    let mut way = 0;
    if lookup::link(&active, ifindex, Tags::default()).is_port {
        bridge::mark(&packet, ifindex);
        way = Way::ENTERS;
    }
    if lookup::is_bridge(&active, ifindex) {
        if packet.is_for_others() {
            // A copy for whoever listens on the bridge.
            return Some(Verdict::Drop);
        }
        way = Way::OF_BRIDGE;
    }
    let way = Way(packet.opaque(way));
    let came_in = bridge::came_in(&active, &packet, ifindex);
    let place = place(&packet, packet.opaque(came_in), Origin::WIRE);
    let verdict = settle(&active, &packet, (place, way), scratch);
    // What is not decided yet needs the note of its port further on.
    if verdict == Verdict::Pass && scratch.slot != Slot::NOWHERE {
        translated::hand(&packet, scratch.ends.source.zone.zone());
    }
    Some(verdict)
}

#[inline(always)]
fn tell_zone(ctx: &TcContext) -> Option<()> {
    let scratch = Scratch::of(Scratch::INGRESS)?;
    let packet = Buffer::new(ctx, Scratch::INGRESS, scratch.zero);
    let ifindex = packet.ifindex();
    let InForce::Policy(active) = Active::read(scratch, ifindex)? else {
        return None;
    };
    let packet = packet.bare(lookup::is_bare(&active, ifindex));
    packet.pull_headers();
    scratch.facts.question.place = place(&packet, ifindex, Origin::WIRE);
    translated::hand_over(&active, &packet, scratch)
}

#[inline(always)]
fn leave(ctx: &TcContext) -> Option<Verdict> {
    let scratch = Scratch::of(Scratch::EGRESS)?;
    let packet = Buffer::new(ctx, Scratch::EGRESS, scratch.zero);
    let active = match Active::read(scratch, packet.ifindex())? {
        InForce::Policy(active) => active,
        InForce::Nothing => return Some(Verdict::Pass),
    };
    let ifindex = packet.ifindex();
    let packet = packet.bare(lookup::is_bare(&active, ifindex));
    let Some((place, way)) = bridge::exit(&active, &packet) else {
        return Some(Verdict::Pass);
    };
    packet.pull_headers();
    scratch.amount = packet.amount();
    Some(settle(&active, &packet, (place, way), scratch))
}

#[inline(always)]
fn place(packet: &impl Packet, ifindex: u32, origin: Origin) -> Place {
    Place::at(ifindex, Origin(packet.opaque(origin.0)))
}

/// Counts and tells of what the policy says of a packet.
#[inline(always)]
fn settle(
    active: &Active,
    packet: &(impl Hooked + Apart),
    (place, way): (Place, Way),
    scratch: &mut Scratch,
) -> Verdict {
    scratch.facts.question.place = place;
    match enforce(active, packet, way, scratch) {
        // It was counted when it came in.
        Ok(_) if scratch.facts.question.place.origin == Origin::TRANSLATED => Verdict::Pass,
        Ok(slot) => {
            scratch.slot = slot;
            report::decided(slot, &scratch.amount);
            Verdict::Pass
        }
        Err(drop) => {
            scratch.drop = drop;
            refuse(active, packet.hook(), black_box(scratch))
        }
    }
}

/// Drops the packet whose drop lies in the scratch, unless an audit of the whole
/// policy lets it pass.
#[inline(always)]
fn refuse(active: &Active, hook: u32, scratch: &Scratch) -> Verdict {
    let drop = &scratch.drop;
    if decide::is_audited(active, drop) {
        report::audited(active.control, (drop.from, drop.to()), &scratch.amount);
        events::tell(active, hook, Kind::AUDIT);
        return Verdict::Pass;
    }
    report::dropped(active.control, drop, &scratch.amount);
    if !drop.is_quiet() {
        events::tell(active, hook, events::kind_of(drop));
    }
    match drop.reason {
        DropReason::REJECT => Verdict::Reject,
        _ => Verdict::Drop,
    }
}

/// Finds the rule that lets a packet pass, or why none does.
#[inline(always)]
fn enforce(
    active: &Active,
    packet: &(impl Hooked + Apart),
    way: Way,
    scratch: &mut Scratch,
) -> Result<Slot, Dropped> {
    let link = parse::link_layer(packet)?;
    let place = &mut scratch.facts.question.place;
    place.tags = link.tags;
    // Behind the router that is its own.
    if way.is(Way::TO_PORT) {
        place.mac = Mac::NONE;
    } else if place.origin != Origin::TRANSLATED {
        place.mac = link.source;
    }
    let payload = parse::payload(packet, &link, &mut scratch.facts)?;
    if !matches!(payload, Payload::Ip | Payload::Arp) {
        return bridge::without_ip(active, packet.hook(), (payload, &link), (way, scratch));
    }
    scratch.ends.source = decide::source_end(active, &scratch.facts.question);
    // The compiler reads it all again, instead of keeping it in registers,
    // where the verifier would follow every value on every way through.
    let scratch = black_box(scratch);
    let is_told = scratch.facts.flags & Facts::NEIGHBOUR != 0;
    if way.is(Way::ENTERS) && !is_told {
        return bridge::admit(scratch);
    }
    if way.is(Way::TO_PORT) && bridge::was_judged(active, scratch) {
        return Ok(Slot::NOWHERE);
    }
    scratch.flow.is_judged_again = 0;
    if scratch.facts.flags & Facts::UNUSUAL != 0 {
        let found = match packet.unusual() {
            Found::STALE if packet.judge_again() == Found::PASS => Found::PASS,
            Found::STALE => Found::NOTHING,
            found => found,
        };
        if let Some(slot) = found.result(scratch)? {
            return Ok(way.counted(slot));
        }
        if way.is(Way::ENTERS) {
            return Ok(Slot::NOWHERE);
        }
        if scratch.facts.is_arp() {
            return bridge::arp(active, packet.hook(), way, scratch);
        }
    }
    let Slot(slot) = judged(active, packet, way, scratch)?;
    // From here on one way to the verifier, not one for each rule.
    let slot = Slot(active.forgotten(slot));
    if scratch.facts.flags & Facts::FIRST != 0 {
        apart::remember(packet.hook());
    }
    Ok(slot)
}

/// The verdict on a packet whose headers and source lie in the scratch.
#[inline(always)]
fn judged(
    active: &Active,
    packet: &(impl Hooked + Apart),
    way: Way,
    scratch: &mut Scratch,
) -> Result<Slot, Dropped> {
    let (facts, source) = (&scratch.facts, scratch.ends.source);
    if !source.zone.is_refused() && !way.is(Way::BRIDGED | Way::TO_PORT) {
        let sender = (source.zone.zone(), &scratch.amount);
        if let Some(slot) = flows::established(active, facts, sender, &mut scratch.flow) {
            return Ok(slot);
        }
    }
    scratch.ends = decide::both_ends(active, &facts.question, source);
    let ends = &scratch.ends;
    if let Some(slot) = decide::admit(active, facts, ends)? {
        return Ok(slot);
    }
    if let Some(drop) = decide::hopeless(active, &facts.question, ends) {
        return Err(drop);
    }
    flows::pass(packet, way, scratch)
}

/// Tells the time in timer ticks: the low 32 bits as the action, all 64 in the
/// first bytes of the frame. Only ever run by a test-run, to learn how long a
/// tick is.
#[xdp]
pub fn enforcer_ticks(ctx: XdpContext) -> u32 {
    // SAFETY: takes no argument and reads a kernel counter.
    let now = unsafe { bpf_jiffies64() };
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + size_of::<u64>() <= end {
        // SAFETY: the eight bytes were compared with the end of the frame.
        unsafe { core::ptr::write_unaligned(start as *mut u64, now) };
    }
    now as u32
}

/// Adds to a counter what the frame says. Only ever run by a test-run, when
/// counts move to larger maps.
#[xdp]
pub fn enforcer_add(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + size_of::<Addition>() <= end {
        // SAFETY: its bytes were compared with the end of the frame.
        let addition = unsafe { core::ptr::read_unaligned(start as *const Addition) };
        report::add(&addition);
    }
    xdp_action::XDP_PASS
}

/// Passes everything: what a program costs that does nothing, the zero of the
/// benchmark. Never attached.
#[xdp]
pub fn enforcer_empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // No panic can be reached: the linker removes this, or the verifier
    // refuses the program.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
