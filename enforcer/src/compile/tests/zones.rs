//! Source and destination zones by address.

use super::*;

#[test]
fn the_longest_prefix_decides_then_vlan_then_interface() {
    let compiled = compiled(
        "zones:
           all:    { match: { prefix: 0.0.0.0/0 } }
           office: { match: { prefix: 10.0.0.0/8 } }
           deep:   { match: { prefix: 10.1.0.0/16, interface: eth0 } }
           tagged: { match: { prefix: 10.0.0.0/8, vlan: 30 } }
           wired:  { match: { prefix: 10.0.0.0/8, interface: eth0 } }
           link:   { match: { interface: eth3 } }
           vlan:   { match: { vlan: 40 } }
           both:   { match: { interface: eth3, vlan: 40 } }",
    );
    let cases = [
        (11, "", "192.0.2.1", "all"),
        (11, "", "10.0.0.1", "office"),
        (11, "30", "10.0.0.1", "tagged"),
        (11, "31", "10.0.0.1", "office"),
        (10, "", "10.0.0.1", "wired"),
        (10, "30", "10.0.0.1", "tagged"),
        (10, "30", "10.1.0.1", "deep"),
        (10, "", "10.1.255.255", "deep"),
        (10, "", "10.2.0.0", "wired"),
        // All entries with the prefix name an interface.
        (11, "", "10.1.0.1", "!unknown"),
        (13, "", "10.1.0.1", "!link"),
        (13, "40", "10.1.0.1", "!both"),
        (12, "40", "10.1.0.1", "!vlan"),
        // Any prefix is more than a link.
        (13, "40", "192.0.2.1", "all"),
        (13, "", "2001:db8::1", "link"),
        (13, "40", "2001:db8::1", "both"),
        (11, "40", "2001:db8::1", "vlan"),
        (11, "", "2001:db8::1", "unknown"),
        (99, "", "10.0.0.1", "office"),
        (99, "40", "2001:db8::1", "unknown"),
    ];
    for (ifindex, vlan, address, want) in cases {
        let got = compiled.source(ifindex, vlan, address);
        assert_eq!(got, want, "{ifindex} {vlan} {address}");
    }
}

#[test]
fn prefixes_of_every_length_are_found() {
    let mut text = String::from("zones:\n");
    for len in [1, 7, 8, 15, 16, 17, 23, 24, 25, 31, 32] {
        text += &format!("  v4-{len}: {{ match: {{ prefix: 128.0.0.0/{len} }} }}\n");
    }
    for len in [1, 15, 16, 17, 63, 64, 65, 120, 121, 127, 128] {
        text += &format!("  v6-{len}: {{ match: {{ prefix: \"8000::/{len}\" }} }}\n");
    }
    let compiled = compiled(&text);
    let cases = [
        ("128.0.0.0", "v4-32"),
        ("128.0.0.1", "v4-31"),
        ("128.0.0.2", "v4-25"),
        ("128.0.0.127", "v4-25"),
        ("128.0.0.128", "v4-24"),
        ("128.0.1.0", "v4-23"),
        ("128.0.2.0", "v4-17"),
        ("128.0.128.0", "v4-16"),
        ("128.1.0.0", "v4-15"),
        ("128.2.0.0", "v4-8"),
        ("129.0.0.0", "v4-7"),
        ("130.0.0.0", "v4-1"),
        ("127.255.255.255", "unknown"),
        ("126.255.255.255", "unknown"),
        ("8000::", "v6-128"),
        ("8000::1", "v6-127"),
        ("8000::2", "v6-121"),
        ("8000::80", "v6-120"),
        ("8000::100", "v6-65"),
        ("8000::8000:0:0:0", "v6-64"),
        ("8000:0:0:1::", "v6-63"),
        ("8000:0:0:2::", "v6-17"),
        ("8000:8000::", "v6-16"),
        ("8001::", "v6-15"),
        ("8002::", "v6-1"),
        ("7fff::", "unknown"),
    ];
    for (address, want) in cases {
        assert_eq!(compiled.destination(address), want, "{address}");
    }
}

#[test]
fn a_prefix_that_several_zones_claim_is_told_apart_by_route() {
    let compiled = compiled(
        "zones:
           left:  { match: { prefix: 10.0.0.0/8, interface: eth0 } }
           right: { match: { prefix: 10.0.0.0/8, interface: eth1 } }
           twice: { match: [{ prefix: 10.9.0.0/16, vlan: 1 }, { prefix: 10.9.0.0/16, vlan: 2 }] }",
    );
    assert_eq!(compiled.destination("10.0.0.1"), "route");
    assert_eq!(compiled.destination("10.9.0.1"), "twice");
    // What the route gives is looked up like a source.
    assert_eq!(compiled.source(10, "", "10.0.0.1"), "left");
    assert_eq!(compiled.source(11, "", "10.0.0.1"), "right");
    assert_eq!(compiled.source(12, "", "10.0.0.1"), "!unknown");
}

#[test]
fn a_destination_without_prefix_goes_by_route_where_links_have_zones() {
    let prefixes = compiled("zones: { a: { match: { prefix: 10.0.0.0/8 } } }");
    assert_eq!(prefixes.destination("192.0.2.1"), "unknown");
    let links = compiled(
        "zones: { a: { match: { prefix: 10.0.0.0/8 } }, b: { match: { interface: eth0 } } }",
    );
    assert_eq!(links.destination("192.0.2.1"), "route");
    assert_eq!(links.destination("2001:db8::1"), "route");
    assert_eq!(links.destination("10.0.0.1"), "a");
}

#[test]
fn forged_sources_are_known_by_the_interfaces_of_their_prefix() {
    let compiled = compiled(
        "zones:
           bound:  { match: { prefix: 10.0.0.0/16, interface: [eth0, eth1], vlan: [30, 40.50] } }
           loose:  { match: [{ prefix: 10.1.0.0/16, interface: eth0 }, { prefix: 10.1.0.0/16, vlan: 30 }] }
           around: { match: { prefix: 10.0.0.0/8 } }
           link:   { match: { interface: eth2 } }",
    );
    let cases = [
        (10, "30", "10.0.0.1", "bound"),
        (11, "40.50", "10.0.0.1", "bound"),
        (10, "", "10.0.0.1", "!unknown"),
        (10, "40", "10.0.0.1", "!unknown"),
        (10, "30.50", "10.0.0.1", "!unknown"),
        (12, "30", "10.0.0.1", "!link"),
        // One entry without an interface: the address may come from anywhere,
        // and the next shorter prefix decides.
        (10, "", "10.1.0.1", "loose"),
        (13, "30", "10.1.0.1", "loose"),
        (13, "", "10.1.0.1", "around"),
        (12, "", "10.1.0.1", "around"),
    ];
    for (ifindex, vlan, address, want) in cases {
        let got = compiled.source(ifindex, vlan, address);
        assert_eq!(got, want, "{ifindex} {vlan} {address}");
    }
}

#[test]
fn the_routers_addresses_are_self_and_never_a_source() {
    let mut machine = machine();
    machine.addresses = vec![
        address(10, "10.0.0.1/24"),
        address(10, "fd00::1/64"),
        address(11, "192.0.2.0/31"),
        address(1, "127.0.0.1/8"),
        Address {
            broadcast: Some([10, 9, 0, 7].into()),
            ..address(12, "10.9.0.1/24")
        },
    ];
    let compiled = compiled_for(
        "zones: { a: { match: { prefix: [10.0.0.0/8, \"fd00::/8\"], interface: eth0 } } }",
        &machine,
    );
    let cases = [
        ("10.0.0.1", "self", false, "!a"),
        ("10.0.0.255", "self", true, "!a"),
        ("10.0.0.0", "a", false, "a"),
        ("10.0.0.2", "a", false, "a"),
        ("10.9.0.7", "self", true, "!a"),
        ("10.9.0.255", "self", true, "!a"),
        ("fd00::1", "self", false, "!a"),
        ("fd00::2", "a", false, "a"),
        ("192.0.2.0", "self", false, "!unknown"),
        ("192.0.2.1", "unknown", false, "unknown"),
        // Never on the wire, though the router has it.
        ("127.0.0.1", "unknown", false, "!unknown"),
    ];
    for (address, destination, is_group, source) in cases {
        assert_eq!(compiled.destination(address), destination, "{address}");
        assert_eq!(compiled.is_group(address), is_group, "{address}");
        assert_eq!(compiled.source(10, "", address), source, "{address}");
    }
}

#[test]
fn special_addresses_mean_the_same_everywhere() {
    let compiled = compiled(
        "zones:
           all:   { match: { prefix: [0.0.0.0/0, \"::/0\"] } }
           media: { match: { prefix: [239.1.0.0/16, \"ff05::/16\"] } }
           link:  { match: { interface: eth0, vlan: 9 } }",
    );
    let cases = [
        ("0.0.0.0", "unknown", false),
        ("0.0.0.1", "all", false),
        ("127.0.0.1", "unknown", false),
        ("127.255.255.255", "unknown", false),
        ("::", "unknown", false),
        ("::1", "unknown", false),
        ("::2", "all", false),
        ("224.0.0.1", "self", true),
        ("239.0.255.255", "self", true),
        ("239.1.2.3", "media", true),
        ("239.2.0.0", "self", true),
        ("240.0.0.0", "all", false),
        ("255.255.255.255", "self", true),
        ("255.255.255.254", "all", false),
        ("ff02::1", "self", true),
        ("ff05::1:3", "media", true),
        ("feff::1", "all", false),
    ];
    for (address, destination, is_group) in cases {
        assert_eq!(compiled.destination(address), destination, "{address}");
        assert_eq!(compiled.is_group(address), is_group, "{address}");
        let is_special = is_group || destination == "unknown";
        let source = compiled.source(10, "9", address);
        assert_eq!(source.starts_with('!'), is_special, "{address} {source}");
    }
}

#[test]
fn a_zone_may_claim_all_groups() {
    let compiled = compiled("zones: { all: { match: { prefix: [224.0.0.0/4, \"ff00::/8\"] } } }");
    for group in ["224.0.0.1", "239.255.255.255", "ff02::1"] {
        assert_eq!(compiled.destination(group), "all", "{group}");
        assert!(compiled.is_group(group), "{group}");
    }
    assert_eq!(compiled.destination("255.255.255.255"), "self");
}

#[test]
fn a_group_that_several_zones_claim_stays_with_the_router() {
    let compiled = compiled(
        "zones:
           left:  { match: { prefix: 239.1.0.0/16, interface: eth0 } }
           right: { match: { prefix: 239.1.0.0/16, interface: eth1 } }",
    );
    assert_eq!(compiled.destination("239.1.2.3"), "self");
    // What the router sends goes to the zone of the link.
    assert_eq!(compiled.source(10, "", "239.1.2.3"), "!left");
    assert_eq!(compiled.source(11, "", "239.1.2.3"), "!right");
}

#[test]
fn failsafe_bits_are_those_of_all_prefixes_around() {
    let compiled = compiled(
        "zones:
           a: { match: { prefix: 10.0.0.0/24, interface: eth0 } }
failsafe:
           - { from: 10.0.0.0/8, service: tcp/22 }
           - { from: 10.0.0.5/32, service: tcp/443, interface: eth0 }
           - { from: 0.0.0.0/0, service: [tcp/22, tcp/8000-9000], interface: eth1 }",
    );
    let addresses = [
        ("10.0.0.5", 0b111),
        ("10.0.0.6", 0b101),
        ("10.9.9.9", 0b101),
        ("192.0.2.1", 0b100),
        ("224.0.0.1", 0b100),
        ("fd00::1", 0),
    ];
    for (address, want) in addresses {
        assert_eq!(compiled.known(address).failsafes, want, "{address}");
    }
    let links = [(10, 0b011), (11, 0b101), (12, 0b001), (99, 0b001)];
    for (ifindex, want) in links {
        let link = compiled.link(ifindex, "7").class;
        let got = lookup::link_facts(&compiled.0, link).failsafes;
        assert_eq!(got, want, "{ifindex}");
    }
    let services = [
        ("tcp/22", 0b101),
        ("tcp/443", 0b010),
        ("tcp/8080", 0b100),
        ("tcp/80", 0),
        ("udp/22", 0),
    ];
    for (service, want) in services {
        let class = compiled.port_class(service);
        let got = lookup::port_failsafes(&compiled.0, class);
        assert_eq!(got, want, "{service}");
    }
}
