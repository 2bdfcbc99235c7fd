//! Flows: what the two flow maps hold.

use crate::address::Addr;
use crate::cell::Cell;
use crate::idle::Idle;
use crate::parse::Facts;
use crate::question::{Mac, Tags};
use crate::wire::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, protocol};
use crate::zone::ZoneId;

/// Both directions of one conversation: the smaller end stands first, so that
/// one look-up finds the flow from either side.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Address of the smaller end.
    pub low: Addr,
    /// Address of the greater end.
    pub high: Addr,
    /// Port of the smaller end, or the identifier of an echo, or 0.
    pub low_port: u16,
    /// Port of the greater end, or the identifier of an echo, or 0.
    pub high_port: u16,
    /// IP protocol number; `u32` so that the key has no padding.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 40);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FlowKey {}

/// What is known of a flow.
///
/// What the initiator's packets change lies 64 bytes from what the responder's
/// change, so that two CPUs do not fight for one cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Generation of the policy that judged the flow.
    pub generation: u32,
    /// What that policy said.
    pub cell: Cell,
    /// Zone of the initiator.
    pub from: ZoneId,
    /// Zone of the responder.
    pub to: ZoneId,
    /// Where the first packet came in; where it went out when the router
    /// itself is the initiator.
    pub ifindex: u32,
    /// VLAN tags there.
    pub outer_tag: u16,
    /// The inner tag.
    pub inner_tag: u16,
    /// [`Flow::INITIATOR_IS_LOW`].
    pub flags: u16,
    /// An [`crate::question::Origin`].
    pub origin: u8,
    /// For later use; zero.
    pub reserved: [u8; 5],
    /// When it began, in timer ticks (low 32 bits).
    pub created: u32,
    /// What the initiator has sent.
    pub initiator: Direction,
    /// Hardware address of the initiator, as in [`crate::question::Place`].
    pub mac: Mac,
    /// What the responder has sent.
    pub responder: Direction,
}

/// What one side of a flow has sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets.
    pub packets: u64,
    /// Bytes, layer-2 length.
    pub bytes: u64,
    /// When the last one came, in timer ticks (low 32 bits).
    pub last_seen: u32,
    /// All TCP flags seen; RST, if the last packet had it.
    pub tcp_flags: u32,
}

const _: () = assert!(size_of::<Flow>() == 88);
const _: () = assert!(core::mem::offset_of!(Flow, responder) == 64);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Flow {}

impl FlowKey {
    /// The key of the flow that a packet belongs to, and whether the packet
    /// comes from the smaller end.
    #[inline(always)]
    pub fn of(facts: &Facts) -> (Self, bool) {
        let from_low = is_ordered(facts);
        let protocol = u32::from(facts.question.protocol);
        let key = if from_low {
            Self {
                low: facts.question.source,
                high: facts.question.destination,
                low_port: facts.source_port,
                high_port: facts.destination_port,
                protocol,
            }
        } else {
            Self {
                low: facts.question.destination,
                high: facts.question.source,
                low_port: facts.destination_port,
                high_port: facts.source_port,
                protocol,
            }
        };
        (key, from_low)
    }
}

/// Whether the source is the smaller end: by the last word of the addresses,
/// where most differ, then the others, then the port.
#[inline(always)]
fn is_ordered(facts: &Facts) -> bool {
    let (a, b) = (&facts.question.source.0, &facts.question.destination.0);
    // Word by word: a comparison of slices would call `memcmp`.
    if a[3] != b[3] {
        return a[3] < b[3];
    }
    if a[2] != b[2] {
        return a[2] < b[2];
    }
    if a[1] != b[1] {
        return a[1] < b[1];
    }
    if a[0] != b[0] {
        return a[0] < b[0];
    }
    facts.source_port <= facts.destination_port
}

impl Flow {
    /// The initiator is the smaller end of the key.
    pub const INITIATOR_IS_LOW: u16 = 1;

    /// Another CPU, which has just written when it saw the flow, may be a tick
    /// ahead of this one; without this, such a flow would look idle for ages.
    const SKEW_TICKS: u32 = 2;

    /// Whether the smaller end started the flow.
    #[inline(always)]
    pub fn initiator_is_low(&self) -> bool {
        self.flags & Self::INITIATOR_IS_LOW != 0
    }

    /// The VLAN tags where the flow began.
    #[inline(always)]
    pub fn tags(&self) -> Tags {
        Tags {
            outer: self.outer_tag,
            inner: self.inner_tag,
        }
    }

    /// Whether nothing has come for so long that the flow is over.
    ///
    /// `now` and the limits are in ticks (low 32 bits); an established flow is
    /// one that lies in the map of those.
    #[inline(always)]
    pub fn is_over(
        &self,
        protocol: u32,
        is_established: bool,
        (now, limits): (u32, &Idle),
    ) -> bool {
        let now = now.wrapping_add(Self::SKEW_TICKS);
        let idle = now.wrapping_sub(self.initiator.last_seen);
        let idle = idle.min(now.wrapping_sub(self.responder.last_seen));
        // Most packets need no look at the limit of their own flow.
        idle > limits.shortest && idle > self.idle_limit(protocol, is_established, limits)
    }

    #[inline(always)]
    fn idle_limit(&self, protocol: u32, is_established: bool, limits: &Idle) -> u32 {
        match protocol as u8 {
            protocol::TCP if self.is_tcp_reset() => limits.tcp_closed,
            protocol::TCP if self.is_tcp_finished() => limits.tcp_closing,
            protocol::TCP if is_established => limits.tcp,
            protocol::TCP => limits.tcp_opening,
            _ if self.responder.packets == 0 => limits.unanswered,
            protocol::UDP => limits.udp,
            protocol::ICMP | protocol::ICMPV6 => limits.icmp,
            _ => limits.other,
        }
    }

    /// Whether the connection has ended, so that the next SYN opens another.
    #[inline(always)]
    pub fn is_tcp_closed(&self) -> bool {
        self.is_tcp_reset() || self.is_tcp_finished()
    }

    /// Whether the last segment of one side was a RST.
    #[inline(always)]
    fn is_tcp_reset(&self) -> bool {
        (self.initiator.tcp_flags | self.responder.tcp_flags) & u32::from(TCP_RST) != 0
    }

    /// Whether both sides have said FIN.
    #[inline(always)]
    fn is_tcp_finished(&self) -> bool {
        self.initiator.tcp_flags & self.responder.tcp_flags & u32::from(TCP_FIN) != 0
    }
}

impl Direction {
    /// Notes the TCP flags of another packet.
    ///
    /// A RST is forgotten when its sender goes on: then somebody else has
    /// forged it, or the other side did not take it (RFC 5961).
    #[inline(always)]
    pub fn note(&mut self, tcp_flags: u8) {
        self.tcp_flags = self.tcp_flags & !u32::from(TCP_RST) | u32::from(tcp_flags);
    }
}

/// Whether the packet, sent by the responder, answers the initiator; what does
/// not answer opens a flow of its own.
#[inline(always)]
pub fn is_answer(facts: &Facts) -> bool {
    match facts.question.protocol() {
        protocol::TCP => !opens_tcp(facts),
        protocol::ICMP | protocol::ICMPV6 => !is_echo_request(facts),
        _ => true,
    }
}

/// Whether the packet, sent by the initiator, goes on with the flow.
#[inline(always)]
pub fn continues(facts: &Facts) -> bool {
    match facts.question.protocol() {
        protocol::ICMP | protocol::ICMPV6 => is_echo_request(facts),
        _ => true,
    }
}

/// Whether the packet, sent by the initiator of a flow that was answered, shows
/// that the answer has reached it: then the flow is established. Whoever forges
/// its address does not go on; whoever scans breaks off.
#[inline(always)]
pub fn confirms(facts: &Facts) -> bool {
    facts.question.protocol() != protocol::TCP
        || facts.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_ACK
}

/// Whether the packet is a TCP segment that opens a connection.
#[inline(always)]
pub fn opens_tcp(facts: &Facts) -> bool {
    facts.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN
}

/// Whether the packet is a TCP segment that opens nothing.
#[inline(always)]
pub fn is_mid_stream(facts: &Facts) -> bool {
    facts.question.protocol() == protocol::TCP && !opens_tcp(facts)
}

/// Whether the packet is a TCP segment that answers one which opens a connection:
/// only the responder sends it.
#[inline(always)]
pub fn answers_opening(facts: &Facts) -> bool {
    facts.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK
}

#[inline(always)]
fn is_echo_request(facts: &Facts) -> bool {
    facts.question.service >> 8
        == u16::from(crate::question::echo_request(facts.question.protocol()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::DropReason;

    const LIMITS: Idle = Idle {
        shortest: 1,
        tcp: 80,
        tcp_opening: 70,
        tcp_closing: 60,
        tcp_closed: 50,
        udp: 40,
        icmp: 30,
        other: 20,
        unanswered: 10,
    };
    const ACK: u8 = TCP_ACK;

    /// A flow whose sides have sent packets with these TCP flags, the last at
    /// tick `last_seen`.
    fn flow(initiator: &[u8], responder: &[u8], last_seen: u32) -> Flow {
        let direction = |flags: &[u8]| {
            let mut direction = Direction {
                packets: flags.len() as u64,
                last_seen,
                ..Direction::default()
            };
            flags.iter().for_each(|flags| direction.note(*flags));
            direction
        };
        Flow {
            generation: 1,
            cell: Cell::drop(crate::cell::Slot(0), DropReason::NO_CONDUIT),
            from: ZoneId(2),
            to: ZoneId(3),
            ifindex: 1,
            outer_tag: 0,
            inner_tag: 0,
            flags: 0,
            origin: 0,
            reserved: [0; 5],
            created: 0,
            initiator: direction(initiator),
            mac: Mac::NONE,
            responder: direction(responder),
        }
    }

    #[test]
    fn every_state_has_a_limit() {
        const NEW: bool = false;
        const OLD: bool = true;
        let tcp = protocol::TCP;
        /// Protocol, whether it is established, what both sides said, limit.
        type Case = (u8, bool, &'static [u8], &'static [u8], u32);
        let cases: [Case; 13] = [
            (tcp, NEW, &[TCP_SYN], &[], 70),
            (tcp, NEW, &[TCP_SYN], &[TCP_SYN | ACK], 70),
            (tcp, NEW, &[TCP_SYN], &[TCP_RST | ACK], 50),
            (tcp, OLD, &[TCP_SYN, ACK], &[TCP_SYN | ACK], 80),
            (tcp, OLD, &[TCP_SYN, ACK, TCP_FIN | ACK], &[ACK], 80),
            (tcp, OLD, &[TCP_FIN | ACK, ACK], &[TCP_FIN | ACK], 60),
            (tcp, OLD, &[ACK, TCP_RST], &[TCP_FIN | ACK], 50),
            // Who goes on has not said RST.
            (tcp, OLD, &[ACK], &[TCP_RST, ACK], 80),
            (protocol::UDP, NEW, &[0], &[], 10),
            (protocol::UDP, NEW, &[0], &[0], 40),
            (protocol::ICMP, OLD, &[0], &[0], 30),
            (protocol::ICMPV6, NEW, &[0], &[], 10),
            (47, OLD, &[0], &[0], 20),
        ];
        for (protocol, is_established, initiator, responder, limit) in cases {
            for last_seen in [0, 1000, u32::MAX - 20] {
                let flow = flow(initiator, responder, last_seen);
                let is_over = |idle: u32| {
                    let now = last_seen.wrapping_add(idle - Flow::SKEW_TICKS);
                    flow.is_over(protocol.into(), is_established, (now, &LIMITS))
                };
                assert!(!is_over(limit), "{protocol} {initiator:?} {responder:?}");
                assert!(is_over(limit + 1), "{protocol} {initiator:?} {responder:?}");
            }
        }
    }

    #[test]
    fn the_side_that_spoke_last_counts() {
        let mut flow = flow(&[0], &[0], 100);
        flow.responder.last_seen = 200;
        let cases = [(199, false), (198, false), (238, false), (239, true)];
        for (now, want) in cases {
            let is_over = flow.is_over(protocol::UDP.into(), true, (now, &LIMITS));
            assert_eq!(is_over, want, "{now}");
        }
    }
}
