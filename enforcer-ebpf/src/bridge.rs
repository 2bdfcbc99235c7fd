//! Bridges: at a port only senders are looked at, and a frame is judged where it
//! leaves the bridge, by another port or up to the router.

use core::hint::black_box;

use enforcer_common::bridge;
use enforcer_common::cell::{Slot, SourceCell};
use enforcer_common::decide::{self, Dropped};
use enforcer_common::essential::{self, Essential};
use enforcer_common::flow::Flow;
use enforcer_common::lookup;
use enforcer_common::packet::Packet as _;
use enforcer_common::parse::{Facts, LinkLayer, Payload};
use enforcer_common::question::{Origin, Place, Question, Tags};
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;

use crate::apart::{self, Found};
use crate::hooks::Buffer;
use crate::maps::{Active, Scratch};
use crate::translated;

/// What a hook has to do with a bridge: flags.
///
/// One number, so that the verifier can be made to forget by which way it came
/// about.
#[derive(Clone, Copy)]
pub struct Way(pub u32);

impl Way {
    /// No bridge is involved.
    pub const ROUTED: Self = Self(0);
    /// The frame comes in by a port.
    pub const ENTERS: u32 = 1;
    /// It goes from port to port.
    pub const BRIDGED: u32 = 2;
    /// It was routed to a port, and may have been judged where it came in.
    pub const TO_PORT: u32 = 4;
    /// It comes up from a bridge or leaves by a port: conduits may name what it
    /// carries instead of IP.
    pub const OF_BRIDGE: u32 = 8;

    /// Whether any of some flags is set.
    #[inline(always)]
    pub const fn is(self, flags: u32) -> bool {
        self.0 & flags != 0
    }

    /// Where a packet is counted that belongs to a flow: if that is known, it was
    /// counted where it came in.
    #[inline(always)]
    pub fn counted(self, slot: Slot) -> Slot {
        if self.is(Self::TO_PORT) {
            Slot::NOWHERE
        } else {
            slot
        }
    }
}

/// `skb->tc_index` of what came in by a port: this bit, and the port.
const IS_PORT: u32 = 1 << 15;

/// Notes on a frame by which port it came in: the bridge hides that from the
/// program behind it.
#[inline(always)]
pub fn mark(packet: &Buffer, port: u32) {
    let note = if port < IS_PORT { IS_PORT | port } else { 0 };
    packet.note(note);
}

/// The port by which a frame came to a bridge; the bridge itself where nobody has
/// noted it, as on a port without program.
#[inline(always)]
pub fn port_of(active: &Active, packet: &Buffer, bridge: u32) -> u32 {
    let note = packet.noted();
    let port = note & (IS_PORT - 1);
    if note & IS_PORT != 0 && lookup::routed_by(active, port) == bridge {
        port
    } else {
        bridge
    }
}

/// Where a packet is seen that leaves by an interface; `None` when that was judged
/// already, or is to be judged elsewhere.
#[inline(always)]
pub fn exit(active: &Active, packet: &Buffer) -> Option<(Place, Way)> {
    let (ifindex, ingress) = (packet.ifindex(), packet.ingress_ifindex());
    if lookup::is_bridge(active, ifindex) {
        // Its ports come next.
        return None;
    }
    let here = lookup::link(active, ifindex, Tags::default());
    let mut way = if here.is_port { Way::OF_BRIDGE } else { 0 };
    let mut place = Place::at(ifindex, Origin::ROUTER);
    if ingress != 0 {
        let from = lookup::link(active, ingress, Tags::default());
        if from.is_enforced && translated::is_translated(active, packet) {
            return Some((translated::place(packet), Way::ROUTED));
        }
        if from.is_enforced {
            if !here.is_awaited {
                return None;
            }
            way |= Way::TO_PORT;
        } else if here.is_port {
            way |= Way::BRIDGED;
        }
        if here.is_port {
            place.exit = ifindex;
        }
        if from.is_enforced || here.is_port && from.is_port {
            place.origin = Origin::WIRE;
            place.ifindex = came_in(active, packet, ingress);
        } else {
            place.origin = Origin::UNGUARDED;
        }
    }
    place.origin = Origin(packet.opaque(place.origin.0));
    place.ifindex = packet.opaque(place.ifindex);
    place.exit = packet.opaque(place.exit);
    Some((place, Way(packet.opaque(way))))
}

/// The interface by which a packet came in: of a bridge its port.
#[inline(always)]
pub fn came_in(active: &Active, packet: &Buffer, ingress: u32) -> u32 {
    if lookup::is_bridge(active, ingress) {
        port_of(active, packet, ingress)
    } else {
        ingress
    }
}

/// Whether the sender of a packet is who he can be on the port: what else there
/// is to say is said where it leaves the bridge.
#[inline(always)]
pub fn admit(scratch: &Scratch) -> Result<Slot, Dropped> {
    let zone = scratch.ends.source.zone;
    if zone.is_refused() && essential::of(&scratch.facts).is_none() {
        return Err(Dropped::early(zone.zone(), zone.refusal()));
    }
    Ok(Slot::NOWHERE)
}

/// Whether a packet that was routed to a port was judged where it came in. Of any
/// other the source was, so that it counts as it is.
#[inline(always)]
pub fn was_judged(active: &Active, scratch: &mut Scratch) -> bool {
    let source = &mut scratch.ends.source;
    source.zone = SourceCell::new(source.zone.zone(), false);
    !bridge::was_deferred(active, &scratch.facts.question)
}

/// The verdict on a frame that carries neither IP nor ARP.
#[inline(always)]
pub fn without_ip(
    active: &Active,
    hook: u32,
    (payload, link): (Payload, &LinkLayer),
    (way, scratch): (Way, &mut Scratch),
) -> Result<Slot, Dropped> {
    let is_essential = payload == Payload::Link;
    // Bridges keep frames to these groups for themselves.
    if is_essential && !way.is(Way::BRIDGED) && (link.is_link_group || !way.is(Way::ENTERS)) {
        return essential_frame(active, scratch, Essential::LINK);
    }
    if way.is(Way::ENTERS) {
        return Ok(Slot::NOWHERE);
    }
    if !way.is(Way::OF_BRIDGE) {
        return Err(DropReason::UNKNOWN_ETHERTYPE.into());
    }
    scratch.facts.flags = 0;
    scratch.facts.question.protocol = protocol::ETHERNET;
    scratch.facts.question.service = link.ether_type;
    between_ports(hook, black_box(scratch))
}

/// The verdict on ARP, whose sender may say what it says.
#[inline(always)]
pub fn arp(active: &Active, hook: u32, way: Way, scratch: &mut Scratch) -> Result<Slot, Dropped> {
    if way.is(Way::BRIDGED) {
        return between_ports(hook, scratch);
    }
    essential_frame(active, scratch, Essential::ARP)
}

#[inline(always)]
fn essential_frame(
    active: &Active,
    scratch: &Scratch,
    essential: Essential,
) -> Result<Slot, Dropped> {
    let place = &scratch.facts.question.place;
    let Slot(slot) = decide::admit_frame(active, place, essential)?;
    Ok(Slot(active.forgotten(slot)))
}

#[inline(always)]
fn between_ports(hook: u32, scratch: &mut Scratch) -> Result<Slot, Dropped> {
    let mut found = apart::judge_frame(hook);
    if found == Found::TERMS {
        found = apart::meets_terms(hook, true);
    }
    match found {
        Found::PASS => Ok(scratch.slot),
        _ => Err(scratch.drop),
    }
}

/// Judges the frame in the scratch, which carries no IP.
#[inline(always)]
pub fn judge(active: &Active, scratch: &mut Scratch) -> Found {
    let question = &scratch.facts.question;
    if scratch.facts.is_arp() {
        if let Err(drop) = decide::admit_frame(active, &question.place, Essential::ARP) {
            scratch.drop = drop;
            return Found::DROP;
        }
        scratch.ends = decide::ends(active, question);
        let ends = &*black_box(&mut scratch.ends);
        let found = bridge::neighbours(active, &scratch.facts.question, ends);
        return Found::of(found.map(|()| Some(Essential::ARP.slot())), scratch);
    }
    match bridge::judge_frame(active, question) {
        Ok(judgement) => {
            scratch.flow.judgement = judgement;
            scratch.slot = judgement.cell.slot();
            match judgement.cell.is_plain() {
                true => Found::PASS,
                false => Found::TERMS,
            }
        }
        Err(drop) => {
            scratch.drop = drop;
            Found::DROP
        }
    }
}

/// The port by which the initiator's packets of a flow leave, 0 if by none;
/// `is_initiator` when he sends the packet in hand.
#[inline(always)]
pub fn exit_of_flow(active: &Active, here: &Place, is_initiator: bool) -> u32 {
    if is_initiator {
        return here.exit;
    }
    // They leave where the answer came in.
    let is_port = lookup::link(active, here.ifindex, Tags::default()).is_port;
    if is_port && here.origin == Origin::WIRE {
        here.ifindex
    } else {
        0
    }
}

/// Whether a bridged packet leaves for the other side of a flow, and not as a copy
/// for somebody else; `is_initiator` when the initiator sends it, or could have.
#[inline(always)]
pub fn leads_to(
    active: &Active,
    question: &Question,
    class: u16,
    (entry, is_initiator): (&Flow, bool),
) -> bool {
    let zone = bridge::exit_zone(active, question, class);
    if is_initiator {
        return entry.to == zone;
    }
    // A hardware address may have told his zone.
    entry.from == zone || entry.ifindex == question.place.exit
}

/// Whether the answers to a packet belong to a flow at all: those to a group of
/// stations do not, and each copy has a zone of its own.
#[inline(always)]
pub fn is_copy(facts: &Facts, is_to_group: bool) -> bool {
    facts.question.place.is_bridged() && is_to_group
}
