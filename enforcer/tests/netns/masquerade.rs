//! A router whose netfilter gives its own address to what leaves for `guests`.

use std::net::UdpSocket;
use std::time::Duration;

use xtask::lab::{Family, Service};

use crate::icmp_errors::{expect_too_big, narrow_behind};
use crate::network::{DROPPED, Net, PASSES, policy};

const PATIENCE: Duration = Duration::from_secs(5);

const MASQUERADE: &str = "table inet nat { chain post { type nat hook postrouting priority 100; \
                          oifname \"gst0\" masquerade; }; }";

/// The host outside knows no way to the networks inside: without translation no
/// answer gets back.
fn net() -> Net {
    let net = Net::open();
    net.enforcer.run_program("nft", &[MASQUERADE]).unwrap();
    let forget = "route del default via 10.3.0.1\nroute del default via fd03::1\n";
    net.lab.host("guests").ip(forget).unwrap();
    net
}

const OUT: [&str; 2] = [
    "id: office-out, from: office, to: guests, services: [tcp/443, udp/53, ping]",
    "id: plant-out, from: plant, to: guests, services: tcp/443",
];

fn expect_the_policy(net: &Net) {
    net.expect(&[
        ("office", "guests", Service::Tcp(443), PASSES),
        ("office", "guests", Service::Udp(53), PASSES),
        ("office", "guests", Service::Ping, PASSES),
        ("plant", "guests", Service::Tcp(443), PASSES),
        ("plant", "guests", Service::Udp(53), DROPPED),
        ("office", "guests", Service::Tcp(80), DROPPED),
        ("guests", "router", Service::Tcp(443), DROPPED),
        ("guests", "router", Service::Ping, DROPPED),
    ]);
}

#[test]
fn answers_come_back_and_nothing_else_does() {
    let net = net();
    net.apply(&policy(&OUT));
    expect_the_policy(&net);
    // What passes counts once, though two hooks have seen it.
    net.lab.host("guests").serve(Service::Udp(53)).unwrap();
    let before = net.passed("office-out");
    let socket = net
        .lab
        .host("office")
        .udp("10.1.0.10:4000".parse().unwrap());
    assert_eq!(echoed(&socket.unwrap(), "10.3.0.10:53", &[7; 100]), 100);
    assert_eq!(net.passed("office-out") - before, 2);
    assert!(net.drops("guests", "self", "no-conduit") > 0);
}

#[test]
fn every_ingress_hook_hands_the_zone_over() {
    let net = net();
    for hook in ["tc", "xdp-generic", "xdp"] {
        let interfaces =
            ["off0", "plc0", "gst0"].map(|name| format!("  {name}: {{ hook: {hook} }}\n"));
        net.apply(&format!(
            "{}interfaces:\n{}",
            policy(&OUT),
            interfaces.concat()
        ));
        expect_the_policy(&net);
    }
}

#[test]
fn a_translated_connection_ends_with_its_permission() {
    let net = net();
    net.apply(&policy(&OUT));
    let mut connections =
        Family::BOTH.map(|family| net.lab.connect("office", "guests", 443, family).unwrap());
    for connection in &mut connections {
        connection.exchange(b"before").unwrap();
    }
    net.apply(&policy(&[OUT[0]]));
    for connection in &mut connections {
        connection.exchange(b"still allowed").unwrap();
    }
    net.apply(&policy(&[OUT[1]]));
    for connection in &mut connections {
        connection.set_patience(Duration::from_millis(500)).unwrap();
        connection.exchange(b"not allowed").unwrap_err();
    }
}

#[test]
fn the_other_end_alone_cannot_go_on_with_a_withdrawn_flow() {
    let net = net();
    net.apply(&policy(&OUT));
    let outside = net.lab.host("guests").udp("10.3.0.10:53".parse().unwrap());
    let outside = outside.unwrap();
    let inside = net
        .lab
        .host("office")
        .udp("10.1.0.10:4000".parse().unwrap());
    let inside = inside.unwrap();
    inside.send_to(b"question", "10.3.0.10:53").unwrap();
    let mut buffer = [0; 16];
    outside.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, peer) = outside.recv_from(&mut buffer).unwrap();
    assert_eq!(peer.ip(), net.lab.address("guests", "router", Family::V4));
    inside.set_read_timeout(Some(PATIENCE)).unwrap();
    outside.send_to(b"answer", peer).unwrap();
    inside.recv_from(&mut buffer).unwrap();

    net.apply(&policy(&[OUT[1]]));
    let before = net.drops("guests", "self", "no-conduit");
    outside.send_to(b"late", peer).unwrap();
    net.until(|| net.drops("guests", "self", "no-conduit") > before);
}

#[test]
fn one_port_of_two_zones_is_told_apart() {
    let net = net();
    net.apply(&policy(&[
        "id: out, from: [office, plant], to: guests, services: udp/53",
    ]));
    net.lab.host("guests").serve(Service::Udp(53)).unwrap();
    let sockets = [("office", "10.1.0.10:4000"), ("plant", "10.2.0.10:4000")];
    let sockets = sockets.map(|(host, at)| net.lab.host(host).udp(at.parse().unwrap()).unwrap());
    for (socket, len) in sockets.iter().zip([10, 20]).cycle().take(6) {
        assert_eq!(echoed(socket, "10.3.0.10:53", &vec![1; len]), len);
    }
}

#[test]
fn fragments_are_translated_and_answered() {
    let net = net();
    net.apply(&policy(&OUT));
    net.lab.host("guests").serve(Service::Udp(53)).unwrap();
    for (at, to) in [
        ("10.1.0.10:4000", "10.3.0.10:53"),
        ("[fd01::10]:4000", "[fd03::10]:53"),
    ] {
        let socket = net.lab.host("office").udp(at.parse().unwrap()).unwrap();
        assert_eq!(echoed(&socket, to, &[9; 2000]), 2000, "{at}");
    }
}

#[test]
fn a_smaller_mtu_outside_is_discovered_through_translation() {
    let net = net();
    narrow_behind(&net, "guests", ("10.3.0.10", "fd03::10"));
    net.apply(&policy(&[
        "id: send, from: office, to: guests, services: udp/9",
    ]));
    expect_too_big(&net);
}

/// How many bytes come back.
fn echoed(socket: &UdpSocket, to: &str, bytes: &[u8]) -> usize {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(bytes, to).unwrap();
    let mut buffer = [0; 8192];
    let (len, _) = socket.recv_from(&mut buffer).unwrap();
    len
}
