//! `enforcer events` tells what happens to packets.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use xtask::lab::{Family, Service, succeeded};

use Service::{Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, large, policy};

/// A follower, and what it prints.
pub struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    pub fn start(net: &Net, args: &[&str]) -> Self {
        let all = [&["events", "--json"], args].concat();
        let mut child = net.enforcer.start(&all).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for an event in which each of the keys has its value.
    pub fn wait(&mut self, wanted: &[(&str, &str)]) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            let bytes = self.lines.read_line(&mut line).unwrap();
            assert_ne!(bytes, 0, "it ended before {wanted:?}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if wanted.iter().all(|(key, value)| event[key] == *value) {
                return event;
            }
        }
    }

    /// Ends it by a signal, which must be a good end; returns its complaints.
    fn end(mut self, signal: Signal) -> String {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.ended()
    }

    fn ended(&mut self) -> String {
        let mut complaints = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut complaints).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {complaints}");
        complaints
    }
}

const CONDUITS: [&str; 3] = [
    "id: web, from: office, to: plant, services: tcp/443, log: true",
    "id: no, from: office, to: plant, services: tcp/22, action: reject",
    "id: silent, from: office, to: plant, services: tcp/23, action: drop, log: false",
];

#[test]
fn events_tell_who_was_dropped_and_why() {
    let net = Net::under(&policy(&CONDUITS));
    let mut follower = Follower::start(&net, &[]);
    // One after the other: events come in the order in which things happen.
    net.expect(&[("office", "plant", Tcp(23), DROPPED)]);
    net.expect(&[("office", "plant", Tcp(443), PASSES)]);
    net.expect(&[("office", "plant", Tcp(22), DROPPED)]);
    let flow = follower.wait(&[("verdict", "log"), ("source", "10.1.0.10")]);
    assert_eq!(
        (&flow["rule"], &flow["to"]),
        (&"web".into(), &"plant".into())
    );
    let rejected = follower.wait(&[("verdict", "reject"), ("source", "fd01::10")]);
    assert_eq!(rejected["reason"], "reject");
    assert_eq!(
        (&rejected["rule"], &rejected["from"]),
        (&"no".into(), &"office".into())
    );
    assert_eq!(rejected["interface"], "off0");
    assert_eq!(rejected["destination"], "fd02::10");
    assert_eq!(
        (&rejected["protocol"], &rejected["service"]),
        (&6.into(), &22.into())
    );

    // Only one at a time; the second is told who is first.
    let second = net.enforcer.output(&["events"]).unwrap();
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    let pid = format!("process {}", follower.child.id());
    assert!(
        !second.status.success() && complaint.contains(&pid),
        "{complaint}"
    );

    // It goes on when the policy grows out of its maps.
    net.apply(&large(&[
        "id: dns, from: office, to: guests, services: udp/53, log: true",
    ]));
    net.expect(&[("office", "guests", Udp(53), PASSES)]);
    net.expect(&[("guests", "plant", Udp(99), DROPPED)]);
    follower.wait(&[("verdict", "log"), ("rule", "dns"), ("to", "guests")]);
    let dropped = follower.wait(&[("verdict", "drop"), ("from", "guests"), ("to", "plant")]);
    assert_eq!(dropped["reason"], "no-conduit");
    assert_eq!(dropped["rule"], "(no-conduit)");
    assert_eq!(follower.end(Signal::SIGINT), "");

    // Whoever comes next can follow again; it ends when nothing is enforced.
    let mut next = Follower::start(
        &net,
        &["--drops", "--from", "plant", "--reason", "no-conduit"],
    );
    net.expect(&[("plant", "office", Udp(53), DROPPED)]);
    let first = next.wait(&[]);
    assert_eq!(
        (&first["from"], &first["verdict"]),
        (&"plant".into(), &"drop".into())
    );
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    assert!(next.ended().contains("no policy is active"));
}

#[test]
fn what_is_not_told_is_counted() {
    let net = Net::under(&policy(&[]));
    let mut follower = Follower::start(&net, &["--reason", "conduit"]);
    let before = net.drops("office", "plant", "no-conduit");
    let target = (net.lab.address("office", "plant", Family::V4), 99);
    let sent = net.lab.host("office").namespace().run(move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        (0..20_000).try_for_each(|_| socket.send_to(b"flood", target).map(drop))
    });
    sent.unwrap();
    let dropped = net.drops("office", "plant", "no-conduit") - before;
    assert!(dropped >= 10_000, "{dropped}");
    let mut line = String::new();
    follower.lines.read_line(&mut line).unwrap();
    let lost: Value = serde_json::from_str(&line).unwrap();
    let lost = lost["lost"].as_u64().unwrap();
    assert!((1..=dropped).contains(&lost), "{lost} of {dropped}");
    assert_eq!(follower.end(Signal::SIGTERM), "");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let net = Net::under(&policy(&[]));
    let Follower { child, lines } = Follower::start(&net, &[]);
    drop(lines);
    let mut follower = child;
    assert!(follower.wait().unwrap().success());
}

#[test]
fn what_there_is_not_is_refused() {
    let net = Net::under(&policy(&[]));
    let cases = [
        (["--reason", "nonsense"], "`nonsense` is no drop reason"),
        (
            ["--from", "nowhere"],
            "there is no zone `nowhere`; there are unknown, self, ",
        ),
    ];
    for (args, want) in cases {
        let output = net
            .enforcer
            .output(&[&["events"], &args[..]].concat())
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && complaint.contains(want),
            "{complaint}"
        );
    }
}
