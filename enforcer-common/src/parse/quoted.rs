//! The packet that an ICMP error quotes: as much of it as says which flow it
//! belongs to. Routers quote at least the transport ports (RFC 792, RFC 4443).

use super::ip::{extensions, is_extension};
use super::transport::is_echo;
use super::{Facts, NETWORK_BYTES, Rest, WHOLE, merged};
use crate::packet::Packet;
use crate::verdict::DropReason;
use crate::wire::{Ethernet, Icmp, Ipv4, Ipv6, Udp, VlanTag, protocol};

/// Most bytes of an ICMP error that are read, from the start of the frame.
pub const MOST_BYTES: u32 = (size_of::<Ethernet>()
    + 2 * size_of::<VlanTag>()
    + NETWORK_BYTES
    + size_of::<Icmp>()
    + NETWORK_BYTES
    + size_of::<Icmp>()) as u32;

/// Reads which flow the packet belonged to that `error` quotes; of the facts all
/// that a flow key is made of, and [`crate::question::Question::service`].
///
/// Any error means that the quotation tells of no packet of a flow: it is none,
/// is cut short, or quotes another error (RFC 1122, 3.2.2; RFC 4443, 2.4).
#[inline(always)]
pub fn quoted(packet: &impl Packet, error: &Facts, facts: &mut Facts) -> Result<(), DropReason> {
    let start = merged(packet, error.quote.start as usize);
    let is_ipv6 = error.question.protocol() == protocol::ICMPV6;
    let quote = Rest {
        protocol: 0,
        offset: start,
        end: error.quote.end as usize,
    };
    facts.flags = WHOLE;
    let rest = if is_ipv6 {
        ipv6(packet, quote, facts)?
    } else {
        ipv4(packet, quote, facts)?
    };
    let rest = if is_extension(rest.protocol, is_ipv6) {
        extensions(packet, rest.merged(packet), is_ipv6, facts)?
    } else {
        rest
    };
    let rest = rest.merged(packet);
    if facts.flags == Facts::LATER || rest.offset > rest.end {
        return Err(DropReason::TRUNCATED);
    }
    let (service, ports) = match rest.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            // The ports stand at the same place in all of them.
            let udp = rest.header::<Udp>(packet)?;
            (udp.destination(), (udp.source(), udp.destination()))
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let icmp = rest.header::<Icmp>(packet)?;
            if !is_echo(rest.protocol, icmp.kind()) {
                return Err(DropReason::ICMP_UNRELATED);
            }
            (u16::from(icmp.kind()) << 8, (icmp.id(), icmp.id()))
        }
        _ => (0, (0, 0)),
    };
    facts.question.protocol = rest.protocol.into();
    facts.question.service = service;
    facts.tcp_flags = 0;
    facts.flags = Facts::TRACKED;
    (facts.source_port, facts.destination_port) = ports;
    Ok(())
}

#[inline(always)]
fn ipv4(packet: &impl Packet, quote: Rest, facts: &mut Facts) -> Result<Rest, DropReason> {
    let ip = quote.header::<Ipv4>(packet)?;
    let header_bytes = ip.header_bytes();
    if ip.version() != 4 || header_bytes < size_of::<Ipv4>() {
        return Err(DropReason::BAD_IPV4_HEADER);
    }
    if ip.fragment_start() != 0 {
        return Err(DropReason::BAD_FRAGMENT);
    }
    facts.question.source = ip.source();
    facts.question.destination = ip.destination();
    Ok(Rest {
        protocol: ip.protocol(),
        offset: quote.offset + header_bytes,
        ..quote
    })
}

#[inline(always)]
fn ipv6(packet: &impl Packet, quote: Rest, facts: &mut Facts) -> Result<Rest, DropReason> {
    let ip = quote.header::<Ipv6>(packet)?;
    let (source, destination) = (ip.source(), ip.destination());
    if ip.version() != 6 || source.is_v4() || destination.is_v4() {
        return Err(DropReason::BAD_IPV6_HEADER);
    }
    facts.question.source = source;
    facts.question.destination = destination;
    Ok(Rest {
        protocol: ip.next_header(),
        offset: quote.offset + size_of::<Ipv6>(),
        ..quote
    })
}
