//! What has to happen to a packet at the ingress hook, read from the policy
//! itself: slow, obvious, and independent of the tables it is compiled to.

mod devices;
pub mod flows;
pub mod fragments;
mod known;
pub mod modes;
pub mod packet;
pub mod quote;
pub mod rules;
pub mod zones;

use std::net::{IpAddr, Ipv6Addr};

use enforcer::policy::Policy;
use enforcer::policy::model::ZoneRef;

use crate::world::{Route, World};
use devices::are_between_zones;
pub use flows::History;
use flows::Opening;
use fragments::Part;
use packet::{Datagram, ICMPV6, Payload, Transport, UDP, Vlan};
use rules::{Content, Terms, Verdict, covers_service};
use zones::{
    Link, essential_is_off, is_group, is_link_local, source_zone, zone_by_address, zone_by_route,
    zone_of_link,
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
}

/// Judges a frame that comes in on the interface with index `ingress`.
pub fn judge(
    policy: &Policy,
    world: &World,
    frame: &[u8],
    ingress: u32,
    history: &mut History,
) -> Expected {
    let router = Router { policy, world };
    let expected = router.judge(frame, ingress, history);
    let Expected::Drop {
        reason, from, to, ..
    } = &expected
    else {
        return expected;
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
    fn judge(&self, frame: &[u8], ingress: u32, history: &mut History) -> Expected {
        let router = self;
        let frame = match packet::read(frame) {
            Ok(frame) => frame,
            Err(reason) => return router.dropped(reason, ZoneRef::Unknown, None),
        };
        let datagram = match frame.payload {
            Payload::Link => return router.frame("link", ingress, frame.vlan),
            Payload::Arp => return router.frame("arp", ingress, frame.vlan),
            Payload::Ip(datagram) => datagram,
        };
        let mut packet = Opening::new(ingress, (frame.vlan, frame.mac), &datagram);
        if let Err(reason) = history.datagrams.follow(&mut packet, datagram.part) {
            return router.unfollowed(&packet, reason);
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

    /// The verdict on a frame without IP.
    fn frame(&self, name: &str, ingress: u32, vlan: Vlan) -> Expected {
        let link = Link {
            interface: self.world.name(ingress),
            vlan,
            mac: None,
        };
        match essential_is_off(self.policy, link, name) {
            true => self.dropped("essential-off", zone_of_link(self.policy, link), None),
            false => pass(&format!("(essential:{name})")),
        }
    }

    /// The verdict on a packet with a transport header.
    fn verdict(&self, packet: &Opening, datagram: &Datagram, history: &mut History) -> Expected {
        let essential = self.essential(packet, datagram);
        let is_off = |name: &&str| essential_is_off(self.policy, self.link(packet), name);
        if let Some(name) = essential.filter(|name| !is_off(name)) {
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
        let allowed = match self.ask(packet, from) {
            Ok(allowed) => allowed,
            Err(drop) => return drop,
        };
        let Allowed { from, to, verdict } = &allowed;
        let is_tcp = matches!(packet.content.transport, Transport::Tcp { .. });
        if is_tcp && !packet.content.opens_tcp() && !verdict.is_audited {
            return self.dropped("tcp-no-flow", *from, Some(*to));
        }
        let expected = self.meet(&allowed, packet, true, history);
        if !matches!(expected, Expected::Drop { .. }) {
            history.open(*packet, *from, *to, verdict);
        }
        expected
    }

    /// Asks the policy about a packet.
    fn ask(&self, packet: &Opening, from: ZoneRef) -> Result<Allowed, Expected> {
        let (source, destination) = (packet.source, packet.destination);
        let mut to = zone_by_address(self.policy, self.world, destination)
            .unwrap_or_else(|| zone_by_route(self.policy, self.world, source, destination));
        let mut verdict = Verdict::of(self.policy, &packet.content, from, to);
        let stays_on_link = is_link_local(source) || is_link_local(destination);
        let is_between_zones = are_between_zones(self.policy, from, to);
        if verdict.passes && stays_on_link && is_between_zones {
            return Err(self.dropped("link-local", from, Some(to)));
        }
        let may_be_local = to != ZoneRef::SelfZone && !is_group(destination);
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
        let zone = source_zone(self.policy, self.world, self.link(packet), packet.source);
        zone.map_err(|refused| self.dropped(refused.reason, refused.zone, None))
    }

    fn link(&self, packet: &Opening) -> Link<'_> {
        Link {
            interface: self.world.name(packet.ifindex),
            vlan: packet.vlan,
            mac: Some(packet.mac),
        }
    }

    /// Protocols between neighbours; only to the router, to a group, or to an
    /// address that never leaves the link.
    fn essential(&self, packet: &Opening, datagram: &Datagram) -> Option<&'static str> {
        let (source, destination) = (packet.source, packet.destination);
        let (hop_limit, part) = (datagram.hop_limit, datagram.part);
        let Content {
            protocol,
            transport,
        } = packet.content;
        let is_local = self.world.is_router(destination)
            || is_group(destination)
            || is_link_local(destination);
        if !is_local {
            return None;
        }
        let is_between = |low, high| match transport {
            Transport::Ports(ports) => [ports.source, ports.destination]
                .iter()
                .all(|port| *port == low || *port == high),
            _ => false,
        };
        let all_dhcp_servers = IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2));
        match (source.is_ipv4(), protocol, transport) {
            (true, UDP, _) if is_between(67, 68) => Some("dhcp"),
            (true, 2, _) if hop_limit == 1 => Some("igmp"),
            (false, UDP, _)
                if is_between(546, 547)
                    && is_link_local(source)
                    && (is_link_local(destination) || destination == all_dhcp_servers) =>
            {
                Some("dhcpv6")
            }
            // RFC 6980: neighbour discovery is never fragmented.
            (false, ICMPV6, _) if part != Part::Whole => None,
            (false, ICMPV6, Transport::Icmp { kind, .. }) => match (kind, hop_limit) {
                (133 | 135 | 136 | 137, 255) => Some("nd"),
                (134, 255) if is_link_local(source) => Some("ra"),
                (130 | 131 | 132 | 143, 1) => Some("mld"),
                _ => None,
            },
            _ => None,
        }
    }

    /// The first failsafe entry that lets the packet reach the router.
    fn failsafe(&self, packet: &Opening) -> Option<usize> {
        if !self.world.addresses().contains(&packet.destination) {
            return None;
        }
        let ingress = self.world.name(packet.ifindex);
        self.policy.failsafe.iter().position(|entry| {
            let mut services = entry.services.iter();
            let interface = entry.interface.as_ref();
            entry.from.contains(&packet.source)
                && services.any(|service| covers_service(service, &packet.content))
                && interface.is_none_or(|name| ingress == Some(name.as_str()))
        })
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
