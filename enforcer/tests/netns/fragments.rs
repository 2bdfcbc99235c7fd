//! Datagrams that do not fit into one packet.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use xtask::lab::{Family, ROUTER};

use crate::network::{Net, policy};
use crate::packets::{UDP, piece, udp};

const PORT: u16 = 5000;
/// Allowed everywhere, to wait for what was sent before.
const FLUSH_PORT: u16 = 7;
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn long_datagrams_pass_both_ways() {
    let net = Net::under(
        &(policy(&[
            "id: long, from: office, to: [plant, self], services: udp/5000",
            "id: own, from: self, to: plant, services: udp/5000",
        ]) + "defaults: { self_out: drop }\n"),
    );
    let block: Vec<u8> = (0..=255).cycle().take(4_000).collect();
    for family in Family::BOTH {
        for (from, to) in [("office", "plant"), ("office", ROUTER), (ROUTER, "plant")] {
            let (client, server) = sockets(&net, (from, to), PORT, family);
            for _ in 0..3 {
                exchange(&client, &server, &block);
            }
        }
    }
    assert_eq!(net.enforcer.counters().unwrap()["drops"], json!([]));
    // Both ways, both families, three times two or three: each packet counts.
    assert_eq!(net.passed("long"), 2 * 2 * 2 * 3 * 3);
    assert_eq!(net.passed("own"), 2 * 2 * 3 * 3);
}

#[test]
fn long_pings_pass() {
    let net = Net::under(&policy(&[
        "id: ping, from: office, to: plant, services: ping",
    ]));
    for family in Family::BOTH {
        let target = net.lab.address("office", "plant", family).to_string();
        let office = net.lab.host("office").namespace();
        let ping = office.run(move || {
            let mut ping = Command::new("ping");
            ping.args(["-c", "3", "-i", "0.2", "-W", "5", "-s", "4000", &target]);
            ping.env("PATH", xtask::command::path());
            ping.stdout(Stdio::piped()).spawn()
        });
        let output = ping.unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(net.enforcer.counters().unwrap()["drops"], json!([]));
    assert_eq!(net.passed("ping"), 2 * 2 * 3 * 3);
}

#[test]
fn fragments_of_what_is_not_allowed_are_dropped() {
    let net = Net::under(&policy(&[
        "id: other, from: office, to: plant, services: udp/7",
    ]));
    for family in Family::BOTH {
        let (client, server) = sockets(&net, ("office", "plant"), PORT, family);
        client
            .send_to(&[7; 4_000], server.local_addr().unwrap())
            .unwrap();
        flush(&net, family);
    }
    assert_eq!(net.drops("office", "plant", "no-conduit"), 2);
    assert_eq!(net.drops("office", "-", "fragment-orphan"), 4);
}

#[test]
fn fragments_that_contradict_each_other_are_dropped() {
    let net = Net::under(&policy(&[
        "id: long, from: office, to: plant, services: [udp/5000, udp/7]",
    ]));
    let first = udp(1000, PORT, 64, 32);
    /// Why, what comes after the first fragment, and how often: of each piece where
    /// it starts, whether more follow, its length.
    type Case = (&'static str, &'static [(u16, bool, usize)], u64);
    let cases: [Case; 4] = [
        ("fragment-overlap", &[(24, true, 16), (40, false, 24)], 2),
        ("fragment-overlap", &[(48, false, 16), (32, false, 8)], 1),
        ("fragment-orphan", &[(32, false, 32), (32, false, 32)], 1),
        ("bad-fragment", &[(32, true, 12)], 1),
    ];
    for family in Family::BOTH {
        let (from, to) = ends(&net, "office", "plant", family);
        for (number, (reason, pieces, count)) in (1..).zip(cases) {
            let zone = if reason == "bad-fragment" {
                "unknown"
            } else {
                "office"
            };
            let before = net.drops(zone, "-", reason);
            let send = |start, has_more, payload: &[u8]| {
                let place = (number, start, has_more);
                let packet = piece((from, to), UDP, place, payload);
                net.lab.host("office").send_packet(packet, to).unwrap();
            };
            send(0, true, &first);
            for (start, has_more, length) in pieces {
                send(*start, *has_more, &vec![7; *length]);
            }
            flush(&net, family);
            let got = net.drops(zone, "-", reason) - before;
            assert_eq!(got, count, "{family:?} {reason} {pieces:?}");
        }
    }
}

/// Sockets of two hosts, and their addresses by a family.
fn sockets(
    net: &Net,
    (from, to): (&str, &str),
    port: u16,
    family: Family,
) -> (UdpSocket, UdpSocket) {
    let (source, destination) = ends(net, from, to, family);
    let client = net.lab.host(from).udp(SocketAddr::new(source, 0)).unwrap();
    let server = net
        .lab
        .host(to)
        .udp(SocketAddr::new(destination, port))
        .unwrap();
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (client, server)
}

fn ends(net: &Net, from: &str, to: &str, family: Family) -> (IpAddr, IpAddr) {
    let address = |from, to| net.lab.address(from, to, family);
    (address(to, from), address(from, to))
}

fn exchange(client: &UdpSocket, server: &UdpSocket, block: &[u8]) {
    let mut answer = vec![0; 2 * block.len()];
    client.send_to(block, server.local_addr().unwrap()).unwrap();
    let (length, peer) = server.recv_from(&mut answer).unwrap();
    assert_eq!(answer[..length], *block);
    server.send_to(block, peer).unwrap();
    let length = client.recv(&mut answer).unwrap();
    assert_eq!(answer[..length], *block);
}

/// Returns when the router has seen all that `office` has sent to `plant`: packets
/// do not overtake each other.
fn flush(net: &Net, family: Family) {
    let (client, server) = sockets(net, ("office", "plant"), FLUSH_PORT, family);
    exchange(&client, &server, b"that is all");
}
