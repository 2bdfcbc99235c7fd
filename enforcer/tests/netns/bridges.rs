//! Stations of one subnet on the ports of a bridge.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use xtask::lab::{Family, Network, ROUTER, Service, Tap};

use Service::{Ping, Tcp, Udp};

use crate::daemon::Daemon;
use crate::network::{DROPPED, Net, PASSES, Row, with_conduits};
use crate::packets::{UDP, packet, udp};

/// Two PLCs and the panel that drives them on a bridge, an office behind a link of
/// its own.
fn cell() -> Net {
    let station =
        |name, port, last| Network::new(name, port, "10.2.0.0", "fd02::").port("br0", last);
    Net::between(vec![
        Network::new("office", "off0", "10.1.0.0", "fd01::"),
        station("plc1", "p1", 2),
        station("plc2", "p2", 3),
        station("panel", "p3", 4),
    ])
}

fn policy(zones: &str, conduits: &[&str]) -> String {
    let head = format!(
        "\
version: 1
name: cell
zones:
  office: {{ match: [{{ interface: off0, prefix: [10.1.0.0/24, \"fd01::/64\"] }}] }}
{zones}"
    );
    with_conduits(&head, conduits)
}

/// Zones told apart by port and prefix.
const BY_PREFIX: &str = r#"  plc:
    match: [{ interface: [p1, p2], prefix: [10.2.0.0/24, "fd02::/64"] }]
    intra_zone: drop
  panel: { match: [{ interface: p3, prefix: [10.2.0.0/24, "fd02::/64"] }] }
"#;

/// Zones told apart by port alone.
const BY_PORT: &str = "  plc: { match: [{ interface: [p1, p2] }], intra_zone: drop }
  panel: { match: [{ interface: p3 }] }
";

const CONDUITS: [&str; 4] = [
    "id: drive, from: panel, to: plc, services: [tcp/502, ping]",
    "id: read, from: office, to: plc, services: tcp/502",
    "id: report, from: plc, to: office, services: udp/514",
    "id: name, from: plc, to: self, services: udp/53",
];

/// What those conduits make of traffic inside the bridge and to the router.
const INSIDE: [Row; 12] = [
    ("panel", "plc1", Tcp(502), PASSES),
    ("panel", "plc2", Ping, PASSES),
    ("panel", "plc1", Tcp(80), DROPPED),
    ("plc1", "panel", Tcp(502), DROPPED),
    ("plc1", "plc2", Tcp(502), DROPPED),
    ("plc2", "plc1", Ping, DROPPED),
    ("plc1", ROUTER, Udp(53), PASSES),
    ("plc1", ROUTER, Tcp(22), DROPPED),
    ("panel", ROUTER, Udp(53), DROPPED),
    (ROUTER, "plc1", Tcp(80), PASSES),
    (ROUTER, "panel", Ping, PASSES),
    ("plc2", "office", Udp(514), PASSES),
];

#[test]
fn stations_of_one_subnet_are_kept_apart() {
    let net = cell();
    net.apply(&policy(BY_PREFIX, &CONDUITS));
    net.expect(&INSIDE);
    net.expect(&[
        ("office", "plc1", Tcp(502), PASSES),
        ("office", "plc1", Tcp(80), DROPPED),
        ("office", "panel", Tcp(502), DROPPED),
        ("plc1", "office", Tcp(502), DROPPED),
    ]);
    assert!(net.drops("plc", "plc", "intra-zone") >= 4);
    assert!(net.drops("panel", "plc", "no-conduit") >= 2);
    assert!(net.drops("plc", "self", "no-conduit") >= 2);
}

#[test]
fn ports_alone_tell_stations_apart() {
    let net = cell();
    net.apply(&policy(BY_PORT, &CONDUITS));
    net.expect(&INSIDE);
    // Which of both it is about is not known before the port is.
    net.expect(&[
        ("office", "plc2", Tcp(502), PASSES),
        ("office", "panel", Tcp(502), DROPPED),
    ]);
    assert!(net.drops("office", "panel", "no-conduit") >= 2);
}

/// Whoever speaks first afterwards: an answer has to find its flow, too.
#[test]
fn flows_outlive_the_next_policy_on_every_way() {
    let net = cell();
    net.apply(&policy(BY_PREFIX, &CONDUITS));
    let mut all = Vec::new();
    for family in Family::BOTH {
        for (from, to) in [("panel", "plc1"), ("office", "plc2")] {
            let address = SocketAddr::new(net.lab.address(from, to, family), 502);
            let server = net.lab.host(to).namespace();
            let server = server.run(move || TcpListener::bind(address)).unwrap();
            let client = net.lab.host(from).namespace();
            let client = client.run(move || TcpStream::connect(address)).unwrap();
            all.push([client, server.accept().unwrap().0]);
        }
    }
    let more = ["id: more, from: panel, to: office, services: tcp/443"];
    let policies = [
        policy(BY_PREFIX, &[&CONDUITS[..], &more].concat()),
        policy(BY_PREFIX, &CONDUITS),
    ];
    for (speaks, policy) in policies.iter().enumerate() {
        net.apply(policy);
        for ends in &mut all {
            let patience = Some(Duration::from_secs(10));
            ends[1 - speaks].set_read_timeout(patience).unwrap();
            ends[speaks].write_all(b"after").unwrap();
            let mut heard = [0; 5];
            ends[1 - speaks].read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"after", "{speaks}");
        }
    }

    // What is no longer allowed stops.
    net.apply(&policy(BY_PREFIX, &CONDUITS[2..]));
    for [client, server] in &mut all {
        let patience = Some(Duration::from_millis(500));
        server.set_read_timeout(patience).unwrap();
        client.write_all(b"again").unwrap();
        let refused = server.read(&mut [0; 5]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    }
    for from in ["panel", "office"] {
        assert!(net.drops(from, "plc", "no-conduit") >= 2, "{from}");
    }
}

/// The bridge stands for its ports, whenever they come.
#[test]
fn a_port_that_joins_is_enforced_by_the_daemon() {
    let net = cell();
    let zones = r#"  cell:
    match: [{ interface: br0, prefix: [10.2.0.0/24, "fd02::/64"] }]
    intra_zone: drop
"#;
    net.apply(&policy(
        zones,
        &["id: read, from: office, to: cell, services: tcp/502"],
    ));
    let mut daemon = Daemon::start(&net);
    let mut tap = net.lab.tap("late", "br0").unwrap();
    daemon.wait_line("programs attached to late");

    let before = net.drops("cell", "cell", "intra-zone");
    tap.send(&datagram(BROADCAST, 0, Ipv4Addr::BROADCAST, 2000))
        .unwrap();
    // A copy for each of the other ports.
    assert_eq!(net.drops("cell", "cell", "intra-zone"), before + 3);
    assert!(net.drops("cell", "self", "no-conduit") >= 1);
    net.expect(&[
        ("office", "plc1", Tcp(502), PASSES),
        ("plc1", "plc2", Tcp(502), DROPPED),
    ]);
}

#[test]
fn stations_on_a_bridge_are_explained() {
    let net = cell();
    net.apply(&policy(BY_PREFIX, &CONDUITS));
    let by_port = "depends on its port of bridge `br0`";
    let cases = [
        ("10.2.0.4", "10.2.0.2:502/tcp", "p3", "allow by drive"),
        ("10.2.0.4", "10.2.0.2:80/tcp", "p3", "drop by (no-conduit)"),
        ("10.2.0.2", "10.2.0.1:53/udp", "p1", "allow by name"),
        ("10.2.0.2", "10.1.0.10:514/udp", "p1", "allow by report"),
        // Who is behind which port, only the bridge knows.
        ("10.1.0.10", "10.2.0.2:502/tcp", "off0", by_port),
        ("10.2.0.2", "10.1.0.10:514/udp", "br0", by_port),
    ];
    for (from, to, ingress, want) in cases {
        let args = ["explain", "--from", from, "--to", to, "--in", ingress];
        let output = net.enforcer.output(&args).unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains(want), "{from} {to}: {told}");
    }
}

/// Three stations on taps, and what is told of their frames.
struct Taps {
    net: Net,
    taps: [Tap; 3],
}

/// The stations: `a` may speak to `b`, and `c` to nobody.
const STATIONS: [&str; 3] = ["a", "b", "c"];

impl Taps {
    fn under(conduits: &[&str]) -> Self {
        let net = cell();
        let taps = ["t0", "t1", "t2"].map(|name| net.lab.tap(name, "br0").unwrap());
        let zones: String = (0..3)
            .map(|index| {
                let name = STATIONS[index];
                let prefix = r#"[10.2.0.0/24, "fd02::/64"]"#;
                format!("  {name}: {{ match: [{{ interface: t{index}, prefix: {prefix} }}] }}\n")
            })
            .collect();
        net.apply(&policy(&zones, conduits));
        Self { net, taps }
    }

    /// Sends a frame from a station, and tells which others get it.
    fn send(&mut self, from: usize, frame: &[u8]) -> Vec<&'static str> {
        for tap in &mut self.taps {
            tap.frames().unwrap();
        }
        self.taps[from].send(frame).unwrap();
        let mut got = Vec::new();
        for (tap, name) in self.taps.iter_mut().zip(STATIONS) {
            if tap.frames().unwrap().iter().any(|seen| seen == frame) {
                got.push(name);
            }
        }
        got
    }
}

/// Hardware address of a station.
fn mac(station: usize) -> [u8; 6] {
    [0x02, 0, 0, 0, 0, 0xa0 + station as u8]
}

/// IPv4 address of a station.
fn address(station: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 100 + station as u8)
}

const BROADCAST: [u8; 6] = [0xff; 6];

fn frame(to: [u8; 6], from: usize, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to, &mac(from)[..], &ether_type.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A question, or with `to` the answer, about the address of a station.
fn arp(from: usize, about: usize, to: Option<usize>) -> Vec<u8> {
    let operation = if to.is_some() { 2 } else { 1 };
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let target = to.map_or([0; 6], mac);
    let (source, sought) = (address(from).octets(), address(about).octets());
    let payload = [&head, &mac(from)[..], &source, &target, &sought].concat();
    frame(to.map_or(BROADCAST, mac), from, 0x0806, &payload)
}

fn datagram(to: [u8; 6], from: usize, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let udp = udp(4000, port, 8 + 32, 8 + 32);
    let mut ip = packet(address(from).into(), destination.into(), UDP, &udp);
    let length = (ip.len() as u16).to_be_bytes();
    ip[2..4].copy_from_slice(&length);
    // Where netfilter looks at bridged packets, it drops what is not sound.
    let words = ip[..20].as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame(to, from, 0x0800, &ip)
}

const TALK: &str = "id: talk, from: a, to: b, services: udp/2000";

#[test]
fn stations_look_for_each_other_where_a_conduit_joins_them() {
    let mut taps = Taps::under(&[TALK]);
    let none: [&str; 0] = [];
    assert_eq!(taps.send(0, &arp(0, 1, None)), ["b"]);
    assert_eq!(taps.send(1, &arp(1, 0, Some(0))), ["a"]);
    assert_eq!(taps.send(1, &arp(1, 0, None)), ["a"]);
    assert_eq!(taps.send(2, &arp(2, 0, None)), none);
    assert_eq!(taps.send(0, &arp(0, 2, Some(2))), none);
    for to in ["a", "b"] {
        assert!(taps.net.drops("c", to, "no-conduit") >= 1, "{to}");
    }
    assert!(taps.net.drops("a", "c", "no-conduit") >= 2);
}

#[test]
fn a_copy_for_each_port_is_judged_by_its_zone() {
    let mut taps = Taps::under(&[TALK]);
    let none: [&str; 0] = [];
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let group_mac = [0x01, 0, 0x5e, 0, 0, 0xfb];
    // The bridge does not know yet where b is, and asks everywhere.
    assert_eq!(taps.send(0, &datagram(mac(1), 0, address(1), 2000)), ["b"]);
    assert_eq!(taps.send(0, &datagram(group_mac, 0, group, 2000)), ["b"]);
    assert_eq!(taps.send(0, &datagram(group_mac, 0, group, 2001)), none);
    assert_eq!(taps.send(1, &datagram(group_mac, 1, group, 2000)), none);
    let all = Ipv4Addr::new(10, 2, 0, 255);
    for broadcast in [all, Ipv4Addr::BROADCAST] {
        assert_eq!(
            taps.send(0, &datagram(BROADCAST, 0, broadcast, 2000)),
            ["b"]
        );
    }
    assert!(taps.net.drops("a", "c", "no-conduit") >= 5);
    // The copy for the router.
    assert!(taps.net.drops("a", "self", "no-conduit") >= 3);
    assert!(taps.net.passed("talk") >= 4);
}

#[test]
fn an_address_of_another_port_is_forged_and_teaches_the_bridge_nothing() {
    let mut taps = Taps::under(&[TALK]);
    let none: [&str; 0] = [];
    let mut forged = datagram(mac(1), 2, address(1), 2000);
    let claimed = Ipv4Addr::new(10, 1, 0, 10).octets();
    forged[14 + 12..14 + 16].copy_from_slice(&claimed);
    forged[6..12].copy_from_slice(&mac(0));
    assert_eq!(taps.send(2, &forged), none);
    assert_eq!(taps.net.drops("unknown", "-", "spoofed-source"), 1);
    taps.send(1, &arp(1, 0, None));
    // Had the bridge learnt a at the port of c, this would not come to a.
    taps.send(0, &arp(0, 1, None));
    assert_eq!(taps.send(1, &arp(1, 0, Some(0))), ["a"]);
}

#[test]
fn frames_without_ip_pass_where_a_conduit_names_what_they_carry() {
    const PROFINET: u16 = 0x8892;
    let mut taps = Taps::under(&[
        "id: cyclic, from: a, to: b, services: eth/0x8892",
        "id: discover, from: c, to: self, services: eth/0x8892",
        "id: any-ip, from: [a, b, c], to: [a, b, c, self], services: any",
    ]);
    let none: [&str; 0] = [];
    let group = [0x01, 0x0e, 0xcf, 0, 0, 0];
    assert_eq!(taps.send(0, &frame(group, 0, PROFINET, &[1])), ["b"]);
    assert_eq!(taps.send(0, &frame(mac(1), 0, PROFINET, &[1])), ["b"]);
    assert_eq!(taps.send(0, &frame(group, 0, PROFINET + 1, &[1])), none);
    // There is no state: the other direction has a conduit of its own, or none.
    assert_eq!(taps.send(1, &frame(group, 1, PROFINET, &[1])), none);
    assert_eq!(taps.net.passed("cyclic"), 2);
    let unknown = |from| taps.net.drops(from, "-", "unknown-ethertype");
    // There are five other ports, and the router: what may go to b goes to b only,
    // which the bridge does not know the place of.
    assert_eq!((unknown("a"), unknown("b")), (5 + 4 + 6, 6));
    taps.send(2, &frame(group, 2, PROFINET, &[1]));
    assert_eq!(taps.net.passed("discover"), 1);
}
