//! Which traffic passes between zones.

use serde_json::json;
use xtask::lab::{Family, Outcome, Service};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, policy, with_conduits};

#[test]
fn answers_pass_but_new_flows_do_not() {
    let net = Net::under(&policy(&[
        "id: office-reads, from: office, to: plant, services: [tcp/443, udp/53, ping]",
    ]));

    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Udp(53), PASSES),
        ("office", "plant", Ping, PASSES),
        ("plant", "office", Tcp(443), DROPPED),
        ("plant", "office", Udp(53), DROPPED),
        ("plant", "office", Ping, DROPPED),
    ]);
    assert!(net.drops("plant", "office", "no-conduit") >= 6);
    assert!(net.passed("office-reads") > 0);
}

/// Senders leave it to the network to cut such data into packets.
#[test]
fn long_transfers_lose_no_packet() {
    let net = Net::under(&policy(&[
        "id: copy, from: office, to: plant, services: tcp/445",
    ]));
    let block: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    for family in Family::BOTH {
        let mut connection = net.lab.connect("office", "plant", 445, family).unwrap();
        for _ in 0..64 {
            connection.exchange(&block).unwrap();
        }
    }
    assert_eq!(net.enforcer.counters().unwrap()["drops"], json!([]));
}

#[test]
fn only_the_services_of_a_conduit_pass() {
    let net = Net::under(&policy(&[
        "id: web, from: office, to: plant, services: [tcp/8000-8010, udp/53]",
    ]));

    net.expect(&[
        ("office", "plant", Tcp(7999), DROPPED),
        ("office", "plant", Tcp(8000), PASSES),
        ("office", "plant", Tcp(8010), PASSES),
        ("office", "plant", Tcp(8011), DROPPED),
        ("office", "plant", Tcp(53), DROPPED),
        ("office", "plant", Udp(53), PASSES),
        ("office", "plant", Udp(8000), DROPPED),
        ("office", "plant", Ping, DROPPED),
        ("office", "guests", Tcp(8000), DROPPED),
    ]);
}

#[test]
fn a_zone_that_drops_inside_keeps_its_networks_apart() {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: plc0 }, { interface: gst0 }], intra_zone: drop }
";
    let net = Net::under(&with_conduits(
        head,
        &["id: cells-talk, from: plant, to: plant, services: tcp/102"],
    ));

    net.expect(&[
        ("plant", "guests", Tcp(102), PASSES),
        ("plant", "guests", Tcp(443), DROPPED),
        ("guests", "plant", Ping, DROPPED),
        ("guests", "plant", Udp(53), DROPPED),
    ]);
    assert!(net.drops("plant", "plant", "intra-zone") >= 6);
    assert_eq!(net.drops("plant", "plant", "no-conduit"), 0);
}

#[test]
fn inside_a_zone_everything_passes_unless_forbidden() {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: [plc0, gst0] }] }
";
    let net = Net::under(&with_conduits(
        head,
        &["id: no-telnet, from: plant, to: plant, services: tcp/23, action: drop"],
    ));

    net.expect(&[
        ("plant", "guests", Tcp(443), PASSES),
        ("guests", "plant", Ping, PASSES),
        ("guests", "plant", Tcp(23), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
    ]);
    assert!(net.drops("plant", "plant", "conduit") >= 2);
}

#[test]
fn a_prohibition_of_higher_priority_wins() {
    let net = Net::under(&policy(&[
        "id: all-surf, from: any, to: guests, services: any",
        "id: plant-stays, from: plant, to: guests, services: any, action: drop, priority: 10",
    ]));

    net.expect(&[
        ("office", "guests", Tcp(443), PASSES),
        ("office", "guests", Udp(53), PASSES),
        ("office", "guests", Ping, PASSES),
        ("plant", "guests", Tcp(443), DROPPED),
        ("plant", "guests", Udp(53), DROPPED),
        ("plant", "guests", Ping, DROPPED),
    ]);
    assert!(net.drops("plant", "guests", "conduit") >= 6);
}

#[test]
fn spoofed_sources_are_dropped() {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0, prefix: [10.1.0.0/24, \"fd01::/64\"] }] }
  plant: { match: [{ interface: plc0 }] }
  guests: { match: [{ interface: gst0 }] }
";
    let net = Net::under(&with_conduits(
        head,
        &["id: all-to-guests, from: any, to: guests, services: any"],
    ));

    let owners = ["office", "router"];
    for (count, owner) in (0..).zip(owners) {
        for family in Family::BOTH {
            let claimed = net.lab.address("office", owner, family);
            let seen = net.lab.spoof("plant", claimed, "guests", 53).unwrap();
            assert_eq!(seen, Outcome::Silent, "as {owner}, {claimed}");
        }
        let drops = net.drops("plant", "-", "spoofed-source");
        assert_eq!(drops, 2 * count + 2, "{:#?}", net.enforcer.counters());
    }
    let honest = net.lab.address("office", "plant", Family::V4);
    let seen = net.lab.spoof("plant", honest, "guests", 53).unwrap();
    assert_eq!(seen, Outcome::Answered, "its own address");
}

#[test]
fn sources_that_no_zone_knows_are_dropped() {
    let net = Net::under(&policy(&[
        "id: all-to-guests, from: any, to: guests, services: any",
        "id: plant-to-office, from: plant, to: office, services: any",
    ]));

    for claimed in ["203.0.113.7", "2001:db8::7"] {
        let claimed = claimed.parse().unwrap();
        for to in ["guests", "office"] {
            let seen = net.lab.spoof("plant", claimed, to, 53).unwrap();
            assert_eq!(seen, Outcome::Silent, "as {claimed} to {to}");
        }
    }
    assert_eq!(net.drops("unknown", "guests", "no-conduit"), 2);
    assert_eq!(net.drops("unknown", "office", "no-conduit"), 2);
}
