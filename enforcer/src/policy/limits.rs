//! Limits of the flow table: how many flows it holds, and for how long.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How large a flow map may be: a kernel hands out the entries of smaller ones
/// so unevenly among CPUs that they are full before they are full.
pub const FLOWS: RangeInclusive<u32> = 1_024..=16_777_216;

/// How long a flow may be without a packet: ticks are counted in 32 bits.
pub const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(20 * DAY);

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

/// How many flows there may be, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows that are established: answered, and confirmed by their initiator.
    pub flows: u32,
    /// Flows that are not established yet.
    pub flows_new: u32,
    /// After how long without a packet a flow is forgotten.
    pub idle: Idle,
}

/// After how long without a packet a flow is forgotten, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// TCP connections that are established.
    pub tcp: Duration,
    /// TCP connections whose handshake is not complete.
    pub tcp_opening: Duration,
    /// TCP connections after FIN from both sides.
    pub tcp_closing: Duration,
    /// TCP connections after RST.
    pub tcp_closed: Duration,
    /// UDP with an answer.
    pub udp: Duration,
    /// ICMP echo with an answer.
    pub icmp: Duration,
    /// Other protocols with an answer.
    pub other: Duration,
    /// Everything but TCP without an answer.
    pub unanswered: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            flows_new: 65_536,
            idle: Idle::default(),
        }
    }
}

impl Default for Idle {
    /// Established TCP: five days as in Linux's connection tracking, so that
    /// quiet sessions of controllers survive (RFC 5382 wants 2 h 4 min at
    /// least). TCP that opens or closes: one minute, as long as Linux keeps
    /// `TIME_WAIT`, because a router that is scanned has no room for the four
    /// minutes of RFC 5382. UDP: five minutes (RFC 4787). ICMP: one minute
    /// (RFC 5508).
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            tcp: seconds(5 * DAY),
            tcp_opening: seconds(MINUTE),
            tcp_closing: seconds(MINUTE),
            tcp_closed: seconds(10),
            udp: seconds(5 * MINUTE),
            icmp: seconds(MINUTE),
            other: seconds(10 * MINUTE),
            unanswered: seconds(MINUTE),
        }
    }
}
