//! What senders of rejected packets are told, byte by byte: the answers of the
//! real program, read by a parser of their own.

use std::net::IpAddr;

use enforcer::policy::{Source, parse};

use crate::generate::frames::{Extension, Packet};
use crate::kernel::{Hook, Kernel};
use crate::namespace;
use crate::oracle::packet::{ICMP, ICMPV6, TCP, UDP};
use crate::world::World;

const POLICY: &str = "\
version: 1
zones:
  lan: { match: [{ interface: lan0 }, { vlan: [10, \"10.20\"] }] }
  dmz: { match: [{ prefix: [10.0.1.0/24, \"fd00:0:0:1::/64\"] }] }
conduits:
  - { id: no, from: lan, to: [dmz, unknown, self], services: [any, icmp/3, icmp/5, icmpv6/1, icmpv6/137], action: reject }
";
const LAN0: u32 = 11;
const XDP_DROP: i32 = 1;
const XDP_TX: i32 = 3;
const ENDS: [[&str; 2]; 2] = [["10.0.0.7", "10.0.1.9"], ["fd00::7", "fd00:0:0:1::9"]];
const TAGS: [&[(u16, u16)]; 3] = [&[], &[(0x8100, 10)], &[(0x88a8, 0x600a), (0x8100, 20)]];

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

#[test]
fn rejected_packets_are_answered_as_the_standards_say() {
    let world = World::new();
    namespace::within(&world.clone(), move || {
        let (policy, _) = parse(&Source::from_text("answers", POLICY)).expect("it is valid");
        let mut kernel = Kernel::new(&[&policy], &world, Hook::Xdp);
        for ends in ENDS {
            let ends = ends.map(|text| text.parse().expect("a valid address"));
            for tags in TAGS {
                resets(&mut kernel, ends, tags);
                errors(&mut kernel, ends, tags);
            }
            silence(&mut kernel, ends);
        }
    });
}

fn packet([source, destination]: [IpAddr; 2], protocol: u8, segment: Vec<u8>) -> Packet {
    Packet::new(source, destination, protocol, segment)
}

fn tcp(flags: u8, (sequence, acknowledgment): (u32, u32), data: usize) -> Vec<u8> {
    let mut segment = [40_000u16, 22].map(u16::to_be_bytes).concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledgment.to_be_bytes());
    // Four bytes of options.
    segment.extend([6 << 4, flags, 1, 0, 0, 0, 0, 0, 2, 4, 5, 180]);
    segment.resize(24 + data, 7);
    segment
}

fn udp(data: usize) -> Vec<u8> {
    let words = [40_000, 53, 8 + data as u16, 0].map(u16::to_be_bytes);
    let mut datagram = words.concat();
    datagram.extend((0..data).map(|byte| byte as u8));
    datagram
}

/// RFC 9293, 3.10.7.1.
fn resets(kernel: &mut Kernel, ends: [IpAddr; 2], tags: &[(u16, u16)]) {
    let cases = [
        // flags, numbers, data: flags and numbers of the reset
        (SYN, (1_000, 0), 0, (RST | ACK, (0, 1_001))),
        (SYN, (u32::MAX, 0), 0, (RST | ACK, (0, 0))),
        (SYN, (1_000, 0), 10, (RST | ACK, (0, 1_011))),
        (FIN, (1_000, 0), 5, (RST | ACK, (0, 1_006))),
        (0, (1_000, 0), 3, (RST | ACK, (0, 1_003))),
        (ACK, (1_000, 77), 0, (RST, (77, 0))),
        (SYN | ACK, (1_000, 77), 0, (RST, (77, 0))),
        (PSH | ACK, (1_000, 77), 1_000, (RST, (77, 0))),
    ];
    for (flags, numbers, data, want) in cases {
        let mut packet = packet(ends, TCP, tcp(flags, numbers, data));
        packet.tags = tags.to_vec();
        packet.padding = if data == 0 { 6 } else { 0 };
        if ends[0].is_ipv4() && data == 10 {
            packet.options = vec![1; 8];
        }
        let answer = answered(kernel, &packet);
        assert_eq!(
            (answer.protocol, answer.payload.len()),
            (TCP, 20),
            "{flags}"
        );
        let word = |at: usize| {
            let bytes = answer.payload[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        assert_eq!(word(0), 22 << 16 | 40_000);
        let got = (answer.payload[13], (word(4), word(8)));
        assert_eq!(got, want, "{flags:#x} {data}");
        assert_eq!(answer.payload[12], 5 << 4);
    }
}

/// RFC 792, RFC 1812 (5.2.7.1) and RFC 4443 (3.1).
fn errors(kernel: &mut Kernel, ends: [IpAddr; 2], tags: &[(u16, u16)]) {
    let is_v4 = ends[0].is_ipv4();
    let (number, header, most) = match is_v4 {
        true => (ICMP, [3, 13], 548),
        false => (ICMPV6, [1, 1], 1_232),
    };
    let echo = match is_v4 {
        true => vec![8, 0, 0, 0, 0, 9, 0, 1, 1, 2, 3],
        false => vec![128, 0, 0, 0, 0, 9, 0, 1, 1, 2, 3],
    };
    let sizes = [0, 1, 2, 17, 500, 519, 520, 521, 1_183, 1_184, 1_185, 1_400];
    let datagrams = sizes.map(|size| (UDP, udp(size)));
    let others = [(number, echo), (47, vec![0; 5])];
    for (protocol, segment) in datagrams.into_iter().chain(others) {
        let length = segment.len();
        let mut packet = packet(ends, protocol, segment);
        packet.tags = tags.to_vec();
        packet.padding = 46usize.saturating_sub(length);
        let sent = packet.bytes();
        let datagram = &sent[14 + 4 * tags.len()..sent.len() - packet.padding];
        let answer = answered(kernel, &packet);
        assert_eq!(answer.protocol, number, "{length}");
        assert_eq!(answer.payload[..2], header, "{length}");
        assert_eq!(answer.payload[4..8], [0; 4], "{length}");
        assert_eq!(
            answer.payload[8..],
            datagram[..datagram.len().min(most)],
            "{length}"
        );
    }
}

/// What must never be answered: it is dropped, and nothing else.
fn silence(kernel: &mut Kernel, ends: [IpAddr; 2]) {
    let is_v4 = ends[0].is_ipv4();
    let mut silent: Vec<Packet> = [RST, RST | ACK]
        .map(|flags| packet(ends, TCP, tcp(flags, (1, 2), 0)))
        .into();
    let errors: &[u8] = if is_v4 { &[3, 5] } else { &[1, 137] };
    let protocol = if is_v4 { ICMP } else { ICMPV6 };
    silent.extend(errors.iter().map(|kind| {
        let error = [&[*kind, 0, 0, 0, 0, 0, 0, 0][..], &[0; 28]].concat();
        packet(ends, protocol, error)
    }));
    let mut to_all = packet(ends, UDP, udp(4));
    to_all.mac = [0xff; 6];
    silent.push(to_all);
    let groups: &[&str] = match is_v4 {
        true => &["224.0.0.9", "255.255.255.255", "10.0.0.255"],
        false => &["ff02::9", "ff05::2"],
    };
    for group in groups {
        let group = group.parse().expect("a valid address");
        silent.push(packet([ends[0], group], UDP, udp(4)));
    }
    if !is_v4 {
        let mut extended = packet(ends, UDP, udp(4));
        extended.extensions = vec![Extension::new(60, 2)];
        silent.push(extended);
    }
    for packet in silent {
        let (action, _) = kernel.answer(&packet.bytes(), LAN0);
        assert_eq!(action, XDP_DROP, "{packet:?}");
    }
}

/// An IP packet inside an answer, whose checksums are right.
struct Answer {
    protocol: u8,
    payload: Vec<u8>,
}

/// The answer to a packet, which goes back by the same stations and tags.
fn answered(kernel: &mut Kernel, packet: &Packet) -> Answer {
    let sent = packet.bytes();
    let (action, frame) = kernel.answer(&sent, LAN0);
    assert_eq!(action, XDP_TX, "{packet:?}");
    let link = 14 + 4 * packet.tags.len();
    assert_eq!(frame[..6], sent[6..12], "the station that sent it");
    assert_eq!(frame[6..12], sent[..6], "the station it was sent to");
    assert_eq!(frame[12..link], sent[12..link], "tags");
    let ip = &frame[link..];
    let (length, protocol, source, destination, header) = match packet.source {
        IpAddr::V4(_) => {
            assert_eq!((ip[0], sum(&ip[..20])), (0x45, 0xffff), "{ip:x?}");
            assert!(ip[8] >= 32 && ip[6] & 0x3f == 0 && ip[7] == 0, "{ip:x?}");
            let address = |at: usize| IpAddr::from([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
            let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            (length, ip[9], address(12), address(16), 20)
        }
        IpAddr::V6(_) => {
            assert!(ip[0] == 0x60 && ip[7] >= 32, "{ip:x?}");
            let address = |at: usize| {
                let octets: [u8; 16] = ip[at..at + 16].try_into().expect("16 bytes");
                IpAddr::from(octets)
            };
            let length = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            (length, ip[6], address(8), address(24), 40)
        }
    };
    assert_eq!(length, ip.len(), "{ip:x?}");
    assert_eq!((source, destination), (packet.destination, packet.source));
    let payload = ip[header..].to_vec();
    let mut summed = match protocol {
        ICMP => Vec::new(),
        _ => {
            let addresses = if header == 20 {
                &ip[12..20]
            } else {
                &ip[8..40]
            };
            [
                addresses,
                &(payload.len() as u32).to_be_bytes(),
                &[0, 0, 0, protocol],
            ]
            .concat()
        }
    };
    summed.extend(&payload);
    assert_eq!(sum(&summed), 0xffff, "checksum of {protocol}: {ip:x?}");
    Answer { protocol, payload }
}

/// The sum in one's complement (RFC 1071); all ones when a checksum is right.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(high) << 8 | u64::from(low),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
