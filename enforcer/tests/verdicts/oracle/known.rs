//! Packets that other packets decide about: of known flows, about them, and of
//! datagrams in pieces.

use enforcer::policy::model::{State, ZoneRef};

use super::flows::{History, Opening, Origin, Side};
use super::packet::Vlan;
use super::quote::Quote;
use super::zones::{Link, Refused};
use super::{Allowed, Expected, Router, pass};
use crate::world::Route;

impl Router<'_> {
    /// The verdict on a TCP segment in mid-stream as an answer to a connection of
    /// which nothing was seen, where a zone is loose and its receiver may open one.
    pub(super) fn answer(
        &self,
        packet: &Opening,
        from: ZoneRef,
        asked: &Result<Allowed, Expected>,
        history: &mut History,
    ) -> Option<Expected> {
        let to = match asked {
            Ok(allowed) => allowed.to,
            Err(Expected::Drop { to, .. }) => self.zone(to.as_ref()?),
            Err(_) => return None,
        };
        if packet.exit.is_some() || !self.is_loose(from, to) {
            return None;
        }
        let mut opening = packet.reversed()?;
        if packet.origin == Origin::Wire {
            let (source, destination) = (packet.source, packet.destination);
            let Route::Out(ifindex) = self.world.route(source, destination) else {
                return None;
            };
            (opening.ifindex, opening.vlan) = (ifindex, Vlan::default());
        }
        let zone = self.source(&opening).ok().filter(|zone| *zone == to)?;
        let allowed = self.ask(&opening, zone).ok()?;
        let of_any_mac = || {
            let link = Link {
                mac: None,
                ..self.link(packet)
            };
            packet.origin == Origin::Wire && self.source_on(link, packet) == Ok(allowed.to)
        };
        if allowed.verdict.is_audited || allowed.to != from && !of_any_mac() {
            return None;
        }
        history.answered(packet, opening, (zone, allowed.to), &allowed.verdict);
        Some(pass(&allowed.verdict.counted))
    }

    /// Whether one of two zones is loose, and neither the router.
    pub(super) fn is_loose(&self, from: ZoneRef, to: ZoneRef) -> bool {
        let zones = [from, to];
        let loose = |zone: &ZoneRef| matches!(zone, ZoneRef::Zone(index) if self.policy.zones[*index].state == State::Loose);
        zones.iter().any(loose) && !zones.contains(&ZoneRef::SelfZone)
    }

    /// The verdict on a packet that belongs to a flow, if it does.
    pub(super) fn known_flow(
        &self,
        packet: &Opening,
        from: ZoneRef,
        history: &mut History,
    ) -> Option<Expected> {
        let (flow, side) = history.find(packet).filter(|_| !self.is_copy(packet))?;
        if history.is_stale(flow) && !self.judge_again(packet, history) {
            return None;
        }
        let (flow, _) = history.find(packet)?;
        let recorded = match side {
            Side::Initiator => flow.from,
            Side::Responder => flow.to,
        };
        // Whoever is told apart by a hardware address was asked as any other.
        let asked = || {
            let link = Link {
                mac: None,
                ..self.link(packet)
            };
            side == Side::Responder && self.source_on(link, packet) == Ok(recorded)
        };
        if recorded != from && !asked() || !self.leads_to(packet, flow, side) {
            return None;
        }
        let allowed = Allowed {
            from: flow.from,
            to: flow.to,
            verdict: flow.verdict.clone(),
        };
        if side == Side::Responder {
            history.note(packet, side);
            return Some(pass(&allowed.verdict.counted));
        }
        let expected = self.meet(&allowed, packet, false, history);
        if !matches!(expected, Expected::Drop { .. }) {
            history.note(packet, side);
        }
        Some(expected)
    }

    /// The drop of a fragment that does not follow what came before.
    pub(super) fn unfollowed(&self, packet: &Opening, reason: &'static str) -> Expected {
        match self.source_on(self.link(packet), packet) {
            Err(refused) if reason == "fragment-orphan" => {
                self.dropped(refused.reason, refused.zone, None)
            }
            Ok(zone) | Err(Refused { zone, .. }) => self.dropped(reason, zone, None),
        }
    }

    /// Whether an ICMP error tells a side of a flow about a packet that this side
    /// has sent.
    pub(super) fn is_related(&self, error: &Opening, quote: Quote, history: &mut History) -> bool {
        if self.source(error).is_err() || error.destination != quote.source {
            return false;
        }
        let quoted = Opening {
            source: quote.source,
            destination: quote.destination,
            content: quote.content,
            // It was on its way where the error comes from.
            ifindex: error.exit.unwrap_or(error.ifindex),
            exit: error.exit.map(|_| error.ifindex),
            ..*error
        };
        let found = history.find(&quoted).map(|(flow, side)| {
            let to_side = match side {
                Side::Initiator => Side::Responder,
                Side::Responder => Side::Initiator,
            };
            (history.is_stale(flow), self.leads_to(error, flow, to_side))
        });
        match found {
            None => false,
            Some((false, leads_there)) => leads_there,
            Some((true, _)) => self.judge_again(&quoted, history),
        }
    }

    /// Asks the present policy about the flow that a packet belongs to, which an
    /// older one judged. What may not go on is no flow for as long as the policy
    /// says so.
    fn judge_again(&self, packet: &Opening, history: &mut History) -> bool {
        let Some((flow, side)) = history.find(packet) else {
            return false;
        };
        let mut opening = flow.opening.asked_again();
        opening.exit = packet.exit.map(|exit| match side {
            Side::Initiator => exit,
            Side::Responder => packet.ifindex,
        });
        let verdict = self
            .source(&opening)
            .and_then(|from| self.ask(&opening, from));
        match verdict {
            Ok(now) => {
                history.renew(packet, now.from, now.to, &now.verdict);
                true
            }
            Err(_) => false,
        }
    }
}
