//! Frames that are unusual, at the limits of the parser, or broken.

use std::net::IpAddr;

use super::Rng;
use super::frames::{self, Extension, Packet};
use crate::oracle::packet::{AH, ICMP, ICMPV6, UDP};

/// A frame that carries neither IPv4 nor IPv6. ARP is usually said by its sender.
pub fn other_frame(
    rng: &mut Rng,
    tags: &[(u16, u16)],
    (mac_of_sender, sender): ([u8; 6], IpAddr),
) -> Vec<u8> {
    let mac = match rng.percent(20) {
        true => [0x01, 0x80, 0xc2, 0, 0, rng.pick(&[0, 2, 0x0f, 0x10])],
        false => [0xff; 6],
    };
    let ether_type = rng.pick(&[0x0806, 0x0806, 0x8863, 0x8864, 0x8847, 0x0026, 0x88cc]);
    let mut frame = frames::ethernet(mac, tags, ether_type);
    frame[6..12].copy_from_slice(&mac_of_sender);
    let mut payload = frames::arp();
    payload[8..14].copy_from_slice(&mac_of_sender);
    match sender {
        _ if rng.percent(10) => payload[14..18].copy_from_slice(&[0; 4]),
        IpAddr::V4(sender) => payload[14..18].copy_from_slice(&sender.octets()),
        IpAddr::V6(_) => {}
    }
    if rng.percent(8) {
        payload[8 + rng.below(6)] ^= 2;
    }
    if rng.percent(20) {
        let byte = rng.below(8);
        payload[byte] ^= 1;
    }
    if rng.percent(10) {
        payload.truncate(rng.below(29));
    }
    frame.extend(payload);
    frame
}

/// A packet of a protocol between neighbours, or nearly one, from a station with
/// this hardware address.
pub fn neighbour_packet(
    rng: &mut Rng,
    mac: [u8; 6],
    (source, destination): (IpAddr, IpAddr),
) -> Packet {
    let (protocol, segment) = match (source.is_ipv4(), rng.below(3)) {
        (true, 0) => (2, vec![0x11, 0, 0, 0, 0, 0, 0, 0]),
        (true, _) => {
            let (from, to) = (rng.pick(&[67, 68, 68, 69]), rng.pick(&[66, 67, 67, 68]));
            (UDP, frames::with_ports(UDP, from, to, 0))
        }
        (false, 0) => {
            let (from, to) = (
                rng.pick(&[546, 546, 547, 548]),
                rng.pick(&[545, 546, 547, 547]),
            );
            (UDP, frames::with_ports(UDP, from, to, 0))
        }
        (false, _) => {
            let kinds = [
                129, 130, 131, 132, 133, 134, 134, 135, 136, 137, 138, 142, 143, 144,
            ];
            let kind = rng.pick(&kinds);
            (ICMPV6, discovery(rng, kind, mac, (source, destination)))
        }
    };
    let places = match source {
        IpAddr::V4(_) => [
            "0.0.0.0",
            "10.0.0.9",
            "169.254.1.1",
            "255.255.255.255",
            "224.0.0.22",
            "10.0.0.1",
        ],
        IpAddr::V6(_) => [
            "::",
            "fe80::9",
            "fe80::9",
            "ff02::1:2",
            "ff02::1",
            "fd00::1",
        ],
    };
    let place = |rng: &mut Rng, otherwise| match rng.percent(60) {
        true => rng.pick(&places).parse().expect("a valid address"),
        false => otherwise,
    };
    let (source, destination) = (place(rng, source), place(rng, destination));
    let mut packet = Packet::new(source, destination, protocol, segment);
    packet.hop_limit = rng.pick(&[1, 1, 255, 255, 255, 254, 2, 0]);
    packet
}

/// A message of neighbour discovery; options usually give this hardware address.
fn discovery(
    rng: &mut Rng,
    kind: u8,
    mac: [u8; 6],
    (source, destination): (IpAddr, IpAddr),
) -> Vec<u8> {
    let target = match rng.pick(&[source, source, destination]) {
        IpAddr::V6(target) => Some(target),
        IpAddr::V4(_) => None,
    };
    let mut message = frames::discovery(kind, target, &[]);
    for _ in 0..rng.pick(&[0, 1, 1, 1, 2, 3, 31]) {
        let words = rng.pick(&[1, 1, 1, 2, 4]);
        message.extend([rng.pick(&[1, 1, 2, 2, 3, 5]), words]);
        message.extend(mac);
        if rng.percent(5) {
            *message.last_mut().expect("there is an option") ^= 1;
        }
        message.resize(message.len() + usize::from(words) * 8 - 8, 0);
    }
    if rng.percent(5) {
        message.truncate(4 + rng.below(message.len() - 3));
    }
    if rng.percent(5) {
        let byte = 1 + rng.below(message.len() - 1);
        message[byte] = 0;
    }
    message
}

/// Adds what is allowed but rare, or what a header must not say.
pub fn bend(rng: &mut Rng, packet: &mut Packet) {
    let is_v4 = packet.source.is_ipv4();
    match rng.below(9) {
        0 => packet.padding = 1 + rng.below(40),
        1 => packet.segment.truncate(rng.below(packet.segment.len() + 1)),
        2 => packet.fragment = rng.pick(&[0x2000, 0x0001, 0x4000, 0x8000, 0x1fff, 0x6000]),
        3 => packet.protocol = rng.pick(&[ICMP, ICMPV6]),
        4 if !is_v4 => {
            let mapped = "::ffff:10.0.0.1".parse().expect("a valid address");
            match rng.percent(50) {
                true => packet.source = mapped,
                false => packet.destination = mapped,
            }
        }
        4 | 5 if is_v4 => packet.options = options(rng),
        _ => packet.extensions = extensions(rng, is_v4),
    }
}

fn options(rng: &mut Rng) -> Vec<u8> {
    let mut options = Vec::new();
    for _ in 0..=rng.below(4) {
        match rng.below(8) {
            0 => options.push(0),
            1 | 2 => options.push(1),
            3 => options.extend([rng.pick(&[131, 137]), 7, 4, 0, 0, 0, 0]),
            4 => options.extend([rng.byte(), rng.byte()]),
            _ => {
                let length = 2 + rng.below(9);
                options.extend([rng.pick(&[7, 68, 148]), length as u8]);
                options.resize(options.len() + length - 2, 0);
            }
        }
    }
    options.truncate(40);
    options
}

fn extensions(rng: &mut Rng, is_v4: bool) -> Vec<Extension> {
    let count = rng.pick(&[1, 1, 1, 2, 3, 5, 6, 7]);
    let mut extensions: Vec<Extension> = (0..count)
        .map(|index| {
            let protocol = match index {
                _ if is_v4 => AH,
                0 => rng.pick(&[0, 43, AH, 60]),
                _ => rng.pick(&[43, AH, AH, 60, 60]),
            };
            let words = rng.pick(&[2, 2, 2, 4, 6, 10]);
            Extension::new(protocol, words)
        })
        .collect();
    let last = rng.below(extensions.len());
    match rng.below(8) {
        0 => extensions[last].body[0] = rng.byte(),
        1 => extensions[last].body[1] = 0,
        2 if !is_v4 => {
            extensions[last] = Extension::new(44, 2);
            if rng.percent(30) {
                extensions[last].body[1..7].copy_from_slice(&rng.next().to_be_bytes()[..6]);
            }
        }
        3 if !is_v4 => extensions.push(Extension::new(0, 2)),
        4 => {
            // Exactly 256 bytes in all, or the next size.
            let rest: usize = extensions[1..]
                .iter()
                .map(|found| found.body.len() + 1)
                .sum();
            let words = (256usize.saturating_sub(rest)) / 4 + rng.pick(&[0, 0, 2]);
            let protocol = extensions[0].protocol;
            extensions[0] = Extension::new(protocol, words.max(2));
        }
        _ => {}
    }
    extensions
}

/// Cuts a frame short, or changes some of its bits.
pub fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    match rng.below(3) {
        0 => frame.truncate(14 + rng.below(frame.len() - 13)),
        1 => {
            for _ in 0..=rng.below(3) {
                let byte = 12 + rng.below(frame.len() - 12);
                frame[byte] ^= 1 << rng.below(8);
            }
        }
        _ => {
            // The lengths and versions at the start of the network header.
            let byte = 14 + rng.below(frame.len().min(22) - 14);
            frame[byte] = rng.byte();
        }
    }
}
