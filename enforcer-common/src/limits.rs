//! Every table size and loop bound that both sides must agree on.

/// Version of the map layout; part of the pin path, so that programs and
/// commands of different layouts never share maps.
pub const LAYOUT_VERSION: u32 = 3;

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

/// Flows that are established, as the object declares the map; the loader sets
/// what the policy wants.
pub const FLOWS: u32 = 65_536;

/// Flows that are not established yet, likewise.
pub const FLOWS_NEW: u32 = 65_536;

/// Most options of a packet of neighbour discovery.
pub const NEIGHBOUR_OPTIONS: usize = 32;

/// Most bytes of a packet of neighbour discovery, from the start of the frame.
pub const NEIGHBOUR_BYTES: u32 = 1_024;

/// Datagrams whose later fragments are awaited.
pub const FRAGMENTS: u32 = 1_024;

/// Seconds after its first fragment in which the others of a datagram must come.
pub const FRAGMENT_S: u32 = 5;

/// Sources that have a rate of their own; then the least recently seen one
/// begins anew.
pub const RATE_SOURCES: u32 = 16_384;

/// Bytes of the ring buffer of events.
pub const EVENT_BYTES: u32 = 256 * 1024;

/// Hooks with a scratch of their own on each CPU.
pub const SCRATCHES: u32 = 3;

/// Most bytes of the scratch of a hook.
pub const SCRATCH_BYTES: usize = 3 * 1024;
