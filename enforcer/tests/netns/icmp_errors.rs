//! What routers and hosts report about packets.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv4Ttl, Ipv6RecvErr, Ipv6Ttl};
use xtask::lab::Family;

use crate::network::{Net, policy};
use crate::packets::{ICMP, ICMPV6, UDP, error, packet, udp};

const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing passes but what the conduits say; the router starts nothing.
fn strict(conduits: &[&str]) -> String {
    policy(conduits) + "defaults: { self_out: drop }\n"
}

#[test]
fn a_smaller_mtu_behind_the_router_is_discovered() {
    let net = Net::under(&strict(&[
        "id: copy, from: office, to: plant, services: tcp/445",
    ]));
    net.lab.router().ip("link set plc0 mtu 1300\n").unwrap();
    // The host behind knows of it, and says nothing.
    let silent = "\
link set eth0 mtu 1300
route replace default via 10.2.0.1 dev eth0 advmss 1460
route replace default via fd02::1 dev eth0 advmss 1440
";
    net.lab.host("plant").ip(silent).unwrap();
    let block: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    for family in Family::BOTH {
        let mut connection = net.lab.connect("office", "plant", 445, family).unwrap();
        for _ in 0..4 {
            let exchanged = connection.exchange(&block);
            exchanged.unwrap_or_else(|error| {
                panic!("{family:?}: {error}: {:#?}", net.enforcer.counters())
            });
        }
    }
    assert!(net.passed("(related)") >= 2);
}

#[test]
fn a_smaller_mtu_beyond_the_next_router_is_discovered() {
    let head = policy(&["id: send, from: office, to: plant, services: udp/9"]);
    let beyond = "prefix: [10.2.0.0/24, \"fd02::/64\", 10.99.0.0/24, \"fd99::/64\"]";
    let head = head.replace("prefix: [10.2.0.0/24, \"fd02::/64\"]", beyond);
    let net = Net::under(&(head + "defaults: { self_out: drop }\n"));
    narrow_behind(&net, "plant", ("10.2.0.10", "fd02::10"));
    expect_too_big(&net);
}

#[test]
fn traceroute_sees_every_hop() {
    let net = Net::under(&strict(&[
        "id: trace, from: office, to: plant, services: udp/33434",
    ]));
    for family in Family::BOTH {
        let target = SocketAddr::new(net.lab.address("office", "plant", family), 33434);
        for (hops, want) in [(1, Errno::EHOSTUNREACH), (2, Errno::ECONNREFUSED)] {
            let socket = asking(&net, target);
            match family {
                Family::V4 => setsockopt(&socket, Ipv4Ttl, &hops).unwrap(),
                Family::V6 => setsockopt(&socket, Ipv6Ttl, &hops).unwrap(),
            }
            assert_eq!(
                told(&socket, b"who is there?"),
                Some(want as i32),
                "{target} {hops}"
            );
        }
    }
    // Each counts where it is judged: the router's own on their way out.
    assert_eq!(net.passed("(related)"), 4);
}

#[test]
fn errors_about_no_flow_are_dropped_and_redirects_always() {
    let net = Net::under(&strict(&[
        "id: ask, from: office, to: plant, services: udp/53",
        "id: bend, from: plant, to: office, services: [icmp/5, icmpv6/137, udp/7]",
    ]));
    for family in Family::BOTH {
        let office = net.lab.address("plant", "office", family);
        let plant = net.lab.address("office", "plant", family);
        let (protocol, unreachable, redirect) = match family {
            Family::V4 => (ICMP, (3, 3), (5, 1)),
            Family::V6 => (ICMPV6, (1, 4), (137, 0)),
        };
        // A flow, and what its packets look like.
        let socket = asking(&net, SocketAddr::new(plant, 53));
        assert_eq!(told(&socket, b"?"), Some(Errno::ECONNREFUSED as i32));
        let port = socket.local_addr().unwrap().port();
        let asked = |from: u16| packet(office, plant, UDP, &udp(from, 53, 9, 9));

        let related = net.passed("(related)");
        let reasons =
            ["icmp-unrelated", "no-conduit"].map(|reason| net.drops("plant", "office", reason));
        let send = |(kind, code), about: &[u8]| {
            let packet = packet(plant, office, protocol, &error(kind, code, about));
            net.lab.host("plant").send_packet(packet, office).unwrap();
        };
        send(unreachable, &asked(port));
        send(unreachable, &asked(port.wrapping_add(1)));
        send(
            unreachable,
            &packet(plant, office, UDP, &udp(53, port, 9, 9)),
        );
        let nested = packet(
            office,
            plant,
            protocol,
            &error(unreachable.0, unreachable.1, &asked(port)),
        );
        send(unreachable, &nested);
        send(redirect, &asked(port));
        flush(&net, office);

        assert_eq!(net.passed("(related)"), related + 1, "{family:?}");
        // A redirect is an error in IPv4 only.
        let want = match family {
            Family::V4 => [reasons[0] + 4, reasons[1]],
            Family::V6 => [reasons[0] + 3, reasons[1] + 1],
        };
        let got =
            ["icmp-unrelated", "no-conduit"].map(|reason| net.drops("plant", "office", reason));
        assert_eq!(got, want, "{family:?}");
    }
    assert_eq!(net.passed("bend"), 2);
}

/// A socket of `office` that is told of errors.
fn asking(net: &Net, target: SocketAddr) -> UdpSocket {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = net.lab.host("office").udp(SocketAddr::new(any, 0)).unwrap();
    match target {
        SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true).unwrap(),
        SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true).unwrap(),
    }
    socket.connect(target).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A network of a smaller MTU, 10.99.0.0/24 and fd99::/64, behind a host with these
/// addresses, which routes to it.
pub fn narrow_behind(net: &Net, host: &str, (v4, v6): (&str, &str)) {
    let router = net.lab.host(host);
    router.set("net/ipv4/ip_forward", "1").unwrap();
    router.set("net/ipv6/conf/all/forwarding", "1").unwrap();
    let behind = "\
link add far type veth peer name out
link set out up
link set far mtu 1280 up
address add 10.99.0.1/24 dev far
address add fd99::1/64 dev far nodad
neighbour add 10.99.0.9 lladdr 02:00:00:00:00:09 dev far
neighbour add fd99::9 lladdr 02:00:00:00:00:09 dev far
";
    router.ip(behind).unwrap();
    let routes = format!("route add 10.99.0.0/24 via {v4}\nroute add fd99::/64 via {v6}\n");
    net.lab.router().ip(&routes).unwrap();
}

/// What `office` sends to a network of a smaller MTU comes back as too big.
pub fn expect_too_big(net: &Net) {
    for target in ["10.99.0.9:9", "[fd99::9]:9"] {
        let target: SocketAddr = target.parse().unwrap();
        let seen = told(&asking(net, target), &[0; 1400]);
        assert_eq!(seen, Some(Errno::EMSGSIZE as i32), "{target}");
    }
    assert_eq!(net.passed("(related)"), 2);
}

/// The error that the network reports about what is sent, if it does.
fn told(socket: &UdpSocket, bytes: &[u8]) -> Option<i32> {
    socket.send(bytes).unwrap();
    match socket.recv(&mut [0; 64]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => error.raw_os_error(),
        Ok(length) => panic!("{length} bytes came back"),
    }
}

/// Returns when the router has seen all that `plant` has sent to `office`.
fn flush(net: &Net, office: IpAddr) {
    let server = net
        .lab
        .host("office")
        .udp(SocketAddr::new(office, 7))
        .unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let any: IpAddr = match office {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0_u16; 8].into(),
    };
    let client = net.lab.host("plant").udp(SocketAddr::new(any, 0)).unwrap();
    client
        .send_to(b"that is all", server.local_addr().unwrap())
        .unwrap();
    server.recv(&mut [0; 64]).unwrap();
}
