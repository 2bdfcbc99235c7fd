//! What is asked of the policy: may this source speak to this destination?

use crate::address::Addr;
use crate::flow::{Flow, FlowKey};
use crate::wire::protocol;
use crate::zone::ZoneId;

/// One flow, or one packet outside any flow, seen from its initiator.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where the initiator's packets are seen.
    pub place: Place,
    /// Who asks.
    pub source: Addr,
    /// Whom.
    pub destination: Addr,
    /// IP protocol number, or [`protocol::ETHERNET`].
    pub protocol: u16,
    /// Destination port, or type and code of ICMP (`type << 8 | code`), or
    /// EtherType, or 0.
    pub service: u16,
}

/// Where packets are seen, and who sends them there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where they come in from the wire; where they go out in all other cases.
    pub ifindex: u32,
    /// VLAN tags there.
    pub tags: Tags,
    /// Who the initiator is to the router.
    pub origin: Origin,
    /// Hardware address that the frame comes from; [`Mac::NONE`] without
    /// Ethernet.
    pub mac: Mac,
    /// Where they leave by another port of the same bridge, without being routed;
    /// else 0.
    pub exit: u32,
}

impl Place {
    /// An interface, whatever tags and hardware address.
    #[inline(always)]
    pub const fn at(ifindex: u32, origin: Origin) -> Self {
        Self {
            ifindex,
            tags: Tags { outer: 0, inner: 0 },
            origin,
            mac: Mac::NONE,
            exit: 0,
        }
    }

    /// Whether packets go from port to port of a bridge.
    #[inline(always)]
    pub const fn is_bridged(&self) -> bool {
        self.exit != 0
    }

    /// Whether a station sends them to the router, or to be routed.
    #[inline(always)]
    pub const fn is_from_wire(&self) -> bool {
        self.origin.0 == Origin::WIRE.0 && !self.is_bridged()
    }

    /// Writes the zone of a translated source down.
    #[inline(always)]
    pub fn translated(&mut self, zone: ZoneId) {
        self.mac = Mac {
            low: zone.0 as u32,
            ..Mac::NONE
        };
    }

    /// The zone of a source that did not come from the wire.
    #[inline(always)]
    pub fn zone(&self) -> ZoneId {
        match self.origin {
            Origin::ROUTER => ZoneId::SELF,
            Origin::TRANSLATED => ZoneId(self.mac.low as u16),
            _ => ZoneId::UNKNOWN,
        }
    }
}

/// A hardware address: 48 bits, in host order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac {
    /// The last four bytes.
    pub low: u32,
    /// The first two bytes.
    pub high: u16,
    /// So that the size is a multiple of four; zero.
    pub padding: u16,
}

impl Mac {
    /// No address: no station has it.
    pub const NONE: Self = Self {
        low: 0,
        high: 0,
        padding: 0,
    };

    /// The address with these bytes, as they come on the wire.
    pub const fn of(bytes: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self {
            low: u32::from_be_bytes([c, d, e, f]),
            high: u16::from_be_bytes([a, b]),
            padding: 0,
        }
    }
}

/// The VLAN tags of a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// VLAN id of the outer tag; 0 for none.
    pub outer: u16,
    /// VLAN id of the inner tag; 0 for none.
    pub inner: u16,
}

/// Who the initiator of a flow is to the router.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub u32);

impl Origin {
    /// A station behind an interface whose ingress program judges it.
    pub const WIRE: Self = Self(0);
    /// The router itself.
    pub const ROUTER: Self = Self(1);
    /// A station behind an interface without a program: it is `unknown`.
    pub const UNGUARDED: Self = Self(2);
    /// A station that was judged when its packet came in, and that has got an address
    /// of the router since. Its zone takes the place of its hardware address
    /// ([`Place::translated`]).
    pub const TRANSLATED: Self = Self(3);
}

impl Question {
    /// IP protocol number.
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol as u8
    }

    /// What the receiver of a TCP segment asked, if it is the initiator; `service`
    /// is the port that the segment comes from.
    #[inline(always)]
    pub fn reversed(&self, place: Place, service: u16) -> Self {
        Self {
            place,
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            service,
        }
    }

    /// What the initiator of a flow asked; where it leaves by a port of a bridge,
    /// the flow does not tell.
    #[inline(always)]
    pub fn of_flow(key: &FlowKey, flow: &Flow) -> Self {
        let (source, destination, port) = if flow.initiator_is_low() {
            (key.low, key.high, key.high_port)
        } else {
            (key.high, key.low, key.low_port)
        };
        let protocol = key.protocol as u8;
        let service = match protocol {
            protocol::ICMP | protocol::ICMPV6 => u16::from(echo_request(protocol)) << 8,
            _ => port,
        };
        let place = Place {
            tags: flow.tags(),
            mac: flow.mac,
            ..Place::at(flow.ifindex, Origin(flow.origin.into()))
        };
        Self {
            place,
            source,
            destination,
            protocol: protocol.into(),
            service,
        }
    }
}

/// Type of an echo request in `protocol`, ICMP or ICMPv6.
#[inline(always)]
pub const fn echo_request(protocol: u8) -> u8 {
    if protocol == protocol::ICMP { 8 } else { 128 }
}

/// Type of an echo reply in `protocol`, ICMP or ICMPv6.
#[inline(always)]
pub const fn echo_reply(protocol: u8) -> u8 {
    if protocol == protocol::ICMP { 0 } else { 129 }
}
