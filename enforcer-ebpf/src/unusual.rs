//! Packets that more than their own headers decide about: fragments, ICMP errors
//! about other packets, and what says who has which address.

use enforcer_common::neighbour;
use enforcer_common::parse::Facts;

use crate::apart::Found;
use crate::hooks::Hooked;
use crate::maps::{Active, Scratch};
use crate::{fragments, related};

/// What the datagram of a fragment, the flow of an error, or the owner of an
/// address says of the packet in the scratch.
#[inline(always)]
pub fn look(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    if scratch.facts.is_fragment() {
        let followed = fragments::follow(active, scratch);
        return Found::of(followed.map(|()| None), scratch);
    }
    if scratch.facts.flags & Facts::NEIGHBOUR != 0 {
        let (facts, source) = (&scratch.facts, &scratch.ends.source);
        let checked = neighbour::check(active, &packet.again(), facts, source);
        return Found::of(checked.map(|()| None), scratch);
    }
    if scratch.ends.source.zone.is_refused() {
        return Found::NOTHING;
    }
    related::pass(active, packet, scratch)
}
