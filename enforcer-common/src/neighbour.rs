//! Who says in ARP (RFC 826) and neighbour discovery (RFC 4861) that an address
//! is his: the tables of neighbours believe it.
//!
//! The sender's address, and the address that an advertisement is about, are
//! sources like those of IP, subject to anti-spoofing and bindings; the hardware
//! address that is told must be the one that the frame comes from. Probes for
//! duplicates claim nothing: their source is unspecified (RFC 5227, RFC 4862).

use crate::address::Addr;
use crate::decide::{Dropped, SourceEnd};
use crate::limits::{NEIGHBOUR_BYTES, NEIGHBOUR_OPTIONS};
use crate::lookup::{self, Tables};
use crate::packet::{Packet, header};
use crate::parse::{Facts, merged};
use crate::question::{Mac, Origin};
use crate::verdict::DropReason;
use crate::wire::{Arp, NeighbourOption, NeighbourTarget};

/// Types of ICMPv6.
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Whether a type of ICMPv6 is one of neighbour discovery.
pub const fn is_discovery(kind: u8) -> bool {
    matches!(kind, ROUTER_SOLICITATION..=REDIRECT)
}

/// Options with the hardware address of the source, or of the target.
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;

/// Least bytes of an option.
const OPTION_BYTES: u32 = size_of::<NeighbourOption>() as u32;

/// What a packet says of its sender besides its source address. No `Option`s: the
/// verifier refuses to copy the undefined half of one.
struct Claims {
    /// The address that an advertisement is about; of other packets it means
    /// nothing.
    target: Addr,
    /// Why nobody is to believe it, whoever the sender is; or [`FINE`].
    fault: DropReason,
}

/// No fault.
const FINE: DropReason = DropReason(0);

/// Keeps out what a station says of addresses that are not its own.
///
/// `facts` are those of ARP or neighbour discovery, [`Facts::NEIGHBOUR`]. What the
/// router itself sends is not looked at, and neither is what a router in between
/// has forwarded: nobody believes that.
#[inline(always)]
pub fn check(
    tables: &impl Tables,
    packet: &impl Packet,
    facts: &Facts,
    source: &SourceEnd,
) -> Result<(), Dropped> {
    let question = &facts.question;
    let is_arp = question.source.is_v4();
    if question.place.origin != Origin::WIRE || !is_arp && facts.hop_limit != u8::MAX {
        return Ok(());
    }
    let from = source.zone.zone();
    let claims = if is_arp {
        arp(packet, facts)
    } else {
        discovery(packet, facts)
    };
    if claims.fault != FINE {
        return Err(Dropped::early(from, claims.fault));
    }
    if source.zone.is_refused() && !is_probe(facts) {
        return Err(Dropped::early(from, source.zone.refusal()));
    }
    if !is_arp && kind(facts) == NEIGHBOUR_ADVERTISEMENT {
        let class = lookup::address(tables, &claims.target);
        let cell = lookup::source(tables, source.link, class, &question.place.mac);
        if cell.is_refused() {
            return Err(Dropped::early(cell.zone(), cell.refusal()));
        }
    }
    Ok(())
}

/// Whether the sender asks without an address of its own.
#[inline(always)]
fn is_probe(facts: &Facts) -> bool {
    let source = &facts.question.source;
    if source.is_v4() {
        return *source == Addr::v4(0);
    }
    let kind = kind(facts);
    *source == Addr::UNSPECIFIED && matches!(kind, ROUTER_SOLICITATION | NEIGHBOUR_SOLICITATION)
}

#[inline(always)]
fn kind(facts: &Facts) -> u8 {
    (facts.question.service >> 8) as u8
}

#[inline(always)]
fn arp(packet: &impl Packet, facts: &Facts) -> Claims {
    let sender = header::<Arp>(packet, merged(packet, facts.quote.start as usize));
    let fault = match sender {
        Ok(arp) => spoofed_if(differ(arp.sender(), facts.question.place.mac)),
        Err(reason) => reason,
    };
    let target = Addr::UNSPECIFIED;
    Claims { target, fault }
}

#[inline(always)]
fn discovery(packet: &impl Packet, facts: &Facts) -> Claims {
    let mut claims = Claims {
        target: Addr::UNSPECIFIED,
        fault: FINE,
    };
    // Behind the eight bytes that all types have: what comes before options, and
    // which of these tells of the sender.
    let (fixed_bytes, wanted) = match kind(facts) {
        ROUTER_SOLICITATION => (0, SOURCE_OPTION),
        ROUTER_ADVERTISEMENT => (8, SOURCE_OPTION),
        NEIGHBOUR_SOLICITATION => (16, SOURCE_OPTION),
        NEIGHBOUR_ADVERTISEMENT => (16, TARGET_OPTION),
        // A redirect tells of others.
        _ => return claims,
    };
    packet.pull(NEIGHBOUR_BYTES);
    let start = facts.quote.start;
    if start + fixed_bytes > facts.quote.end {
        claims.fault = DropReason::BAD_TRANSPORT_HEADER;
        return claims;
    }
    if wanted == TARGET_OPTION {
        match header::<NeighbourTarget>(packet, merged(packet, start as usize)) {
            Ok(target) => claims.target = target.address(),
            Err(reason) => {
                claims.fault = reason;
                return claims;
            }
        }
    }
    claims.fault = fault_of_options(packet, facts, (start + fixed_bytes, wanted));
    claims
}

/// What is wrong with the options: their lengths, or that one of the type that is
/// `wanted` has another hardware address than that of the frame.
#[inline(always)]
fn fault_of_options(packet: &impl Packet, facts: &Facts, (start, wanted): (u32, u8)) -> DropReason {
    let (end, mac) = (facts.quote.end, facts.question.place.mac);
    let mut offset = start;
    let mut names_other = 0;
    for _ in 0..=NEIGHBOUR_OPTIONS {
        if offset == end {
            return spoofed_if(names_other != 0);
        }
        if offset + OPTION_BYTES > end || offset > NEIGHBOUR_BYTES - OPTION_BYTES {
            break;
        }
        let Ok(option) = header::<NeighbourOption>(packet, merged(packet, offset as usize)) else {
            break;
        };
        let bytes = option.bytes();
        if bytes == 0 || offset + bytes > end {
            break;
        }
        if option.kind() == wanted && differ(option.address(), mac) {
            names_other = 1;
        }
        names_other = packet.opaque(names_other);
        offset = packet.opaque(offset + bytes);
    }
    DropReason::BAD_TRANSPORT_HEADER
}

#[inline(always)]
const fn spoofed_if(is_spoofed: bool) -> DropReason {
    if is_spoofed {
        DropReason::SPOOFED_SOURCE
    } else {
        FINE
    }
}

#[inline(always)]
fn differ(a: Mac, b: Mac) -> bool {
    (a.low, a.high) != (b.low, b.high)
}
