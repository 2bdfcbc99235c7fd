//! A bond, the members of which come and go.

use std::thread;
use std::time::{Duration, Instant};

use xtask::lab::{Outcome, Seen, Service};

use Service::{Tcp, Udp};

use crate::{DROPPED, Net, PASSES, Row};

const POLICY: &str = r#"
version: 1
name: bond
zones:
  office: { match: [{ interface: bond0, prefix: [10.1.0.0/24, "fd01::/64"] }] }
  plant: { match: [{ interface: plc0, prefix: [10.2.0.0/24, "fd02::/64"] }] }
conduits:
  - { id: web, from: office, to: plant, services: tcp/443 }
"#;
const ROWS: [Row; 3] = [
    ("office", "plant", Tcp(443), PASSES),
    ("office", "plant", Udp(53), DROPPED),
    ("plant", "office", Tcp(443), DROPPED),
];

#[test]
fn a_daemon_follows_a_bond_and_its_members() {
    let net = Net::open();
    add_bond(&net);
    enslave(&net);
    net.apply(POLICY);
    net.expect(&ROWS);
    let mut daemon = net.enforcer.start(&["run"]).unwrap();

    for round in 0..3 {
        net.run("ip", &["link", "set", "dev", "off0", "nomaster"]);
        assert!(
            !answers(net.see(&ROWS[..1])[0]),
            "round {round}: by which way?"
        );
        enslave(&net);
        wait_for_rows(&net);
    }
    // The bond itself, too.
    net.run("ip", &["link", "delete", "bond0"]);
    add_bond(&net);
    enslave(&net);
    wait_for_rows(&net);

    assert!(daemon.try_wait().unwrap().is_none(), "it has ended");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(net.enforcer.drops("office", "plant", "no-conduit").unwrap() > 0);
}

/// Until tables are new, nothing from there passes; at no time does what is denied.
fn wait_for_rows(net: &Net) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let impatient = ROWS.map(|(from, to, service, _)| (from, to, service, DROPPED));
        let seen = net.see(&impatient);
        assert!(!seen[1..].iter().any(|seen| answers(*seen)), "{seen:?}");
        if seen[0] == PASSES {
            return;
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        thread::yield_now();
    }
}

/// Without a carrier, an attempt fails at once.
fn answers(seen: Seen) -> bool {
    [seen.v4, seen.v6].contains(&Outcome::Answered)
}

fn add_bond(net: &Net) {
    let add = [
        "link",
        "add",
        "bond0",
        "type",
        "bond",
        "mode",
        "active-backup",
        "miimon",
        "100",
    ];
    net.run("ip", &add);
}

/// Puts the interface of the office into the bond, which has its addresses.
fn enslave(net: &Net) {
    let ip = |text: &str| net.run("ip", &text.split(' ').collect::<Vec<_>>());
    ip("address flush dev off0");
    ip("link set dev off0 down");
    ip("link set dev off0 master bond0");
    ip("link set dev off0 up");
    ip("link set dev bond0 up");
    ip("address replace 10.1.0.1/24 dev bond0");
    ip("address replace fd01::1/64 dev bond0 nodad");
}
