//! Every table size and loop bound that both sides must agree on.

/// Version of the map layout; part of the pin path, so that programs and
/// commands of different layouts never share maps.
pub const LAYOUT_VERSION: u32 = 2;

/// Most zones of one policy, `self` and `unknown` not counted.
pub const ZONES: usize = 1000;

/// Most failsafe entries; one bit each in a `u16`.
pub const FAILSAFES: usize = 16;

/// Most IPv6 extension headers that are walked.
pub const EXTENSION_HEADERS: usize = 6;

/// Most bytes of IPv6 extension headers that are walked.
pub const EXTENSION_BYTES: usize = 256;

/// Most bytes of IPv4 options (RFC 791: header length is four bits of words).
pub const IPV4_OPTION_BYTES: usize = 40;

/// Trie levels below the 16-bit root that an IPv6 address can need.
pub const TRIE_LEVELS: usize = 14;

/// Flows that somebody has answered.
pub const FLOWS: u32 = 65_536;

/// Flows that nobody has answered yet.
pub const FLOWS_NEW: u32 = 65_536;

/// Seconds without a packet after which a flow is forgotten.
///
/// RFC 5382 (TCP, at least 2 h 4 min), RFC 4787 (UDP, at least 2 min; 5 min
/// recommended), RFC 5508 (ICMP, at least 60 s).
pub mod idle_s {
    /// TCP after the handshake; what conntrack uses, so that quiet sessions
    /// of controllers survive.
    pub const TCP: u32 = 432_000;
    /// TCP after FIN from both sides or a RST.
    pub const TCP_CLOSED: u32 = 10;
    /// UDP with an answer.
    pub const UDP: u32 = 300;
    /// ICMP echo with an answer.
    pub const ICMP: u32 = 60;
    /// Other protocols with an answer.
    pub const OTHER: u32 = 600;
    /// Any flow without an answer.
    pub const UNANSWERED: u32 = 60;
}
