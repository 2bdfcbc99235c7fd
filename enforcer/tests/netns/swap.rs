//! A thousand policies, one after the other, under full traffic.

use std::fs;
use std::time::Duration;

use xtask::lab::Family;

use crate::applier::{Applier, Resident};
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

/// What makes policies differ.
const OTHERS: [&str; 4] = [
    "id: p, from: plant, to: guests, services: udp/1001",
    "id: q, from: plant, to: guests, services: [tcp/1000-2000, ping]",
    "id: r, from: guests, to: office, services: any, action: drop",
    "id: s, from: any, to: self, services: ping",
];
/// Policies that differ.
const VARIANTS: usize = 12;
/// Applies after which nothing new happens in a process.
const WARM_UP: usize = 100;
const APPLIES: usize = 1_000;
/// How often a policy grows and shrinks.
const ROUNDS: usize = 12;

#[test]
fn a_thousand_applies_lose_no_allowed_packet_and_pass_no_denied_one() {
    let net = Net::under(&variant(0));
    let files = Files::of(&net);
    let traffic = Traffic::start(&net);
    let mut applier = Applier::start(&net);
    applier.most_resident(files.variants().take(WARM_UP));
    let before = Footprint::of(&net);
    let open = applier.descriptors();

    let first = applier.most_resident(files.variants().take(APPLIES / 10));
    let between = 2 * APPLIES / 10..APPLIES;
    applier.most_resident(files.variants().take(between.len()));
    let last = applier.most_resident(files.variants().take(APPLIES / 10));

    before.expect(&net);
    first.expect(between.len(), (last, Resident::ROUNDING));
    assert_eq!(applier.descriptors(), open, "an apply leaves none open");
    traffic.finish(&net);
}

/// Programs and maps are replaced, by larger ones and by smaller ones again.
#[test]
fn growing_and_shrinking_again_and_again_loses_no_packet_and_no_memory() {
    let net = Net::under(&variant(0));
    let files = Files::of(&net);
    let traffic = Traffic::start(&net);
    let mut applier = Applier::start(&net);
    applier.apply(&files.small);
    let small = Footprint::of(&net);
    applier.apply(&files.large);
    let large = Footprint::of(&net);
    assert!(large.bytes > small.bytes + (4 << 20), "{large:?} {small:?}");
    let both = || [files.small.as_str(), &files.large].into_iter().cycle();
    let first = applier.most_resident(both().take(6));

    for _ in 0..ROUNDS {
        applier.apply(&files.small);
        small.expect(&net);
        applier.apply(&files.large);
        large.expect(&net);
    }

    let last = applier.most_resident(both().take(6));
    first.expect(2 * ROUNDS, (last, Resident::LOADING));
    traffic.finish(&net);
}

/// Policies that allow the same traffic, each by other tables.
fn variant(round: usize) -> String {
    let other = OTHERS[round % OTHERS.len()];
    match round % 3 {
        0 => policy(&[other, PASS, WEB]),
        1 => policy(&[WEB, other, PASS]),
        _ => policy(&[PASS, WEB]),
    }
}

/// Policy files on the router.
struct Files {
    variants: Vec<String>,
    small: String,
    large: String,
}

impl Files {
    fn of(net: &Net) -> Self {
        let file = |name: &str, policy: &str| {
            let path = net.enforcer.policy_file(name, policy);
            path.unwrap().display().to_string()
        };
        let variants = 0..VARIANTS;
        Self {
            variants: variants
                .map(|round| file(&format!("variant-{round}"), &variant(round)))
                .collect(),
            small: file("small", &policy(&[&OTHERS[..], &[PASS, WEB]].concat())),
            large: file("large", &large(&[PASS, WEB])),
        }
    }

    /// One after the other, again and again.
    fn variants(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().cycle().map(String::as_str)
    }
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
