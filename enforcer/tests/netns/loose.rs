//! Asymmetric routes: the router sees one direction of a connection.

use std::io;
use std::time::Duration;

use xtask::lab::{Family, Service, succeeded};

use Service::{Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES};

const CONDUITS: [&str; 1] = ["id: web, from: office, to: plant, services: [tcp/443, udp/53]"];

fn policy(state: &str, conduits: &[&str]) -> String {
    let text = crate::network::policy(conduits);
    let plant = "{ match: [{ interface: plc0,";
    assert!(text.contains(plant));
    text.replace(
        plant,
        &format!("{{ state: {state}, match: [{{ interface: plc0,"),
    )
}

#[test]
fn answers_alone_pass_where_a_zone_is_loose() {
    let net = Net::open();
    direct_way(&net, "office", "plant");

    net.apply(&policy("strict", &CONDUITS));
    no_pickup(&net);
    net.expect(&[("office", "plant", Tcp(443), DROPPED)]);
    assert!(net.drops("plant", "office", "no-conduit") > 0);

    net.apply(&policy("loose", &CONDUITS));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        // No conduit lets the office open that.
        ("office", "plant", Tcp(22), DROPPED),
        // Of UDP nobody knows what is an answer.
        ("office", "plant", Udp(53), DROPPED),
        // What opens a connection is judged in its own direction, whatever its port.
        ("plant", "office", Tcp(443), DROPPED),
    ]);
    assert!(net.passed("web") > 0);

    // What passed as an answer is judged again like any flow.
    let mut web = net.lab.connect("office", "plant", 443, Family::V4).unwrap();
    web.exchange(b"before").unwrap();
    net.apply(&policy(
        "loose",
        &["id: none, from: office, to: plant, services: tcp/80"],
    ));
    web.set_patience(Duration::from_millis(700)).unwrap();
    let error = web.exchange(b"withdrawn").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn requests_alone_pass_in_mid_stream_where_a_zone_is_loose() {
    let net = Net::open();
    direct_way(&net, "plant", "office");
    for family in Family::BOTH {
        let connect = |port| {
            let connection = net.lab.connect("office", "plant", port, family).unwrap();
            connection.set_patience(Duration::from_millis(700)).unwrap();
            connection
        };
        let (mut web, mut shell) = (connect(443), connect(22));
        net.apply(&policy("strict", &CONDUITS));
        no_pickup(&net);
        let error = web.exchange(b"data").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

        net.apply(&policy("loose", &CONDUITS));
        // What waited is sent again by TCP.
        web.set_patience(Duration::from_secs(10)).unwrap();
        web.exchange(b"data").unwrap();
        let error = shell.exchange(b"data").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
}

/// A link beside the router, by which packets of one host reach the other.
fn direct_way(net: &Net, from: &str, to: &str) {
    const MACS: [&str; 2] = ["02:00:00:00:0b:01", "02:00:00:00:0b:02"];
    let (here, there) = (net.lab.host(from), net.lab.host(to));
    let thread = there.namespace().thread_id();
    let mut commands = format!(
        "link add back0 address {} type veth peer name back0 address {} netns {thread}\n\
         link set back0 up\n",
        MACS[0], MACS[1]
    );
    for family in Family::BOTH {
        let (source, target) = (
            net.lab.address(to, from, family),
            net.lab.address(from, to, family),
        );
        commands += &format!(
            "route add {target} dev back0 src {source}\n\
             neigh add {target} lladdr {} dev back0 nud permanent\n",
            MACS[1]
        );
    }
    here.ip(&commands).unwrap();
    there.ip("link set back0 up\n").unwrap();
}

fn no_pickup(net: &Net) {
    succeeded(&net.enforcer.output(&["pickup", "0s"]).unwrap()).unwrap();
}
