//! What is judged: random policies with random packets, and real captures.

use std::env;
use std::path::Path;
use std::rc::Rc;

use enforcer::compile::{Numbering, compile};
use enforcer::policy::{DiagnosticKind, Policy, Source, parse};

use crate::compare::{Case, Stage, Tally};
use crate::compiled::machine;
use crate::crossing::{Crossing, Way};
use crate::generate::{Draft, Packets, Rng};
use crate::oracle::packet::{self, Payload};
use crate::oracle::zones::is_enforced;
use crate::pcap;
use crate::world::{Route, World};

/// For captures: zones that many of their packets fall into.
const CAPTURES_POLICY: &str = r#"
version: 1
defaults: { self_out: drop }
zones:
  lan:     { match: [{ interface: lan0, prefix: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16] }] }
  tagged:  { match: [{ vlan: [10, 20, 100, "100.10"] }] }
  v6:      { match: [{ prefix: "2000::/3" }] }
  old:     { match: [{ prefix: "3ffe::/16" }] }
  groups:  { match: [{ prefix: [224.0.0.251/32, "ff02::fb/128"] }] }
  outside: { match: [{ interface: wan0 }, { prefix: 128.0.0.0/1 }] }
failsafe:
  - { from: 192.168.0.0/16, service: [tcp/22, ping], interface: lan0 }
conduits:
  - { id: web,    from: [lan, v6, old], to: [outside, v6], services: [tcp/80, tcp/443, udp/53] }
  - { id: plant,  from: any, to: any, services: [tcp/502, tcp/20000, udp/5353, icmp/3] }
  - { id: ping,   from: any, to: [any, unknown], services: [ping, sctp/1-65535, proto/47] }
  - { id: no-dns, from: v6, to: any, services: udp/53, action: drop, priority: 1 }
  - { id: out,    from: [self, unknown], to: [lan, outside], services: [tcp/1-1024, icmp/3, proto/47, proto/41] }
"#;

/// Policies that follow each other on one load of the programs.
const POLICIES_IN_TURN: u64 = 10;

/// Packets among which everything is to be seen.
const ENOUGH: u64 = 90_000;

/// How much is tried; environment variables scale it by hand.
pub struct Scale {
    pub policies: u64,
    pub packets: u64,
    pub seed: u64,
}

impl Scale {
    /// `policies` unless `VERDICT_POLICIES` says otherwise, and so on.
    pub fn new(policies: u64, packets: u64) -> Self {
        let number = |name: &str, otherwise| match env::var(name) {
            Ok(text) => text.parse().expect("VERDICT_… is a number"),
            Err(_) => otherwise,
        };
        Self {
            policies: number("VERDICT_POLICIES", policies),
            packets: number("VERDICT_PACKETS", packets),
            seed: number("VERDICT_SEED", 1),
        }
    }

    /// Fails when a drop reason that this build can give, or a kind of rule,
    /// was never expected, unless too little was tried; `except` cannot be seen.
    pub fn assert_all_seen(&self, tally: &Tally, except: &[&str]) {
        if self.policies * self.packets >= ENOUGH {
            assert_all_seen(tally, except);
        }
    }

    /// Every random case, one after the other.
    pub fn cases(&self, world: &World) -> impl Iterator<Item = Case> {
        let count = self.policies.div_ceil(POLICIES_IN_TURN);
        (self.seed..self.seed + count).map(|seed| random(world, seed, self.packets))
    }
}

/// Random policies, each in place of the one before, and random packets.
fn random(world: &World, seed: u64, packets: u64) -> Case {
    let mut rng = Rng::new(seed);
    let mut draft = Draft::new(&mut rng);
    let mut policies = Vec::new();
    while policies.len() < POLICIES_IN_TURN as usize {
        let text = draft.text();
        let policy = read(&text).filter(|policy| is_clear(policy, world));
        policies.extend(policy.map(|policy| (text, policy)));
        match rng.percent(70) {
            true => draft.change(&mut rng),
            false => draft = Draft::new(&mut rng),
        }
    }
    let mut generator = Packets::new(&policies[0].1, world);
    let mut arrivals = Vec::new();
    for (_, policy) in &policies {
        generator = generator.under(policy);
        arrivals.push((0..packets).map(|_| generator.next(&mut rng)).collect());
    }
    let stage = |((text, policy), packets)| Stage {
        text,
        policy,
        packets,
    };
    Case {
        origin: format!("VERDICT_SEED={seed} VERDICT_POLICIES=1 VERDICT_PACKETS={packets}"),
        stages: policies.into_iter().zip(arrivals).map(stage).collect(),
    }
}

impl Case {
    /// The packets that come in by a port of the bridge, on their way to another
    /// port: mostly that of the network of their destination. No others, and no
    /// frames but of IP and ARP.
    pub fn between_ports(mut self, world: &World) -> Self {
        let mut rng = Rng::new(self.stages.len() as u64);
        for stage in &mut self.stages {
            let packets = std::mem::take(&mut stage.packets);
            // Of a bridge all ports are enforced, or none.
            let mut ports = world.ports.iter();
            if !ports.any(|port| is_enforced(&stage.policy, world, *port)) {
                continue;
            }
            let bridged = packets.into_iter().filter_map(|packet| {
                let from = packet.way.ifindex();
                let carried = packet::read(packet.frame()).ok()?.payload;
                let home = match carried {
                    Payload::Link => return None,
                    Payload::Arp(_) => Route::Nowhere,
                    Payload::Ip(datagram) => world.route(datagram.source, datagram.destination),
                };
                let others = world.ports.iter().filter(|port| **port != from);
                let others: Vec<u32> = others.copied().collect();
                let is_from_port = matches!(packet.way, Way::In(_)) && world.ports.contains(&from);
                let to = match home {
                    Route::Out(index) if others.contains(&index) && rng.percent(80) => index,
                    _ => rng.pick(&others),
                };
                is_from_port.then(|| Crossing::new(packet.frame().to_vec(), Way::Between(from, to)))
            });
            stage.packets = bridged.collect();
        }
        self
    }
}

/// Captured packets that come in, on each interface in turn.
pub fn captures_in() -> Case {
    captures(|_, ifindex| Way::In(ifindex))
}

/// Captured packets that leave: the router's own, and those of others.
pub fn captures_out() -> Case {
    const FOREIGN: u32 = 99;
    captures(|number, ifindex| {
        let is_of_router = number % 8 < 4;
        Way::Out(ifindex, (!is_of_router).then_some(FOREIGN))
    })
}

/// Every captured packet and its start at every length, from the longest to the
/// shortest, which way `way` says for the number of a capture and its interface.
fn captures(way: impl Fn(u32, u32) -> Way) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pcap");
    let mut packets = Vec::new();
    for (number, (_, capture)) in (0..).zip(pcap::folder(&folder)) {
        let way = way(number, 11 + number % 4);
        for frame in capture {
            let whole: Rc<[u8]> = frame.into();
            let lengths = (0..=whole.len()).rev();
            packets.extend(lengths.map(|length| Crossing::start_of(&whole, length, way)));
        }
    }
    Case {
        origin: "tests/data/pcap".to_owned(),
        stages: vec![Stage {
            text: CAPTURES_POLICY.to_owned(),
            policy: read(CAPTURES_POLICY).expect("the policy is valid"),
            packets,
        }],
    }
}

fn assert_all_seen(tally: &Tally, except: &[&str]) {
    // Of a full table, and a broken one.
    let never = ["flow-table-full", "table-fault"];
    let except = [&never, except].concat();
    let reasons = enforcer_common::verdict::DropReason::ALL
        .iter()
        .map(|reason| reason.name());
    let rules = [
        "allowed",
        "(intra-zone)",
        "(self-out)",
        "unjudged",
        "(related)",
        "(failsafe)",
        "(essential:arp)",
        "(essential:nd)",
        "(essential:ra)",
        "(essential:dhcp)",
        "(essential:dhcpv6)",
        "(essential:igmp)",
        "(essential:mld)",
        "(essential:link)",
    ];
    let missing: Vec<&str> = reasons
        .chain(rules)
        .filter(|name| !except.contains(name) && !tally.contains_key(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "never seen: {missing:?}; seen: {tally:#?}"
    );
}

fn read(text: &str) -> Option<Policy> {
    let source = Source::from_text("random", text);
    parse(&source).ok().map(|(policy, _)| policy)
}

/// Whether nothing speaks against a policy but what only the compiler sees:
/// conduits that are equal but for their rate, log or mode.
fn is_clear(policy: &Policy, world: &World) -> bool {
    match compile(policy, &machine(world), &mut Numbering::default()) {
        Ok(_) => true,
        Err(findings) => {
            let mut kinds = findings.iter().map(|finding| &finding.kind);
            let are_these = kinds.all(|kind| matches!(kind, DiagnosticKind::Contradiction { .. }));
            assert!(are_these, "{findings:?}\n{policy:#?}");
            false
        }
    }
}
