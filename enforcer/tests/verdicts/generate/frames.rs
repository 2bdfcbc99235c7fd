//! Frames, built field by field, right or wrong.

use std::net::{IpAddr, Ipv6Addr};

use crate::oracle::packet::{AH, SCTP, TCP, UDP};

/// A frame with an IP datagram.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Destination MAC address.
    pub mac: [u8; 6],
    /// Source MAC address.
    pub from_mac: [u8; 6],
    /// EtherType and content of each VLAN tag.
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    /// IPv4 options.
    pub options: Vec<u8>,
    /// The identification of IPv4.
    pub id: u16,
    /// The two bytes of flags and fragment offset of IPv4.
    pub fragment: u16,
    pub extensions: Vec<Extension>,
    pub protocol: u8,
    pub segment: Vec<u8>,
    /// Bytes behind the datagram.
    pub padding: usize,
}

/// An extension header of IPv6, or AH in IPv4.
#[derive(Clone, Debug)]
pub struct Extension {
    pub protocol: u8,
    /// Without the first byte, which names the header behind.
    pub body: Vec<u8>,
}

impl Packet {
    /// An untagged packet to the MAC address of a router.
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8, segment: Vec<u8>) -> Self {
        Self {
            mac: [2, 0, 0, 0, 0, 1],
            from_mac: [2, 0, 0, 0, 0, 9],
            tags: Vec::new(),
            source,
            destination,
            hop_limit: 64,
            options: Vec::new(),
            id: 0,
            fragment: 0,
            extensions: Vec::new(),
            protocol,
            segment,
            padding: 0,
        }
    }

    /// The frame. Source and destination are of one family.
    pub fn bytes(&self) -> Vec<u8> {
        let ether_type = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        let mut frame = ethernet(self.mac, &self.tags, ether_type);
        frame[6..12].copy_from_slice(&self.from_mac);
        frame.extend(self.datagram());
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// The frame without its Ethernet header.
    pub fn datagram(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let protocols: Vec<u8> = self
            .extensions
            .iter()
            .map(|extension| extension.protocol)
            .chain([self.protocol])
            .collect();
        for (extension, next) in self.extensions.iter().zip(&protocols[1..]) {
            payload.push(*next);
            payload.extend(&extension.body);
        }
        payload.extend(&self.segment);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header_words = 5 + self.options.len().div_ceil(4);
                let total = (header_words * 4 + payload.len()) as u16;
                let mut datagram = vec![0x40 | header_words as u8, 0];
                datagram.extend(total.to_be_bytes());
                datagram.extend(self.id.to_be_bytes());
                datagram.extend(self.fragment.to_be_bytes());
                datagram.extend([self.hop_limit, protocols[0], 0, 0]);
                datagram.extend(source.octets());
                datagram.extend(destination.octets());
                datagram.extend(&self.options);
                datagram.resize(header_words * 4, 0);
                datagram.extend(payload);
                datagram
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut datagram = vec![0x60, 0, 0, 0];
                datagram.extend((payload.len() as u16).to_be_bytes());
                datagram.extend([protocols[0], self.hop_limit]);
                datagram.extend(source.octets());
                datagram.extend(destination.octets());
                datagram.extend(payload);
                datagram
            }
            mixed => panic!("two families in one packet: {mixed:?}"),
        }
    }
}

impl Extension {
    /// A header of `words` times four bytes, as its own length field says it.
    pub fn new(protocol: u8, words: usize) -> Self {
        let mut body = vec![0; words * 4 - 1];
        body[0] = match protocol {
            AH => words - 2,
            _ => words / 2 - 1,
        } as u8;
        if protocol == 43 {
            // Routing type 2 (RFC 6275) is harmless, type 0 is not.
            body[1] = 2;
        }
        Self { protocol, body }
    }
}

/// An Ethernet header with VLAN tags, each with its EtherType and content.
pub fn ethernet(mac: [u8; 6], tags: &[(u16, u16)], ether_type: u16) -> Vec<u8> {
    let mut frame = mac.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9]);
    for (tag_type, content) in tags {
        frame.extend(tag_type.to_be_bytes());
        frame.extend(content.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame
}

/// An ARP request for IPv4 over Ethernet.
pub fn arp() -> Vec<u8> {
    let mut packet = vec![0, 1, 0x08, 0x00, 6, 4, 0, 1];
    packet.resize(28, 7);
    packet
}

pub const SYN: u8 = 0x02;
pub const SYN_ACK: u8 = 0x12;
pub const ACK: u8 = 0x10;

/// The segment of a protocol with ports, and some bytes of content.
pub fn with_ports(protocol: u8, source: u16, destination: u16, tcp_flags: u8) -> Vec<u8> {
    let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    match protocol {
        TCP => segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, tcp_flags, 1, 0, 0, 0, 0, 0]),
        UDP => segment.extend([0, 12, 0, 0, 1, 2, 3, 4]),
        SCTP => segment.extend([0; 12]),
        other => panic!("protocol {other} has no ports"),
    }
    segment
}

/// A message of neighbour discovery, and its options: each a type and the last
/// byte of a hardware address.
pub fn discovery(kind: u8, target: Option<Ipv6Addr>, options: &[(u8, u8)]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    match (kind, target) {
        (134, _) => message.extend([0; 8]),
        (135 | 136, Some(target)) => message.extend(target.octets()),
        _ => {}
    }
    for (option, mac) in options {
        message.extend([*option, 1, 2, 0, 0, 0, 0, *mac]);
    }
    message
}

/// An ICMP or ICMPv6 message.
pub fn icmp(kind: u8, code: u8, id: u16) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 1, 9, 9, 9, 9]);
    message
}
