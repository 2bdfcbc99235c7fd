//! From the bytes of a packet to the facts that the decision needs.
//!
//! Fail closed: what is malformed, truncated, deeper than the limits or unknown
//! is a drop reason, never a guess.

use crate::limits::{EXTENSION_BYTES, EXTENSION_HEADERS, IPV4_OPTION_BYTES};
use crate::packet::{Packet, byte, header};
use crate::question::{Question, Tags, echo_reply, echo_request};
use crate::verdict::DropReason;
use crate::wire::{
    Arp, Ethernet, Extension, Header, Icmp, Ipv4, Ipv6, Sctp, Tcp, Udp, VlanTag, ether_type,
    protocol,
};

/// What the link layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLayer {
    /// The VLAN tags.
    pub tags: Tags,
    /// EtherType of the payload.
    pub ether_type: u16,
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
    /// [`Facts::TRACKED`].
    pub flags: u16,
    /// Source port, identifier of an echo, or 0.
    pub source_port: u16,
    /// Destination port, identifier of an echo, or 0.
    pub destination_port: u16,
}

impl Facts {
    /// The packet can belong to a flow; ICMP other than echo cannot.
    pub const TRACKED: u16 = 1;

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
}

/// Reads the Ethernet header and up to two VLAN tags.
#[inline(always)]
pub fn link_layer(packet: &impl Packet) -> Result<LinkLayer, DropReason> {
    let ethernet = header::<Ethernet>(packet, 0)?;
    let mut layer = LinkLayer {
        tags: Tags {
            outer: packet.stripped_tag().unwrap_or(0),
            inner: 0,
        },
        ether_type: ethernet.ether_type(),
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

/// Reads what the frame carries; of IP the facts, all but the place of their
/// question, which the parser leaves as it is.
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
    let rest = match link.ether_type {
        ether_type::IPV4 => ipv4(packet, start, facts)?,
        ether_type::IPV6 => ipv6(packet, start, facts)?,
        ether_type::ARP if header::<Arp>(packet, start)?.is_ipv4_over_ethernet() => {
            return Ok(Payload::Arp);
        }
        ether_type::ARP => return Err(DropReason::BAD_ARP),
        ether_type::PPPOE_DISCOVERY => return Ok(Payload::Link),
        _ => return Err(DropReason::UNKNOWN_ETHERTYPE),
    };
    let is_ipv6 = link.ether_type == ether_type::IPV6;
    let rest = if is_extension(rest.protocol, is_ipv6) {
        extensions(packet, rest.merged(packet), is_ipv6)?
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
    transport(packet, rest, facts)?;
    Ok(Payload::Ip)
}

/// Above every offset of a header that is read.
const OFFSETS: u32 = 512;

const _: () = assert!(
    size_of::<Ethernet>()
        + 2 * size_of::<VlanTag>()
        + size_of::<Ipv6>()
        + IPV4_OPTION_BYTES
        + EXTENSION_BYTES
        < OFFSETS as usize
);

/// Returns an offset after making the verifier forget the ways by which it came
/// about, so that what follows is verified once and not once for each way.
///
/// Offsets are below [`OFFSETS`]; the mask tells the verifier, changing nothing.
#[inline(always)]
fn merged(packet: &impl Packet, offset: usize) -> usize {
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

#[inline(always)]
fn ipv4(packet: &impl Packet, start: usize, facts: &mut Facts) -> Result<Rest, DropReason> {
    let ip = header::<Ipv4>(packet, start)?;
    let header_bytes = ip.header_bytes();
    if ip.version() != 4 || header_bytes < size_of::<Ipv4>() || ip.total_bytes() < header_bytes {
        return Err(DropReason::BAD_IPV4_HEADER);
    }
    let end = start + ip.total_bytes();
    if end > packet.total_bytes() {
        return Err(DropReason::TRUNCATED);
    }
    if header_bytes > size_of::<Ipv4>() {
        ipv4_options(packet, start + size_of::<Ipv4>(), start + header_bytes)?;
    }
    if ip.is_fragment() {
        return Err(DropReason::FRAGMENT);
    }
    facts.question.source = ip.source();
    facts.question.destination = ip.destination();
    facts.hop_limit = ip.hop_limit();
    Ok(Rest {
        protocol: ip.protocol(),
        offset: start + header_bytes,
        end,
    })
}

/// Walks the options for loose and strict source routes (RFC 7126, 4.3, 4.4).
#[inline(always)]
fn ipv4_options(packet: &impl Packet, start: usize, end: usize) -> Result<(), DropReason> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;

    let mut at = 0;
    for _ in 0..IPV4_OPTION_BYTES {
        at = merged(packet, at);
        if start + at >= end {
            return Ok(());
        }
        match byte(packet, start + at)? {
            END => return Ok(()),
            NO_OPERATION => at += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(DropReason::SOURCE_ROUTED),
            _ => {
                if start + at + 2 > end {
                    return Err(DropReason::BAD_IPV4_HEADER);
                }
                let bytes = usize::from(byte(packet, start + at + 1)?);
                if bytes < 2 || start + at + bytes > end {
                    return Err(DropReason::BAD_IPV4_HEADER);
                }
                at += bytes;
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn ipv6(packet: &impl Packet, start: usize, facts: &mut Facts) -> Result<Rest, DropReason> {
    let ip = header::<Ipv6>(packet, start)?;
    if ip.version() != 6 {
        return Err(DropReason::BAD_IPV6_HEADER);
    }
    let offset = start + size_of::<Ipv6>();
    let end = offset + ip.payload_bytes();
    if end > packet.total_bytes() {
        return Err(DropReason::TRUNCATED);
    }
    let (source, destination) = (ip.source(), ip.destination());
    if source.is_v4() || destination.is_v4() {
        return Err(DropReason::MAPPED_ADDRESS);
    }
    facts.question.source = source;
    facts.question.destination = destination;
    facts.hop_limit = ip.hop_limit();
    Ok(Rest {
        protocol: ip.next_header(),
        offset,
        end,
    })
}

/// Whether a protocol number is that of a header to walk over; in IPv4 only AH
/// is one.
#[inline(always)]
const fn is_extension(protocol: u8, is_ipv6: bool) -> bool {
    match protocol {
        protocol::AH => true,
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::DESTINATION_OPTIONS
        | protocol::FRAGMENT => is_ipv6,
        _ => false,
    }
}

/// Walks extension headers up to the first header that is none.
#[inline(always)]
fn extensions(packet: &impl Packet, mut rest: Rest, is_ipv6: bool) -> Result<Rest, DropReason> {
    let is_ipv6 = packet.opaque(is_ipv6.into()) != 0;
    let first = rest.offset;
    let mut walked = 0;
    // One step more than there may be headers, which finds the one too many.
    for index in 0..=EXTENSION_HEADERS {
        if !is_extension(rest.protocol, is_ipv6) {
            let is_whole = rest.offset <= rest.end;
            return if is_whole {
                Ok(rest)
            } else {
                Err(DropReason::TRUNCATED)
            };
        }
        let extension = rest.header::<Extension>(packet)?;
        // RFC 8200, 4.1: hop-by-hop options come first or not at all.
        if rest.protocol == protocol::HOP_BY_HOP && index > 0 {
            return Err(DropReason::BAD_IPV6_HEADER);
        }
        if rest.protocol == protocol::FRAGMENT {
            return Err(DropReason::FRAGMENT);
        }
        if rest.protocol == protocol::ROUTING && extension.routing_type() == 0 {
            return Err(DropReason::SOURCE_ROUTED);
        }
        walked += match rest.protocol {
            protocol::AH => extension.ah_bytes(),
            _ => extension.extension_bytes(),
        };
        let next = extension.next_header();
        if index == EXTENSION_HEADERS || walked > EXTENSION_BYTES {
            return Err(DropReason::TOO_MANY_EXTENSIONS);
        }
        walked = merged(packet, walked);
        rest.offset = merged(packet, first + walked);
        rest.protocol = next;
    }
    Err(DropReason::TOO_MANY_EXTENSIONS)
}

/// Reads ports, flags, type and code.
#[inline(always)]
fn transport(packet: &impl Packet, rest: Rest, facts: &mut Facts) -> Result<(), DropReason> {
    facts.question.protocol = rest.protocol.into();
    let (mut tcp_flags, mut flags) = (0, Facts::TRACKED);
    let (service, ports) = match rest.protocol {
        protocol::TCP => {
            let tcp = rest.header::<Tcp>(packet)?;
            if tcp.header_bytes() < size_of::<Tcp>() {
                return Err(DropReason::BAD_TRANSPORT_HEADER);
            }
            if rest.offset + tcp.header_bytes() > rest.end {
                return Err(DropReason::TRUNCATED);
            }
            tcp_flags = tcp.flags();
            (tcp.destination(), (tcp.source(), tcp.destination()))
        }
        protocol::UDP => {
            let udp = rest.header::<Udp>(packet)?;
            let bytes = udp.datagram_bytes();
            if bytes < size_of::<Udp>() || rest.offset + bytes > rest.end {
                return Err(DropReason::BAD_TRANSPORT_HEADER);
            }
            (udp.destination(), (udp.source(), udp.destination()))
        }
        protocol::SCTP => {
            let sctp = rest.header::<Sctp>(packet)?;
            (sctp.destination(), (sctp.source(), sctp.destination()))
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let icmp = rest.header::<Icmp>(packet)?;
            let service = u16::from(icmp.kind()) << 8 | u16::from(icmp.code());
            if is_echo(rest.protocol, icmp.kind()) {
                (service, (icmp.id(), icmp.id()))
            } else {
                flags = 0;
                (service, (0, 0))
            }
        }
        _ => (0, (0, 0)),
    };
    facts.tcp_flags = tcp_flags;
    facts.flags = flags;
    facts.question.service = service;
    (facts.source_port, facts.destination_port) = ports;
    Ok(())
}

#[inline(always)]
const fn is_echo(protocol: u8, kind: u8) -> bool {
    echo_request(protocol) == kind || echo_reply(protocol) == kind
}
