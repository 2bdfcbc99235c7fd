//! A policy replaces another one under traffic.

use std::time::Duration;

use serde_json::json;
use xtask::lab::{Family, Service, succeeded};

use Service::{Tcp, Udp};

use crate::daemon::Daemon;
use crate::footprint::Footprint;
use crate::network::{DROPPED, Net, PASSES, large, policy};
use crate::stream::Stream;

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const SHELL: &str = "id: shell, from: office, to: plant, services: tcp/22";

#[test]
fn a_second_apply_breaks_no_permitted_connection() {
    let net = Net::under(&policy(&[WEB]));
    let streams = streams(&net);

    for round in 0..12 {
        let also = format!(
            "id: also-{round}, from: plant, to: guests, services: udp/{}",
            1000 + round
        );
        // The conduit keeps its name and gets another place.
        net.apply(&policy(&[&also, WEB]));
        for stream in &streams {
            stream.wait_exchange();
        }
    }

    streams.into_iter().for_each(Stream::finish);
    let drops = net.enforcer.counters().unwrap()["drops"].clone();
    assert_eq!(
        drops,
        json!([]),
        "TCP repaired what should not have been dropped"
    );
}

#[test]
fn a_withdrawn_permission_stops_an_open_connection() {
    let net = Net::under(&policy(&[WEB, SHELL]));
    for family in Family::BOTH {
        net.apply(&policy(&[WEB, SHELL]));
        let mut web = net.lab.connect("office", "plant", 443, family).unwrap();
        let mut shell = net.lab.connect("office", "plant", 22, family).unwrap();
        web.exchange(b"before").unwrap();
        shell.exchange(b"before").unwrap();

        net.apply(&policy(&[WEB]));

        web.exchange(b"after").unwrap();
        shell.set_patience(Duration::from_millis(700)).unwrap();
        let error = shell.exchange(b"after").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{family:?}");

        // Allowed again, it goes on where it stopped.
        net.apply(&policy(&[WEB, SHELL]));
        shell.set_patience(Duration::from_secs(10)).unwrap();
        shell.exchange(b"after").unwrap();
    }
    assert!(net.drops("office", "plant", "no-conduit") > 0);
}

#[test]
fn a_new_permission_holds_at_once() {
    let net = Net::under(&policy(&[]));
    net.expect(&[("office", "plant", Tcp(443), DROPPED)]);
    for _ in 0..5 {
        net.apply(&policy(&[WEB]));
        net.expect(&[("office", "plant", Tcp(443), PASSES)]);
        net.apply(&policy(&[]));
        net.expect(&[("office", "plant", Tcp(443), DROPPED)]);
    }
}

#[test]
fn counters_survive_an_apply() {
    let net = Net::under(&policy(&[WEB]));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("plant", "office", Tcp(443), DROPPED),
    ]);
    let (passed, dropped) = (
        net.passed("web"),
        net.drops("plant", "office", "no-conduit"),
    );
    assert!(passed > 0 && dropped > 0);

    net.apply(&policy(&[SHELL, WEB]));

    assert!(net.passed("web") >= passed);
    assert!(net.drops("plant", "office", "no-conduit") >= dropped);
}

/// Maps are made for classes of sizes; beyond one, an apply moves to other maps.
#[test]
fn a_policy_that_outgrows_its_maps_keeps_connections_and_counters() {
    let small = policy(&[WEB]);
    let net = Net::under(&small);
    let streams = streams(&net);
    net.expect(&[("plant", "office", Tcp(443), DROPPED)]);
    let mut passed = net.passed("web");
    let mut dropped = net.drops("plant", "office", "no-conduit");

    for policy in [large(&[WEB]), small.clone(), large(&[WEB]), small] {
        net.apply(&policy);
        streams.iter().for_each(Stream::wait_exchange);
        assert!(net.passed("web") > passed);
        assert!(net.drops("plant", "office", "no-conduit") >= dropped);
        passed = net.passed("web");
        net.expect(&[("plant", "office", Tcp(443), DROPPED)]);
        assert!(net.drops("plant", "office", "no-conduit") > dropped);
        dropped = net.drops("plant", "office", "no-conduit");
    }

    streams.into_iter().for_each(Stream::finish);
    assert_eq!(net.drops("office", "plant", "tcp-no-flow"), 0);
    assert_eq!(net.drops("plant", "office", "tcp-no-flow"), 0);
}

/// What an earlier policy has counted stays, also in smaller maps; what it has not,
/// takes no memory.
#[test]
fn a_policy_that_shrinks_gives_memory_back_and_keeps_counts() {
    let small = policy(&[WEB]);
    let net = Net::under(&small);
    let before = Footprint::of(&net);
    let cell = "id: cell, from: office, to: plant, services: udp/53";
    let denied = "id: no, from: plant, to: office, services: udp/53, action: drop";
    // Numbered before the cells.
    net.apply(&policy(&[WEB, cell, denied]));
    net.apply(&large(&[WEB, cell, denied]));
    net.expect(&[
        ("office", "plant", Udp(53), PASSES),
        ("plant", "office", Udp(53), DROPPED),
    ]);
    let streams = streams(&net);
    let counts = || {
        let dropped = net.drops("plant", "office", "conduit");
        (net.passed("cell"), net.passed("no"), dropped)
    };
    let counted = counts();
    assert!(counted.0 > 0 && counted.1 > 0 && counted.2 > 0);

    net.apply(&small);

    before.expect(&net);
    assert_eq!(counts(), counted);
    streams.iter().for_each(Stream::wait_exchange);
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Udp(53), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
    ]);
    // What is known of it is what its maps hold: nothing is to be done.
    let generation = || net.enforcer.status().unwrap()["generation"].clone();
    let applied = generation();
    drop(Daemon::start(&net));
    assert_eq!(generation(), applied);
    // And so the names are free.
    net.apply(&large(&[WEB]));
    net.apply(&small);
    before.expect(&net);
    assert_eq!(counts(), counted);
    streams.into_iter().for_each(Stream::finish);
}

/// While a policy waits, the one before needs its room.
#[test]
fn a_policy_that_shrinks_and_waits_gives_memory_back_when_it_is_confirmed() {
    // All that counts is numbered before the cells.
    let net = Net::under(&policy(&[WEB, SHELL]));
    let small = Footprint::of(&net);
    net.apply(&large(&[WEB, SHELL]));
    let large = Footprint::of(&net);
    let file = net.enforcer.policy_file("small", &policy(&[WEB])).unwrap();
    let file = file.display().to_string();
    for (end, then, shell) in [("rollback", large, PASSES), ("confirm", small, DROPPED)] {
        let wait = ["apply", "--confirm", "1h", &file];
        succeeded(&net.enforcer.output(&wait).unwrap()).unwrap();
        large.expect(&net);
        net.expect(&[("office", "plant", Tcp(22), DROPPED)]);
        succeeded(&net.enforcer.output(&[end]).unwrap()).unwrap();
        then.expect(&net);
        net.expect(&[
            ("office", "plant", Tcp(443), PASSES),
            ("office", "plant", Tcp(22), shell),
        ]);
    }
}

#[test]
fn of_two_applies_at_once_one_waits_or_is_refused() {
    let net = Net::under(&policy(&[WEB, SHELL]));
    for _ in 0..6 {
        let first = net.enforcer.policy_file("first", &policy(&[WEB])).unwrap();
        let second = net
            .enforcer
            .policy_file("second", &policy(&[SHELL]))
            .unwrap();
        let [one, other] = [first, second].map(|file| {
            let args = ["apply", &file.to_string_lossy()];
            net.enforcer.start(&args).unwrap()
        });
        let pids = [one.id(), other.id()];
        let outputs = [one, other].map(|child| child.wait_with_output().unwrap());

        let done = outputs.each_ref().map(|output| output.status.success());
        assert!(done[0] || done[1], "{outputs:?}");
        for (refused, holder) in [(0, 1), (1, 0)] {
            let complaint = String::from_utf8_lossy(&outputs[refused].stderr);
            let names_holder = complaint.contains(&pids[holder].to_string());
            assert!(done[refused] || names_holder, "{complaint}");
        }
        let seen = net.see(&[
            ("office", "plant", Tcp(443), DROPPED),
            ("office", "plant", Tcp(22), DROPPED),
        ]);
        assert!(
            seen == [PASSES, DROPPED] || seen == [DROPPED, PASSES],
            "{seen:?}"
        );
    }
    net.apply(&policy(&[WEB, SHELL]));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Tcp(22), PASSES),
    ]);
}

fn streams(net: &Net) -> Vec<Stream> {
    let connections = Family::BOTH.map(|it| net.lab.connect("office", "plant", 443, it).unwrap());
    connections.into_iter().map(Stream::start).collect()
}
