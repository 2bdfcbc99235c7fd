//! From the bytes of a packet to the facts that the decision needs.
//!
//! Fail closed: what is malformed, truncated, deeper than the limits or unknown
//! is a drop reason, never a guess.

use crate::address::Addr;
use crate::limits::{EXTENSION_BYTES, EXTENSION_HEADERS, IPV4_OPTION_BYTES};
use crate::packet::{Packet, header};
use crate::verdict::DropReason;
use crate::wire::{
    Arp, Byte, Ethernet, Extension, Icmp, Ipv4, Ipv6, Sctp, Tcp, Udp, VlanTag, ether_type, protocol,
};

/// The VLAN tags of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// VLAN id of the outer tag; 0 for none.
    pub outer: u16,
    /// VLAN id of the inner tag; 0 for none.
    pub inner: u16,
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// IP protocol number, behind all extension headers.
    pub protocol: u8,
    /// TCP flags; 0 for other protocols.
    pub tcp_flags: u8,
    /// [`Facts::TRACKED`].
    pub flags: u8,
    /// Source port, identifier of an echo, or 0.
    pub source_port: u16,
    /// Destination port, identifier of an echo, or 0.
    pub destination_port: u16,
    /// What services speak of: the destination port, the type and code of
    /// ICMP (`type << 8 | code`), or 0.
    pub service: u16,
}

impl Facts {
    /// The packet can belong to a flow; ICMP other than echo cannot.
    pub const TRACKED: u8 = 1;

    /// Whether the packet can belong to a flow.
    #[inline(always)]
    pub fn is_tracked(&self) -> bool {
        self.flags & Self::TRACKED != 0
    }
}

/// The payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// A protocol between neighbours that never leaves the link.
    Link,
    /// IPv4 or IPv6.
    Ip(Facts),
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

/// Reads what the frame carries.
#[inline(always)]
pub fn payload(packet: &impl Packet, link: &LinkLayer) -> Result<Payload, DropReason> {
    if link.is_link_group {
        return Ok(Payload::Link);
    }
    match link.ether_type {
        ether_type::IPV4 => ipv4(packet, link.offset).map(Payload::Ip),
        ether_type::IPV6 => ipv6(packet, link.offset).map(Payload::Ip),
        ether_type::ARP if header::<Arp>(packet, link.offset)?.is_ipv4_over_ethernet() => {
            Ok(Payload::Arp)
        }
        ether_type::ARP => Err(DropReason::BAD_ARP),
        ether_type::PPPOE_DISCOVERY => Ok(Payload::Link),
        _ => Err(DropReason::UNKNOWN_ETHERTYPE),
    }
}

/// The part of a datagram that is still to be read.
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
    fn header<'a, H: crate::wire::Header>(
        &self,
        packet: &'a impl Packet,
    ) -> Result<&'a H, DropReason> {
        if self.offset + size_of::<H>() > self.end {
            return Err(DropReason::TRUNCATED);
        }
        header(packet, self.offset)
    }
}

#[inline(always)]
fn ipv4(packet: &impl Packet, start: usize) -> Result<Facts, DropReason> {
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
    let rest = Rest {
        protocol: ip.protocol(),
        offset: start + header_bytes,
        end,
    };
    let rest = extensions(packet, rest, false)?;
    if rest.protocol == protocol::ICMPV6 {
        return Err(DropReason::WRONG_ICMP_FAMILY);
    }
    transport(
        packet,
        rest,
        (ip.source(), ip.destination(), ip.hop_limit()),
    )
}

/// Walks the options for loose and strict source routes (RFC 7126, 4.3, 4.4).
#[inline(always)]
fn ipv4_options(packet: &impl Packet, start: usize, end: usize) -> Result<(), DropReason> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;

    let mut offset = start;
    for _ in 0..IPV4_OPTION_BYTES {
        if offset >= end {
            return Ok(());
        }
        match header::<Byte>(packet, offset)?.value() {
            END => return Ok(()),
            NO_OPERATION => offset += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(DropReason::SOURCE_ROUTED),
            _ => {
                if offset + 2 > end {
                    return Err(DropReason::BAD_IPV4_HEADER);
                }
                let bytes = usize::from(header::<Byte>(packet, offset + 1)?.value());
                if bytes < 2 || offset + bytes > end {
                    return Err(DropReason::BAD_IPV4_HEADER);
                }
                offset += bytes;
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn ipv6(packet: &impl Packet, start: usize) -> Result<Facts, DropReason> {
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
    let rest = extensions(
        packet,
        Rest {
            protocol: ip.next_header(),
            offset,
            end,
        },
        true,
    )?;
    if rest.protocol == protocol::ICMP {
        return Err(DropReason::WRONG_ICMP_FAMILY);
    }
    transport(packet, rest, (source, destination, ip.hop_limit()))
}

/// Walks extension headers up to the first header that is none; in IPv4 only
/// AH is one.
#[inline(always)]
fn extensions(packet: &impl Packet, mut rest: Rest, is_ipv6: bool) -> Result<Rest, DropReason> {
    let first = rest.offset;
    // One step more than there may be headers, which finds the one too many.
    for index in 0..=EXTENSION_HEADERS {
        let is_extension = match rest.protocol {
            protocol::AH => true,
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => is_ipv6,
            protocol::FRAGMENT if is_ipv6 => return Err(DropReason::FRAGMENT),
            _ => false,
        };
        if !is_extension {
            return Ok(rest);
        }
        // RFC 8200, 4.1: hop-by-hop options come first or not at all.
        if rest.protocol == protocol::HOP_BY_HOP && index > 0 {
            return Err(DropReason::BAD_IPV6_HEADER);
        }
        let extension = rest.header::<Extension>(packet)?;
        if rest.protocol == protocol::ROUTING && extension.routing_type() == 0 {
            return Err(DropReason::SOURCE_ROUTED);
        }
        rest.offset += match rest.protocol {
            protocol::AH => extension.ah_bytes(),
            _ => extension.extension_bytes(),
        };
        if index == EXTENSION_HEADERS || rest.offset > first + EXTENSION_BYTES {
            return Err(DropReason::TOO_MANY_EXTENSIONS);
        }
        rest.protocol = extension.next_header();
    }
    Err(DropReason::TOO_MANY_EXTENSIONS)
}

/// Reads ports, flags, type and code.
#[inline(always)]
fn transport(
    packet: &impl Packet,
    rest: Rest,
    (source, destination, hop_limit): (Addr, Addr, u8),
) -> Result<Facts, DropReason> {
    let mut facts = Facts {
        source,
        destination,
        hop_limit,
        protocol: rest.protocol,
        tcp_flags: 0,
        flags: Facts::TRACKED,
        source_port: 0,
        destination_port: 0,
        service: 0,
    };
    match rest.protocol {
        protocol::TCP => {
            let tcp = rest.header::<Tcp>(packet)?;
            if tcp.header_bytes() < size_of::<Tcp>() {
                return Err(DropReason::BAD_TRANSPORT_HEADER);
            }
            if rest.offset + tcp.header_bytes() > rest.end {
                return Err(DropReason::TRUNCATED);
            }
            facts.tcp_flags = tcp.flags();
            facts.source_port = tcp.source();
            facts.destination_port = tcp.destination();
            facts.service = tcp.destination();
        }
        protocol::UDP => {
            let udp = rest.header::<Udp>(packet)?;
            if udp.datagram_bytes() < size_of::<Udp>()
                || rest.offset + udp.datagram_bytes() > rest.end
            {
                return Err(DropReason::BAD_TRANSPORT_HEADER);
            }
            facts.source_port = udp.source();
            facts.destination_port = udp.destination();
            facts.service = udp.destination();
        }
        protocol::SCTP => {
            let sctp = rest.header::<Sctp>(packet)?;
            facts.source_port = sctp.source();
            facts.destination_port = sctp.destination();
            facts.service = sctp.destination();
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let icmp = rest.header::<Icmp>(packet)?;
            facts.service = u16::from(icmp.kind()) << 8 | u16::from(icmp.code());
            if is_echo(rest.protocol, icmp.kind()) {
                facts.source_port = icmp.id();
                facts.destination_port = icmp.id();
            } else {
                facts.flags = 0;
            }
        }
        _ => {}
    }
    Ok(facts)
}

#[inline(always)]
const fn is_echo(protocol: u8, kind: u8) -> bool {
    echo_request(protocol) == kind || echo_reply(protocol) == kind
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
