//! What has to happen to a packet at the ingress hook, read from the policy
//! itself: slow, obvious, and independent of the tables it is compiled to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use enforcer::policy::Policy;
use enforcer::policy::model::{Action, Conduit, Endpoints, ZoneRef};
use enforcer::policy::service::{IcmpFamily, Service, Transport as PortProtocol};

use super::oracle_packet::{
    self, Content, Datagram, ICMP, ICMPV6, Ports, SCTP, TCP, Transport, UDP,
};
use super::oracle_zones::{self, Link, is_group, is_link_local};
use super::world::{Route, World};

/// The verdict on a packet and how it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Pass {
        /// Id of the conduit or built-in rule.
        counted: String,
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

/// The flows that packets have opened.
#[derive(Clone, Debug, Default)]
pub struct History {
    flows: BTreeMap<Key, Flow>,
}

/// Protocol, and both ends in order.
type Key = (u8, End, End);
/// Address, and port or identifier.
type End = (IpAddr, u16);

#[derive(Clone, Debug)]
struct Flow {
    initiator: End,
    from: ZoneRef,
    to: ZoneRef,
    counted: String,
}

/// The ends of a packet that can belong to a flow.
#[derive(Clone, Copy, Debug)]
struct Ends {
    source: End,
    destination: End,
}

/// Judges a frame that comes in on the interface with index `ingress`.
pub fn judge(
    policy: &Policy,
    world: &World,
    frame: &[u8],
    ingress: u32,
    history: &mut History,
) -> Expected {
    let frame = match oracle_packet::read(frame) {
        Ok(frame) => frame,
        Err(reason) => return dropped(policy, reason, ZoneRef::Unknown, None),
    };
    let datagram = match frame.content {
        Content::Link => return pass("(essential:link)"),
        Content::Arp => return pass("(essential:arp)"),
        Content::Ip(datagram) => datagram,
    };
    let link = Link {
        interface: world.name(ingress),
        vlan: frame.vlan,
    };
    if let Some(name) = essential(world, &datagram) {
        return pass(&format!("(essential:{name})"));
    }
    if let Some(index) = failsafe(policy, world, link, &datagram) {
        return pass(&format!("(failsafe:{index})"));
    }
    let from = match oracle_zones::source_zone(policy, world, link, datagram.source) {
        Ok(zone) => zone,
        Err(zone) => return dropped(policy, "spoofed-source", zone, None),
    };
    if let Some(counted) = known_flow(history, &datagram, from) {
        return pass(&counted);
    }
    judge_new(policy, world, &datagram, from, history)
}

/// Judges a packet that belongs to no flow.
fn judge_new(
    policy: &Policy,
    world: &World,
    datagram: &Datagram,
    from: ZoneRef,
    history: &mut History,
) -> Expected {
    let destination = datagram.destination;
    let mut to = oracle_zones::destination_zone(policy, world, destination);
    let mut verdict = Verdict::of(policy, datagram, from, to);
    let may_be_local = to != ZoneRef::SelfZone && !is_group(destination);
    if verdict.passes && may_be_local && world.route(destination) == Route::Local {
        to = ZoneRef::SelfZone;
        verdict = Verdict::of(policy, datagram, from, to);
    }
    let stays_on_link = is_link_local(datagram.source) || is_link_local(destination);
    if stays_on_link && from != to && from != ZoneRef::SelfZone && to != ZoneRef::SelfZone {
        return dropped(policy, "link-local", from, Some(to));
    }
    if !verdict.passes {
        return Expected::Drop {
            reason: verdict.reason,
            from: name(policy, from),
            to: Some(name(policy, to)),
            counted: Some(verdict.counted),
        };
    }
    if let Transport::Tcp { flags, .. } = datagram.transport
        && !is_pure_syn(flags)
    {
        return dropped(policy, "tcp-no-flow", from, Some(to));
    }
    if let Some(ends) = ends(datagram) {
        let flow = Flow {
            initiator: ends.source,
            from,
            to,
            counted: verdict.counted.clone(),
        };
        history.flows.insert(ends.key(datagram.protocol), flow);
    }
    pass(&verdict.counted)
}

/// Protocols between neighbours; only to the router, to a group, or to an
/// address that never leaves the link.
fn essential(world: &World, datagram: &Datagram) -> Option<&'static str> {
    let Datagram {
        source,
        destination,
        hop_limit,
        protocol,
        transport,
    } = *datagram;
    let is_local =
        world.is_router(destination) || is_group(destination) || is_link_local(destination);
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
fn failsafe(policy: &Policy, world: &World, link: Link<'_>, datagram: &Datagram) -> Option<usize> {
    if !world.addresses().contains(&datagram.destination) {
        return None;
    }
    policy.failsafe.iter().position(|entry| {
        entry.from.contains(&datagram.source)
            && entry
                .services
                .iter()
                .any(|service| covers_service(service, datagram))
            && entry
                .interface
                .as_ref()
                .is_none_or(|name| link.interface == Some(name.as_str()))
    })
}

/// What the flow that the packet goes on with is counted as, if there is one.
fn known_flow(history: &History, datagram: &Datagram, from: ZoneRef) -> Option<String> {
    let ends = ends(datagram)?;
    let flow = history.flows.get(&ends.key(datagram.protocol))?;
    let echo = match datagram.transport {
        Transport::Icmp { kind, .. } => Some(kind),
        _ => None,
    };
    let goes_on = if ends.source == flow.initiator {
        let is_request = echo.is_none_or(|kind| matches!(kind, 8 | 128));
        flow.from == from && is_request
    } else {
        let is_reply = echo.is_none_or(|kind| matches!(kind, 0 | 129));
        let opens_tcp = matches!(
            datagram.transport,
            Transport::Tcp { flags, .. } if is_pure_syn(flags)
        );
        flow.to == from && is_reply && !opens_tcp
    };
    goes_on.then(|| flow.counted.clone())
}

/// What a flow is known by; `None` for ICMP other than echo.
fn ends(datagram: &Datagram) -> Option<Ends> {
    let ports = match (datagram.protocol, datagram.transport) {
        (_, Transport::Tcp { ports, .. } | Transport::Ports(ports)) => ports,
        (
            ICMP,
            Transport::Icmp {
                kind: 0 | 8, id, ..
            },
        )
        | (
            ICMPV6,
            Transport::Icmp {
                kind: 128 | 129,
                id,
                ..
            },
        ) => Ports {
            source: id,
            destination: id,
        },
        (_, Transport::Icmp { .. }) => return None,
        (_, Transport::Other) => Ports {
            source: 0,
            destination: 0,
        },
    };
    Some(Ends {
        source: (datagram.source, ports.source),
        destination: (datagram.destination, ports.destination),
    })
}

impl Ends {
    fn key(&self, protocol: u8) -> Key {
        let (source, destination) = (self.source, self.destination);
        (protocol, source.min(destination), source.max(destination))
    }
}

/// SYN without ACK, RST and FIN.
fn is_pure_syn(flags: u8) -> bool {
    const FIN_SYN_RST_ACK: u8 = 0x17;
    flags & FIN_SYN_RST_ACK == 0x02
}

/// What the policy says of a packet between two zones.
#[derive(Clone, Debug)]
struct Verdict {
    passes: bool,
    /// Why not, if it does not pass.
    reason: &'static str,
    counted: String,
}

impl Verdict {
    fn of(policy: &Policy, datagram: &Datagram, from: ZoneRef, to: ZoneRef) -> Self {
        // Of equals, the first in the file: `min_by_key` keeps the first.
        let deciding = policy
            .conduits
            .iter()
            .filter(|conduit| joins(conduit, from, to))
            .filter(|conduit| {
                conduit
                    .services
                    .iter()
                    .any(|service| covers_service(service, datagram))
            })
            .min_by_key(|conduit| {
                (
                    -i32::from(conduit.priority),
                    conduit.action == Action::Allow,
                )
            });
        if let Some(conduit) = deciding {
            return Self {
                passes: conduit.action == Action::Allow,
                reason: "conduit",
                counted: conduit.id.to_string(),
            };
        }
        match from {
            ZoneRef::Zone(index) if from == to => Self {
                passes: policy.zones[index].intra_zone == Action::Allow,
                reason: "intra-zone",
                counted: "(intra-zone)".to_owned(),
            },
            _ => Self {
                passes: false,
                reason: "no-conduit",
                counted: "(no-conduit)".to_owned(),
            },
        }
    }
}

/// Whether a conduit speaks of traffic from one zone to another. `any` stands
/// for the zones of the policy, and never joins a zone to itself.
fn joins(conduit: &Conduit, from: ZoneRef, to: ZoneRef) -> bool {
    let by_name = |side: &Endpoints, zone| side.zones.contains(&zone);
    let by_any = |side: &Endpoints, zone| side.any && matches!(zone, ZoneRef::Zone(_));
    if from == to {
        return by_name(&conduit.from, from) && by_name(&conduit.to, to);
    }
    (by_name(&conduit.from, from) || by_any(&conduit.from, from))
        && (by_name(&conduit.to, to) || by_any(&conduit.to, to))
}

fn covers_service(service: &Service, datagram: &Datagram) -> bool {
    let protocol = datagram.protocol;
    match *service {
        Service::Any => !is_icmp_error(datagram),
        Service::Ports(kind, range) => {
            let ports = match datagram.transport {
                Transport::Tcp { ports, .. } | Transport::Ports(ports) => ports,
                _ => return false,
            };
            let number = match kind {
                PortProtocol::Tcp => TCP,
                PortProtocol::Udp => UDP,
                PortProtocol::Sctp => SCTP,
            };
            protocol == number && (range.start()..=range.end()).contains(&ports.destination)
        }
        Service::Icmp(family, wanted_kind, wanted_code) => {
            let number = match family {
                IcmpFamily::V4 => ICMP,
                IcmpFamily::V6 => ICMPV6,
            };
            let Transport::Icmp { kind, code, .. } = datagram.transport else {
                return false;
            };
            let named = match wanted_kind {
                None => !is_icmp_error(datagram),
                Some(wanted) => wanted == kind && wanted_code.is_none_or(|wanted| wanted == code),
            };
            protocol == number && named
        }
        Service::Protocol(number) => protocol == number && !is_icmp_error(datagram),
    }
}

/// Errors pass as answers, or when a conduit names their type.
fn is_icmp_error(datagram: &Datagram) -> bool {
    match (datagram.protocol, datagram.transport) {
        (ICMP, Transport::Icmp { kind, .. }) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (ICMPV6, Transport::Icmp { kind, .. }) => kind < 128,
        _ => false,
    }
}

fn pass(counted: &str) -> Expected {
    Expected::Pass {
        counted: counted.to_owned(),
    }
}

/// A drop that no conduit decided.
fn dropped(policy: &Policy, reason: &'static str, from: ZoneRef, to: Option<ZoneRef>) -> Expected {
    Expected::Drop {
        reason,
        from: name(policy, from),
        to: to.map(|zone| name(policy, zone)),
        counted: None,
    }
}

/// The name that counters show.
fn name(policy: &Policy, zone: ZoneRef) -> String {
    match zone {
        ZoneRef::SelfZone => "self".to_owned(),
        ZoneRef::Unknown => "unknown".to_owned(),
        ZoneRef::Zone(index) => policy.zones[index].name.to_string(),
    }
}
