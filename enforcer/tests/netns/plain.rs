//! The lab itself, without enforcement: what is dropped elsewhere, `enforcer` drops.

use xtask::lab::{Family, Outcome, ROUTER, Service};

use crate::network::{Net, PASSES, Row};

#[test]
fn without_a_policy_everything_passes() {
    let net = Net::open();
    let hosts = ["office", "plant", "guests", ROUTER];
    let mut rows: Vec<Row> = Vec::new();
    for from in hosts {
        for to in hosts.into_iter().filter(|to| *to != from) {
            for service in [Service::Tcp(443), Service::Udp(53), Service::Ping] {
                rows.push((from, to, service, PASSES));
            }
        }
    }
    net.expect(&rows);
}

#[test]
fn without_a_policy_spoofed_sources_pass() {
    let net = Net::open();
    for family in Family::BOTH {
        let claimed = net.lab.address("plant", "office", family);
        let seen = net.lab.spoof("plant", claimed, "guests", 53).unwrap();
        assert_eq!(seen, Outcome::Answered, "{family:?}");
    }
}
