//! From the bytes of a packet to the facts that the decision needs.
//!
//! Fail closed: what is malformed, truncated, deeper than the limits or unknown
//! is a drop reason, never a guess.

mod ip;
mod quoted;
mod transport;

use crate::address::Addr;
use crate::fragment::Piece;
use crate::limits::{EXTENSION_BYTES, IPV4_OPTION_BYTES, NEIGHBOUR_BYTES};
use crate::packet::{Packet, header};
use crate::question::{Mac, Place, Question, Tags};
use crate::verdict::DropReason;
use crate::wire::{Arp, Ethernet, Header, Ipv4, Ipv6, VlanTag, ether_type, protocol};

use ip::{extensions, ipv4, ipv6, is_extension};
use transport::transport;

pub use quoted::{MOST_BYTES, quoted};

/// What the link layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLayer {
    /// The VLAN tags.
    pub tags: Tags,
    /// EtherType of the payload.
    pub ether_type: u16,
    /// Hardware address of the sender; [`Mac::NONE`] without Ethernet.
    pub source: Mac,
    /// The frame goes to an address that bridges never forward.
    pub is_link_group: bool,
    /// Where the payload starts, in bytes from the start of the frame.
    pub offset: usize,
}

/// What the network and transport layers say.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the packet asks, if it opens a flow.
    pub question: Question,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// TCP flags; 0 for other protocols.
    pub tcp_flags: u8,
    /// [`Facts::TRACKED`], [`Facts::FIRST`], [`Facts::LATER`], [`Facts::ERROR`],
    /// [`Facts::NEIGHBOUR`].
    pub flags: u16,
    /// Source port, identifier of an echo, or 0.
    pub source_port: u16,
    /// Destination port, identifier of an echo, or 0.
    pub destination_port: u16,
    /// Of a fragment: where it lies in its datagram. Of other packets it means
    /// nothing.
    pub piece: Piece,
    /// Of an ICMP error: where the packet lies that it quotes. Of ARP: where it
    /// lies itself; of neighbour discovery, what follows the first eight bytes. Of
    /// other packets it means nothing.
    pub quote: Quote,
}

/// Where a part of a packet lies that is read later, in bytes from the start of
/// the frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// Where it starts.
    pub start: u32,
    /// Where the quotation ends.
    pub end: u32,
}

impl Facts {
    /// The packet can belong to a flow; ICMP other than echo cannot.
    pub const TRACKED: u16 = 1;
    /// The first of several fragments, with the transport header.
    pub const FIRST: u16 = 2;
    /// A later fragment, which has no transport header.
    pub const LATER: u16 = 4;
    /// An ICMP error that may report a packet of a known flow.
    pub const ERROR: u16 = 8;

    /// ARP, or neighbour discovery that is no fragment: it says who has which
    /// address.
    pub const NEIGHBOUR: u16 = 16;

    /// Any of those that more than the headers of this packet decides about.
    pub const UNUSUAL: u16 = Self::FIRST | Self::LATER | Self::ERROR | Self::NEIGHBOUR;

    /// The facts of no packet, seen at a place; the parser fills in the others.
    pub const fn unread(place: Place) -> Self {
        Self {
            question: Question {
                place,
                source: Addr::UNSPECIFIED,
                destination: Addr::UNSPECIFIED,
                protocol: 0,
                service: 0,
            },
            hop_limit: 0,
            tcp_flags: 0,
            flags: 0,
            source_port: 0,
            destination_port: 0,
            piece: Piece {
                id: 0,
                start: 0,
                end: 0,
                protocol: 0,
                is_last: 0,
            },
            quote: Quote { start: 0, end: 0 },
        }
    }

    /// Whether the packet is one of several fragments.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.flags & (Self::FIRST | Self::LATER) != 0
    }

    /// Whether it is ARP, which has no number among the protocols.
    #[inline(always)]
    pub fn is_arp(&self) -> bool {
        self.flags & Self::NEIGHBOUR != 0 && self.question.protocol() != protocol::ICMPV6
    }

    /// Whether the packet can belong to a flow.
    #[inline(always)]
    pub fn is_tracked(&self) -> bool {
        self.flags & Self::TRACKED != 0
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// A protocol between neighbours that never leaves the link.
    Link,
    /// IPv4 or IPv6.
    Ip,
    /// What nobody here knows.
    Other,
}

/// Reads the Ethernet header and up to two VLAN tags, where there are any.
#[inline(always)]
pub fn link_layer(packet: &impl Packet) -> Result<LinkLayer, DropReason> {
    if let Some(ether_type) = packet.bare_ether_type() {
        return Ok(LinkLayer {
            tags: Tags::default(),
            ether_type,
            source: Mac::NONE,
            is_link_group: false,
            offset: 0,
        });
    }
    let ethernet = header::<Ethernet>(packet, 0)?;
    let mut layer = LinkLayer {
        tags: Tags {
            outer: packet.stripped_tag().unwrap_or(0),
            inner: 0,
        },
        ether_type: ethernet.ether_type(),
        source: ethernet.source(),
        is_link_group: ethernet.is_link_group(),
        offset: size_of::<Ethernet>(),
    };
    let stripped = usize::from(packet.stripped_tag().is_some());
    // Two tags and one step more, which finds the third.
    for in_frame in 0..3 {
        if !is_vlan(layer.ether_type) {
            break;
        }
        if stripped + in_frame >= 2 {
            return Err(DropReason::TOO_MANY_TAGS);
        }
        let tag = header::<VlanTag>(packet, layer.offset)?;
        // A tag with id 0 carries a priority and no VLAN.
        if layer.tags.outer == 0 {
            layer.tags.outer = tag.id();
        } else {
            layer.tags.inner = tag.id();
        }
        layer.ether_type = tag.ether_type();
        layer.offset += size_of::<VlanTag>();
    }
    Ok(layer)
}

#[inline(always)]
const fn is_vlan(ether_type: u16) -> bool {
    matches!(
        ether_type,
        ether_type::VLAN | ether_type::SERVICE_VLAN | ether_type::OLD_SERVICE_VLAN
    )
}

/// The source address of an IP packet; `None` for all else.
#[inline(always)]
pub fn source(packet: &impl Packet, link: &LinkLayer) -> Option<Addr> {
    let start = merged(packet, link.offset);
    match link.ether_type {
        ether_type::IPV4 => Some(header::<Ipv4>(packet, start).ok()?.source()),
        ether_type::IPV6 => Some(header::<Ipv6>(packet, start).ok()?.source()),
        _ => None,
    }
}

/// Reads what the frame carries; of IP the facts, all but the place of their
/// question, which the parser leaves as it is; of ARP the addresses in it.
#[inline(always)]
pub fn payload(
    packet: &impl Packet,
    link: &LinkLayer,
    facts: &mut Facts,
) -> Result<Payload, DropReason> {
    if link.is_link_group {
        return Ok(Payload::Link);
    }
    let start = merged(packet, link.offset);
    facts.flags = WHOLE;
    let rest = match link.ether_type {
        ether_type::IPV4 => ipv4(packet, start, facts)?,
        ether_type::IPV6 => ipv6(packet, start, facts)?,
        ether_type::ARP => {
            arp(packet, start, facts)?;
            return Ok(Payload::Arp);
        }
        ether_type::PPPOE_DISCOVERY => return Ok(Payload::Link),
        _ => return Ok(Payload::Other),
    };
    let is_ipv6 = link.ether_type == ether_type::IPV6;
    let rest = if is_extension(rest.protocol, is_ipv6) && facts.flags != Facts::LATER {
        extensions(packet, rest.merged(packet), is_ipv6, facts)?
    } else {
        rest
    };
    let rest = rest.merged(packet);
    let wrong_icmp = if is_ipv6 {
        protocol::ICMP
    } else {
        protocol::ICMPV6
    };
    if rest.protocol == wrong_icmp {
        return Err(DropReason::WRONG_ICMP_FAMILY);
    }
    if facts.flags != WHOLE {
        if !facts.piece.is_valid() {
            return Err(DropReason::BAD_FRAGMENT);
        }
        if facts.flags == Facts::LATER {
            // Not that of the packet before; the first one lends its own.
            facts.question.protocol = rest.protocol.into();
            facts.question.service = 0;
            return Ok(Payload::Ip);
        }
    }
    transport(packet, rest, facts)?;
    Ok(Payload::Ip)
}

/// Reads who asks or answers for whom.
#[inline(always)]
fn arp(packet: &impl Packet, start: usize, facts: &mut Facts) -> Result<(), DropReason> {
    let arp = header::<Arp>(packet, start)?;
    if !arp.is_ipv4_over_ethernet() {
        return Err(DropReason::BAD_ARP);
    }
    facts.question.source = arp.sender_address();
    facts.question.destination = arp.target_address();
    facts.question.protocol = 0;
    facts.question.service = 0;
    (facts.source_port, facts.destination_port) = (0, 0);
    facts.flags = Facts::NEIGHBOUR;
    facts.quote = Quote {
        start: start as u32,
        end: (start + size_of::<Arp>()) as u32,
    };
    Ok(())
}

/// Above every offset of a header that is read, in a quoted packet and in options
/// of neighbour discovery too.
const OFFSETS: u32 = 1024;

const _: () = assert!(MOST_BYTES < OFFSETS && NEIGHBOUR_BYTES <= OFFSETS);

/// Most bytes of an IPv4 or IPv6 header and what is walked behind it.
const NETWORK_BYTES: usize = size_of::<Ipv6>() + IPV4_OPTION_BYTES + EXTENSION_BYTES;

/// [`Facts::flags`] between network and transport header, unless they are
/// [`Facts::FIRST`] or [`Facts::LATER`].
const WHOLE: u16 = 0;

/// Returns an offset after making the verifier forget the ways by which it came
/// about, so that what follows is verified once and not once for each way.
///
/// Offsets are below [`OFFSETS`]; the mask tells the verifier, changing nothing.
#[inline(always)]
pub(crate) fn merged(packet: &impl Packet, offset: usize) -> usize {
    (packet.opaque(offset as u32) & (OFFSETS - 1)) as usize
}

/// The part of a datagram that is still to be read.
#[derive(Clone, Copy)]
struct Rest {
    /// What comes next.
    protocol: u8,
    /// Where it starts, in bytes from the start of the frame.
    offset: usize,
    /// Where the datagram ends; padding may follow in the frame.
    end: usize,
}

impl Rest {
    /// The header that comes next, which must lie inside the datagram.
    #[inline(always)]
    fn header<'a, H: Header>(&self, packet: &'a impl Packet) -> Result<&'a H, DropReason> {
        if self.offset + size_of::<H>() > self.end {
            return Err(DropReason::TRUNCATED);
        }
        header(packet, self.offset)
    }

    #[inline(always)]
    fn merged(self, packet: &impl Packet) -> Self {
        Self {
            protocol: packet.opaque(self.protocol.into()) as u8,
            offset: merged(packet, self.offset),
            end: packet.opaque(self.end as u32) as usize,
        }
    }
}
