//! Flows that an older policy judged.

use core::hint::black_box;

use enforcer_common::decide::{self, Dropped, Judgement, Route};
use enforcer_common::flow::Flow;
use enforcer_common::lookup::{self, Tables};
use enforcer_common::parse::Facts;
use enforcer_common::question::{Origin, Place, Tags};

use crate::apart::Found;
use crate::flows::FlowScratch;
use crate::hooks::{Fib, Hooked};
use crate::maps::{Active, FLOWS, FLOWS_NEW, Scratch};

/// Asks the active policy about a flow that an older one judged, and writes
/// down what it says; [`Found::DROP`] when the flow may not go on.
///
/// Such a flow is none for as long as this policy holds. Its entry stays, so
/// that connections outlive a policy that is taken back.
#[inline(always)]
pub fn judge(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    let routes = &packet.routes(scratch);
    let (facts, scratch) = (&scratch.facts, &mut scratch.flow);
    if !lookup::is_listed(active, scratch.question.place.ifindex) {
        relocate(active, routes, facts, scratch);
    }
    match verdict_on(active, routes, scratch) {
        Ok(judgement) if !judgement.is_deferred() => {
            let place = &scratch.question.place;
            renew(FLOWS.get_ptr_mut(&scratch.key), active, (&judgement, place));
            renew(
                FLOWS_NEW.get_ptr_mut(&scratch.key),
                active,
                (&judgement, place),
            );
            Found::PASS
        }
        _ => Found::DROP,
    }
}

/// Finds out where a flow is seen now that the interface is gone where it was:
/// the same peers may speak through another.
#[inline(always)]
fn relocate(active: &Active, routes: &Fib, facts: &Facts, scratch: &mut FlowScratch) {
    let place = &mut scratch.question.place;
    let here = &facts.question.place;
    if scratch.is_initiator != 0 {
        *place = *here;
    } else if place.origin != Origin::WIRE {
        // What leaves for the responder is seen where it answers.
        place.ifindex = here.ifindex;
        place.tags = here.tags;
    } else if here.is_bridged() {
        place.ifindex = here.exit;
        place.tags = here.tags;
    } else if let Route::Via(ifindex) = decide::route(active, routes, &facts.question) {
        place.ifindex = ifindex;
        place.tags = Tags::default();
    }
}

/// What the active policy says of the question in the scratch.
#[inline(always)]
pub fn verdict_on(
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
