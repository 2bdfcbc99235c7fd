//! What passes whatever the conduits say: essential protocols, and failsafe.

use std::net::{IpAddr, Ipv6Addr};

use enforcer::policy::model::ZoneRef;

use super::flows::{Opening, Origin};
use super::fragments::Part;
use super::packet::{Datagram, ICMP, ICMPV6, Ports, Transport, UDP, Vlan};
use super::rules::{Content, covers_service};
use super::zones::{Link, essential_is_off, is_group, is_link_local, zone_of_link};
use super::{Expected, Router, pass};
use crate::crossing::Way;

impl Router<'_> {
    /// The verdict on a frame without IP.
    pub(super) fn frame(&self, name: &str, way: Way, vlan: Vlan) -> Expected {
        let link = Link {
            interface: self.world.name(way.ifindex()),
            vlan,
            mac: None,
        };
        if !essential_is_off(self.policy, link, name) {
            return pass(&format!("(essential:{name})"));
        }
        let from = match way {
            Way::In(_) | Way::Between(..) => zone_of_link(self.policy, link),
            Way::Out(_, None) => ZoneRef::SelfZone,
            Way::Out(_, Some(_)) => ZoneRef::Unknown,
        };
        self.dropped("essential-off", from, None)
    }

    /// The essential protocol that a packet is of, where that is not turned off.
    pub(super) fn essential(&self, packet: &Opening, datagram: &Datagram) -> Option<&'static str> {
        let name = self.neighbourly(packet, datagram);
        name.filter(|name| !essential_is_off(self.policy, self.link(packet), name))
    }

    /// Protocols between neighbours; only from the router, or to it, to a group, or
    /// to an address that never leaves the link.
    fn neighbourly(&self, packet: &Opening, datagram: &Datagram) -> Option<&'static str> {
        let (destination, is_bridged) = (packet.destination, packet.exit.is_some());
        let is_local = match packet.origin {
            Origin::Wire if is_bridged => false,
            Origin::Wire => {
                self.world.is_router(destination)
                    || is_group(destination)
                    || is_link_local(destination)
            }
            Origin::Router => true,
            Origin::Unguarded | Origin::Translated => false,
        };
        let name = self.neighbourly_name(packet, datagram);
        name.filter(|_| is_local)
    }

    /// The same, wherever it goes.
    pub(super) fn neighbourly_name(
        &self,
        packet: &Opening,
        datagram: &Datagram,
    ) -> Option<&'static str> {
        let (source, destination) = (packet.source, packet.destination);
        let (hop_limit, part) = (datagram.hop_limit, datagram.part);
        let Content {
            protocol,
            transport,
        } = packet.content;
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

    /// The first failsafe entry that lets the packet reach the router, or its answer
    /// leave.
    pub(super) fn failsafe(&self, packet: &Opening) -> Option<usize> {
        let (peer, content) = match packet.origin {
            _ if packet.exit.is_some() => return None,
            Origin::Wire if self.world.addresses().contains(&packet.destination) => {
                (packet.source, packet.content)
            }
            Origin::Router => (packet.destination, asked_by(packet.content)?),
            _ => return None,
        };
        let interface = self.world.name(packet.ifindex);
        self.policy.failsafe.iter().position(|entry| {
            let mut services = entry.services.iter();
            let wanted = entry.interface.as_ref();
            entry.from.contains(&peer)
                && services.any(|service| covers_service(service, &content))
                && wanted.is_none_or(|name| interface == Some(name.as_str()))
        })
    }
}

/// What was asked, if this is an answer.
fn asked_by(answer: Content) -> Option<Content> {
    let swapped = |ports: Ports| Ports {
        source: ports.destination,
        destination: ports.source,
    };
    let transport = match answer.transport {
        Transport::Tcp { ports, flags } => Transport::Tcp {
            ports: swapped(ports),
            flags,
        },
        Transport::Ports(ports) => Transport::Ports(swapped(ports)),
        Transport::Icmp { kind, code, id } => {
            let kind = match (answer.protocol, kind) {
                (ICMP, 0) => 8,
                (ICMPV6, 129) => 128,
                _ => return None,
            };
            Transport::Icmp { kind, code, id }
        }
        Transport::Other => Transport::Other,
    };
    Some(Content {
        transport,
        ..answer
    })
}
