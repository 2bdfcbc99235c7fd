//! TCP segments that are the first that this router sees of their connection,
//! because routes are asymmetric.

use enforcer_common::decide::{self, Judgement, Route};
use enforcer_common::question::{Origin, Place, Tags};

use crate::again;
use crate::apart::Found;
use crate::flows;
use crate::hooks::Hooked;
use crate::maps::{Active, Scratch};

/// Lets the segment in the scratch pass as an answer, and records its flow, if the
/// policy allows its receiver to open the connection; else says what was found
/// before (`otherwise`).
///
/// The drop in the scratch says between which zones it goes.
#[inline(always)]
pub fn answer(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    let routes = packet.routes(scratch);
    let facts = &scratch.facts;
    let here = &facts.question.place;
    if here.is_bridged() {
        // What bridges carry takes one way in both directions.
        return scratch.flow.otherwise;
    }
    let mut place = Place {
        tags: here.tags,
        ..Place::at(here.ifindex, Origin::WIRE)
    };
    if here.origin == Origin::WIRE {
        // Its receiver's packets come in where the way back leads.
        let Route::Via(ifindex) = decide::route(active, &routes, &facts.question) else {
            return scratch.flow.otherwise;
        };
        place.ifindex = ifindex;
        place.tags = Tags::default();
    }
    scratch.flow.question = facts.question.reversed(place, facts.source_port);
    let judgement = match again::verdict_on(active, &routes, &mut scratch.flow) {
        Ok(judgement) if is_meant(active, &judgement, scratch) => judgement,
        _ => return scratch.flow.otherwise,
    };
    scratch.flow.judgement = judgement;
    if !flows::open(active, scratch, true) {
        return Found::DROP;
    }
    // It is recorded already.
    scratch.flow.has_flow = 0;
    scratch.slot = judgement.cell.slot();
    Found::PASS
}

/// Whether the policy itself, not an audit, allows a connection between the very
/// zones that the segment goes between.
#[inline(always)]
fn is_meant(active: &Active, judgement: &Judgement, scratch: &Scratch) -> bool {
    let source = &scratch.ends.source;
    let is_of_any_mac = scratch.facts.question.place.origin == Origin::WIRE
        && judgement.to == decide::zone_of_any_mac(active, source);
    !judgement.cell.is_audit()
        && !judgement.is_deferred()
        && Some(judgement.from) == scratch.drop.to()
        && (judgement.to == source.zone.zone() || is_of_any_mac)
}
