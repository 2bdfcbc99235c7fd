//! Named members of zones, and what is bound to their hardware addresses.

use xtask::lab::{Family, Outcome, ROUTER, Service};

use Service::{Tcp, Udp};

use crate::network::{self, DROPPED, Net, PASSES, with_conduits};

/// A meter among the guests, with these keys.
fn policy(meter: &str) -> String {
    let head = network::policy(&[]);
    with_conduits(
        &format!("{head}devices:\n  meter: {{ zone: guests, {meter} }}\n"),
        &[
            "id: report, from: meter, to: [plant, self], services: udp/53",
            "id: web, from: guests, to: plant, services: tcp/443",
            "id: read, from: office, to: guests, services: udp/53",
        ],
    )
}

/// The keys of the host of the guests.
fn bound(net: &Net, mac: &str) -> String {
    let ip = |family| net.lab.address("office", "guests", family);
    let (v4, v6) = (ip(Family::V4), ip(Family::V6));
    format!("mac: \"{mac}\", ip: [{v4}, \"{v6}\"]")
}

/// Another address of the network of the guests.
fn neighbour(net: &Net, family: Family) -> std::net::IpAddr {
    let own = net.lab.address("office", "guests", family).to_string();
    let (network, _) = own.rsplit_once(['.', ':']).unwrap();
    let separator = &own[network.len()..=network.len()];
    format!("{network}{separator}77").parse().unwrap()
}

#[test]
fn a_device_has_its_own_conduits_and_those_of_its_zone() {
    let net = Net::open();
    let mac = net.lab.mac("guests").unwrap();
    net.apply(&policy(&bound(&net, &mac)));
    net.expect(&[
        ("guests", "plant", Udp(53), PASSES),
        ("guests", ROUTER, Udp(53), PASSES),
        ("guests", "plant", Tcp(443), PASSES),
        ("guests", "plant", Tcp(80), DROPPED),
        ("office", "guests", Udp(53), PASSES),
        ("plant", "guests", Udp(53), DROPPED),
    ]);
    assert!(net.drops("meter", "plant", "no-conduit") >= 2);
    assert!(net.drops("plant", "meter", "no-conduit") >= 2);

    // Without a frame, the hardware address is taken for that of the device.
    let (from, to) = ("guests", "plant");
    let to = format!("{}:53/udp", net.lab.address(from, to, Family::V4));
    let from = net.lab.address("office", from, Family::V4).to_string();
    let explain = ["explain", "--from", &from, "--to", &to];
    let told = net.enforcer.output(&explain).unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.starts_with("allow by report\n  from  meter "),
        "{told}"
    );
}

#[test]
fn a_bound_card_has_no_other_address() {
    let net = Net::open();
    let mac = net.lab.mac("guests").unwrap();
    net.apply(&policy(&bound(&net, &mac)));
    for (count, family) in [(1, Family::V4), (2, Family::V6)] {
        let claimed = neighbour(&net, family);
        let seen = net.lab.spoof("guests", claimed, "plant", 53).unwrap();
        assert_eq!(seen, Outcome::Silent, "{family:?}");
        assert_eq!(net.drops("meter", "-", "binding-violated"), count);
    }
    // With an address of one family, nothing is said of the other.
    let v4 = net.lab.address("office", "guests", Family::V4);
    net.apply(&policy(&format!("mac: \"{mac}\", ip: {v4}")));
    let claimed = neighbour(&net, Family::V6);
    let seen = net.lab.spoof("guests", claimed, "plant", 53).unwrap();
    assert_eq!(seen, Outcome::Answered);
}

#[test]
fn a_bound_address_has_no_other_card() {
    let net = Net::open();
    // Once the policy holds, not even its question where the router is passes.
    net.expect(&[("guests", "plant", Udp(53), PASSES)]);
    net.apply(&policy(&bound(&net, "02:ff:ff:ff:ff:ff")));
    net.expect(&[
        ("guests", "plant", Udp(53), DROPPED),
        ("guests", "plant", Tcp(443), DROPPED),
    ]);
    assert!(net.drops("guests", "-", "binding-violated") >= 2);
    // Who is not the meter is a guest under any other address.
    let claimed = neighbour(&net, Family::V4);
    let seen = net.lab.spoof("guests", claimed, "plant", 53).unwrap();
    assert_eq!(seen, Outcome::Silent);
    assert_eq!(net.drops("guests", "plant", "no-conduit"), 1);
}

#[test]
fn a_stranger_lands_where_the_policy_wants_it() {
    let net = Net::open();
    let mac = net.lab.mac("guests").unwrap();
    let policy = |mac: &str| {
        format!(
            "\
version: 1
zones:
  plant: {{ match: [{{ interface: plc0, prefix: [10.2.0.0/24, \"fd02::/64\"] }}] }}
  known: {{ match: [{{ interface: gst0, mac: [\"02:00:00:00:00:77\", \"{mac}\"] }}] }}
  quarantine: {{ match: [{{ interface: gst0 }}] }}
devices:
  laptop: {{ zone: known, mac: \"{mac}\" }}
conduits:
  - {{ id: work, from: known, to: plant, services: udp/53 }}
  - {{ id: help, from: quarantine, to: plant, services: tcp/443 }}
"
        )
    };
    net.apply(&policy(&mac));
    net.expect(&[
        ("guests", "plant", Udp(53), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
    ]);
    assert!(net.drops("laptop", "plant", "no-conduit") >= 2);
    net.apply(&policy("02:00:00:00:00:78"));
    net.expect(&[
        ("guests", "plant", Udp(53), DROPPED),
        ("guests", "plant", Tcp(443), PASSES),
    ]);
    assert!(net.drops("quarantine", "plant", "no-conduit") >= 2);
}
