//! Zones by VLAN tag, with real frames: one port of a router that carries
//! several networks, each behind one tag or two.
//!
//! Needs root, VLAN devices (`8021q`) and `ethtool`: `cargo xtask vm-test`
//! boots kernels that have them.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;

use xtask::lab::{
    Enforcer, Expectation, Family, Network, Outcome, ROUTER, Seen, Service, TRUNK, Tagged,
    Topology, succeeded,
};

use Service::{Ping, Tcp, Udp};

const PASSES: Seen = Seen::both(Outcome::Answered);
const DROPPED: Seen = Seen::both(Outcome::Silent);

/// Zones by tag, by VLAN device, and by two tags.
const POLICY: &str = r#"
version: 1
name: vlans
zones:
  office: { match: [{ interface: trk0, vlan: 10 }] }
  plant:  { match: [{ interface: trk0.20, prefix: [10.2.0.0/24, "fd02::/64"] }] }
  guests: { match: [{ interface: trk0, vlan: "100.30" }] }
conduits:
  - { id: web,   from: office, to: plant, services: [tcp/443, ping] }
  - { id: names, from: guests, to: office, services: udp/53 }
  - { id: ask,   from: guests, to: self, services: ping }
"#;

#[test]
fn networks_on_one_port_are_kept_apart_by_their_tags() {
    let net = Net::under(POLICY);

    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Ping, PASSES),
        ("office", "plant", Tcp(22), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
        ("guests", "office", Udp(53), PASSES),
        ("guests", "office", Tcp(443), DROPPED),
        ("guests", "plant", Ping, DROPPED),
        ("office", "guests", Udp(53), DROPPED),
    ]);
    assert!(net.drops("plant", "office", "no-conduit") > 0);
    assert!(net.drops("guests", "plant", "no-conduit") > 0);
}

#[test]
fn frames_with_tags_that_no_zone_names_are_unknown() {
    let net = Net::under(POLICY);

    net.expect(&[
        ("lab", "office", Udp(53), DROPPED),
        ("lab", "plant", Tcp(443), DROPPED),
        ("lab", ROUTER, Ping, DROPPED),
    ]);
    assert!(net.drops("unknown", "office", "no-conduit") > 0);
}

#[test]
fn an_address_behind_another_tag_is_spoofed() {
    let net = Net::under(POLICY);

    for family in Family::BOTH {
        let claimed = net.lab.address("office", "plant", family);
        let seen = net.lab.spoof("guests", claimed, "office", 53).unwrap();
        assert_eq!(seen, Outcome::Silent, "{family:?}");
    }
    assert_eq!(net.drops("guests", "-", "spoofed-source"), 2);
}

#[test]
fn the_router_itself_speaks_by_tag() {
    let net = Net::under(POLICY);
    net.expect(&[
        ("guests", ROUTER, Ping, PASSES),
        ("office", ROUTER, Ping, DROPPED),
        (ROUTER, "office", Tcp(443), PASSES),
        (ROUTER, "guests", Udp(53), PASSES),
    ]);

    net.apply(&format!("{POLICY}defaults: {{ self_out: drop }}\n"));

    net.expect(&[
        ("guests", ROUTER, Ping, PASSES),
        (ROUTER, "office", Tcp(443), DROPPED),
        (ROUTER, "plant", Ping, DROPPED),
        (ROUTER, "guests", Udp(53), DROPPED),
    ]);
    for zone in ["office", "plant", "guests"] {
        assert!(net.drops("self", zone, "self-out") > 0, "{zone}");
    }
}

#[test]
fn an_open_connection_between_tags_survives_an_apply_and_not_a_withdrawal() {
    let net = Net::under(POLICY);
    let mut web = net.lab.connect("office", "plant", 443, Family::V4).unwrap();
    web.exchange(b"before").unwrap();

    net.apply(POLICY);
    web.exchange(b"after").unwrap();

    net.apply(&POLICY.replace("services: [tcp/443, ping]", "services: ping"));
    web.set_patience(std::time::Duration::from_millis(700))
        .unwrap();
    let error = web.exchange(b"withdrawn").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn programs_are_on_the_port_and_not_on_its_vlan_devices() {
    let net = Net::under(POLICY);
    let status = net.enforcer.status().unwrap();
    let interfaces = status["interfaces"].as_array().unwrap();
    let names: Vec<_> = interfaces.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, [TRUNK], "{status}");
}

struct Net {
    lab: Topology,
    enforcer: Enforcer,
}

type Row = (&'static str, &'static str, Service, Seen);

impl Net {
    /// The policy is active on a router whose port carries four networks.
    fn under(policy: &str) -> Self {
        let network = |name, interface, v4, v6, tags| Tagged {
            network: Network::new(name, interface, v4, v6),
            tags,
        };
        let networks = vec![
            network("office", "trk0.10", "10.1.0.0", "fd01::", &[10][..]),
            network("plant", "trk0.20", "10.2.0.0", "fd02::", &[20]),
            network("guests", "trk0.100.30", "10.3.0.0", "fd03::", &[100, 30]),
            network("lab", "trk0.40", "10.4.0.0", "fd04::", &[40]),
        ];
        let lab = Topology::trunk(networks).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_enforcer"));
        let enforcer = Enforcer::install(lab.router(), program).unwrap();
        let net = Self { lab, enforcer };
        // What is dropped later, `enforcer` drops.
        net.expect(&[
            ("lab", "office", Udp(53), PASSES),
            ("guests", "plant", Ping, PASSES),
        ]);
        net.apply(policy);
        net
    }

    fn apply(&self, policy: &str) {
        succeeded(&self.enforcer.apply(policy).unwrap()).unwrap();
    }

    fn expect(&self, rows: &[Row]) {
        let rows: Vec<_> = rows
            .iter()
            .map(|&(from, to, service, want)| Expectation {
                from,
                to,
                service,
                want,
            })
            .collect();
        for (row, seen) in rows.iter().zip(self.lab.observe(&rows).unwrap()) {
            let counters = || self.enforcer.counters();
            assert_eq!(seen, row.want, "{row:?}, counters: {:#?}", counters());
        }
    }

    fn drops(&self, from: &str, to: &str, reason: &str) -> u64 {
        self.enforcer.drops(from, to, reason).unwrap()
    }
}
