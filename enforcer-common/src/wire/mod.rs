//! Headers as they stand on the wire, and accessors in host order.

mod numbers;
mod transport;

pub use numbers::{ether_type, protocol};

use crate::address::Addr;
use crate::question::Mac;

/// A header that can be read in place from a packet.
///
/// # Safety
///
/// The type has alignment 1 or 2 and every bit pattern is a value of it.
pub unsafe trait Header {}

/// Declares headers of bytes and half-words in network order. Half-words, because
/// packets and all headers in them start at even addresses, and one load is
/// cheaper than two.
macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { $($field: $type,)* }

            const _: () = assert!(align_of::<$name>() <= 2);
            // SAFETY: integers and arrays of them take any bit pattern.
            unsafe impl Header for $name {}
        )*
    };
}

headers! {
    /// Ethernet II (IEEE 802.3).
    Ethernet { destination: [u16; 3], source: [u16; 3], ether_type: u16, }
    /// What follows the EtherType of a VLAN tag (IEEE 802.1Q).
    VlanTag { control: u16, ether_type: u16, }
    /// ARP (RFC 826).
    Arp { hardware_type: u16, protocol_type: u16, lengths: u16, operation: u16, sender: [u16; 3], sender_address: [u16; 2], target: [u16; 3], target_address: [u16; 2], }
    /// IPv4 without options (RFC 791).
    Ipv4 {
        version_length: u8, service: u8, total_length: u16, id: u16, fragment: u16,
        hop_limit: u8, protocol: u8, checksum: u16, source: [u16; 2], destination: [u16; 2],
    }
    /// IPv6 (RFC 8200).
    Ipv6 { version_class: u8, class_label: u8, label: u16, payload_length: u16, next_header: u8, hop_limit: u8, source: [u16; 8], destination: [u16; 8], }
    /// The common start of IPv6 extension headers, and of AH (RFC 4302).
    Extension { next_header: u8, length: u8, kind: u8, rest: [u8; 5], }
    /// IPv6 fragment header (RFC 8200, 4.5).
    Fragment { next_header: u8, reserved: u8, place: u16, id: [u16; 2], }
    /// TCP without options (RFC 9293).
    Tcp { source: u16, destination: u16, sequence: [u16; 2], acknowledgment: [u16; 2], offset: u8, flags: u8, rest: [u16; 3], }
    /// UDP (RFC 768).
    Udp { source: u16, destination: u16, length: u16, checksum: u16, }
    /// SCTP common header (RFC 9260).
    Sctp { source: u16, destination: u16, verification: [u16; 2], checksum: [u16; 2], }
    /// ICMP and ICMPv6: type, code and the first four bytes of the body, which
    /// start with the identifier of an echo (RFC 792, RFC 4443).
    Icmp { kind: u8, code: u8, checksum: u16, id: u16, sequence: u16, }
    /// What an advertisement or a solicitation is about (RFC 4861, 4.3 and 4.4).
    NeighbourTarget { target: [u16; 8], }
    /// An option of neighbour discovery with a hardware address (RFC 4861, 4.6.1).
    NeighbourOption { kind: u8, length: u8, address: [u16; 3], }
    /// Two bytes.
    PairOfBytes { first: u8, second: u8, }
}

#[inline(always)]
const fn be16(network_order: u16) -> u16 {
    u16::from_be(network_order)
}

#[inline(always)]
const fn be32([high, low]: [u16; 2]) -> u32 {
    (be16(high) as u32) << 16 | be16(low) as u32
}

#[inline(always)]
const fn mac([high, a, b]: [u16; 3]) -> Mac {
    Mac {
        low: be32([a, b]),
        high: be16(high),
        padding: 0,
    }
}

impl Ethernet {
    /// Hardware address of the sender.
    #[inline(always)]
    pub fn source(&self) -> Mac {
        mac(self.source)
    }

    /// EtherType, or below 0x600 the length of an 802.3 frame.
    #[inline(always)]
    pub fn ether_type(&self) -> u16 {
        be16(self.ether_type)
    }

    /// Whether the frame goes to 01:80:c2:00:00:00 – 0f, which bridges never
    /// forward (IEEE 802.1Q, table 8-1).
    #[inline(always)]
    pub fn is_link_group(&self) -> bool {
        let [a, b, c] = self.destination;
        a == u16::to_be(0x0180) && b == u16::to_be(0xc200) && be16(c) < 0x10
    }

    /// Whether one station sent the frame to one station.
    #[inline(always)]
    pub fn is_unicast(&self) -> bool {
        const GROUP: u16 = u16::to_be(0x0100);
        (self.destination[0] | self.source[0]) & GROUP == 0
    }
}

impl VlanTag {
    /// VLAN id, 0 in a tag that carries only a priority.
    #[inline(always)]
    pub fn id(&self) -> u16 {
        be16(self.control) & 0x0fff
    }

    /// EtherType of what follows.
    #[inline(always)]
    pub fn ether_type(&self) -> u16 {
        be16(self.ether_type)
    }
}

impl Arp {
    /// Whether this is ARP for IPv4 over Ethernet.
    #[inline(always)]
    pub fn is_ipv4_over_ethernet(&self) -> bool {
        be16(self.hardware_type) == 1
            && be16(self.protocol_type) == ether_type::IPV4
            && be16(self.lengths) == 0x0604
    }

    /// Hardware address that the sender gives for its own.
    #[inline(always)]
    pub fn sender(&self) -> Mac {
        mac(self.sender)
    }

    /// Address that the sender gives for its own.
    #[inline(always)]
    pub fn sender_address(&self) -> Addr {
        Addr::v4(be32(self.sender_address))
    }

    /// Address that is asked for, or answered.
    #[inline(always)]
    pub fn target_address(&self) -> Addr {
        Addr::v4(be32(self.target_address))
    }
}

impl NeighbourTarget {
    /// The address.
    #[inline(always)]
    pub fn address(&self) -> Addr {
        words(&self.target)
    }
}

impl NeighbourOption {
    /// Its type.
    #[inline(always)]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Its length in bytes; 0 in an invalid one.
    #[inline(always)]
    pub fn bytes(&self) -> u32 {
        u32::from(self.length) * 8
    }

    /// The hardware address, if it has one.
    #[inline(always)]
    pub fn address(&self) -> Mac {
        mac(self.address)
    }
}

impl Ipv4 {
    /// 4 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_length >> 4
    }

    /// Length of the header in bytes: 0 to 60, at least 20 in a valid one.
    #[inline(always)]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.version_length & 0x0f) * 4
    }

    /// Length of header and payload in bytes.
    #[inline(always)]
    pub fn total_bytes(&self) -> usize {
        usize::from(be16(self.total_length))
    }

    /// Whether this is any fragment, first or later, of a datagram.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        be16(self.fragment) & 0x3fff != 0
    }

    /// Whether this is a fragment of a datagram, but not the first.
    #[inline(always)]
    pub fn is_later_fragment(&self) -> bool {
        be16(self.fragment) & 0x1fff != 0
    }

    /// Where in the payload of its datagram the payload lies, in bytes: a multiple
    /// of 8 below 65,536.
    #[inline(always)]
    pub fn fragment_start(&self) -> u32 {
        u32::from(be16(self.fragment) & 0x1fff) * 8
    }

    /// Whether no later fragment follows.
    #[inline(always)]
    pub fn is_last_fragment(&self) -> bool {
        be16(self.fragment) & 0x2000 == 0
    }

    /// What the fragments of one datagram have in common.
    #[inline(always)]
    pub fn id(&self) -> u32 {
        be16(self.id).into()
    }

    /// Time to live.
    #[inline(always)]
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// What follows the header.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Source address.
    #[inline(always)]
    pub fn source(&self) -> Addr {
        Addr::v4(be32(self.source))
    }

    /// Destination address.
    #[inline(always)]
    pub fn destination(&self) -> Addr {
        Addr::v4(be32(self.destination))
    }
}

impl Ipv6 {
    /// 6 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_class >> 4
    }

    /// Length of all that follows the 40 bytes of this header.
    #[inline(always)]
    pub fn payload_bytes(&self) -> usize {
        usize::from(be16(self.payload_length))
    }

    /// What follows the header.
    #[inline(always)]
    pub fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Hop limit.
    #[inline(always)]
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Source address.
    #[inline(always)]
    pub fn source(&self) -> Addr {
        words(&self.source)
    }

    /// Destination address.
    #[inline(always)]
    pub fn destination(&self) -> Addr {
        words(&self.destination)
    }
}

#[inline(always)]
fn words([a, b, c, d, e, f, g, h]: &[u16; 8]) -> Addr {
    Addr([
        be32([*a, *b]),
        be32([*c, *d]),
        be32([*e, *f]),
        be32([*g, *h]),
    ])
}

impl Extension {
    /// What follows the header.
    #[inline(always)]
    pub fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Length in bytes of any header but AH: 8 to 2048.
    #[inline(always)]
    pub fn extension_bytes(&self) -> usize {
        (usize::from(self.length) + 1) * 8
    }

    /// Length in bytes of AH: 8 to 1028 (RFC 4302, 2.2).
    #[inline(always)]
    pub fn ah_bytes(&self) -> usize {
        (usize::from(self.length) + 2) * 4
    }

    /// Type of a routing header.
    #[inline(always)]
    pub fn routing_type(&self) -> u8 {
        self.kind
    }
}

impl Fragment {
    /// Where in its datagram the fragment lies, in bytes: a multiple of 8 below
    /// 65,536.
    #[inline(always)]
    pub fn start(&self) -> u32 {
        (be16(self.place) & 0xfff8).into()
    }

    /// Whether no later fragment follows.
    #[inline(always)]
    pub fn is_last(&self) -> bool {
        be16(self.place) & 1 == 0
    }

    /// What the fragments of one datagram have in common.
    #[inline(always)]
    pub fn id(&self) -> u32 {
        be32(self.id)
    }
}

/// SYN, of [`Tcp::flags`].
pub const TCP_SYN: u8 = 0x02;
/// ACK, of [`Tcp::flags`].
pub const TCP_ACK: u8 = 0x10;
/// RST, of [`Tcp::flags`].
pub const TCP_RST: u8 = 0x04;
/// FIN, of [`Tcp::flags`].
pub const TCP_FIN: u8 = 0x01;

impl PairOfBytes {
    /// The second byte.
    #[inline(always)]
    pub fn second(&self) -> u8 {
        self.second
    }
}
