//! Flows: what the two flow maps hold.

use crate::address::Addr;
use crate::cell::Cell;
use crate::limits::idle_s;
use crate::parse::Facts;
use crate::question::Tags;
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
    /// Space up to the next 64 bytes.
    pub padding: [u32; 2],
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
    /// All TCP flags seen.
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
    /// `now` is in ticks (low 32 bits), of which a second has `per_second`.
    #[inline(always)]
    pub fn is_over(&self, protocol: u32, now: u32, per_second: u32) -> bool {
        let idle = now.wrapping_sub(self.initiator.last_seen);
        let idle = idle.min(now.wrapping_sub(self.responder.last_seen));
        // No limit is below the first, so most packets need no look at theirs.
        idle > idle_s::TCP_CLOSED.wrapping_mul(per_second)
            && idle > self.idle_limit_s(protocol).wrapping_mul(per_second)
    }

    #[inline(always)]
    fn idle_limit_s(&self, protocol: u32) -> u32 {
        if self.responder.packets == 0 {
            return idle_s::UNANSWERED;
        }
        match protocol as u8 {
            protocol::TCP if self.is_tcp_closed() => idle_s::TCP_CLOSED,
            protocol::TCP => idle_s::TCP,
            protocol::UDP => idle_s::UDP,
            protocol::ICMP | protocol::ICMPV6 => idle_s::ICMP,
            _ => idle_s::OTHER,
        }
    }

    /// Whether both sides have said FIN, or one RST.
    #[inline(always)]
    pub fn is_tcp_closed(&self) -> bool {
        let (a, b) = (self.initiator.tcp_flags, self.responder.tcp_flags);
        let (fin, rst) = (u32::from(TCP_FIN), u32::from(TCP_RST));
        (a | b) & rst != 0 || a & b & fin != 0
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

/// Whether the packet is a TCP segment that opens a connection.
#[inline(always)]
pub fn opens_tcp(facts: &Facts) -> bool {
    facts.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN
}

#[inline(always)]
fn is_echo_request(facts: &Facts) -> bool {
    facts.question.service >> 8
        == u16::from(crate::question::echo_request(facts.question.protocol()))
}
