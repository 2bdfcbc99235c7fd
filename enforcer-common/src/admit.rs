//! What passes or drops before the policy is asked: essential protocols, failsafe
//! traffic, forged sources.

use crate::bridge;
use crate::cell::Slot;
use crate::decide::{Dropped, Ends};
use crate::essential::{self, Essential};
use crate::failsafe;
use crate::lookup::{self, LinkClass, Tables};
use crate::parse::Facts;
use crate::question::{Origin, Place};
use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// Lets a frame pass that carries no IP but an essential protocol, unless the
/// policy turned that off where the frame is seen.
#[inline(always)]
pub fn admit_frame(
    tables: &impl Tables,
    place: &Place,
    essential: Essential,
) -> Result<Slot, Dropped> {
    match frame_from(tables, place, essential) {
        ZoneId::NONE => Ok(essential.slot()),
        from => {
            let from = ZoneId(tables.opaque(from.0));
            Err(Dropped::early(from, DropReason::ESSENTIAL_OFF))
        }
    }
}

/// The zone that such a frame is dropped from; [`ZoneId::NONE`] where it passes.
///
/// A function of its own in the kernel: all ways through it end as one.
#[inline(never)]
fn frame_from(tables: &impl Tables, place: &Place, essential: Essential) -> ZoneId {
    let link = lookup::link(tables, place.ifindex, place.tags).class;
    if !lookup::link_facts(tables, link).is_off(essential) {
        return ZoneId::NONE;
    }
    match place.origin {
        // Addresses that no entry names have class 0.
        Origin::WIRE => lookup::zone(tables, link, 0).zone(),
        Origin::ROUTER => ZoneId::SELF,
        _ => ZoneId::UNKNOWN,
    }
}

/// Lets essential protocols and failsafe traffic pass and keeps forged sources
/// out; `None` when the policy has to decide.
#[inline(always)]
pub fn admit(tables: &impl Tables, facts: &Facts, ends: &Ends) -> Result<Option<Slot>, Dropped> {
    let question = &facts.question;
    if question.place.is_bridged() && bridge::finds_neighbours(tables, facts, ends.source.link) {
        bridge::neighbours(tables, question, ends)?;
        return Ok(Some(Essential::ND.slot()));
    }
    let is_from_router = question.place.origin == Origin::ROUTER;
    let is_from_wire = question.place.is_from_wire();
    let is_to_router = ends.destination.destination == ZoneId::SELF.0;
    let is_group = ends.is_to_group();
    let stays_here = is_to_router || is_group || question.destination.is_link_local();
    if is_from_router || is_from_wire && stays_here {
        let slot = essential_slot(tables, facts, ends.source.link);
        if slot != Slot::NO_CONDUIT {
            return Ok(Some(slot));
        }
    }
    if is_from_router || is_from_wire && is_to_router && !is_group {
        let peer = if is_from_router {
            ends.class()
        } else {
            ends.source.class()
        };
        let matching = failsafe::matching(tables, facts, (peer, ends.source.link), is_from_router);
        if matching != 0 {
            return Ok(Some(Slot(Slot::FAILSAFE.0 + lowest_bit(matching))));
        }
    }
    if ends.source.zone.is_refused() {
        return Err(refused(ends));
    }
    Ok(None)
}

/// The slot of the essential protocol that a packet to or from the router belongs
/// to; [`Slot::NO_CONDUIT`] where it belongs to none, or the policy turns it off.
///
/// A function of its own in the kernel: all ways through it end as one.
#[inline(never)]
pub(crate) fn essential_slot(tables: &impl Tables, facts: &Facts, link: LinkClass) -> Slot {
    match essential::of(facts) {
        Some(essential) if !lookup::link_facts(tables, link).is_off(essential) => essential.slot(),
        _ => Slot::NO_CONDUIT,
    }
}

#[inline(always)]
fn lowest_bit(bits: u16) -> u32 {
    let mut index = 0;
    for bit in 0..16 {
        if bits & 1 << bit != 0 {
            index = bit;
            break;
        }
    }
    index
}

#[inline(always)]
pub(crate) fn refused(ends: &Ends) -> Dropped {
    Dropped::early(ends.source.zone.zone(), ends.source.zone.refusal())
}
