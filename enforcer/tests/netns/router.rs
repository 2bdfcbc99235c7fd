//! Traffic to and from the router itself.

use xtask::lab::{Outcome, ROUTER, Seen, Service};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, policy};

#[test]
fn nobody_reaches_the_router_without_a_conduit() {
    let net = Net::under(&policy(&[
        "id: office-asks, from: office, to: self, services: [udp/53, ping]",
        "id: all-pass, from: any, to: any, services: any",
    ]));

    net.expect(&[
        ("office", ROUTER, Udp(53), PASSES),
        ("office", ROUTER, Ping, PASSES),
        ("office", ROUTER, Tcp(443), DROPPED),
        ("plant", ROUTER, Udp(53), DROPPED),
        ("plant", ROUTER, Ping, DROPPED),
        ("plant", ROUTER, Tcp(22), DROPPED),
    ]);
    assert!(net.drops("plant", "self", "no-conduit") >= 6);
}

#[test]
fn the_router_starts_flows_and_gets_answers() {
    let net = Net::under(&policy(&[]));

    net.expect(&[
        (ROUTER, "plant", Tcp(443), PASSES),
        (ROUTER, "plant", Udp(123), PASSES),
        (ROUTER, "plant", Ping, PASSES),
        ("plant", ROUTER, Tcp(443), DROPPED),
        ("plant", ROUTER, Udp(123), DROPPED),
        ("plant", ROUTER, Ping, DROPPED),
    ]);
}

#[test]
fn a_router_that_may_not_start_flows_needs_conduits() {
    let conduits = ["id: time, from: self, to: plant, services: udp/123"];
    let policy = policy(&conduits) + "defaults: { self_out: drop }\n";
    let net = Net::under(&policy);

    net.expect(&[
        (ROUTER, "plant", Udp(123), PASSES),
        (ROUTER, "plant", Tcp(443), DROPPED),
        (ROUTER, "office", Udp(123), DROPPED),
        (ROUTER, "office", Ping, DROPPED),
    ]);
    assert!(net.drops("self", "plant", "self-out") >= 2);
    assert!(net.drops("self", "office", "self-out") >= 4);
}

#[test]
fn the_failsafe_passes_under_a_policy_that_drops_everything() {
    let conduits = [
        "id: nothing, from: any, to: any, services: any, action: drop, priority: 32767",
        "id: nobody, from: [office, plant, guests], to: self, services: any, action: drop, \
         priority: 32767",
    ];
    let failsafe = "failsafe: [{ from: 10.1.0.10/32, service: tcp/22, interface: off0 }]\n";
    let net = Net::under(&(policy(&conduits) + failsafe));

    let ipv4_only = Seen {
        v4: Outcome::Answered,
        v6: Outcome::Silent,
    };
    net.expect(&[
        ("office", ROUTER, Tcp(22), ipv4_only),
        ("office", ROUTER, Tcp(23), DROPPED),
        ("office", ROUTER, Udp(22), DROPPED),
        ("office", "plant", Tcp(22), DROPPED),
        ("plant", ROUTER, Tcp(22), DROPPED),
    ]);
}

#[test]
fn the_failsafe_is_for_the_named_address_only() {
    let failsafe = "failsafe: [{ from: 10.1.0.99/32, service: tcp/22, interface: off0 }]\n";
    let net = Net::under(&(policy(&[]) + failsafe));

    net.expect(&[("office", ROUTER, Tcp(22), DROPPED)]);
}
