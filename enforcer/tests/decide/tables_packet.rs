//! Tables that hold the oracle's reading of frames to the standards.

use crate::generate::frames::{self, Extension, Packet};
use crate::oracle::neighbours::Claims;
use crate::oracle::packet::{AH, ICMP, ICMPV6, Payload, TCP, UDP, Vlan, read};

const V4: [&str; 2] = ["10.0.0.9", "10.0.1.9"];
const V6: [&str; 2] = ["fd00::9", "fd00:0:0:1::9"];

#[test]
fn tags_make_vlans() {
    type Case<'a> = (&'a [(u16, u16)], Result<(u16, u16), &'a str>);
    let cases: [Case<'_>; 9] = [
        (&[], Ok((0, 0))),
        (&[(0x8100, 10)], Ok((10, 0))),
        (&[(0x8100, 0xe00a)], Ok((10, 0))),
        (&[(0x88a8, 10), (0x8100, 20)], Ok((10, 20))),
        (&[(0x9100, 10), (0x9100, 20)], Ok((10, 20))),
        (&[(0x8100, 0), (0x8100, 20)], Ok((20, 0))),
        (&[(0x8100, 10), (0x8100, 0)], Ok((10, 0))),
        (&[(0x8100, 0), (0x8100, 0)], Ok((0, 0))),
        (
            &[(0x8100, 1), (0x8100, 0), (0x8100, 2)],
            Err("too-many-tags"),
        ),
    ];
    for (tags, want) in cases {
        let mut packet = udp(V4);
        packet.tags = tags.to_vec();
        let want = want.map(|(outer, inner)| Vlan { outer, inner });
        assert_eq!(
            read(&packet.bytes()).map(|frame| frame.vlan),
            want,
            "{tags:x?}"
        );
    }
}

#[test]
fn link_protocols_and_arp_are_told_apart() {
    let router = [2, 0, 0, 0, 0, 1];
    let bridge = |last| [0x01, 0x80, 0xc2, 0, 0, last];
    let arp = frames::arp;
    let with = |byte: usize, value| {
        let mut packet = arp();
        packet[byte] = value;
        packet
    };
    let claims = Claims {
        source: "7.7.7.7".parse().expect("a valid address"),
        is_probe: false,
        macs: vec![[7; 6]],
        target: None,
        sought: Some("7.7.7.7".parse().expect("a valid address")),
    };
    let cases = [
        (router, 0x0806, arp(), Ok(Payload::Arp(claims))),
        (router, 0x0806, arp()[..27].to_vec(), Err("truncated")),
        (router, 0x0806, with(1, 2), Err("bad-arp")),
        (router, 0x0806, with(2, 0x86), Err("bad-arp")),
        (router, 0x0806, with(4, 8), Err("bad-arp")),
        (router, 0x0806, with(5, 16), Err("bad-arp")),
        (router, 0x8863, vec![], Ok(Payload::Link)),
        (router, 0x8864, vec![], Err("unknown-ethertype")),
        (router, 0x0026, vec![], Err("unknown-ethertype")),
        (bridge(0), 0x0026, vec![], Ok(Payload::Link)),
        (bridge(0x0f), 0x0800, vec![], Ok(Payload::Link)),
        (bridge(0x10), 0x0026, vec![], Err("unknown-ethertype")),
        (router, 0x8100, vec![0, 10, 8], Err("truncated")),
        (bridge(0), 0x8100, vec![0, 10, 8], Err("truncated")),
        (router, 0x8100, vec![0, 10, 0x88, 0x63], Ok(Payload::Link)),
    ];
    for (mac, ether_type, payload, want) in cases {
        let mut frame = frames::ethernet(mac, &[], ether_type);
        frame.extend(&payload);
        let got = read(&frame).map(|frame| frame.payload);
        assert_eq!(got, want, "{mac:x?} {ether_type:04x} {payload:x?}");
    }
}

#[test]
fn ipv4_headers_are_checked() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, &str); 14] = [
        ("nothing", |_| {}, ""),
        ("version", |ip| ip[0] = 0x65, "bad-ipv4-header"),
        ("header length", |ip| ip[0] = 0x44, "bad-ipv4-header"),
        ("total length 19", |ip| ip[3] = 19, "bad-ipv4-header"),
        ("total length beyond", |ip| ip[3] += 1, "truncated"),
        ("total length short", |ip| ip[3] -= 5, "truncated"),
        ("more fragments", |ip| ip[6] = 0x20, ""),
        ("offset", |ip| ip[7] = 1, ""),
        ("do not fragment", |ip| ip[6] = 0x40, ""),
        (
            "not 8 bytes",
            |ip| ip[2..8].copy_from_slice(&[0, 27, 0, 0, 0x20, 1]),
            "bad-fragment",
        ),
        (
            "empty",
            |ip| ip[2..8].copy_from_slice(&[0, 20, 0, 0, 0, 1]),
            "bad-fragment",
        ),
        (
            "to the end",
            |ip| ip[6..8].copy_from_slice(&[0x1f, 0xfc]),
            "",
        ),
        (
            "beyond",
            |ip| ip[6..8].copy_from_slice(&[0x1f, 0xfd]),
            "bad-fragment",
        ),
        ("19 bytes", |ip| ip.truncate(19), "truncated"),
    ];
    for (name, change, want) in cases {
        let mut frame = Packet::new(
            address(V4[0]),
            address(V4[1]),
            UDP,
            frames::with_ports(UDP, 1, 2, 0)[..8].to_vec(),
        )
        .bytes();
        frame[14 + 20 + 5] = 8;
        let mut datagram = frame.split_off(14);
        change(&mut datagram);
        frame.extend(datagram);
        assert_eq!(read(&frame).err().unwrap_or_default(), want, "{name}");
    }
}

#[test]
fn ipv4_options_are_walked() {
    let cases: [(&[u8], &str); 10] = [
        (&[1, 1, 1, 1], ""),
        (&[7, 4, 0, 0], ""),
        (&[7, 3, 0, 131], "source-routed"),
        (&[0, 131, 131, 131], ""),
        (&[1, 137, 3, 0], "source-routed"),
        (&[1, 1, 1, 131], "source-routed"),
        (&[7, 1, 0, 0], "bad-ipv4-header"),
        (&[7, 0, 0, 0], "bad-ipv4-header"),
        (&[7, 5, 0, 0], "bad-ipv4-header"),
        (&[1, 1, 1, 7], "bad-ipv4-header"),
    ];
    for (options, want) in cases {
        let mut packet = udp(V4);
        packet.options = options.to_vec();
        assert_eq!(
            read(&packet.bytes()).err().unwrap_or_default(),
            want,
            "{options:?}"
        );
    }
}

#[test]
fn extension_headers_are_walked_to_the_limits() {
    let some = |kinds: &[(u8, usize)]| -> Vec<Extension> {
        kinds
            .iter()
            .map(|(kind, words)| Extension::new(*kind, *words))
            .collect()
    };
    let cases = [
        (
            V6,
            some(&[(0, 2), (43, 2), (60, 2), (AH, 6), (60, 4), (60, 2)]),
            "",
        ),
        (V6, some(&[(60, 2); 7]), "too-many-extensions"),
        (V6, some(&[(60, 64)]), ""),
        (V6, some(&[(60, 66)]), "too-many-extensions"),
        (V6, some(&[(60, 32), (60, 32)]), ""),
        (V6, some(&[(60, 32), (60, 34)]), "too-many-extensions"),
        (V6, some(&[(60, 2), (0, 2)]), "bad-ipv6-header"),
        (V6, some(&[(44, 2)]), ""),
        (V6, some(&[(44, 2), (44, 2)]), "bad-fragment"),
        (V6, some(&[(135, 2)]), ""),
        (V4, some(&[(AH, 6)]), ""),
        (V4, some(&[(AH, 3); 6]), ""),
        (V4, some(&[(AH, 3); 7]), "too-many-extensions"),
        (V4, some(&[(60, 2)]), ""),
    ];
    for (places, extensions, want) in cases {
        let mut packet = udp(places);
        packet.extensions = extensions;
        let got = read(&packet.bytes());
        assert_eq!(got.err().unwrap_or_default(), want, "{packet:?}");
    }
    let mut routing = Extension::new(43, 2);
    routing.body[1] = 0;
    let mut packet = udp(V6);
    packet.extensions = vec![routing];
    assert_eq!(read(&packet.bytes()).err(), Some("source-routed"));
}

#[test]
fn addresses_and_icmp_keep_to_their_family() {
    let cases = [
        (V4, ICMP, ""),
        (V4, ICMPV6, "wrong-icmp-family"),
        (V6, ICMPV6, ""),
        (V6, ICMP, "wrong-icmp-family"),
        (["::ffff:10.0.0.9", "fd00::1"], ICMPV6, "mapped-address"),
        (["fd00::1", "::ffff:0.0.0.0"], ICMPV6, "mapped-address"),
        (["::10.0.0.9", "fd00::1"], ICMPV6, ""),
    ];
    for (places, protocol, want) in cases {
        let packet = Packet::new(
            address(places[0]),
            address(places[1]),
            protocol,
            frames::icmp(8, 0, 1),
        );
        assert_eq!(
            read(&packet.bytes()).err().unwrap_or_default(),
            want,
            "{packet:?}"
        );
    }
}

#[test]
fn transport_headers_lie_inside_the_datagram() {
    let tcp = |offset: u8, length: usize| {
        let mut segment = frames::with_ports(TCP, 1, 2, frames::SYN);
        segment[12] = offset << 4;
        segment.resize(length, 0);
        segment
    };
    let udp = |claimed: u8, length: usize| {
        let mut segment = vec![0, 1, 0, 2, 0, claimed, 0, 0];
        segment.resize(length, 0);
        segment
    };
    let cases = [
        (TCP, tcp(5, 20), ""),
        (TCP, tcp(5, 19), "truncated"),
        (TCP, tcp(4, 20), "bad-transport-header"),
        (TCP, tcp(6, 23), "truncated"),
        (TCP, tcp(6, 24), ""),
        (UDP, udp(8, 8), ""),
        (UDP, udp(8, 12), ""),
        (UDP, udp(7, 8), "bad-transport-header"),
        (UDP, udp(9, 8), "bad-transport-header"),
        (UDP, udp(8, 7), "truncated"),
        (132, vec![0; 12], ""),
        (132, vec![0; 11], "truncated"),
        (ICMP, vec![8; 8], ""),
        (ICMP, vec![8; 7], "truncated"),
        (47, vec![], ""),
        (50, vec![], ""),
    ];
    for (protocol, segment, want) in cases {
        // Padding behind the datagram must not make a short header whole.
        let mut packet = Packet::new(address(V4[0]), address(V4[1]), protocol, segment);
        packet.padding = 30;
        assert_eq!(
            read(&packet.bytes()).err().unwrap_or_default(),
            want,
            "{packet:?}"
        );
    }
}

#[test]
fn a_frame_that_was_cut_off_is_truncated() {
    for places in [V4, V6] {
        let mut packet = udp(places);
        packet.tags = vec![(0x88a8, 10), (0x8100, 20)];
        packet.extensions = vec![Extension::new(AH, 6)];
        let frame = packet.bytes();
        assert!(read(&frame).is_ok(), "{packet:?}");
        for length in 0..frame.len() {
            let got = read(&frame[..length]).err();
            assert_eq!(got, Some("truncated"), "{places:?} {length}");
        }
    }
}

fn udp(places: [&str; 2]) -> Packet {
    let segment = frames::with_ports(UDP, 1, 2, 0);
    Packet::new(address(places[0]), address(places[1]), UDP, segment)
}

fn address(text: &str) -> std::net::IpAddr {
    text.parse().expect("a valid address")
}
