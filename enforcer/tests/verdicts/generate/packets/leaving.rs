//! Packets that leave: the router's own, its answers, and what came in where no
//! program judged it.

use super::super::Rng;
use super::super::sequel::answer;
use super::{Packets, Sent};
use crate::crossing::Way;
use crate::world::{Route, SPARE};

/// An interface that the router does not have, so that no program judges there.
const FOREIGN: u32 = 99;

/// How a packet leaves, by the interface where it is seen.
#[derive(Clone, Copy)]
pub struct Leaving {
    /// Where it came in; the router's own came in nowhere.
    from: Option<u32>,
}

impl Sent {
    pub(super) fn way(&self) -> Way {
        let ifindex = self.here.ifindex;
        match self.leaving {
            Some(Leaving { from }) => Way::Out(ifindex, from),
            None => Way::In(ifindex),
        }
    }
}

/// Which way a frame goes that is of no protocol that is routed.
pub(super) fn other(rng: &mut Rng, ifindex: u32) -> Way {
    match rng.percent(10) {
        true => Way::Out(ifindex, None),
        false => Way::In(ifindex),
    }
}

impl Packets<'_> {
    /// A packet that opens something on its way out.
    pub(super) fn leaving(&self, rng: &mut Rng) -> Sent {
        let mut sent = self.fresh(rng);
        let from = match rng.below(10) {
            0..6 => None,
            6..9 => Some(rng.pick(&[FOREIGN, SPARE])),
            _ => Some(self.interface(rng)),
        };
        if from.is_none() {
            // From nobody else's address: nothing looks for answers to those.
            let mut own = self.world.addresses();
            own.retain(|own| own.is_ipv4() == sent.packet.source.is_ipv4());
            sent.packet.source = rng.pick(&own);
        }
        self.turned_out(rng, sent, from)
    }

    /// The answer to a packet, from where its sender was sent to.
    pub(super) fn answered(&self, rng: &mut Rng, mut sent: Sent) -> Sent {
        sent.packet = answer(sent.packet);
        let is_of_router = self.world.is_router(sent.packet.source);
        if is_of_router && rng.percent(95) {
            return match sent.leaving {
                // Where the question came in.
                None => Sent {
                    leaving: Some(Leaving { from: None }),
                    ..sent
                },
                Some(_) => self.turned_out(rng, sent, None),
            };
        }
        sent.leaving = None;
        sent.here = self.home(rng, sent.packet.source);
        sent
    }

    /// A packet that leaves by the interface that leads to its destination.
    fn turned_out(&self, rng: &mut Rng, mut sent: Sent, from: Option<u32>) -> Sent {
        let (source, destination) = (sent.packet.source, sent.packet.destination);
        sent.here.ifindex = match self.world.route(source, destination) {
            Route::Out(index) if rng.percent(85) => index,
            _ => self.interface(rng),
        };
        if rng.percent(70) {
            sent.here.vlan = Default::default();
        }
        sent.leaving = Some(Leaving { from });
        sent
    }
}
