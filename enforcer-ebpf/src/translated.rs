//! Packets that get another source address on their way through the router.
//!
//! What comes in is judged by the addresses it has then. Behind it, netfilter may
//! give it an address of the router, and the answers come to that. So TC ingress
//! hands the source zone over to TC egress, in `tc_index`: nothing but TC programs
//! can write it, and it survives routing and translation. (What comes up from a
//! bridge undecided keeps the note of its port there.) TC egress finds
//! packets that do not come from the router but have its address, and records their
//! flows as they are seen outside.

use enforcer_common::decide;
use enforcer_common::packet::Packet as _;
use enforcer_common::parse;
use enforcer_common::question::{Origin, Place};
use enforcer_common::zone::ZoneId;

pub use enforcer_common::translated::is_translated;

use crate::hooks::Buffer;
use crate::maps::{Active, Scratch};

/// What `tc_index` holds when nothing was handed over.
const NOTHING: u32 = 0;

/// Hands the zone over that a packet comes from, if it may come from there.
#[inline(always)]
pub fn hand_over(active: &Active, packet: &Buffer, scratch: &mut Scratch) -> Option<()> {
    let link = parse::link_layer(packet).ok()?;
    let question = &mut scratch.facts.question;
    question.source = parse::source(packet, &link)?;
    question.place.tags = link.tags;
    question.place.mac = link.source;
    let zone = decide::source_end(active, question).zone;
    if !zone.is_refused() {
        hand(packet, zone.zone());
    }
    Some(())
}

/// Hands a zone over.
#[inline(always)]
pub fn hand(packet: &Buffer, zone: ZoneId) {
    packet.note(NOTHING + 1 + u32::from(zone.0));
}

/// Where a packet is seen that leaves with another source than it came with.
#[inline(always)]
pub fn place(packet: &Buffer) -> Place {
    let origin = Origin(packet.opaque(Origin::TRANSLATED.0));
    let mut place = Place::at(packet.ifindex(), origin);
    place.translated(handed(packet));
    place
}

/// The zone that was handed over with a packet.
#[inline(always)]
fn handed(packet: &Buffer) -> ZoneId {
    match packet.noted() {
        NOTHING => ZoneId::UNKNOWN,
        index => ZoneId((index - 1) as u16),
    }
}
