//! Tables that hold the oracle to what may be said in ARP and neighbour discovery.

use std::net::IpAddr;

use enforcer::policy::{Source, parse};

use crate::compare::{Counter, Datapath};
use crate::crossing::Way;
use crate::generate::frames::{self, Packet};
use crate::in_process::InProcess;
use crate::oracle::packet::ICMPV6;
use crate::oracle::{Expected, History, judge};
use crate::world::World;

/// A historian that is bound, behind lan0; nobody else has 10.0.1.0/24 there.
const POLICY: &str = r#"
version: 1
zones:
  office: { match: [{ interface: lan0, prefix: ["10.0.0.0/24", "fd00::/64"] }] }
  plant:  { match: [{ interface: lan1, prefix: ["10.0.1.0/24", "fd00:0:0:1::/64"] }] }
devices:
  historian: { zone: office, mac: "02:00:00:00:00:77", ip: [10.0.0.77, "fd00::77"] }
"#;

const OTHER: u8 = 9;
const HISTORIAN: u8 = 0x77;

/// The last byte of the hardware address of the frame, that of the one it names,
/// the address of the sender.
type Arp = (u8, u8, &'static str);

#[test]
fn arp_is_believed_of_the_own_address_only() {
    let cases: [(Arp, &str); 11] = [
        ((OTHER, OTHER, "10.0.0.9"), "pass"),
        ((HISTORIAN, HISTORIAN, "10.0.0.77"), "pass"),
        // A probe; nobody would have the address.
        ((HISTORIAN, HISTORIAN, "0.0.0.0"), "pass"),
        // Outside of every prefix there is nothing to forge.
        ((OTHER, OTHER, "192.0.2.7"), "pass"),
        ((OTHER, HISTORIAN, "10.0.0.9"), "spoofed-source office"),
        ((OTHER, HISTORIAN, "0.0.0.0"), "spoofed-source unknown"),
        // The router's own, and what lies behind another interface.
        ((OTHER, OTHER, "10.0.0.1"), "spoofed-source office"),
        ((OTHER, OTHER, "10.0.1.9"), "spoofed-source unknown"),
        ((OTHER, OTHER, "10.0.0.255"), "spoofed-source office"),
        ((OTHER, OTHER, "10.0.0.77"), "binding-violated office"),
        (
            (HISTORIAN, HISTORIAN, "10.0.0.78"),
            "binding-violated historian",
        ),
    ];
    for ((frame, named, sender), want) in cases {
        let mut packet = frames::ethernet([0xff; 6], &[], 0x0806);
        packet[11] = frame;
        let mut arp = frames::arp();
        arp[8..14].copy_from_slice(&[2, 0, 0, 0, 0, named]);
        let IpAddr::V4(address) = sender.parse().expect("a valid address") else {
            panic!("{sender} is IPv6")
        };
        arp[14..18].copy_from_slice(&address.octets());
        packet.extend(arp);
        assert_eq!(verdict(&packet), want, "{frame} names {named}, {sender}");
    }
}

/// Type, source, hardware address of the frame, target, and options: each its
/// type and a hardware address.
type Discovery = (u8, &'static str, u8, &'static str, &'static [(u8, u8)]);

#[test]
fn discovery_is_believed_of_the_own_address_only() {
    let cases: [(Discovery, &str); 19] = [
        ((135, "fd00::9", OTHER, "fd00::1", &[(1, OTHER)]), "pass"),
        ((136, "fd00::9", OTHER, "fd00::9", &[(2, OTHER)]), "pass"),
        ((136, "fe80::9", OTHER, "fe80::9", &[(2, OTHER)]), "pass"),
        ((133, "fe80::9", OTHER, "", &[(1, OTHER)]), "pass"),
        ((134, "fe80::9", OTHER, "", &[(5, 0), (1, OTHER)]), "pass"),
        ((136, "fe80::77", HISTORIAN, "fd00::77", &[]), "pass"),
        // Is there a duplicate? Of whatever address.
        ((135, "::", OTHER, "fd00::77", &[]), "pass"),
        ((133, "::", OTHER, "", &[]), "pass"),
        ((136, "::", OTHER, "fd00::9", &[]), "spoofed-source unknown"),
        // Options of others, unless of a type that says nothing of the sender.
        (
            (135, "fd00::9", OTHER, "fd00::1", &[(14, 3), (1, HISTORIAN)]),
            "spoofed-source office",
        ),
        (
            (136, "fd00::9", OTHER, "fd00::9", &[(2, HISTORIAN)]),
            "spoofed-source office",
        ),
        (
            (136, "fd00::9", OTHER, "fd00::9", &[(1, HISTORIAN)]),
            "pass",
        ),
        (
            (134, "fe80::9", OTHER, "", &[(1, 3)]),
            "spoofed-source unknown",
        ),
        // The router, what lies behind another interface, and the historian.
        (
            (136, "fe80::9", OTHER, "fd00::1", &[(2, OTHER)]),
            "spoofed-source office",
        ),
        (
            (136, "fe80::9", OTHER, "fe80::1", &[(2, OTHER)]),
            "spoofed-source unknown",
        ),
        (
            (136, "fe80::9", OTHER, "fd00:0:0:1::9", &[]),
            "spoofed-source unknown",
        ),
        (
            (136, "fe80::9", OTHER, "fd00::77", &[(2, OTHER)]),
            "binding-violated office",
        ),
        (
            (135, "fd00::77", OTHER, "fd00::1", &[(1, OTHER)]),
            "binding-violated office",
        ),
        (
            (136, "fe80::77", HISTORIAN, "fd00::78", &[]),
            "binding-violated historian",
        ),
    ];
    for ((kind, source, mac, target, options), want) in cases {
        let message = frames::discovery(kind, target.parse().ok(), options);
        assert_eq!(
            verdict(&frame(source, mac, message)),
            want,
            "{kind} {source} {target}"
        );
    }
}

#[test]
fn discovery_has_its_length() {
    let whole = frames::discovery(136, "fd00::9".parse().ok(), &[(2, OTHER)]);
    let with = |at: usize, byte| {
        let mut message = whole.clone();
        message[at] = byte;
        message
    };
    let many = |count| frames::discovery(134, None, &vec![(5, 0); count]);
    let cases = [
        (whole.clone(), "pass"),
        (whole[..24].to_vec(), "pass"),
        (whole[..23].to_vec(), "bad-transport-header office"),
        (whole[..25].to_vec(), "bad-transport-header office"),
        (whole[..31].to_vec(), "bad-transport-header office"),
        (with(25, 0), "bad-transport-header office"),
        (with(25, 2), "bad-transport-header office"),
    ];
    for (message, want) in cases {
        assert_eq!(
            verdict(&frame("fd00::9", OTHER, message.clone())),
            want,
            "{message:x?}"
        );
    }
    assert_eq!(verdict(&frame("fe80::9", OTHER, many(32))), "pass");
    let got = verdict(&frame("fe80::9", OTHER, many(33)));
    assert_eq!(got, "bad-transport-header unknown");
}

#[test]
fn options_far_from_the_start_are_not_read() {
    // The second option begins at byte 1,014 of the frame; with a tag at 1,018, and
    // would end beyond what is read.
    let mut message = frames::discovery(134, None, &[(5, 0)]);
    message[17] = 118;
    message.resize(16 + 118 * 8, 0);
    message.extend([1, 1, 2, 0, 0, 0, 0, OTHER]);
    let far = |tags: &[(u16, u16)]| {
        let mut packet = router_advertisement(message.clone());
        packet.tags = tags.to_vec();
        packet.bytes()
    };
    let (policy, _) = parse(&Source::from_text("tables", POLICY)).expect("the policy is valid");
    let world = World::new();
    let mut in_process = InProcess::new(&[&policy], &world);
    assert!(in_process.run(&far(&[]), Way::In(11)));
    assert!(!in_process.run(&far(&[(0x8100, 7)]), Way::In(11)));
    let dropped = in_process.counters().into_keys();
    let reasons: Vec<String> = dropped
        .filter_map(|counter| match counter {
            Counter::Drop { reason, .. } => Some(reason),
            Counter::Conduit(_) => None,
        })
        .collect();
    assert_eq!(reasons, ["bad-transport-header"]);
}

fn router_advertisement(message: Vec<u8>) -> Packet {
    let [source, all_nodes] = ["fe80::9", "ff02::1"].map(|text| text.parse().expect("valid"));
    let mut packet = Packet::new(source, all_nodes, ICMPV6, message);
    packet.hop_limit = 255;
    packet
}

/// What the router gets from a station behind lan0.
fn frame(source: &str, mac: u8, message: Vec<u8>) -> Vec<u8> {
    let source: IpAddr = source.parse().expect("a valid address");
    let all_nodes = "ff02::1".parse().expect("a valid address");
    let mut packet = Packet::new(source, all_nodes, ICMPV6, message);
    packet.hop_limit = 255;
    packet.from_mac = [2, 0, 0, 0, 0, mac];
    packet.bytes()
}

/// `pass`, or the reason and the zone that it is counted for.
fn verdict(frame: &[u8]) -> String {
    let (policy, _) = parse(&Source::from_text("tables", POLICY)).expect("the policy is valid");
    match judge(
        &policy,
        &World::new(),
        frame,
        Way::In(11),
        &mut History::default(),
    ) {
        Expected::Pass { .. } => "pass".to_owned(),
        Expected::Drop {
            reason,
            from,
            to: None,
            ..
        } => format!("{reason} {from}"),
        other => panic!("{other:?}"),
    }
}
