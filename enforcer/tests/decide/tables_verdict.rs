//! Tables that hold the oracle's verdicts to the rules of the policy language.

use enforcer::policy::{Policy, Source, parse};

use crate::crossing::Way;
use crate::generate::frames::{self, Packet};
use crate::oracle::packet::{ICMP, ICMPV6, TCP, UDP};
use crate::oracle::{Expected, History, judge};
use crate::world::World;

const POLICY: &str = r#"
version: 1
zones:
  wan:     { match: [{ interface: wan0 }] }
  office:  { match: [{ interface: lan0, prefix: ["10.0.0.0/24", "fd00::/64"] }] }
  cameras: { match: [{ interface: lan0, vlan: 30, prefix: 10.0.30.0/24 }], intra_zone: drop }
  qinq:    { match: [{ interface: lan0, vlan: "100.30" }] }
  plant:   { match: [{ interface: lan1 }, { prefix: 10.0.1.0/25 }] }
  left:    { match: [{ interface: lan2, prefix: 192.168.0.0/16 }] }
  right:   { match: [{ interface: lan1, prefix: 192.168.0.0/16 }] }
  groups:  { match: [{ prefix: [239.1.0.0/16, "ff05::/16"] }] }
failsafe:
  - { from: 10.0.0.5/32, service: tcp/22, interface: lan0 }
  - { from: 10.0.0.0/24, service: [tcp/22-23, icmp] }
conduits:
  - { id: web, from: [office, unknown], to: [plant, wan], services: [tcp/443, ping] }
  - { id: no-web, from: office, to: plant, services: tcp/440-450, action: drop, priority: -1 }
  - { id: any-wan, from: any, to: wan, services: any }
  - { id: no-dns, from: any, to: wan, services: udp/53, action: drop }
  - { id: dns, from: plant, to: wan, services: udp/53 }
  - { id: errors, from: plant, to: office, services: [icmp/3/4, icmp, proto/47] }
  - { id: cast, from: office, to: groups, services: udp/5000 }
  - { id: admin, from: office, to: self, services: udp/161 }
  - { id: sides, from: plant, to: [left, right], services: any }
  - { id: nowhere, from: [office, unknown], to: unknown, services: any }
"#;

/// A new packet: interface, source, destination, what it carries.
type Arriving = (u32, &'static str, &'static str, (u8, Vec<u8>));

#[test]
fn new_packets_are_judged_by_the_policy() {
    let tcp = |port| (TCP, frames::with_ports(TCP, 40000, port, frames::SYN));
    let udp = |port| (UDP, frames::with_ports(UDP, 40000, port, 0));
    let icmp = |kind, code| (ICMP, frames::icmp(kind, code, 1));
    let cases: Vec<(Arriving, &str)> = vec![
        // Conduits: priority, drop before allow, first of the file.
        ((11, "10.0.0.9", "10.0.1.9", tcp(443)), "pass web"),
        (
            (11, "10.0.0.9", "10.0.1.9", tcp(444)),
            "conduit office plant no-web",
        ),
        (
            (11, "10.0.0.9", "10.0.1.9", tcp(439)),
            "no-conduit office plant (no-conduit)",
        ),
        ((11, "10.0.0.9", "8.8.8.8", tcp(443)), "pass web"),
        ((11, "10.0.0.9", "8.8.8.8", udp(443)), "pass any-wan"),
        (
            (12, "10.0.1.9", "8.8.8.8", udp(53)),
            "conduit plant wan no-dns",
        ),
        // `any` and `icmp` leave errors out; a named type lets them in.
        ((11, "10.0.0.9", "8.8.8.8", icmp(8, 0)), "pass web"),
        ((11, "10.0.0.9", "8.8.8.8", icmp(13, 0)), "pass any-wan"),
        (
            (11, "10.0.0.9", "8.8.8.8", icmp(3, 4)),
            "icmp-unrelated office wan (no-conduit)",
        ),
        ((12, "10.0.1.9", "10.0.0.9", icmp(3, 4)), "pass errors"),
        (
            (12, "10.0.1.9", "10.0.0.9", icmp(3, 3)),
            "icmp-unrelated plant office (no-conduit)",
        ),
        ((12, "10.0.1.9", "10.0.0.9", (47, vec![])), "pass errors"),
        // Inside a zone.
        ((11, "10.0.0.9", "10.0.0.10", udp(1)), "pass (intra-zone)"),
        ((14, "8.8.8.8", "9.9.9.9", udp(1)), "pass (intra-zone)"),
        // Groups: to the router unless a zone has the group.
        ((11, "10.0.0.9", "239.1.2.3", udp(5000)), "pass cast"),
        (
            (11, "10.0.0.9", "239.1.2.3", udp(5001)),
            "no-conduit office groups (no-conduit)",
        ),
        ((11, "10.0.0.9", "239.2.0.0", udp(161)), "pass admin"),
        ((11, "fd00::9", "ff05::1", udp(5000)), "pass cast"),
        ((11, "10.0.0.9", "255.255.255.255", udp(161)), "pass admin"),
        // The router: its addresses, broadcasts, and what routing calls local.
        ((11, "10.0.0.9", "10.0.0.1", udp(161)), "pass admin"),
        ((11, "10.0.0.9", "10.0.1.255", udp(161)), "pass admin"),
        (
            (11, "10.0.0.9", "10.0.0.1", udp(162)),
            "no-conduit office self (no-conduit)",
        ),
        ((11, "10.0.0.9", "127.0.0.1", udp(161)), "pass admin"),
        (
            (11, "10.0.0.9", "127.0.0.1", udp(162)),
            "no-conduit office self (no-conduit)",
        ),
        (
            (12, "10.0.1.9", "127.0.0.1", udp(161)),
            "no-conduit plant unknown (no-conduit)",
        ),
        ((11, "fd00::9", "fd00::", udp(161)), "pass admin"),
        // Failsafe: lowest number, unicast only, anti-spoofing comes later.
        ((11, "10.0.0.5", "10.0.0.1", tcp(22)), "pass (failsafe:0)"),
        ((12, "10.0.0.5", "10.0.0.1", tcp(22)), "pass (failsafe:1)"),
        ((11, "10.0.0.9", "10.0.1.1", tcp(23)), "pass (failsafe:1)"),
        (
            (11, "10.0.0.9", "10.0.0.1", icmp(8, 0)),
            "pass (failsafe:1)",
        ),
        (
            (11, "10.0.0.9", "10.0.0.1", icmp(3, 0)),
            "icmp-unrelated office self (no-conduit)",
        ),
        (
            (11, "10.0.0.9", "224.0.0.1", tcp(22)),
            "no-conduit office self (no-conduit)",
        ),
        // By route, where two zones have the same prefix.
        ((12, "10.0.1.9", "192.168.7.9", udp(1)), "pass sides"),
        ((12, "10.0.1.9", "192.168.8.9", udp(1)), "pass any-wan"),
        (
            (12, "10.0.1.9", "198.51.100.1", udp(1)),
            "no-conduit plant unknown (no-conduit)",
        ),
        ((11, "10.0.0.9", "0.0.0.0", udp(1)), "pass nowhere"),
        ((15, "7.7.7.7", "0.0.0.0", udp(1)), "pass nowhere"),
        ((15, "7.7.7.7", "10.0.1.9", tcp(443)), "pass web"),
        // Forged sources.
        ((12, "10.0.0.9", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "10.0.1.9", "10.0.0.9", (47, vec![])), "pass errors"),
        (
            (13, "192.168.7.9", "192.168.7.8", udp(1)),
            "pass (intra-zone)",
        ),
        ((14, "192.168.7.9", "192.168.7.8", udp(1)), "spoofed-source"),
        ((11, "10.0.30.9", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "10.0.0.1", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "10.0.1.255", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "127.1.1.1", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "224.0.0.1", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "255.255.255.255", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "0.0.0.0", "8.8.8.8", udp(1)), "spoofed-source"),
        ((14, "::", "fd00::9", udp(1)), "spoofed-source"),
        ((14, "::1", "fd00::9", udp(1)), "spoofed-source"),
        // Link-local addresses stay in their zone.
        (
            (12, "169.254.1.1", "8.8.8.8", udp(1)),
            "link-local plant wan -",
        ),
        (
            (12, "10.0.1.9", "169.254.1.1", udp(1)),
            "link-local plant wan -",
        ),
        ((14, "169.254.1.1", "8.8.8.8", udp(1)), "pass (intra-zone)"),
        (
            (14, "169.254.1.1", "10.0.0.1", udp(1)),
            "no-conduit wan self (no-conduit)",
        ),
        // State cannot be picked up in the middle.
        (
            (
                11,
                "10.0.0.9",
                "10.0.1.9",
                (TCP, frames::with_ports(TCP, 1, 443, frames::ACK)),
            ),
            "tcp-no-flow office plant -",
        ),
    ];
    for ((ifindex, source, destination, (protocol, segment)), want) in cases {
        let packet = packet(source, destination, protocol, segment);
        let got = verdict(&packet, ifindex, &mut History::default());
        assert_eq!(got, want, "{ifindex} {packet:?}");
    }
}

#[test]
fn neighbours_are_served_whatever_the_policy_says() {
    let dhcp = |from, to| (UDP, frames::with_ports(UDP, from, to, 0));
    let icmpv6 = |kind| {
        let target = "fd00::9".parse().ok();
        (ICMPV6, frames::discovery(kind, target, &[]))
    };
    type Content = (u8, Vec<u8>);
    let cases: Vec<(&str, &str, u8, Content, &str)> = vec![
        ("0.0.0.0", "255.255.255.255", 64, dhcp(68, 67), "dhcp"),
        ("10.0.0.9", "10.0.0.1", 64, dhcp(68, 67), "dhcp"),
        ("10.0.0.9", "10.0.0.255", 64, dhcp(67, 68), "dhcp"),
        ("10.0.0.9", "10.0.1.9", 64, dhcp(68, 67), ""),
        ("10.0.0.9", "10.0.0.1", 64, dhcp(68, 69), ""),
        ("fe80::9", "ff02::1:2", 64, dhcp(546, 547), "dhcpv6"),
        ("fe80::9", "fe80::1", 64, dhcp(546, 547), "dhcpv6"),
        ("fe80::9", "ff02::1:3", 64, dhcp(546, 547), ""),
        ("fd00::9", "ff02::1:2", 64, dhcp(546, 547), ""),
        ("10.0.0.9", "224.0.0.22", 1, (2, vec![]), "igmp"),
        ("10.0.0.9", "224.0.0.22", 2, (2, vec![]), ""),
        ("10.0.0.9", "10.0.1.9", 1, (2, vec![]), ""),
        ("::", "ff02::1:ff00:1", 255, icmpv6(135), "nd"),
        ("fd00::9", "fd00::1", 255, icmpv6(136), "nd"),
        ("fd00::9", "fd00::1", 254, icmpv6(136), ""),
        ("fd00::9", "fd00:0:0:1::9", 255, icmpv6(136), ""),
        ("fe80::9", "fe80::8", 255, icmpv6(137), "nd"),
        ("fe80::9", "ff02::1", 255, icmpv6(134), "ra"),
        ("fd00::9", "ff02::1", 255, icmpv6(134), ""),
        ("fe80::9", "ff02::16", 1, icmpv6(143), "mld"),
        ("::", "ff02::16", 1, icmpv6(131), "mld"),
        ("fe80::9", "ff02::16", 255, icmpv6(143), ""),
    ];
    for (source, destination, hop_limit, (protocol, segment), want) in cases {
        let mut packet = packet(source, destination, protocol, segment);
        packet.hop_limit = hop_limit;
        let got = verdict(&packet, 11, &mut History::default());
        let got = got
            .strip_prefix("pass (essential:")
            .map(|name| name.trim_end_matches(')'));
        assert_eq!(got.unwrap_or_default(), want, "{packet:?}");
    }
}

#[test]
fn vlans_match_exactly() {
    let cases: [(&str, &[u16], &str); 7] = [
        ("10.0.30.9", &[30], "cameras"),
        ("10.0.30.9", &[0, 30], "cameras"),
        ("10.0.30.9", &[30, 1], "-"),
        ("10.0.30.9", &[100, 30], "-"),
        ("10.0.0.9", &[30], "office"),
        ("7.7.7.7", &[100, 30], "qinq"),
        ("7.7.7.7", &[100], "unknown"),
    ];
    for (source, tags, zone) in cases {
        let mut packet = packet(source, "10.0.0.1", UDP, frames::with_ports(UDP, 1, 2, 0));
        packet.tags = tags.iter().map(|tag| (0x8100, *tag)).collect();
        let want = match zone {
            "-" => "spoofed-source".to_owned(),
            zone => format!("no-conduit {zone} self (no-conduit)"),
        };
        let got = verdict(&packet, 11, &mut History::default());
        assert_eq!(got, want, "{source} {tags:?}");
    }
}

#[test]
fn answers_pass_and_nothing_else_does() {
    let (office, plant) = ("10.0.0.9", "10.0.1.9");
    let tcp = |from, to, flags| (TCP, frames::with_ports(TCP, from, to, flags));
    let echo = |kind, id| (ICMP, frames::icmp(kind, 0, id));
    let there = |content| (11, office, plant, content);
    let back = |content| (12, plant, office, content);
    let sequence: Vec<(Arriving, &str)> = vec![
        (
            back(tcp(443, 5, frames::SYN_ACK)),
            "no-conduit plant office (no-conduit)",
        ),
        (there(tcp(5, 443, frames::SYN)), "pass web"),
        (back(tcp(443, 5, frames::SYN_ACK)), "pass web"),
        (there(tcp(5, 443, frames::ACK)), "pass web"),
        (
            back(tcp(443, 5, frames::SYN)),
            "no-conduit plant office (no-conduit)",
        ),
        (
            back(tcp(443, 6, frames::ACK)),
            "no-conduit plant office (no-conduit)",
        ),
        // From another interface, and still from the zone of the responder.
        ((14, plant, office, tcp(443, 5, frames::ACK)), "pass web"),
        // The right addresses from the wrong zone.
        (
            (11, office, "8.8.8.8", tcp(5, 443, frames::SYN)),
            "pass web",
        ),
        (
            (14, "8.8.8.8", office, tcp(443, 5, frames::SYN_ACK)),
            "pass web",
        ),
        (
            (12, "8.8.8.8", office, tcp(443, 5, frames::SYN_ACK)),
            "no-conduit plant office (no-conduit)",
        ),
        (there(echo(8, 7)), "pass web"),
        (back(echo(0, 7)), "pass web"),
        (back(echo(0, 8)), "pass errors"),
        (back(echo(8, 7)), "pass errors"),
        (back(echo(3, 7)), "icmp-unrelated plant office (no-conduit)"),
    ];
    let mut history = History::default();
    for ((ifindex, source, destination, (protocol, segment)), want) in sequence {
        let packet = packet(source, destination, protocol, segment);
        let got = verdict(&packet, ifindex, &mut history);
        assert_eq!(got, want, "{ifindex} {packet:?}");
    }
}

#[test]
fn another_policy_judges_known_flows_again() {
    let (office, plant, internet) = ("10.0.0.9", "10.0.1.9", "8.8.8.8");
    let tcp = |from, to, flags| (TCP, frames::with_ports(TCP, from, to, flags));
    let echo = |kind| (ICMP, frames::icmp(kind, 0, 7));
    let mut history = History::default();
    let opening: Vec<Arriving> = vec![
        (11, office, plant, tcp(5, 443, frames::SYN)),
        (11, office, plant, tcp(6, 443, frames::SYN)),
        (11, office, internet, tcp(7, 443, frames::SYN)),
        (11, office, plant, echo(8)),
    ];
    for (ifindex, source, destination, (protocol, segment)) in opening {
        let packet = packet(source, destination, protocol, segment);
        assert_eq!(verdict(&packet, ifindex, &mut history), "pass web");
    }
    history.replace_policy();
    let changed = POLICY
        .replace(
            "[plant, wan], services: [tcp/443, ping]",
            "[plant], services: tcp/443",
        )
        .replace("id: web", "id: renamed");
    let sequence: Vec<(Arriving, &str)> = vec![
        // Answers and the sequel of what is still allowed, whoever comes first.
        (
            (12, plant, office, tcp(443, 5, frames::SYN_ACK)),
            "pass renamed",
        ),
        (
            (11, office, plant, tcp(5, 443, frames::ACK)),
            "pass renamed",
        ),
        (
            (11, office, plant, tcp(6, 443, frames::ACK)),
            "pass renamed",
        ),
        // Another conduit allows it now.
        (
            (14, internet, office, tcp(443, 7, frames::ACK)),
            "pass any-wan",
        ),
        // What is not allowed any more is no flow.
        ((12, plant, office, echo(0)), "pass errors"),
        (
            (11, office, plant, echo(8)),
            "no-conduit office plant (no-conduit)",
        ),
    ];
    for ((ifindex, source, destination, (protocol, segment)), want) in sequence {
        let packet = packet(source, destination, protocol, segment);
        let got = verdict_under(&changed, &packet, ifindex, &mut history);
        assert_eq!(got, want, "{ifindex} {packet:?}");
    }
}

fn packet(source: &str, destination: &str, protocol: u8, segment: Vec<u8>) -> Packet {
    let address = |text: &str| text.parse().expect("a valid address");
    Packet::new(address(source), address(destination), protocol, segment)
}

fn verdict(packet: &Packet, ifindex: u32, history: &mut History) -> String {
    verdict_under(POLICY, packet, ifindex, history)
}

/// `pass ID`, or reason, zones and id.
fn verdict_under(text: &str, packet: &Packet, ifindex: u32, history: &mut History) -> String {
    match judge(
        &policy(text),
        &World::new(),
        &packet.bytes(),
        Way::In(ifindex),
        history,
    ) {
        Expected::Pass { counted } => format!("pass {counted}"),
        Expected::Drop {
            reason,
            from,
            to: Some(to),
            counted,
        } => {
            format!("{reason} {from} {to} {}", counted.as_deref().unwrap_or("-"))
        }
        Expected::Audited { .. } => "audit".to_owned(),
        Expected::Unjudged => "unjudged".to_owned(),
        Expected::Drop { reason, .. } => reason.to_owned(),
    }
}

fn policy(text: &str) -> Policy {
    let (policy, _) = parse(&Source::from_text("tables", text)).expect("the policy is valid");
    policy
}
