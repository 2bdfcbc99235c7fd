//! The flows that packets have opened.

use std::collections::BTreeMap;
use std::net::IpAddr;

use enforcer::policy::model::ZoneRef;

use super::fragments::{Datagrams, Part};
use super::modes::Buckets;
use super::neighbours::Claims;
use super::packet::{Datagram, ICMP, ICMPV6, Ports, Transport, Vlan};
use super::rules::{Content, Verdict};
use crate::crossing::Way;

/// The flows that packets have opened, under one policy after the other.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Those of which fragments are still to come.
    pub datagrams: Datagrams,
    flows: BTreeMap<Key, Flow>,
    generation: usize,
    /// What is left of rates.
    pub buckets: Buckets,
}

/// Protocol, and both ends in order.
type Key = (u8, End, End);
/// Address, and port or identifier.
type End = (IpAddr, u16);

/// One flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What opened it.
    pub opening: Opening,
    pub from: ZoneRef,
    pub to: ZoneRef,
    /// What lets it pass.
    pub verdict: Verdict,
    generation: usize,
    /// What its initiator, and its responder, have said: all TCP flags, and
    /// RST if it was in the last segment.
    flags: [u8; 2],
}

/// A packet that may open a flow, and where it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Where it is seen.
    pub ifindex: u32,
    /// The other port of a bridge, where it leaves without being routed.
    pub exit: Option<u32>,
    pub origin: Origin,
    pub vlan: Vlan,
    pub mac: [u8; 6],
    pub source: IpAddr,
    pub destination: IpAddr,
    pub content: Content,
}

/// Who a packet comes from, as the program sees it that judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A station; the packet comes in.
    Wire,
    /// The router; its packet leaves.
    Router,
    /// A station that nobody has judged; its packet leaves.
    Unguarded,
    /// A station that was judged where its packet came in; it leaves with another source.
    Translated,
}

/// Which side of a flow a packet is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Initiator,
    Responder,
}

impl History {
    /// Another policy takes the place of the one before.
    pub fn replace_policy(&mut self) {
        self.generation += 1;
    }

    /// The flow that a packet goes on with or answers, and from which side.
    pub fn find(&self, packet: &Opening) -> Option<(&Flow, Side)> {
        let flow = self.between(packet)?;
        let side = match packet.ends()?.0 == flow.opening.ends()?.0 {
            true => Side::Initiator,
            false => Side::Responder,
        };
        let opens_tcp = packet.content.opens_tcp();
        let belongs = match (side, packet.content.transport) {
            (Side::Initiator, Transport::Icmp { kind, .. }) => matches!(kind, 8 | 128),
            (Side::Responder, Transport::Icmp { kind, .. }) => matches!(kind, 0 | 129),
            (Side::Initiator, _) => !(opens_tcp && flow.is_tcp_closed()),
            (Side::Responder, _) => !opens_tcp,
        };
        belongs.then_some((flow, side))
    }

    /// The flow between the ends of a packet, whatever the packet is.
    pub fn between(&self, packet: &Opening) -> Option<&Flow> {
        self.flows.get(&packet.key()?)
    }

    /// Whether a flow was judged by another policy than the present one.
    pub fn is_stale(&self, flow: &Flow) -> bool {
        flow.generation != self.generation
    }

    /// Records a flow in place of the one that has the same ends.
    pub fn open(&mut self, opening: Opening, from: ZoneRef, to: ZoneRef, verdict: &Verdict) {
        let Some(key) = opening.key() else {
            return;
        };
        let flow = Flow {
            flags: [opening.content.tcp_flags(), 0],
            opening,
            from,
            to,
            verdict: verdict.clone(),
            generation: self.generation,
        };
        self.flows.insert(key, flow);
    }

    /// Records the flow that a packet answers whose opening was not seen.
    pub fn answered(
        &mut self,
        packet: &Opening,
        opening: Opening,
        (from, to): (ZoneRef, ZoneRef),
        verdict: &Verdict,
    ) {
        self.open(opening, from, to, verdict);
        if let Some(flow) = self.flow(packet) {
            flow.flags = [0, packet.content.tcp_flags()];
        }
    }

    /// What the present policy says of the flow that a packet belongs to.
    pub fn renew(&mut self, packet: &Opening, from: ZoneRef, to: ZoneRef, verdict: &Verdict) {
        let generation = self.generation;
        if let Some(flow) = self.flow(packet) {
            (flow.from, flow.to, flow.generation) = (from, to, generation);
            flow.verdict = verdict.clone();
        }
    }

    /// Notes what the side of a flow that a packet is from has said.
    pub fn note(&mut self, packet: &Opening, side: Side) {
        if let Some(flow) = self.flow(packet) {
            let said = &mut flow.flags[side as usize];
            *said = *said & !0x04 | packet.content.tcp_flags();
        }
    }

    fn flow(&mut self, packet: &Opening) -> Option<&mut Flow> {
        self.flows.get_mut(&packet.key()?)
    }
}

impl Flow {
    /// Whether one side has said RST, or both FIN.
    fn is_tcp_closed(&self) -> bool {
        let [initiator, responder] = self.flags;
        (initiator | responder) & 0x04 != 0 || initiator & responder & 0x01 != 0
    }
}

impl Opening {
    /// What ARP asks, as if it were a packet.
    pub fn of_arp(way: Way, (vlan, mac): (Vlan, [u8; 6]), claims: &Claims) -> Self {
        let datagram = Datagram {
            source: claims.source,
            destination: claims.sought.expect("ARP asks for somebody"),
            hop_limit: 0,
            protocol: 0,
            transport: Transport::Other,
            part: Part::Whole,
            quote: None,
            claims: None,
        };
        Self::new(way, (vlan, mac), &datagram)
    }

    pub fn new(way: Way, (vlan, mac): (Vlan, [u8; 6]), datagram: &Datagram) -> Self {
        Self {
            ifindex: way.ifindex(),
            exit: match way {
                Way::Between(_, exit) => Some(exit),
                _ => None,
            },
            origin: match way {
                Way::In(_) | Way::Between(..) => Origin::Wire,
                Way::Out(_, None) => Origin::Router,
                Way::Out(_, Some(_)) => Origin::Unguarded,
            },
            vlan,
            mac,
            source: datagram.source,
            destination: datagram.destination,
            content: datagram.content(),
        }
    }

    /// Source and destination; `None` for ICMP other than echo, which opens
    /// no flow.
    fn ends(&self) -> Option<(End, End)> {
        let ports = match (self.content.protocol, self.content.transport) {
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
        Some((
            (self.source, ports.source),
            (self.destination, ports.destination),
        ))
    }

    fn key(&self) -> Option<Key> {
        let (source, destination) = self.ends()?;
        let protocol = self.content.protocol;
        Some((protocol, source.min(destination), source.max(destination)))
    }

    /// The same TCP ports and addresses from the other side, which is somebody
    /// behind an interface.
    pub fn reversed(&self) -> Option<Self> {
        let Transport::Tcp { ports, flags } = self.content.transport else {
            return None;
        };
        let ports = Ports {
            source: ports.destination,
            destination: ports.source,
        };
        Some(Self {
            mac: [0; 6],
            origin: Origin::Wire,
            source: self.destination,
            destination: self.source,
            content: Content {
                transport: Transport::Tcp { ports, flags },
                ..self.content
            },
            ..*self
        })
    }

    /// What is asked when the flow is judged again: an echo is a request then,
    /// with the code that a request has (RFC 792).
    pub fn asked_again(&self) -> Self {
        let mut again = *self;
        if let Transport::Icmp { id, .. } = self.content.transport {
            let kind = if self.content.protocol == ICMP {
                8
            } else {
                128
            };
            again.content.transport = Transport::Icmp { kind, code: 0, id };
        }
        again
    }
}

impl Content {
    /// SYN with ACK.
    pub fn answers_opening(&self) -> bool {
        self.tcp_flags() & 0x12 == 0x12
    }

    /// SYN without ACK, RST and FIN.
    pub fn opens_tcp(&self) -> bool {
        const FIN_SYN_RST_ACK: u8 = 0x17;
        self.tcp_flags() & FIN_SYN_RST_ACK == 0x02
    }

    fn tcp_flags(&self) -> u8 {
        match self.transport {
            Transport::Tcp { flags, .. } => flags,
            _ => 0,
        }
    }
}
