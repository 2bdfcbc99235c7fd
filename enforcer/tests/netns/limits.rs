//! How many flows there may be, and for how long.

use std::io;
use std::time::Duration;

use xtask::lab::{Family, Flood, succeeded};

use crate::network::{Net, policy};
use crate::quiet::{Datagrams, Quiet};
use crate::stream::Stream;

const WEB: &str = "id: web, from: office, to: plant, services: [tcp/443, udp/5000]";
const OPEN: &str = "id: open, from: guests, to: plant, services: [tcp/443, udp/53]";

/// Packets of each flood that pass the programs.
const FLOOD: u64 = 1_000_000;
/// Packets that are sent before somebody looks how many have passed.
const PORTION: u32 = 100_000;

/// The server answers what it can of the floods, so that their flows are
/// answered, too.
#[test]
fn floods_from_random_sources_break_no_established_flow() {
    let net = under(&[WEB, OPEN], "limits: { flows: 1024, flows_new: 4096 }\n");
    net.lab
        .host("plant")
        .serve(xtask::lab::Service::Udp(53))
        .unwrap();
    let mut quiet = Quiet::open(&net);
    for (flood, port) in [(Flood::Syn, 443), (Flood::Udp, 53)] {
        let before = net.passed("open");
        let mut seed = 1;
        while net.passed("open") < before + FLOOD {
            net.lab
                .flood("guests", "plant", (flood, port), (PORTION, seed))
                .unwrap();
            seed += 1;
        }
        quiet.expect_alive();
    }
    for (from, to) in [("office", "plant"), ("plant", "office")] {
        for reason in ["flow-table-full", "tcp-no-flow", "no-conduit"] {
            assert_eq!(net.drops(from, to, reason), 0, "{from} {to} {reason}");
        }
    }
}

#[test]
fn maps_of_another_size_know_the_same_flows() {
    let net = under(&[WEB], "");
    let connections = Family::BOTH.map(|it| net.lab.connect("office", "plant", 443, it).unwrap());
    let streams: Vec<_> = connections.into_iter().map(Stream::start).collect();
    let mut quiet = Quiet::open(&net);
    for (flows, flows_new) in [
        (1024, 65_536),
        (200_000, 1024),
        (200_000, 300_000),
        (1024, 1024),
    ] {
        let limits = format!("limits: {{ flows: {flows}, flows_new: {flows_new} }}\n");
        net.apply(&(policy(&[WEB]) + &limits));
        for (name, entries) in [("flows", flows), ("flows_new", flows_new)] {
            let pin = net.enforcer.root().join("bpf").join(name);
            let shown = net.bpftool(&["map", "show", "pinned", &pin.to_string_lossy()]);
            assert_eq!(shown["max_entries"], entries, "{name}");
        }
        streams.iter().for_each(Stream::wait_exchange);
        quiet.expect_alive();
    }
    streams.into_iter().for_each(Stream::finish);
    for (from, to) in [("office", "plant"), ("plant", "office")] {
        for reason in ["tcp-no-flow", "no-conduit"] {
            assert_eq!(net.drops(from, to, reason), 0, "{from} {to} {reason}");
        }
    }
}

#[test]
fn idle_flows_are_forgotten_when_the_policy_says() {
    const PAUSE: Duration = Duration::from_millis(1_500);
    // What is put at the end of a policy.
    let short = "limits: { idle: { tcp: 1s, udp: 1s } }\n";
    let net = under(&[WEB], short);
    for family in Family::BOTH {
        let datagrams = Datagrams::open(&net, family);
        let mut connection = net.lab.connect("office", "plant", 443, family).unwrap();
        connection.exchange(b"data").unwrap();
        connection.set_patience(Duration::from_millis(700)).unwrap();

        // Time has to pass: that is what is looked at.
        std::thread::sleep(PAUSE);

        let error = datagrams.answer().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{family:?}");
        let error = connection.exchange(b"data").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{family:?}");
    }
    assert!(net.drops("office", "plant", "tcp-no-flow") > 0);
    assert!(net.drops("plant", "office", "no-conduit") >= 2);

    // The limits of a policy hold for flows that are older than it.
    net.apply(&policy(&[WEB]));
    let datagrams = Datagrams::open(&net, Family::V4);
    std::thread::sleep(PAUSE);
    datagrams.answer().unwrap();
    net.apply(&(policy(&[WEB]) + short));
    std::thread::sleep(PAUSE);
    datagrams.answer().unwrap_err();
}

/// Under a policy with more at its end, and no more connections are picked up.
fn under(conduits: &[&str], more: &str) -> Net {
    let net = Net::under(&(policy(conduits) + more));
    succeeded(&net.enforcer.output(&["pickup", "0s"]).unwrap()).unwrap();
    net
}
