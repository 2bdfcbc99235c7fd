//! Fragments, and ICMP errors.

use super::super::sequel::{answer, tags};
use super::super::{Rng, edges, errors};
use super::{Packets, RECENT, Sent};
use crate::crossing::Crossing;
use crate::oracle::judge;

impl Packets<'_> {
    /// A fragment.
    pub(super) fn piece(&mut self, rng: &mut Rng) -> Crossing {
        let is_later = self.pieces.has_any() && rng.percent(65);
        let mut sent = match is_later {
            true => self.pieces.later(rng),
            false => {
                let whole = match rng.percent(50) && !self.sent.is_empty() {
                    true => self.related(rng),
                    false => self.fresh(rng),
                };
                self.pieces.first(rng, whole)
            }
        };
        if rng.percent(2) {
            sent.here.ifindex = self.interface(rng);
        }
        sent.packet.tags = tags(rng, sent.here.vlan);
        let mut frame = sent.packet.bytes();
        if rng.percent(3) {
            edges::damage(rng, &mut frame);
        }
        let way = sent.way();
        judge(self.policy, self.world, &frame, way, &mut self.history);
        Crossing::new(frame, way)
    }

    /// An ICMP error about an earlier packet, usually to who sent that, from the
    /// other end or a router on the way.
    pub(super) fn error(&self, rng: &mut Rng) -> Sent {
        let mut about = match self.passed.is_empty() || rng.percent(10) {
            true => rng.pick(&self.sent),
            false => {
                let recent = self.passed.len().saturating_sub(RECENT);
                rng.pick(&self.passed[recent..])
            }
        };
        if rng.percent(40) {
            about.packet = answer(about.packet);
        }
        let mut ends = (about.packet.destination, about.packet.source);
        match rng.below(10) {
            0 => ends.1 = ends.0,
            1..4 => {
                let router = self.router(rng);
                let zone = self.any_zone(rng);
                let stranger = self.address(rng, zone);
                let teller = rng.pick(&[router, stranger]);
                if teller.is_ipv4() == ends.1.is_ipv4() {
                    ends.0 = teller;
                }
            }
            _ => {}
        }
        Sent {
            here: self.home(rng, ends.0),
            packet: errors::error(rng, about.packet, ends),
            leaving: None,
        }
    }
}
