//! Audits, rejects, rates and logs, with real clients.

use std::io;
use std::time::{Duration, Instant};

use xtask::lab::{Family, Outcome, ROUTER, Seen, Service, succeeded};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, policy};

/// Is told at once that this is forbidden, by IPv4 and IPv6.
const REFUSED: Seen = Seen::both(Outcome::Refused);

/// The zones of [`policy`], with a mode for `plant` and for the policy.
fn with_modes(defaults: &str, plant: &str, conduits: &[&str]) -> String {
    let text = policy(conduits);
    let head = format!("name: test\ndefaults: {{ mode: {defaults} }}\n");
    let plant = format!("\"fd02::/64\"] }}], mode: {plant} }}");
    text.replacen("name: test\n", &head, 1)
        .replacen("\"fd02::/64\"] }] }", &plant, 1)
}

#[test]
fn the_audit_of_a_zone_passes_what_would_be_dropped_and_counts_it() {
    let conduits = ["id: no-telnet, from: any, to: any, services: tcp/23, action: drop"];
    let net = Net::under(&with_modes("enforce", "audit", &conduits));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("plant", "guests", Ping, PASSES),
        ("office", "plant", Tcp(23), PASSES),
        ("plant", ROUTER, Udp(53), PASSES),
        ("office", "guests", Tcp(443), DROPPED),
    ]);
    for (from, to) in [("office", "plant"), ("plant", "guests"), ("plant", "self")] {
        assert!(net.drops(from, to, "audit") >= 2, "{from} {to}");
        assert_eq!(net.drops(from, to, "no-conduit"), 0, "{from} {to}");
    }
    assert!(net.passed("(no-conduit)!audit") >= 6);
    assert!(net.passed("no-telnet!audit") >= 2);
    assert_eq!(net.drops("office", "guests", "audit"), 0);
    let status = net.enforcer.status().unwrap();
    assert_eq!(status["mode_exceptions"][0], "zone plant");

    // What was audited is judged again once it is enforced.
    let mut connection = net.lab.connect("office", "plant", 443, Family::V4).unwrap();
    connection.exchange(b"audited").unwrap();
    net.apply(&with_modes("enforce", "enforce", &conduits));
    connection.set_patience(Duration::from_millis(500)).unwrap();
    let stopped = connection.exchange(b"enforced").unwrap_err();
    assert_eq!(stopped.kind(), io::ErrorKind::WouldBlock);
    assert!(net.drops("office", "plant", "no-conduit") > 0);
}

#[test]
fn an_audit_of_the_policy_drops_nothing_but_what_says_enforce() {
    let net = Net::under(&with_modes("audit", "enforce", &[]));
    net.expect(&[
        ("office", "guests", Tcp(443), PASSES),
        ("guests", ROUTER, Ping, PASSES),
        ("office", "plant", Tcp(443), DROPPED),
        ("plant", ROUTER, Ping, DROPPED),
    ]);
    // A forged source is nothing that a conduit could allow.
    let claimed = net.lab.address("office", "plant", Family::V4);
    let seen = net.lab.spoof("office", claimed, "guests", 53).unwrap();
    assert_eq!(seen, Outcome::Answered);
    assert_eq!(net.drops("unknown", "-", "audit"), 1);

    // By command, `enforce` counts for nothing either.
    let file = net
        .enforcer
        .policy_file("audit", &with_modes("enforce", "enforce", &[]));
    let file = file.unwrap();
    let applied = net
        .enforcer
        .output(&["apply", "--audit", &file.to_string_lossy()]);
    succeeded(&applied.unwrap()).unwrap();
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("plant", ROUTER, Ping, PASSES),
    ]);
    let status = net.enforcer.status().unwrap();
    assert_eq!(status["mode"], "audit");
    let drops = net.drops("office", "plant", "no-conduit");
    net.expect(&[("office", "plant", Udp(99), PASSES)]);
    assert_eq!(net.drops("office", "plant", "no-conduit"), drops);
}

#[test]
fn who_is_rejected_knows_at_once() {
    let net = Net::open();
    let _takers = ["office", "plant"].map(|host| net.lab.take_answers(host).unwrap());
    net.apply(&policy(&[
        "id: no, from: office, to: [plant, self], services: any, action: reject",
        "id: yes, from: office, to: plant, services: tcp/443, priority: 1",
    ]));
    let began = Instant::now();
    net.expect(&[
        ("office", "plant", Tcp(22), REFUSED),
        ("office", "plant", Udp(53), REFUSED),
        ("office", "plant", Ping, REFUSED),
        ("office", ROUTER, Tcp(22), REFUSED),
        ("office", ROUTER, Udp(53), REFUSED),
        ("office", "plant", Tcp(443), PASSES),
    ]);
    // Far less than a client waits before it tries again.
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(net.drops("office", "plant", "reject") >= 6);
    assert!(net.drops("office", "self", "reject") >= 4);
    assert!(net.passed("no") >= 10);
    // Without a conduit nobody is told.
    net.expect(&[("plant", "office", Tcp(22), DROPPED)]);

    // A connection whose permission is withdrawn ends at once.
    let mut connection = net.lab.connect("office", "plant", 443, Family::V6).unwrap();
    connection.exchange(b"yes").unwrap();
    net.apply(&policy(&[
        "id: no, from: office, to: [plant, self], services: any, action: reject",
    ]));
    let ended = connection.exchange(b"no").unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_rate_lets_pass_its_burst_and_no_more() {
    let rate = |burst, of, per| {
        policy(&[&format!(
            "id: slow, from: any, to: plant, services: any, \
             rate: {{ limit: 1/h, burst: {burst}, of: {of}, per: {per} }}"
        )])
    };
    let net = Net::under(&rate(3, "flows", "conduit"));
    let asks = |from| {
        let seen = net.see(&[(from, "plant", Udp(53), DROPPED)]);
        [seen[0].v4, seen[0].v6]
            .iter()
            .filter(|one| **one == Outcome::Answered)
            .count()
    };
    let passed: usize = (0..3).map(|_| asks("office")).sum();
    assert_eq!(passed, 3, "{:#?}", net.enforcer.counters());
    assert!(net.drops("office", "plant", "rate-limited") >= 3);
    // The bucket stays empty, whatever else the next policy says.
    net.apply(&(rate(3, "flows", "conduit") + "limits: { idle: { udp: 301s } }\n"));
    assert_eq!(asks("office") + asks("guests"), 0);

    // Each source has its own.
    net.apply(&rate(1, "flows", "source"));
    assert_eq!((asks("office"), asks("guests")), (2, 2));
    assert_eq!((asks("office"), asks("guests")), (0, 0));
}

#[test]
fn packets_of_established_connections_are_limited_too() {
    let slow = |rate: &str| {
        policy(&[&format!(
            "id: slow, from: office, to: plant, services: tcp/443, rate: {rate}"
        )])
    };
    let net = Net::under(&slow("{ limit: 1/h, burst: 20 }"));
    let mut connection = net.lab.connect("office", "plant", 443, Family::V4).unwrap();
    connection.set_patience(Duration::from_millis(500)).unwrap();
    let exchanges = (0..30).take_while(|_| connection.exchange(b"one more").is_ok());
    let exchanges = exchanges.count();
    assert!((3..20).contains(&exchanges), "{exchanges}");
    assert!(net.drops("office", "plant", "rate-limited") > 0);
    // A higher rate, and it goes on.
    net.apply(&slow("100000/s"));
    connection.set_patience(Duration::from_secs(20)).unwrap();
    connection.receive(b"one more").unwrap();
}
