//! Packets that get another source address on their way through the router.
//!
//! What comes in is judged by the addresses it has then. Behind it, netfilter may
//! give it an address of the router, and the answers come to that. So TC ingress
//! hands the source zone over to TC egress, in `tc_index`: nothing but TC programs
//! can write it, and it survives routing and translation. (What comes up from a
//! bridge undecided keeps the note of its port there.) TC egress finds
//! packets that do not come from the router but have its address, and records their
//! flows as they are seen outside.

use enforcer_common::cell::AddressClass;
use enforcer_common::decide;
use enforcer_common::lookup;
use enforcer_common::packet::Packet as _;
use enforcer_common::parse;
use enforcer_common::question::{Mac, Origin, Place, Tags};
use enforcer_common::zone::ZoneId;

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

/// Where a packet is seen that leaves with another source than it came with; `None`
/// for all others.
#[inline(always)]
pub fn exit(active: &Active, packet: &Buffer) -> Option<Place> {
    let (ifindex, ingress) = (packet.ifindex(), packet.ingress_ifindex());
    // Of a bridge the ports come next.
    if ingress == 0 || lookup::is_bridge(active, ifindex) {
        return None;
    }
    let was_judged = lookup::link(active, ingress, Tags::default()).is_enforced;
    if !was_judged || !is_translated(active, packet) {
        return None;
    }
    let mut place = Place {
        ifindex,
        tags: Tags::default(),
        origin: Origin(packet.opaque(Origin::TRANSLATED.0)),
        mac: Mac::NONE,
        exit: 0,
    };
    place.translated(handed(packet));
    Some(place)
}

/// The zone that was handed over with a packet.
#[inline(always)]
fn handed(packet: &Buffer) -> ZoneId {
    match packet.noted() {
        NOTHING => ZoneId::UNKNOWN,
        index => ZoneId((index - 1) as u16),
    }
}

/// Whether a packet that the router forwards has an address of the router as its
/// source.
#[inline(always)]
fn is_translated(active: &Active, packet: &Buffer) -> bool {
    let Ok(link) = parse::link_layer(packet) else {
        return false;
    };
    let Some(source) = parse::source(packet, &link) else {
        return false;
    };
    let class = lookup::address_class(active, lookup::address(active, &source));
    class.destination == ZoneId::SELF.0 && class.flags & AddressClass::GROUP == 0
}
