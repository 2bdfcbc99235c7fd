//! IPv4 and IPv6: from the network header to what it carries.

use super::{Facts, Rest, WHOLE, merged};
use crate::fragment::Piece;
use crate::limits::{EXTENSION_BYTES, EXTENSION_HEADERS, IPV4_OPTION_BYTES};
use crate::packet::{Packet, byte, header};
use crate::verdict::DropReason;
use crate::wire::{Extension, Fragment, Ipv4, Ipv6, protocol};

#[inline(always)]
pub(super) fn ipv4(
    packet: &impl Packet,
    start: usize,
    facts: &mut Facts,
) -> Result<Rest, DropReason> {
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
        let (begin, bytes) = (ip.fragment_start(), ip.total_bytes() as u32);
        // The longest datagram; more overflows what receivers count with.
        if begin + bytes > LONGEST {
            return Err(DropReason::BAD_FRAGMENT);
        }
        facts.piece = Piece {
            id: ip.id(),
            start: begin,
            end: begin + bytes - header_bytes as u32,
            protocol: ip.protocol().into(),
            is_last: ip.is_last_fragment().into(),
        };
        facts.flags = part_of(&facts.piece);
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

/// Most bytes of a whole datagram: all that IPv4 headers can count, and IPv6
/// headers of what follows them.
const LONGEST: u32 = 65_535;

#[inline(always)]
const fn part_of(piece: &Piece) -> u16 {
    if piece.start == 0 {
        Facts::FIRST
    } else {
        Facts::LATER
    }
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
pub(super) fn ipv6(
    packet: &impl Packet,
    start: usize,
    facts: &mut Facts,
) -> Result<Rest, DropReason> {
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
pub(super) const fn is_extension(protocol: u8, is_ipv6: bool) -> bool {
    match protocol {
        protocol::AH => true,
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::DESTINATION_OPTIONS
        | protocol::FRAGMENT => is_ipv6,
        _ => false,
    }
}

/// Walks extension headers up to the first header that is none, or up to what a
/// later fragment carries.
#[inline(always)]
pub(super) fn extensions(
    packet: &impl Packet,
    mut rest: Rest,
    is_ipv6: bool,
    facts: &mut Facts,
) -> Result<Rest, DropReason> {
    let is_ipv6 = packet.opaque(is_ipv6.into()) != 0;
    let first = rest.offset;
    let (mut walked, mut fragments, mut is_later) = (0, 0, 0);
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
        if rest.protocol == protocol::ROUTING && extension.routing_type() == 0 {
            return Err(DropReason::SOURCE_ROUTED);
        }
        if rest.protocol == protocol::FRAGMENT {
            // RFC 8200, 4.1: one, at most.
            if fragments != 0 {
                return Err(DropReason::BAD_FRAGMENT);
            }
            fragments = 1;
            facts.flags = fragment(packet, rest, first, facts)?;
            is_later = u32::from(facts.flags & Facts::LATER);
        }
        walked += match rest.protocol {
            protocol::AH => extension.ah_bytes(),
            protocol::FRAGMENT => size_of::<Fragment>(),
            _ => extension.extension_bytes(),
        };
        let next = extension.next_header();
        if index == EXTENSION_HEADERS || walked > EXTENSION_BYTES {
            return Err(DropReason::TOO_MANY_EXTENSIONS);
        }
        walked = merged(packet, walked);
        fragments = packet.opaque(fragments);
        is_later = packet.opaque(is_later);
        rest.offset = merged(packet, first + walked);
        rest.protocol = next;
        if is_later != 0 {
            return Ok(rest);
        }
    }
    Err(DropReason::TOO_MANY_EXTENSIONS)
}

/// Reads a fragment header; `first` is where the IPv6 header ends. A datagram in
/// one fragment is whole (RFC 6946).
#[inline(always)]
fn fragment(
    packet: &impl Packet,
    rest: Rest,
    first: usize,
    facts: &mut Facts,
) -> Result<u16, DropReason> {
    let fragment = rest.header::<Fragment>(packet)?;
    let begin = fragment.start();
    if begin == 0 && fragment.is_last() {
        return Ok(WHOLE);
    }
    let header_bytes = size_of::<Fragment>();
    // A copy: what the verifier learns of it here, it forgets.
    let end = packet.opaque(rest.end as u32) as usize;
    if begin as usize + end - first - header_bytes > LONGEST as usize {
        return Err(DropReason::BAD_FRAGMENT);
    }
    facts.piece = Piece {
        id: fragment.id(),
        start: begin,
        end: begin + (rest.end - rest.offset - header_bytes) as u32,
        protocol: 0,
        is_last: fragment.is_last().into(),
    };
    Ok(part_of(&facts.piece))
}
