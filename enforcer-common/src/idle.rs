//! After how long without a packet a flow is over.

/// One limit for each protocol and state of flows: in seconds as the compiler
/// writes them, in timer ticks once a policy is staged.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// The least of all that follow.
    pub shortest: u32,
    /// TCP that is established.
    pub tcp: u32,
    /// TCP before that.
    pub tcp_opening: u32,
    /// TCP after FIN from both sides.
    pub tcp_closing: u32,
    /// TCP after RST.
    pub tcp_closed: u32,
    /// UDP with an answer.
    pub udp: u32,
    /// ICMP echo with an answer.
    pub icmp: u32,
    /// Other protocols with an answer.
    pub other: u32,
    /// Everything but TCP without an answer.
    pub unanswered: u32,
}

impl Idle {
    /// These limits in a unit of which one of theirs has `factor`.
    pub fn times(self, factor: u32) -> Self {
        let times = |limit: u32| limit.saturating_mul(factor);
        Self {
            shortest: times(self.shortest),
            tcp: times(self.tcp),
            tcp_opening: times(self.tcp_opening),
            tcp_closing: times(self.tcp_closing),
            tcp_closed: times(self.tcp_closed),
            udp: times(self.udp),
            icmp: times(self.icmp),
            other: times(self.other),
            unanswered: times(self.unanswered),
        }
    }
}
