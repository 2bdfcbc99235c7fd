//! Packets that more than their own headers decide about: fragments, and ICMP
//! errors about other packets.

use crate::apart::Found;
use crate::hooks::Hooked;
use crate::maps::{Active, Scratch};
use crate::{fragments, related};

/// What the datagram of a fragment, or the flow of an error, says of the packet
/// in the scratch.
#[inline(always)]
pub fn look(active: &Active, packet: &impl Hooked, scratch: &mut Scratch) -> Found {
    if scratch.facts.is_fragment() {
        let followed = fragments::follow(active, scratch);
        return Found::of(followed.map(|()| None), scratch);
    }
    if scratch.ends.source.zone.is_refused() {
        return Found::NOTHING;
    }
    related::pass(active, packet, scratch)
}
