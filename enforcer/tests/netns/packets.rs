//! Packets that no socket of the kernel would send.

use std::net::IpAddr;

pub const ICMP: u8 = 1;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// An IP packet.
pub fn packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    piece((source, destination), protocol, (0, 0, false), payload)
}

/// A fragment with an id, where it starts, and whether more follow; without any
/// of them a whole packet.
pub fn piece(
    ends: (IpAddr, IpAddr),
    protocol: u8,
    (id, start, has_more): (u16, u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    const HOP_LIMIT: u8 = 64;
    const FRAGMENT: u8 = 44;
    let [id_high, id_low] = id.to_be_bytes();
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let more = if has_more { 0x2000 } else { 0 };
            let [high, low] = ((start / 8) | more).to_be_bytes();
            let header = [
                0x45, 0, 0, 0, id_high, id_low, high, low, HOP_LIMIT, protocol, 0, 0,
            ];
            let addresses = [source.octets(), destination.octets()].concat();
            [&header, &addresses[..], payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut payload = payload.to_vec();
            let mut next = protocol;
            if (start, has_more) != (0, false) {
                let [high, low] = (start | u16::from(has_more)).to_be_bytes();
                let header = [protocol, 0, high, low, 0, 0, id_high, id_low];
                payload = [&header, &payload[..]].concat();
                next = FRAGMENT;
            }
            let [high, low] = (payload.len() as u16).to_be_bytes();
            let header = [0x60, 0, 0, 0, high, low, next, HOP_LIMIT];
            let addresses = [source.octets(), destination.octets()].concat();
            [&header, &addresses[..], &payload].concat()
        }
        mixed => panic!("two families in one packet: {mixed:?}"),
    }
}

/// The start of a UDP datagram of `length` bytes: its header and zeroes.
pub fn udp(source: u16, destination: u16, length: u16, bytes: usize) -> Vec<u8> {
    let words = [source, destination, length, 0].map(u16::to_be_bytes);
    let mut datagram = words.concat();
    datagram.resize(bytes, 0);
    datagram
}

/// An ICMP or ICMPv6 error about a packet.
pub fn error(kind: u8, code: u8, about: &[u8]) -> Vec<u8> {
    let header = [kind, code, 0, 0, 0, 0, 0, 0];
    [&header, about].concat()
}
