//! A thousand policies, one after the other, under full traffic.

use std::fs;
use std::time::Duration;

use enforcer::controller::{self, ApplyOptions, Instance};
use enforcer::policy::Source;
use xtask::lab::Family;

use crate::footprint::Footprint;
use crate::network::{Net, large, policy};
use crate::numbered::{Account, Numbered, Pace, Way};
use crate::stream::Stream;

const PASS: &str = "id: numbers, from: office, to: plant, services: [udp/5001, udp/5003]";
const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";

/// Allowed: one that flows evenly, and one as fast as the network takes it.
const ALLOWED: [(Way, Pace); 2] = [
    (
        ("office", "plant", 5001),
        Pace::Each(Duration::from_millis(1)),
    ),
    (("office", "plant", 5003), Pace::Window(32)),
];
/// Denied by any policy. The flood has a link of its own, where it takes no room
/// from what is allowed.
const DENIED: [(Way, Pace); 2] = [
    (
        ("office", "plant", 5002),
        Pace::Each(Duration::from_millis(1)),
    ),
    (("guests", "plant", 5004), Pace::Flood),
];

#[test]
fn a_thousand_applies_lose_no_allowed_packet_and_pass_no_denied_one() {
    let net = Net::under(&variant(0));
    let traffic = Traffic::start(&net);
    apply(&net, variant(1));
    let before = Footprint::of(&net);

    for round in 2..1_002 {
        apply(&net, variant(round));
    }

    before.expect(&net);
    traffic.finish(&net);
    assert_eq!(map_descriptors(), 0, "an apply leaves none open");
}

/// Each way programs and maps are replaced or written anew.
#[test]
fn growing_again_and_again_loses_no_packet_and_no_memory() {
    let net = Net::under(&variant(0));
    let traffic = Traffic::start(&net);
    apply(&net, large(&[PASS, WEB]));
    let before = Footprint::of(&net);

    for round in 0..12 {
        apply(&net, variant(round));
        apply(&net, large(&[PASS, WEB]));
        before.expect(&net);
    }

    traffic.finish(&net);
}

/// Policies that allow the same traffic, each by other tables.
fn variant(round: usize) -> String {
    let others = [
        "id: p, from: plant, to: guests, services: udp/1001",
        "id: q, from: plant, to: guests, services: [tcp/1000-2000, ping]",
        "id: r, from: guests, to: office, services: any, action: drop",
        "id: s, from: any, to: self, services: ping",
    ];
    let other = others[round % others.len()];
    match round % 3 {
        0 => policy(&[other, PASS, WEB]),
        1 => policy(&[WEB, other, PASS]),
        _ => policy(&[PASS, WEB]),
    }
}

/// Applies a policy from within this process, as `apply` does.
fn apply(net: &Net, text: String) {
    let root = net.enforcer.root();
    let router = net.lab.router().namespace();
    let applied = router.run(move || {
        let source = Source::from_text("policy.yaml", text);
        let options = ApplyOptions::default();
        let applied = controller::apply(&Instance::under(root), &source, &options);
        applied.map(drop).map_err(|error| error.to_string())
    });
    applied.unwrap();
}

struct Traffic {
    allowed: Vec<Numbered>,
    denied: Vec<(Way, Numbered)>,
    streams: Vec<Stream>,
}

impl Traffic {
    fn start(net: &Net) -> Self {
        let families = |(way, pace): (Way, Pace)| {
            Family::BOTH.map(|family| (way, Numbered::start(&net.lab, way, family, pace)))
        };
        let streams = Family::BOTH.map(|family| {
            let connection = net.lab.connect("office", "plant", 443, family);
            Stream::start(connection.unwrap())
        });
        Self {
            allowed: ALLOWED
                .into_iter()
                .flat_map(families)
                .map(|it| it.1)
                .collect(),
            denied: DENIED.into_iter().flat_map(families).collect(),
            streams: streams.into(),
        }
    }

    /// Accounts for every packet.
    fn finish(self, net: &Net) {
        self.streams.into_iter().for_each(Stream::finish);
        let mut passed = 0;
        for stream in self.allowed {
            let Account { sent, received } = stream.finish();
            assert!(sent > 0);
            assert_eq!(received, sent, "each of them");
            passed += sent;
        }
        assert_eq!(net.passed("numbers"), passed);
        let mut denied = [("office", 0), ("guests", 0)];
        for ((from, ..), stream) in self.denied {
            let Account { sent, received } = stream.finish_denied();
            assert_eq!(received, 0, "denied from {from}");
            let counted = denied.iter_mut().find(|(host, _)| *host == from);
            counted.unwrap().1 += sent;
        }
        for (from, sent) in denied {
            assert!(sent > 0);
            // A flood is more than a link takes.
            let arrived = sent - overflown(net, from);
            assert_eq!(net.drops(from, "plant", "no-conduit"), arrived, "{from}");
        }
        for reason in ["tcp-no-flow", "flow-table-full", "table-fault"] {
            assert_eq!(net.drops("office", "plant", reason), 0, "{reason}");
        }
    }
}

/// Packets for which the link of a host had no room.
fn overflown(net: &Net, host: &str) -> u64 {
    let namespace = net.lab.host(host).namespace();
    let table = namespace.run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let uplink = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"));
    // Eight columns of what was received, then bytes, packets, errors and drops.
    let dropped = uplink.unwrap().split_whitespace().nth(11).unwrap();
    dropped.parse().unwrap()
}

/// Descriptors of maps that this process has open.
fn map_descriptors() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets
        .filter(|it| it.to_string_lossy().contains("bpf-map"))
        .count()
}
