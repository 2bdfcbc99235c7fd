//! Links by interface and VLAN tags.

use super::*;

#[test]
fn tags_are_told_apart_by_both_ids() {
    let compiled = compiled(
        "zones:
           plain:  { match: { interface: eth0 } }
           single: { match: { interface: eth0, vlan: 100 } }
           double: { match: { interface: eth0, vlan: 100.30 } }
           other:  { match: { interface: eth0, vlan: [200.30, 200.4094] } }
           every:  { match: { vlan: 7 } }
           here:   { match: { interface: eth1, vlan: 7 } }",
    );
    let cases = [
        (10, "", "plain"),
        (10, "99", "plain"),
        (10, "99.30", "plain"),
        (10, "100", "single"),
        (10, "100.30", "double"),
        (10, "100.31", "plain"),
        (10, "200", "plain"),
        (10, "200.30", "other"),
        (10, "200.4094", "other"),
        (10, "200.100", "plain"),
        (10, "30.100", "plain"),
        (10, "7", "every"),
        (10, "7.30", "plain"),
        (11, "7", "here"),
        (11, "7.7", "unknown"),
        (12, "7", "every"),
        (12, "", "unknown"),
        // The policy cannot know what links a new interface has.
        (99, "7", "unknown"),
    ];
    for (ifindex, vlan, want) in cases {
        let got = compiled.source(ifindex, vlan, "192.0.2.1");
        assert_eq!(got, want, "{ifindex} {vlan}");
    }
}

#[test]
fn links_that_nothing_tells_apart_share_a_class() {
    let compiled = compiled(
        "zones:
           a: { match: { interface: [eth0, eth1] } }
           b: { match: [{ interface: eth2 }, { interface: eth2, vlan: 5 }] }",
    );
    assert_eq!(compiled.link(10, ""), compiled.link(11, "9"));
    assert_eq!(compiled.link(12, ""), compiled.link(12, "5"));
    assert_ne!(compiled.link(10, "").class, compiled.link(12, "").class);
    assert_eq!(compiled.link(13, "").class, lookup::LinkClass(0));
    assert_eq!(compiled.link(99, "").class, lookup::LinkClass(0));
}

#[test]
fn a_vlan_device_means_its_parent_and_vlan() {
    let mut machine = machine();
    machine.interfaces.extend([
        vlan_device("eth0.10", 20, (10, 10, 0)),
        vlan_device("eth0.10.20", 21, (10, 10, 20)),
        vlan_device("outside", 22, (77, 10, 0)),
    ]);
    let compiled = compiled_for(
        "zones:
           plain:  { match: { interface: eth0 } }
           single: { match: { interface: [eth0.10, eth1] } }
           double: { match: { interface: eth0.10.20 } }
           inner:  { match: { interface: eth0.10, vlan: [30, 40] } }
           guest:  { match: { interface: outside } }
failsafe:
           - { from: 0.0.0.0/0, service: tcp/22, interface: eth0.10 }",
        &machine,
    );
    let cases = [
        (10, "", "plain", 0),
        (10, "11", "plain", 0),
        (10, "10", "single", 1),
        (10, "10.20", "double", 0),
        (10, "10.30", "inner", 0),
        (10, "10.40", "inner", 0),
        (10, "10.50", "plain", 0),
        (11, "", "single", 0),
        (11, "10", "single", 0),
        // What the rest of the kernel sees on the VLAN devices.
        (20, "", "single", 1),
        (21, "", "double", 0),
        // Its parent lives in another namespace: a device like any other.
        (22, "", "guest", 0),
    ];
    for (ifindex, vlan, want, failsafes) in cases {
        let link = compiled.link(ifindex, vlan);
        let got = compiled.source(ifindex, vlan, "192.0.2.1");
        assert_eq!(got, want, "{ifindex} {vlan}");
        let got = lookup::link_facts(&compiled.0, link.class).failsafes;
        assert_eq!(got, failsafes, "{ifindex} {vlan}");
        assert!(link.is_enforced, "{ifindex} {vlan}");
    }
}

#[test]
fn names_of_vlan_devices_do_not_hide_overlaps() {
    let mut machine = machine();
    let device = vlan_device("eth0.10", 20, (10, 10, 0));
    machine.interfaces.push(device);
    let cases: [(&str, &[&str]); 4] = [
        (
            "zones: { a: { match: { interface: eth0.10 } }, b: { match: { interface: eth0, vlan: 10 } } }",
            &["zone-overlap"],
        ),
        (
            "zones: { a: { match: { interface: eth0.10, vlan: 5 } }, b: { match: { interface: eth0, vlan: 10.5 } } }",
            &["zone-overlap"],
        ),
        (
            "zones: { a: { match: { interface: eth0.10, vlan: 5.6 } } }",
            &["too-many-tags"],
        ),
        (
            "zones: { a: { match: { interface: [eth0.10, eth1], vlan: [5, 5.6] } }, b: { match: { interface: eth2 } } }",
            &["too-many-tags"],
        ),
    ];
    for (text, want) in cases {
        assert_eq!(codes(&refused(text, &machine)), want, "{text}");
    }
    // Claimed twice by one zone is no error.
    compiled_for(
        "zones: { a: { match: [{ interface: eth0.10 }, { interface: eth0, vlan: 10 }] } }",
        &machine,
    );
}

#[test]
fn members_of_a_bond_are_the_bond() {
    let mut machine = machine();
    machine.interfaces[0].master = Some(30);
    machine.interfaces.push(Interface {
        name: "bond0".into(),
        ifindex: 30,
        kind: Some("bond".into()),
        is_up: true,
        ..Interface::default()
    });
    let compiled = compiled_for(
        "zones: { a: { match: { interface: bond0 } }, b: { match: { interface: bond0, vlan: 5 } } }",
        &machine,
    );
    for ifindex in [10, 30] {
        assert_eq!(compiled.source(ifindex, "", "192.0.2.1"), "a");
        assert_eq!(compiled.source(ifindex, "5", "192.0.2.1"), "b");
        assert!(compiled.link(ifindex, "").is_enforced);
    }
    assert_eq!(compiled.0.enforced(), [30].into());

    // A member that is named has links of its own.
    let compiled = compiled_for("zones: { a: { match: { interface: eth0 } } }", &machine);
    assert_eq!(compiled.source(10, "", "192.0.2.1"), "a");
    assert_eq!(compiled.source(30, "", "192.0.2.1"), "unknown");
    assert_eq!(compiled.0.enforced(), [10].into());
}

#[test]
fn essential_protocols_are_off_where_every_zone_says_so() {
    let compiled = compiled(
        "zones:
           cameras: { match: { interface: eth0, vlan: 30 }, essential_off: [ra, link] }
           trunk:   { match: { interface: eth0 } }
           plc:     { match: { interface: eth1, prefix: 10.0.1.0/24 }, essential_off: [arp, dhcp] }
           drives:  { match: { interface: eth1, prefix: 10.0.2.0/24, mac: 02:00:00:00:00:09 }, essential_off: [dhcp, mld] }
           voice:   { match: [{ vlan: 7 }, { prefix: 10.0.7.0/24 }], essential_off: igmp }",
    );
    let cases: [(u32, &str, &[Essential]); 8] = [
        (10, "", &[]),
        (10, "30", &[Essential::RA, Essential::LINK]),
        (10, "30.5", &[]),
        (10, "7", &[Essential::IGMP]),
        (11, "", &[Essential::DHCP]),
        (11, "7", &[Essential::IGMP]),
        // What no entry names by its link.
        (12, "", &[Essential::IGMP]),
        (99, "", &[Essential::IGMP]),
    ];
    for (ifindex, vlan, want) in cases {
        let link = compiled.link(ifindex, vlan).class;
        let facts = lookup::link_facts(&compiled.0, link);
        let all = Essential::ALL.into_iter();
        let off: Vec<Essential> = all.filter(|one| facts.is_off(*one)).collect();
        assert_eq!(off, want, "{ifindex} {vlan}");
    }
}
