//! Devices: where they are told apart, what is bound, and what covers them.

use super::*;

const ZONES: &str = "\
zones:
  mgmt:
    match:
      - { interface: eth0, vlan: 10, prefix: [10.0.10.0/24, \"fd00:10::/64\"] }
      - { interface: eth1, prefix: 10.0.11.0/24 }
    intra_zone: drop
  plc:   { match: [{ interface: eth2, prefix: 10.0.40.0/24 }] }
  loose: { match: [{ prefix: 10.0.50.0/24 }] }
  cards: { match: [{ interface: eth2, mac: \"02:00:00:00:00:09\" }] }
devices:
  both:  { zone: mgmt, mac: \"02:00:00:00:00:01\", ip: [10.0.10.20, 10.0.11.20] }
  all:   { zone: mgmt, mac: \"02:00:00:00:00:02\", ip: [10.0.10.30, \"fd00:10::30\"] }
  card:  { zone: mgmt, mac: \"02:00:00:00:00:03\" }
  panel: { zone: plc, ip: 10.0.40.9 }
  stray: { zone: loose, mac: \"02:00:00:00:00:05\", ip: 10.0.50.5 }
";

#[test]
fn a_device_is_its_address_and_its_card() {
    let compiled = compiled(ZONES);
    // The last byte of the hardware address; 7 is nobody's.
    let cases = [
        (1, 10, "10", "10.0.10.20", "both"),
        (1, 11, "", "10.0.11.20", "both"),
        // Another address of the family, or its own one elsewhere in its zone.
        (1, 10, "10", "10.0.10.21", "?both"),
        (1, 11, "", "192.0.2.1", "?both"),
        // Nothing is said of the other family, nor of what stays on the link.
        (1, 10, "10", "fd00:10::21", "both"),
        (1, 10, "10", "169.254.3.4", "both"),
        (1, 10, "10", "fe80::1", "both"),
        (2, 10, "10", "fd00:10::30", "all"),
        (2, 10, "10", "fd00:10::31", "?all"),
        (2, 10, "10", "fe80::1", "all"),
        (2, 10, "10", "10.0.10.20", "?all"),
        (7, 10, "10", "10.0.10.20", "?mgmt"),
        (7, 10, "10", "fd00:10::30", "?mgmt"),
        (7, 10, "10", "10.0.10.21", "mgmt"),
        // Forged, whatever the card.
        (1, 10, "", "10.0.10.20", "!unknown"),
        (1, 12, "", "10.0.10.20", "!unknown"),
        (1, 11, "", "10.0.10.20", "!unknown"),
        (9, 12, "", "10.0.10.20", "!unknown"),
        // The card means nothing where its zone is not.
        (1, 12, "", "10.0.40.7", "plc"),
        (3, 10, "10", "10.0.10.77", "card"),
        (3, 11, "", "192.0.2.1", "card"),
        (3, 10, "10", "10.0.10.20", "?card"),
        (3, 12, "", "10.0.40.7", "plc"),
        // A device decides over zones, by address, too.
        (9, 12, "", "10.0.40.7", "cards"),
        (9, 12, "", "10.0.40.9", "panel"),
        (7, 12, "", "10.0.40.9", "panel"),
        // Its zone is everywhere.
        (5, 13, "", "10.0.50.5", "stray"),
        (7, 13, "", "10.0.50.5", "?loose"),
        (9, 12, "", "10.0.50.5", "?cards"),
        (5, 12, "30", "10.0.50.6", "?stray"),
        // From there no packet comes at all.
        (1, 10, "10", "0.0.0.0", "!unknown"),
        (1, 10, "10", "224.0.0.1", "!unknown"),
    ];
    for (mac, ifindex, vlan, address, want) in cases {
        let got = compiled.source_of(mac, ifindex, vlan, address);
        assert_eq!(got, want, "{mac} {ifindex} {vlan} {address}");
    }
    let destinations = [
        ("10.0.10.20", "both"),
        ("10.0.11.20", "both"),
        ("fd00:10::30", "all"),
        ("10.0.10.21", "mgmt"),
        ("10.0.40.9", "panel"),
        ("10.0.50.5", "stray"),
    ];
    for (address, want) in destinations {
        assert_eq!(compiled.destination(address), want, "{address}");
    }
}

#[test]
fn an_address_that_its_zone_claims_alone_is_still_the_device() {
    let compiled = compiled(
        "zones:
           a: { match: [{ interface: eth0, prefix: [10.0.0.0/8, 10.0.0.9/32] }] }
devices:
           d: { zone: a, ip: 10.0.0.9 }",
    );
    assert_eq!(compiled.source(10, "", "10.0.0.9"), "d");
    assert_eq!(compiled.destination("10.0.0.9"), "d");
}

#[test]
fn what_names_a_zone_names_its_devices() {
    let compiled = compiled(&format!(
        "{ZONES}
conduits:
           - {{ id: zone, from: mgmt, to: plc, services: tcp/1 }}
           - {{ id: one, from: both, to: plc, services: tcp/2 }}
           - {{ id: not-one, from: both, to: plc, services: tcp/1, action: drop, priority: 1 }}
           - {{ id: any, from: any, to: panel, services: tcp/3 }}
           - {{ id: from-any, from: plc, to: any, services: tcp/4 }}
           - {{ id: inside, from: both, to: mgmt, services: tcp/5 }}
           - {{ id: whole, from: mgmt, to: mgmt, services: tcp/6 }}
           - {{ id: all, from: any, to: any, services: tcp/7 }}
           - {{ id: both, from: [mgmt, all], to: [plc, panel], services: tcp/8 }}"
    ));
    let cases = [
        ("mgmt", "plc", "tcp/1", "zone"),
        ("card", "panel", "tcp/1", "zone"),
        ("both", "panel", "tcp/1", "!not-one"),
        ("both", "panel", "tcp/2", "one"),
        ("mgmt", "panel", "tcp/2", "!(no-conduit)"),
        ("all", "plc", "tcp/2", "!(no-conduit)"),
        ("mgmt", "panel", "tcp/3", "any"),
        ("all", "panel", "tcp/3", "any"),
        ("all", "plc", "tcp/3", "!(no-conduit)"),
        // A zone to itself, and so its members.
        ("plc", "panel", "tcp/3", "(intra-zone)"),
        ("plc", "both", "tcp/4", "from-any"),
        ("panel", "mgmt", "tcp/4", "from-any"),
        ("panel", "plc", "tcp/4", "(intra-zone)"),
        ("both", "mgmt", "tcp/5", "inside"),
        ("both", "all", "tcp/5", "inside"),
        ("all", "both", "tcp/5", "!(intra-zone)"),
        ("both", "both", "tcp/5", "inside"),
        ("both", "mgmt", "tcp/6", "whole"),
        ("mgmt", "all", "tcp/6", "whole"),
        ("card", "all", "tcp/6", "whole"),
        ("card", "all", "tcp/7", "!(intra-zone)"),
        ("card", "panel", "tcp/7", "all"),
        ("self", "both", "tcp/7", "(self-out)"),
        ("unknown", "both", "tcp/7", "!(no-conduit)"),
        ("all", "panel", "tcp/8", "both"),
    ];
    for (from, to, service, want) in cases {
        let got = compiled.verdict(from, to, service);
        assert_eq!(got, want, "{from} to {to}, {service}");
    }
    for (from, to, want) in [
        ("mgmt", "plc", true),
        ("both", "panel", true),
        ("both", "mgmt", false),
        ("both", "all", false),
        ("mgmt", "mgmt", false),
        ("unknown", "both", true),
        ("both", "self", false),
    ] {
        assert_eq!(
            compiled.pair(from, to).is_between_zones(),
            want,
            "{from} to {to}"
        );
    }
}

#[test]
fn modes_are_those_of_the_zone() {
    let compiled = compiled(
        "zones:
           a: { match: { interface: eth0, prefix: 10.0.0.0/8 }, mode: audit }
           b: { match: { interface: eth1 } }
devices:
           d: { zone: a, ip: 10.0.0.9 }",
    );
    assert!(compiled.cell("d", "b", "tcp/1").is_audit());
    assert!(!compiled.cell("b", "b", "tcp/1").is_audit());
}

#[test]
fn no_card_is_known_where_packets_have_none() {
    let mut machine = machine();
    machine.interfaces[3].is_bare = true;
    let zone = |entries: &str, device: &str| {
        format!(
            "zones: {{ vpn: {{ match: [{entries}] }} }}\ndevices: {{ d: {{ zone: vpn, {device} }} }}"
        )
    };
    let bound = "ip: 10.9.0.2, mac: \"02:00:00:00:00:02\"";
    let wg = "{ interface: eth3, prefix: 10.9.0.0/24 }";
    let other = "{ interface: eth0, prefix: 10.8.0.0/24 }";
    let both = "{ interface: [eth0, eth3], prefix: 10.9.0.0/24 }";
    let refused = |text: &str| codes(&refused(text, &machine));
    assert_eq!(refused(&zone(wg, bound)), ["no-hardware-address"]);
    assert_eq!(
        refused(&zone(&format!("{wg}, {other}"), bound)),
        ["no-hardware-address"]
    );
    // There its address is refused, on the other interface it is bound.
    let compiled = compiled_for(&zone(both, bound), &machine);
    assert_eq!(compiled.source_of(2, 10, "", "10.9.0.2"), "d");
    assert_eq!(compiled.source(13, "", "10.9.0.2"), "?vpn");
    compiled_for(&zone(wg, "ip: 10.9.0.2"), &machine);
}

#[test]
fn who_is_told_by_a_card_may_answer_as_who_was_asked() {
    let compiled = compiled(
        "zones:
           office: { match: { interface: eth0, prefix: 10.1.0.0/24 } }
           guests: { match: { interface: eth1, prefix: 10.2.0.0/24 } }
           staff:  { match: { interface: eth1, mac: \"02:00:00:00:00:09\" } }
           other:  { match: { interface: eth2, prefix: 10.3.0.0/24 } }
devices:
           laptop: { zone: guests, mac: \"02:00:00:00:00:01\" }
conduits:
           - { id: in, from: office, to: guests, services: any }",
    );
    assert!(!compiled.is_stateless("staff", "office"));
    assert!(!compiled.is_stateless("laptop", "office"));
    assert!(compiled.is_stateless("staff", "other"));
    assert!(compiled.is_stateless("other", "office"));
}
