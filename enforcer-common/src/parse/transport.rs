//! Transport headers: ports, flags, type and code.

use super::{Facts, Quote, Rest, WHOLE};
use crate::neighbour::is_discovery;
use crate::packet::Packet;
use crate::question::{echo_reply, echo_request};
use crate::verdict::DropReason;
use crate::wire::{Icmp, Sctp, Tcp, Udp, protocol};

/// Reads ports, flags, type and code.
#[inline(always)]
pub(super) fn transport(
    packet: &impl Packet,
    rest: Rest,
    facts: &mut Facts,
) -> Result<(), DropReason> {
    facts.question.protocol = rest.protocol.into();
    let (mut tcp_flags, mut flags) = (0, Facts::TRACKED | facts.flags);
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
            let is_cut = facts.flags == WHOLE && rest.offset + bytes > rest.end;
            if bytes < size_of::<Udp>() || is_cut {
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
                flags = facts.flags;
                let read_later = read_later(rest.protocol, icmp.kind());
                if flags == WHOLE && read_later != 0 {
                    flags = read_later;
                    facts.quote = Quote {
                        start: (rest.offset + size_of::<Icmp>()) as u32,
                        end: rest.end as u32,
                    };
                }
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
pub(super) const fn is_echo(protocol: u8, kind: u8) -> bool {
    echo_request(protocol) == kind || echo_reply(protocol) == kind
}

/// [`Facts::ERROR`] of a type which may report a packet of a flow: unreachable, time exceeded, parameter problem (RFC 792), packet too big (RFC
/// 4443). Source quench is to be ignored (RFC 6633). [`Facts::NEIGHBOUR`] of one
/// that says who has which address; 0 of others.
#[inline(always)]
const fn read_later(protocol: u8, kind: u8) -> u16 {
    match (protocol, kind) {
        (protocol::ICMP, 3 | 11 | 12) | (protocol::ICMPV6, 1..=4) => Facts::ERROR,
        (protocol::ICMPV6, kind) if is_discovery(kind) => Facts::NEIGHBOUR,
        _ => 0,
    }
}
