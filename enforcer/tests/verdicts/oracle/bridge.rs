//! What is different between two ports of a bridge, read from the policy itself.

use std::net::IpAddr;

use enforcer::policy::model::{Policy, ZoneRef};
use enforcer::policy::service::{IcmpFamily, Service, Transport as PortProtocol};

use super::devices::home;
use super::flows::{Flow, Opening, Side};
use super::packet::{Datagram, ICMP, ICMPV6, Ports, SCTP, TCP, Transport, UDP, Vlan};
use super::rules::{Content, Verdict};
use super::zones::{self, Link, is_group};
use super::{Expected, Router, pass};

impl Router<'_> {
    /// The zone that an address has behind the port where a packet leaves.
    pub(super) fn zone_at(&self, exit: u32, vlan: Vlan, address: IpAddr) -> ZoneRef {
        let link = self.port(exit, vlan);
        match zones::source_zone(self.policy, self.world, link, address) {
            Ok(zone) => zone,
            Err(_) => zones::zone_of_port(self.policy, link),
        }
    }

    fn port(&self, ifindex: u32, vlan: Vlan) -> Link<'_> {
        Link {
            interface: self.world.name(ifindex),
            vlan,
            mac: None,
        }
    }

    /// The zone of who asks for an address by DHCP and has none.
    pub(super) fn without_address(&self, packet: &Opening) -> Option<ZoneRef> {
        packet.exit?;
        let asks = match packet.content.transport {
            Transport::Ports(Ports { destination, .. }) => {
                packet.content.protocol == UDP && destination == 67
            }
            _ => false,
        };
        let has_none = packet.source.is_ipv4() && packet.source.is_unspecified();
        let link = self.port(packet.ifindex, packet.vlan);
        (asks && has_none).then(|| zones::zone_of_port(self.policy, link))
    }

    /// Whether it is a copy for one of many, which belongs to no flow.
    pub(super) fn is_copy(&self, packet: &Opening) -> bool {
        let is_broadcast = || self.world.broadcasts().contains(&packet.destination);
        packet.exit.is_some() && (is_group(packet.destination) || is_broadcast())
    }

    /// Whether a bridged packet leaves for the other side of a flow.
    pub(super) fn leads_to(&self, packet: &Opening, flow: &Flow, from: Side) -> bool {
        let Some(exit) = packet.exit else {
            return true;
        };
        let zone = self.zone_at(exit, packet.vlan, packet.destination);
        match from {
            Side::Initiator => flow.to == zone,
            Side::Responder => flow.from == zone || flow.opening.ifindex == exit,
        }
    }

    /// The verdict on neighbour discovery between ports, if that is what it is.
    pub(super) fn discovery(&self, packet: &Opening, datagram: &Datagram) -> Option<Expected> {
        packet.exit?;
        let is_nd = self.neighbourly_name(packet, datagram) == Some("nd");
        let is_off = zones::essential_is_off(self.policy, self.link(packet), "nd");
        (is_nd && !is_off).then(|| self.neighbours(packet, "nd"))
    }

    /// Whether stations may look for each other.
    pub(super) fn neighbours(&self, packet: &Opening, name: &str) -> Expected {
        let station = |zone: Option<ZoneRef>, ifindex| match zone {
            Some(zone) if zone != ZoneRef::Unknown => zone,
            _ => zones::zone_of_port(self.policy, self.port(ifindex, packet.vlan)),
        };
        let exit = packet.exit.expect("it is bridged");
        let from = zones::source_zone(self.policy, self.world, self.link(packet), packet.source);
        let from = station(from.ok(), packet.ifindex);
        let to = self.zone_at(exit, packet.vlan, packet.destination);
        let to = station(Some(to), exit);
        if is_joined(self.policy, from, to) {
            return pass(&format!("(essential:{name})"));
        }
        Expected::Drop {
            reason: "no-conduit",
            from: self.name(from),
            to: Some(self.name(to)),
            counted: Some("(no-conduit)".to_owned()),
        }
    }
}

/// Whether both are one zone, or anything passes from one to the other or back.
fn is_joined(policy: &Policy, from: ZoneRef, to: ZoneRef) -> bool {
    let is_zone = |zone| matches!(zone, ZoneRef::Zone(_));
    let is_one = is_zone(from) && is_zone(to) && home(policy, from) == home(policy, to);
    let everything = contents(policy);
    let passes = |from, to| {
        let mut all = everything.iter();
        all.any(|content| Verdict::of(policy, content, from, to).passes)
    };
    is_one || passes(from, to) || passes(to, from)
}

/// One of each kind of content that a policy may tell apart.
fn contents(policy: &Policy) -> Vec<Content> {
    let mut contents = Vec::new();
    let mut ports = |protocol: u8, destination: u16| {
        let ports = Ports {
            source: 0,
            destination,
        };
        let transport = match protocol {
            TCP => Transport::Tcp { ports, flags: 2 },
            UDP | SCTP => Transport::Ports(ports),
            _ => Transport::Other,
        };
        contents.push(Content {
            protocol,
            transport,
        });
    };
    for protocol in (0..=255).filter(|protocol| ![ICMP, ICMPV6].contains(protocol)) {
        ports(protocol, 0);
    }
    let services = policy.conduits.iter().flat_map(|conduit| &conduit.services);
    let mut icmp = vec![(ICMP, 13, 0), (ICMPV6, 200, 0)];
    for service in services {
        match *service {
            Service::Ports(transport, range) => {
                let protocol = match transport {
                    PortProtocol::Tcp => TCP,
                    PortProtocol::Udp => UDP,
                    PortProtocol::Sctp => SCTP,
                };
                ports(protocol, range.start());
                ports(protocol, range.end().wrapping_add(1));
            }
            Service::Icmp(family, Some(kind), code) => {
                let protocol = if family == IcmpFamily::V4 {
                    ICMP
                } else {
                    ICMPV6
                };
                let code = code.unwrap_or(0);
                icmp.extend([
                    (protocol, kind, code),
                    (protocol, kind, code.wrapping_add(1)),
                ]);
                icmp.push((protocol, kind.wrapping_add(1), 0));
            }
            _ => {}
        }
    }
    let icmp = icmp.into_iter().map(|(protocol, kind, code)| Content {
        protocol,
        transport: Transport::Icmp { kind, code, id: 0 },
    });
    contents.extend(icmp);
    contents
}
