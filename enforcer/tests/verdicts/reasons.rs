//! Every drop reason, each with packets of which the last one is dropped for it:
//! a reason that is new fails here until it has some.

use enforcer::policy::{Source, parse};
use enforcer_common::verdict::DropReason;

use crate::compare::{Counter, Datapath, difference};
use crate::crossing::Way;
use crate::generate::frames::{self, Extension, Packet};
use crate::kernel::{Hook, Kernel};
use crate::oracle::packet::{ICMP, ICMPV6, TCP, UDP};
use crate::world::World;
use crate::{HOOKS, namespace};

const POLICY: &str = r#"
version: 1
defaults: { self_out: drop }
zones:
  lan:    { match: [{ interface: lan0, prefix: [10.0.0.0/24, "fd00::/64"] }] }
  plant:  { match: [{ interface: lan1, prefix: [10.0.1.0/24, "fd00:0:0:1::/64"] }], intra_zone: drop }
  shadow: { match: [{ interface: lan2 }], mode: audit }
  wan:    { match: [{ interface: wan0 }], essential_off: arp }
devices:
  panel: { zone: plant, ip: 10.0.1.40, mac: "02:00:00:00:00:40" }
conduits:
  - { id: allowed, from: [lan, wan], to: plant, services: [tcp/80, udp/5000] }
  - { id: denied,  from: lan, to: plant, services: tcp/81, action: drop }
  - { id: told,    from: lan, to: plant, services: tcp/82, action: reject }
  - { id: seldom,  from: lan, to: plant, services: udp/53, rate: 1/h }
"#;

const LAN: Way = Way::In(11);
const PLANT: Way = Way::In(12);
const SHADOW: Way = Way::In(13);
const WAN: Way = Way::In(14);

/// What no test can bring about: a map that evicts the least recently used entry
/// has room as long as it has entries at all.
const NEVER: [DropReason; 1] = [DropReason::FLOW_TABLE_FULL];

type Frames = Vec<(Way, Vec<u8>)>;

#[test]
fn every_reason_has_packets_that_are_dropped_for_it() {
    let world = World::new();
    namespace::within(&world.clone(), move || {
        let (policy, _) = parse(&Source::from_text("reasons", POLICY)).expect("it is valid");
        for hook in HOOKS {
            let mut whole = Kernel::new(&[&policy], &world, hook);
            let mut broken = Kernel::without_tables(hook);
            for reason in DropReason::ALL {
                let frames = frames(*reason);
                let is_expected = NEVER.contains(reason);
                assert_eq!(
                    frames.is_empty(),
                    is_expected,
                    "packets for {}",
                    reason.name()
                );
                match *reason {
                    DropReason::TABLE_FAULT => try_out(&mut broken, hook, *reason, &frames),
                    _ => try_out(&mut whole, hook, *reason, &frames),
                }
            }
        }
    });
}

/// The last of the frames, and it alone, is counted for the reason.
fn try_out(kernel: &mut Kernel, hook: Hook, reason: DropReason, frames: &Frames) {
    let name = format!("{} at {hook:?}", reason.name());
    for (index, (way, frame)) in frames.iter().enumerate() {
        let before = kernel.counters();
        let passed = kernel.run(frame, *way);
        let moved = difference(&before, &kernel.counters());
        let mut counted = moved.iter().filter(|(counter, packets)| {
            let drop =
                matches!(counter, Counter::Drop { reason: drop, .. } if drop == reason.name());
            drop && **packets == 1
        });
        let is_last = index + 1 == frames.len();
        let is_audit = reason == DropReason::AUDIT;
        assert_eq!(
            counted.next().is_some(),
            is_last,
            "{name}: packet {index}: {moved:?}"
        );
        assert_eq!(passed, !is_last || is_audit, "{name}: packet {index}");
    }
}

/// What is dropped for a reason in the end.
fn frames(reason: DropReason) -> Frames {
    let tcp = |port, flags| v4(TCP, frames::with_ports(TCP, 40_000, port, flags));
    let udp = |port, from| v4(UDP, frames::with_ports(UDP, from, port, 0));
    let plain = || udp(5000, 1);
    let one = |way, packet: Packet| vec![(way, packet.bytes())];
    let raw = |way, frame: Vec<u8>| vec![(way, frame)];
    match reason {
        DropReason::TRUNCATED => {
            let mut frame = plain().bytes();
            frame.pop();
            raw(LAN, frame)
        }
        DropReason::UNKNOWN_ETHERTYPE => raw(LAN, ethernet(&[], 0x8864)),
        DropReason::TOO_MANY_TAGS => raw(LAN, ethernet(&[(0x8100, 1); 3], 0x0800)),
        DropReason::BAD_IPV4_HEADER => raw(LAN, changed(plain(), 14, 0x44)),
        DropReason::BAD_IPV6_HEADER => raw(LAN, changed(v6(), 14, 0x50)),
        DropReason::SOURCE_ROUTED => one(
            LAN,
            Packet {
                options: vec![131, 7, 4, 0, 0, 0, 0, 0],
                ..plain()
            },
        ),
        DropReason::TOO_MANY_EXTENSIONS => one(
            LAN,
            Packet {
                extensions: (0..7).map(|_| Extension::new(60, 2)).collect(),
                ..v6()
            },
        ),
        DropReason::BAD_FRAGMENT => one(LAN, piece(1, 0)),
        DropReason::BAD_TRANSPORT_HEADER => raw(LAN, changed(tcp(80, frames::SYN), 46, 0x40)),
        DropReason::WRONG_ICMP_FAMILY => one(LAN, v4(ICMPV6, frames::icmp(128, 0, 1))),
        DropReason::BAD_ARP => raw(LAN, [ethernet(&[], 0x0806), vec![7; 28]].concat()),
        DropReason::MAPPED_ADDRESS => one(LAN, from("::ffff:10.0.0.9", v6())),
        DropReason::SPOOFED_SOURCE => one(LAN, from("10.0.1.9", plain())),
        DropReason::LINK_LOCAL => one(WAN, from("169.254.1.1", plain())),
        DropReason::NO_CONDUIT => one(LAN, tcp(99, frames::SYN)),
        DropReason::CONDUIT => one(LAN, tcp(81, frames::SYN)),
        DropReason::INTRA_ZONE => one(PLANT, from("10.0.1.8", plain())),
        DropReason::SELF_OUT => one(Way::Out(12, None), from("10.0.1.1", plain())),
        DropReason::TCP_NO_FLOW => one(LAN, tcp(80, frames::ACK)),
        // Any tables but those that the compiler makes.
        DropReason::TABLE_FAULT => one(LAN, plain()),
        DropReason::REJECT => one(LAN, tcp(82, frames::SYN)),
        DropReason::RATE_LIMITED => {
            let asked = |from| (LAN, udp(53, from).bytes());
            vec![asked(2), asked(3)]
        }
        DropReason::AUDIT => one(SHADOW, from("192.168.7.9", udp(99, 4))),
        DropReason::ICMP_UNRELATED => {
            let about = v4(UDP, frames::with_ports(UDP, 9, 9, 0)).datagram();
            let error = [vec![3, 1, 0, 0, 0, 0, 0, 0], about].concat();
            one(LAN, v4(ICMP, error))
        }
        DropReason::FRAGMENT_ORPHAN => one(LAN, piece(2, 16)),
        DropReason::FRAGMENT_OVERLAP => {
            let mut first = udp(5000, 5);
            first.segment.resize(16, 0);
            first.fragment = 0x2000;
            vec![(LAN, first.bytes()), (LAN, piece(1, 16).bytes())]
        }
        DropReason::ESSENTIAL_OFF => {
            // Asked for by nobody in particular, as a probe is (RFC 5227).
            let mut probe = frames::arp();
            probe[8..14].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            probe[14..18].fill(0);
            raw(WAN, [ethernet(&[], 0x0806), probe].concat())
        }
        DropReason::BINDING_VIOLATED => one(PLANT, from("10.0.1.40", plain())),
        _ => Vec::new(),
    }
}

fn v4(protocol: u8, segment: Vec<u8>) -> Packet {
    let [source, destination] = ["10.0.0.9", "10.0.1.9"].map(|text| text.parse().expect("valid"));
    Packet::new(source, destination, protocol, segment)
}

fn v6() -> Packet {
    let [source, destination] =
        ["fd00::9", "fd00:0:0:1::9"].map(|text| text.parse().expect("valid"));
    let segment = frames::with_ports(UDP, 1, 5000, 0);
    Packet::new(source, destination, UDP, segment)
}

fn from(source: &str, packet: Packet) -> Packet {
    Packet {
        source: source.parse().expect("a valid address"),
        ..packet
    }
}

/// A later fragment of so many bytes, at a multiple of eight.
fn piece(start: u16, length: usize) -> Packet {
    Packet {
        fragment: start,
        ..v4(UDP, vec![0; length])
    }
}

fn changed(packet: Packet, byte: usize, value: u8) -> Vec<u8> {
    let mut frame = packet.bytes();
    frame[byte] = value;
    frame
}

fn ethernet(tags: &[(u16, u16)], ether_type: u16) -> Vec<u8> {
    let mut frame = frames::ethernet([2, 0, 0, 0, 0, 1], tags, ether_type);
    if ether_type != 0x0806 {
        frame.extend([0; 46]);
    }
    frame
}
