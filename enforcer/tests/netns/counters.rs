//! Counters keep their meaning, and say since when they count.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use xtask::lab::{Service, succeeded};

use Service::{Ping, Tcp};

use crate::asker::Asker;
use crate::network::{DROPPED, Net, PASSES, large, policy, with_conduits};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";

#[test]
fn counting_began_with_the_first_apply() {
    let net = Net::under(&policy(&[WEB]));
    let since = since(&net);
    for policy in [policy(&[]), large(&[WEB]), policy(&[WEB])] {
        net.apply(&policy);
        assert_eq!(self::since(&net), since);
    }
    let text = succeeded(&net.enforcer.output(&["counters"]).unwrap()).unwrap();
    assert!(text.ends_with(&format!("\nsince {since}\n")), "{text}");
}

#[test]
fn filters_show_only_what_is_asked_for() {
    let net = Net::under(&policy(&[WEB]));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("guests", "plant", Ping, DROPPED),
        ("guests", "office", Ping, DROPPED),
    ]);
    let shown = |args: &[&str]| {
        let output = net.enforcer.output(&[&["counters"], args].concat());
        succeeded(&output.unwrap()).unwrap()
    };
    let plant = shown(&["--to", "plant", "--reason", "no-conduit"]);
    let rows: Vec<_> = plant
        .lines()
        .filter(|row| row.starts_with("guests"))
        .collect();
    assert_eq!(rows.len(), 1, "{plant}");
    assert!(!plant.contains("office"), "{plant}");
    let web = shown(&["--conduit", "web"]);
    assert!(
        web.contains("\nweb ") && !web.contains("(no-conduit)"),
        "{web}"
    );
    let none = net.enforcer.output(&["counters", "--reason", "no-such"]);
    assert_eq!(none.unwrap().status.code(), Some(1));
}

#[test]
fn watching_shows_what_moves_until_it_is_told_to_end() {
    let net = Net::under(&policy(&[WEB]));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut watch = watch(&net, &["--json"]);
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
        let mut next =
            || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        next();
        net.expect(&[("office", "plant", Tcp(443), PASSES)]);
        let row = loop {
            let moved = next()["moved"].clone();
            let rows = moved.as_array().unwrap().iter();
            if let Some(row) = rows.clone().find(|row| row["conduit"] == "web") {
                break row.clone();
            }
        };
        assert!(row["packets_per_s"].as_f64() > Some(1.0), "{row}");
        assert!(row["packets"].as_u64() >= Some(8), "{row}");
        kill(Pid::from_raw(watch.id() as i32), signal).unwrap();
        assert!(watch.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn watching_prints_a_line_for_each_drop_that_moves() {
    let net = Net::under(&policy(&[WEB]));
    let mut watch = watch(&net, &["--drops"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let is_seen = AtomicBool::new(false);
    let line = thread::scope(|scope| {
        // What comes before the first look moves nothing.
        scope.spawn(|| {
            while !is_seen.load(Ordering::Relaxed) {
                net.expect(&[("guests", "plant", Ping, DROPPED)]);
            }
        });
        let line = lines.find(|line| line.as_ref().unwrap().contains(" guests plant "));
        is_seen.store(true, Ordering::Relaxed);
        line.unwrap().unwrap()
    });
    assert!(
        line.contains("no-conduit") && line.contains("packets/s"),
        "{line}"
    );
    // The reader goes away, and nothing moves any more.
    drop(lines);
    let status = watch.wait().unwrap();
    let mut complaint = String::new();
    watch
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    assert!(
        status.success() && complaint.is_empty(),
        "{status}: {complaint}"
    );
}

fn watch(net: &Net, args: &[&str]) -> Child {
    let args = [&["counters", "--watch", "1"], args].concat();
    net.enforcer.start(&args).unwrap()
}

fn since(net: &Net) -> String {
    let counters = net.enforcer.counters().unwrap();
    let since = counters["since"].as_str().unwrap().to_owned();
    assert!(since.ends_with('Z') && since.len() == 20, "{since}");
    since
}

/// Each of these policies outgrows the maps of the one before: some their
/// conduits, some their zones. Then they shrink.
#[test]
fn a_move_to_other_maps_loses_no_count() {
    let net = Net::under(&sized(0, 0));
    let askers: Vec<_> = (0..3).map(|_| Asker::start(&net)).collect();
    for (zones, conduits) in [
        (0, 300),
        (20, 300),
        (0, 0),
        (20, 1_200),
        (80, 1_200),
        (20, 300),
        (0, 0),
        (20, 0),
    ] {
        net.apply(&sized(zones, conduits));
        askers.iter().for_each(Asker::wait_exchange);
    }
    let asked: u64 = askers.into_iter().map(Asker::finish).sum();

    assert!(asked > 100, "{asked}");
    assert_eq!(net.passed("always"), 2 * asked, "questions and answers");
    let dropped = |to| net.drops("office", to, "no-conduit");
    assert_eq!(dropped("plant") + dropped("*"), asked);
    assert_eq!(net.passed("(no-conduit)"), asked);
}

/// A policy with so many more zones and conduits.
fn sized(zones: u32, conduits: u32) -> String {
    let mut head = policy(&[]);
    for zone in 0..zones {
        head += &format!(
            "  z{zone}: {{ match: [{{ interface: plc0, prefix: 10.99.{zone}.0/24 }}] }}\n"
        );
    }
    let mut all = vec!["id: always, from: office, to: plant, services: udp/1000".to_owned()];
    all.extend((0..conduits).map(|number| {
        format!(
            "id: c{number}, from: guests, to: plant, services: tcp/{}",
            2_000 + number
        )
    }));
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    with_conduits(&head, &all)
}
