//! Bridges and their ports.

use enforcer_common::cell::SourceCell;
use enforcer_common::wire::protocol;

use super::*;
use crate::compile::hooks;
use crate::policy::model::Hook;

/// `eth1` to `eth3` are ports of `br0`, with index 40.
fn bridged() -> Machine {
    let mut machine = machine();
    for port in &mut machine.interfaces[1..4] {
        port.master = Some(40);
    }
    machine.interfaces.push(Interface {
        name: "br0".into(),
        ifindex: 40,
        is_up: true,
        is_bridge: true,
        ..Interface::default()
    });
    machine
}

const TWO_ZONES: &str = "zones:
  a: { match: { interface: [eth1, eth2], prefix: 10.0.0.0/24 } }
  b: { match: { interface: eth3, prefix: 10.0.0.0/24 } }
  far: { match: { interface: eth0 } }";

#[test]
fn a_bridge_is_enforced_as_a_whole_or_not_at_all() {
    let cases: [(&str, &[u32]); 5] = [
        ("zones: { a: { match: { interface: eth0 } } }", &[10]),
        (
            "zones: { a: { match: { interface: br0 } } }",
            &[11, 12, 13, 40],
        ),
        (
            "zones: { a: { match: { interface: eth2 } } }",
            &[11, 12, 13, 40],
        ),
        (
            "zones: { a: { match: { prefix: 10.0.0.0/8 } } }",
            &[10, 11, 12, 13, 40],
        ),
        (
            "interfaces: { eth1: { hook: tc }, br0: { hook: tc } }
zones: { a: { match: { interface: eth1 } } }",
            &[11, 12, 13, 40],
        ),
    ];
    for (text, want) in cases {
        let got = hooks(&policy(text), &bridged()).unwrap();
        let indices: Vec<u32> = got.keys().copied().collect();
        assert_eq!(indices, want, "{text}");
        for (ifindex, hook) in got {
            let want = if ifindex == 10 { Hook::Xdp } else { Hook::Tc };
            assert_eq!(hook, want, "{text}: {ifindex}");
        }
    }
}

#[test]
fn what_no_program_can_tell_apart_is_refused() {
    let zone = "zones: { a: { match: { interface: br0 } } }";
    let in_vlan = "zones: { a: { match: { interface: eth1, vlan: 5 } } }";
    let mut with_vlan_on_port = bridged();
    let device = vlan_device("eth1.5", 50, (11, 5, 0));
    with_vlan_on_port.interfaces.push(device);
    let mut with_vlan_as_port = bridged();
    let mut device = vlan_device("eth0.5", 50, (10, 5, 0));
    device.master = Some(40);
    with_vlan_as_port.interfaces.push(device);
    let mut filtering = bridged();
    filtering.interfaces.last_mut().unwrap().filters_vlans = true;

    let cases = [
        (zone, &with_vlan_on_port, "unsupported-interface"),
        (zone, &with_vlan_as_port, "unsupported-interface"),
        // The programs on `eth0` would take its frames for routed ones.
        (
            "zones: { a: { match: { interface: eth0 } } }",
            &with_vlan_as_port,
            "unsupported-interface",
        ),
        (
            "interfaces: { eth1: { hook: xdp } }
zones: { a: { match: { interface: eth1 } } }",
            &bridged(),
            "bridge-hook",
        ),
        (
            "zones: { a: { match: { interface: br0 } }, b: { match: { interface: eth3 } } }",
            &bridged(),
            "zone-overlap",
        ),
        (in_vlan, &filtering, "filtered-vlan"),
    ];
    for (text, machine, want) in cases {
        assert_eq!(codes(&refused(text, machine)), [want], "{text}");
    }
    compiled_for(in_vlan, &bridged());
    compiled_for(zone, &filtering);
}

/// Zones of ports; of the bridge itself what all ports agree on, else `?`.
#[test]
fn who_is_seen_on_a_bridge_may_be_behind_any_port() {
    let compiled = compiled_for(TWO_ZONES, &bridged());
    let cases = [
        (11, "10.0.0.5", "a"),
        (13, "10.0.0.5", "b"),
        (40, "10.0.0.5", "?"),
        (40, "192.0.2.1", "unknown"),
        (10, "10.0.0.5", "!far"),
    ];
    for (ifindex, address, want) in cases {
        let class = compiled.class(address);
        let link = compiled.link(ifindex, "").class;
        let got = match lookup::zone(&compiled.0, link, class).is_several() {
            true => "?".to_owned(),
            false => compiled.source(ifindex, "", address),
        };
        assert_eq!(got, want, "{ifindex} {address}");
    }

    let one = "zones: { a: { match: { interface: br0, prefix: 10.0.0.0/24 } } }";
    let compiled = compiled_for(one, &bridged());
    for ifindex in [11, 12, 13, 40] {
        assert_eq!(compiled.source(ifindex, "", "10.0.0.5"), "a", "{ifindex}");
    }
    assert_eq!(compiled.source(10, "", "10.0.0.5"), "!unknown");
    assert_eq!(compiled.destination("10.0.0.5"), "a");
}

#[test]
fn only_what_ports_share_holds_for_their_bridge() {
    let rows = |cells: &[(u16, bool)]| {
        let cells = cells.iter().map(|(zone, is_spoofed)| {
            let cell = SourceCell::new(ZoneId(*zone), *is_spoofed);
            crate::compile::link_rows::LinkRow {
                facts: Default::default(),
                cells: vec![cell.0],
                by_mac: Vec::new(),
            }
        });
        let rows: Vec<_> = cells.collect();
        let any = crate::compile::link_rows::LinkRow::of_any(&rows.iter().collect::<Vec<_>>());
        SourceCell(any.cells[0])
    };
    let cases: [(&[(u16, bool)], SourceCell); 5] = [
        (&[(2, false), (2, false)], SourceCell::new(ZoneId(2), false)),
        // It cannot be behind the second one.
        (&[(2, false), (3, true)], SourceCell::new(ZoneId(2), false)),
        (&[(2, false), (3, false)], SourceCell::several(false)),
        (&[(2, true), (2, true)], SourceCell::new(ZoneId(2), true)),
        (&[(2, true), (3, true)], SourceCell::several(true)),
    ];
    for (ports, want) in cases {
        assert_eq!(rows(ports), want, "{ports:?}");
    }
}

#[test]
fn a_port_has_a_zone_for_groups() {
    let zone = |text: &str, ifindex: u32| {
        let compiled = compiled_for(text, &bridged());
        let link = compiled.link(ifindex, "").class;
        compiled.0.zones[&lookup::link_zone(&compiled.0, link).0].clone()
    };
    let cases = [
        (TWO_ZONES, 11, "a"),
        (TWO_ZONES, 13, "b"),
        (TWO_ZONES, 40, "unknown"),
        // What names the port says more than what may be everywhere.
        (
            "zones: { a: { match: { interface: eth1, prefix: 10.0.0.0/24 } }, b: { match: { prefix: 10.0.1.0/24 } } }",
            11,
            "a",
        ),
        // A device is a member of a zone that is there itself.
        (
            "zones: { a: { match: { interface: eth1, prefix: 10.0.0.0/24 } } }
devices: { d: { zone: a, ip: 10.0.0.7 } }",
            11,
            "a",
        ),
        (
            "zones: { a: { match: { prefix: 10.0.0.0/24 } }, b: { match: { prefix: 10.0.1.0/24 } } }",
            11,
            "unknown",
        ),
        (
            "zones: { a: { match: { interface: eth1, prefix: 10.0.0.0/24 } }, b: { match: { interface: eth1 } } }",
            11,
            "b",
        ),
    ];
    for (text, ifindex, want) in cases {
        assert_eq!(zone(text, ifindex), want, "{text}");
    }
}

#[test]
fn ports_are_known_to_routes_by_their_bridge() {
    let compiled = compiled_for(TWO_ZONES, &bridged());
    for ifindex in [11, 12, 13] {
        let link = compiled.link(ifindex, "");
        assert!(
            link.is_port && link.is_awaited && !link.is_enforced,
            "{ifindex}"
        );
        assert!(lookup::has_program(&compiled.0, ifindex), "{ifindex}");
        assert_eq!(lookup::routed_by(&compiled.0, ifindex), 40);
    }
    let bridge = compiled.link(40, "");
    assert!(bridge.is_enforced && !bridge.is_port);
    assert!(lookup::is_bridge(&compiled.0, 40) && !lookup::is_bridge(&compiled.0, 10));
    assert_eq!(lookup::routed_by(&compiled.0, 10), 10);
    // Where one zone is everywhere, nothing has to wait for its port.
    let one = "zones: { a: { match: { interface: br0, prefix: 10.0.0.0/24 } } }";
    assert!(!compiled_for(one, &bridged()).link(11, "").is_awaited);
}

#[test]
fn ethertypes_are_services_that_any_does_not_cover() {
    let text = "zones: { a: { match: { interface: eth0 } }, b: { match: { interface: eth1 } } }
conduits:
  - { id: all, from: a, to: b, services: any }
  - { id: cyclic, from: b, to: a, services: [eth/0x8892, tcp/1] }";
    let compiled = compiled(text);
    let allows = |from: &str, to: &str, ether_type: u16| {
        let class = lookup::port_class(&compiled.0, protocol::ETHERNET, ether_type);
        lookup::cell(&compiled.0, compiled.pair(from, to), class).allows()
    };
    assert!(allows("b", "a", 0x8892));
    assert!(!allows("b", "a", 0x8893) && !allows("a", "b", 0x8892));
    assert!(allows("a", "a", 0x1234), "intra_zone");
    for (from, to, want) in [
        ("a", "b", true),
        ("b", "a", true),
        ("a", "a", true),
        ("a", "unknown", false),
    ] {
        assert_eq!(compiled.pair(from, to).is_joined(), want, "{from} {to}");
    }
}
