//! Headers as they stand on the wire, and accessors in host order.

use crate::address::Addr;

/// A header that can be read in place from a packet.
///
/// # Safety
///
/// The type has alignment 1 and every bit pattern is a value of it.
pub unsafe trait Header {}

/// Declares headers: byte arrays only, so that alignment is 1.
macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $length:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { $($field: [u8; $length],)* }

            const _: () = assert!(align_of::<$name>() == 1);
            // SAFETY: byte arrays have alignment 1 and take any bit pattern.
            unsafe impl Header for $name {}
        )*
    };
}

headers! {
    /// Ethernet II (IEEE 802.3).
    Ethernet { destination: 6, source: 6, ether_type: 2, }
    /// What follows the EtherType of a VLAN tag (IEEE 802.1Q).
    VlanTag { control: 2, ether_type: 2, }
    /// ARP up to and including the operation (RFC 826).
    Arp { hardware_type: 2, protocol_type: 2, lengths: 2, operation: 2, addresses: 20, }
    /// IPv4 without options (RFC 791).
    Ipv4 {
        version_length: 1, service: 1, total_length: 2, id: 2, fragment: 2,
        hop_limit: 1, protocol: 1, checksum: 2, source: 4, destination: 4,
    }
    /// IPv6 (RFC 8200).
    Ipv6 { version_class_label: 4, payload_length: 2, next_header: 1, hop_limit: 1, source: 16, destination: 16, }
    /// The common start of IPv6 extension headers, and of AH (RFC 4302).
    Extension { next_header: 1, length: 1, kind: 1, rest: 5, }
    /// TCP without options (RFC 9293).
    Tcp { source: 2, destination: 2, sequence: 4, acknowledgment: 4, offset: 1, flags: 1, rest: 6, }
    /// UDP (RFC 768).
    Udp { source: 2, destination: 2, length: 2, checksum: 2, }
    /// SCTP common header (RFC 9260).
    Sctp { source: 2, destination: 2, verification: 4, checksum: 4, }
    /// ICMP and ICMPv6: type, code and the first four bytes of the body, which
    /// start with the identifier of an echo (RFC 792, RFC 4443).
    Icmp { kind: 1, code: 1, checksum: 2, id: 2, sequence: 2, }
    /// Two bytes.
    PairOfBytes { first: 1, second: 1, }
}

/// EtherTypes that the parser knows.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Customer VLAN tag.
    pub const VLAN: u16 = 0x8100;
    /// Service VLAN tag (802.1ad).
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// Second tag of QinQ before 802.1ad.
    pub const OLD_SERVICE_VLAN: u16 = 0x9100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// PPPoE discovery (RFC 2516).
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
}

/// IP protocol numbers (IANA) that the parser knows.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

#[inline(always)]
const fn be16(bytes: [u8; 2]) -> u16 {
    u16::from_be_bytes(bytes)
}

impl Ethernet {
    /// EtherType, or below 0x600 the length of an 802.3 frame.
    #[inline(always)]
    pub fn ether_type(&self) -> u16 {
        be16(self.ether_type)
    }

    /// Whether the frame goes to 01:80:c2:00:00:00 – 0f, which bridges never
    /// forward (IEEE 802.1Q, table 8-1).
    #[inline(always)]
    pub fn is_link_group(&self) -> bool {
        let [a, b, c, d, e, f] = self.destination;
        a == 0x01 && b == 0x80 && c == 0xc2 && d == 0 && e == 0 && f < 0x10
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
}

impl Ipv4 {
    /// 4 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_length[0] >> 4
    }

    /// Length of the header in bytes: 0 to 60, at least 20 in a valid one.
    #[inline(always)]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.version_length[0] & 0x0f) * 4
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

    /// Time to live.
    #[inline(always)]
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit[0]
    }

    /// What follows the header.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.protocol[0]
    }

    /// Source address.
    #[inline(always)]
    pub fn source(&self) -> Addr {
        Addr::v4(u32::from_be_bytes(self.source))
    }

    /// Destination address.
    #[inline(always)]
    pub fn destination(&self) -> Addr {
        Addr::v4(u32::from_be_bytes(self.destination))
    }
}

impl Ipv6 {
    /// 6 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_class_label[0] >> 4
    }

    /// Length of all that follows the 40 bytes of this header.
    #[inline(always)]
    pub fn payload_bytes(&self) -> usize {
        usize::from(be16(self.payload_length))
    }

    /// What follows the header.
    #[inline(always)]
    pub fn next_header(&self) -> u8 {
        self.next_header[0]
    }

    /// Hop limit.
    #[inline(always)]
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit[0]
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
fn words(b: &[u8; 16]) -> Addr {
    Addr([
        u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
        u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
        u32::from_be_bytes([b[12], b[13], b[14], b[15]]),
    ])
}

impl Extension {
    /// What follows the header.
    #[inline(always)]
    pub fn next_header(&self) -> u8 {
        self.next_header[0]
    }

    /// Length in bytes of any header but AH: 8 to 2048.
    #[inline(always)]
    pub fn extension_bytes(&self) -> usize {
        (usize::from(self.length[0]) + 1) * 8
    }

    /// Length in bytes of AH: 8 to 1028 (RFC 4302, 2.2).
    #[inline(always)]
    pub fn ah_bytes(&self) -> usize {
        (usize::from(self.length[0]) + 2) * 4
    }

    /// Type of a routing header.
    #[inline(always)]
    pub fn routing_type(&self) -> u8 {
        self.kind[0]
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

impl Tcp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }

    /// Length of the header in bytes: 0 to 60, at least 20 in a valid one.
    #[inline(always)]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.offset[0] >> 4) * 4
    }

    /// FIN, SYN, RST, PSH, ACK, URG, ECE and CWR from the lowest bit up.
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        self.flags[0]
    }
}

impl Udp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }

    /// Length of header and payload in bytes.
    #[inline(always)]
    pub fn datagram_bytes(&self) -> usize {
        usize::from(be16(self.length))
    }
}

impl Sctp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }
}

impl Icmp {
    /// Type.
    #[inline(always)]
    pub fn kind(&self) -> u8 {
        self.kind[0]
    }

    /// Code.
    #[inline(always)]
    pub fn code(&self) -> u8 {
        self.code[0]
    }

    /// Identifier of an echo request or reply.
    #[inline(always)]
    pub fn id(&self) -> u16 {
        be16(self.id)
    }
}

impl PairOfBytes {
    /// The second byte.
    #[inline(always)]
    pub fn second(&self) -> u8 {
        self.second[0]
    }
}
