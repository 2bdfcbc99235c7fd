//! What has to happen to a packet where it comes in or leaves, read from the
//! policy itself: slow, obvious, and independent of the tables it is compiled to.

mod always;
mod bridge;
mod devices;
pub mod flows;
pub mod fragments;
mod known;
pub mod modes;
pub mod neighbours;
pub mod packet;
pub mod quote;
pub mod rules;
mod translated;
pub mod zones;

use enforcer::policy::Policy;
use enforcer::policy::model::ZoneRef;

use crate::crossing::Way;
use crate::world::{Route, World};
use devices::are_between_zones;
pub use flows::History;
use flows::{Opening, Origin};
use packet::{Datagram, Payload, Transport};
use rules::{Terms, Verdict};
use translated::{Leaving, leaving};
use zones::{
    Link, Refused, is_group, is_link_local, source_zone, zone_behind, zone_by_address,
    zone_by_route,
};

/// The verdict on a packet and how it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Pass {
        /// Id of the conduit or built-in rule.
        counted: String,
    },
    /// It passes only because this is an audit.
    Audited {
        from: String,
        to: Option<String>,
        /// Id of the counter of what an audit let pass, if a conduit or
        /// built-in rule decided.
        counted: Option<String>,
    },
    Drop {
        reason: &'static str,
        from: String,
        /// `None` where the drop comes before the destination is known.
        to: Option<String>,
        /// Id of the conduit or built-in rule, if one decided.
        counted: Option<String>,
    },
    /// It passes, and is not counted: it was judged where it came in.
    Unjudged,
}

/// Judges a frame.
pub fn judge(
    policy: &Policy,
    world: &World,
    frame: &[u8],
    way: Way,
    history: &mut History,
) -> Expected {
    let router = Router { policy, world };
    let leaving = leaving(policy, world, frame, way);
    if leaving == Leaving::Judged {
        return Expected::Unjudged;
    }
    let expected = router.judge(frame, (way, leaving), history);
    let Expected::Drop {
        reason, from, to, ..
    } = &expected
    else {
        return match leaving {
            // It was counted where it came in.
            Leaving::Translated => Expected::Unjudged,
            _ => expected,
        };
    };
    let ends = [Some(from), to.as_ref()].map(|name| Some(router.zone(name?)));
    match modes::lets_pass(policy, reason, ends) {
        true => Expected::Audited {
            from: from.clone(),
            to: to.clone(),
            counted: None,
        },
        false => expected,
    }
}

/// A policy, and the router that it is for.
struct Router<'a> {
    policy: &'a Policy,
    world: &'a World,
}

/// The zones of both ends and what lets a packet pass between them.
struct Allowed {
    from: ZoneRef,
    to: ZoneRef,
    verdict: Verdict,
}

impl Router<'_> {
    /// The verdict, as if the policy as a whole were no audit.
    fn judge(
        &self,
        frame: &[u8],
        (way, leaving): (Way, Leaving),
        history: &mut History,
    ) -> Expected {
        let router = self;
        let frame = match packet::read(frame) {
            Ok(frame) => frame,
            Err(reason) => return router.dropped(reason, ZoneRef::Unknown, None),
        };
        let datagram = match frame.payload {
            Payload::Link => return router.frame("link", way, frame.vlan),
            Payload::Arp(claims) => {
                let link = Link {
                    interface: self.world.name(way.ifindex()),
                    vlan: frame.vlan,
                    mac: Some(frame.mac),
                };
                let unbelieved = router.unbelieved((way, link), claims.source, &Ok(claims.clone()));
                return unbelieved.unwrap_or_else(|| {
                    let admitted = router.frame("arp", way, frame.vlan);
                    match (way, &admitted) {
                        (Way::Between(..), Expected::Pass { .. }) => {
                            let packet = Opening::of_arp(way, (frame.vlan, frame.mac), &claims);
                            router.neighbours(&packet, "arp")
                        }
                        _ => admitted,
                    }
                });
            }
            Payload::Ip(datagram) => datagram,
        };
        let mut packet = Opening::new(way, (frame.vlan, frame.mac), &datagram);
        if leaving == Leaving::Translated {
            packet.origin = Origin::Translated;
        }
        if let Err(reason) = history.datagrams.follow(&mut packet, datagram.part) {
            return router.unfollowed(&packet, reason);
        }
        if let Some(claims) = &datagram.claims
            && let Some(drop) =
                router.unbelieved((way, router.link(&packet)), packet.source, claims)
        {
            return drop;
        }
        if let Some(quote) = datagram.quote
            && router.is_related(&packet, quote, history)
        {
            return pass("(related)");
        }
        let verdict = router.verdict(&packet, &datagram, history);
        if !matches!(verdict, Expected::Drop { .. }) {
            history.datagrams.begin(&packet, datagram.part);
        }
        verdict
    }

    /// The verdict on a packet with a transport header.
    fn verdict(&self, packet: &Opening, datagram: &Datagram, history: &mut History) -> Expected {
        if let Some(verdict) = self.discovery(packet, datagram) {
            return verdict;
        }
        if let Some(name) = self.essential(packet, datagram) {
            return pass(&format!("(essential:{name})"));
        }
        if let Some(index) = self.failsafe(packet) {
            return pass(&format!("(failsafe:{index})"));
        }
        let from = match self.source(packet) {
            Ok(zone) => zone,
            Err(drop) => return drop,
        };
        match self.known_flow(packet, from, history) {
            Some(verdict) => verdict,
            None => self.open(packet, from, history),
        }
    }

    /// What becomes of a packet of an initiator that the policy allows, when
    /// more than that is looked at.
    fn meet(
        &self,
        allowed: &Allowed,
        packet: &Opening,
        opens: bool,
        history: &mut History,
    ) -> Expected {
        let Allowed { from, to, verdict } = allowed;
        let audited = |counted: &str| Expected::Audited {
            from: self.name(*from),
            to: Some(self.name(*to)),
            counted: Some(counted.to_owned()),
        };
        if verdict.is_audited {
            return audited(&verdict.counted);
        }
        if packet.origin == Origin::Translated {
            // It has met them where it came in.
            return pass(&verdict.counted);
        }
        let Some(Terms {
            id,
            rate: Some(rate),
            is_audited,
        }) = &verdict.terms
        else {
            return pass(&verdict.counted);
        };
        if history.buckets.take(id, rate, packet.source, opens) {
            return pass(&verdict.counted);
        }
        if *is_audited {
            return audited(&format!("{id}!audit"));
        }
        Expected::Drop {
            reason: "rate-limited",
            from: self.name(*from),
            to: Some(self.name(*to)),
            counted: Some(verdict.counted.clone()),
        }
    }

    /// Judges a packet that belongs to no flow, and records the flow it opens.
    fn open(&self, packet: &Opening, from: ZoneRef, history: &mut History) -> Expected {
        let is_tcp =
            matches!(packet.content.transport, Transport::Tcp { .. }) && !self.is_copy(packet);
        let was_judged = packet.origin == Origin::Translated;
        let is_amid = is_tcp && !packet.content.opens_tcp() && !was_judged;
        let asked = self.ask(packet, from);
        let may_open = matches!(&asked, Ok(allowed) if self.is_loose(from, allowed.to)
            && !allowed.verdict.is_audited && !packet.content.answers_opening());
        if is_amid
            && !may_open
            && let Some(answer) = self.answer(packet, from, &asked, history)
        {
            return answer;
        }
        let allowed = match asked {
            Ok(allowed) => allowed,
            Err(drop) => return drop,
        };
        let Allowed { from, to, verdict } = &allowed;
        if is_amid && !may_open && !verdict.is_audited {
            return self.dropped("tcp-no-flow", *from, Some(*to));
        }
        let expected = self.meet(&allowed, packet, true, history);
        if !matches!(expected, Expected::Drop { .. }) && !self.is_copy(packet) {
            history.open(*packet, *from, *to, verdict);
        }
        expected
    }

    /// Asks the policy about a packet.
    fn ask(&self, packet: &Opening, from: ZoneRef) -> Result<Allowed, Expected> {
        let (source, destination) = (packet.source, packet.destination);
        let mut to = self.destination(packet);
        let mut verdict = Verdict::of(self.policy, &packet.content, from, to);
        let stays_on_link = is_link_local(source) || is_link_local(destination);
        let is_between_zones = are_between_zones(self.policy, from, to);
        if verdict.passes && stays_on_link && is_between_zones {
            return Err(self.dropped("link-local", from, Some(to)));
        }
        let comes_in = packet.origin == Origin::Wire && packet.exit.is_none();
        let may_be_local = comes_in && to != ZoneRef::SelfZone && !is_group(destination);
        if verdict.passes && may_be_local && self.world.route(source, destination) == Route::Local {
            to = ZoneRef::SelfZone;
            verdict = Verdict::of(self.policy, &packet.content, from, to);
        }
        if verdict.passes {
            return Ok(Allowed { from, to, verdict });
        }
        Err(Expected::Drop {
            reason: verdict.reason,
            from: self.name(from),
            to: Some(self.name(to)),
            counted: Some(verdict.counted),
        })
    }

    /// The source zone, or the drop of a forged source.
    fn source(&self, packet: &Opening) -> Result<ZoneRef, Expected> {
        let zone = self.source_on(self.link(packet), packet);
        zone.map_err(|refused| self.dropped(refused.reason, refused.zone, None))
    }

    /// The source zone on a link, unless the source cannot come from there.
    fn source_on(&self, link: Link<'_>, packet: &Opening) -> Result<ZoneRef, Refused> {
        if let Some(zone) = self.without_address(packet) {
            return Ok(zone);
        }
        match packet.origin {
            Origin::Wire => source_zone(self.policy, self.world, link, packet.source),
            Origin::Router => Ok(ZoneRef::SelfZone),
            // Nothing hands a zone over to a test-run.
            Origin::Unguarded | Origin::Translated => Ok(ZoneRef::Unknown),
        }
    }

    /// The destination zone. What leaves has been routed: where the address does
    /// not tell, it goes to whoever is behind the interface.
    fn destination(&self, packet: &Opening) -> ZoneRef {
        if let Some(exit) = packet.exit {
            return self.zone_at(exit, packet.vlan, packet.destination);
        }
        let by_address = zone_by_address(self.policy, self.world, packet.destination);
        match (by_address, packet.origin) {
            (Some(zone), Origin::Wire) => zone,
            (None, Origin::Wire) => {
                let (source, destination) = (packet.source, packet.destination);
                zone_by_route(self.policy, self.world, source, destination)
            }
            (None | Some(ZoneRef::SelfZone), _) => {
                zone_behind(self.policy, self.link(packet), packet.destination)
            }
            (Some(zone), _) => zone,
        }
    }

    fn link(&self, packet: &Opening) -> Link<'_> {
        Link {
            interface: self.world.name(packet.ifindex),
            vlan: packet.vlan,
            mac: Some(packet.mac),
        }
    }

    /// A drop that no conduit decided.
    fn dropped(&self, reason: &'static str, from: ZoneRef, to: Option<ZoneRef>) -> Expected {
        Expected::Drop {
            reason,
            from: self.name(from),
            to: to.map(|zone| self.name(zone)),
            counted: None,
        }
    }

    /// The zone of a name that counters show.
    fn zone(&self, name: &str) -> ZoneRef {
        let mut zones = self.policy.zones.iter();
        let found = zones.position(|zone| zone.name.as_str() == name);
        match (name, found) {
            ("self", _) => ZoneRef::SelfZone,
            (_, Some(index)) => ZoneRef::Zone(index),
            _ => ZoneRef::Unknown,
        }
    }

    /// The name that counters show.
    fn name(&self, zone: ZoneRef) -> String {
        match zone {
            ZoneRef::SelfZone => "self".to_owned(),
            ZoneRef::Unknown => "unknown".to_owned(),
            ZoneRef::Zone(index) => self.policy.zones[index].name.to_string(),
        }
    }
}

fn pass(counted: &str) -> Expected {
    Expected::Pass {
        counted: counted.to_owned(),
    }
}
