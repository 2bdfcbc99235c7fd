//! Connections that are older than what is known of them.

use std::io;
use std::time::Duration;

use xtask::lab::{Connection, Family, succeeded};

use crate::network::{Net, policy};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";

#[test]
fn old_connections_are_picked_up_in_the_window_where_a_conduit_allows() {
    let net = Net::open();
    let connect = |port, family| {
        let connection = net.lab.connect("office", "plant", port, family).unwrap();
        connection.set_patience(Duration::from_millis(700)).unwrap();
        connection
    };
    for family in Family::BOTH {
        let (mut web, mut second) = (connect(443, family), connect(443, family));
        let mut shell = connect(22, family);
        net.apply(&policy(&[WEB]));
        pickup(&net, "0s");
        let before = net.drops("office", "plant", "tcp-no-flow");
        expect_stuck(&mut web);
        assert!(net.drops("office", "plant", "tcp-no-flow") > before);

        pickup(&net, "30s");

        // What waited is sent again by TCP, and comes back now.
        web.set_patience(Duration::from_secs(10)).unwrap();
        web.exchange(b"data").unwrap();
        second.exchange(b"data").unwrap();
        expect_stuck(&mut shell);

        // What was picked up goes on; nothing else comes in.
        pickup(&net, "0s");
        web.exchange(b"data").unwrap();
        second.exchange(b"data").unwrap();
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
}

#[test]
fn connections_are_picked_up_after_the_first_apply() {
    let net = Net::open();
    for family in Family::BOTH {
        let mut web = net.lab.connect("office", "plant", 443, family).unwrap();
        net.apply(&policy(&[WEB]));
        web.exchange(b"data").unwrap();
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
}

#[test]
fn without_a_policy_nothing_is_picked_up() {
    let net = Net::open();
    for (window, part) in [
        ("30s", "no policy is active"),
        ("30", "such as `30s`"),
        ("2h", "at most 1h"),
    ] {
        let output = net.enforcer.output(&["pickup", window]).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(part), "{window}: {complaint}");
    }
}

fn pickup(net: &Net, window: &str) {
    succeeded(&net.enforcer.output(&["pickup", window]).unwrap()).unwrap();
}

fn expect_stuck(connection: &mut Connection) {
    let error = connection.exchange(b"data").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
