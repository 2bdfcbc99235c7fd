//! What must hold of any bytes as a frame.

use std::cell::RefCell;

use enforcer::policy::{Policy, Source, parse};
use enforcer_common::packet::Bytes;
use enforcer_common::parse::{self, Facts, Payload};
use enforcer_common::question::{Origin, Place};
use enforcer_common::verdict::DropReason;

use crate::compare::{Datapath, difference};
use crate::crossing::Way;
use crate::in_process::InProcess;
use crate::oracle::{self, History, packet};
use crate::world::{SPARE, World};

/// Zones of every kind, and everything that a frame can be judged by.
const POLICY: &str = r#"
version: 1
defaults: { self_out: drop }
zones:
  lan:    { match: [{ interface: lan0, prefix: [10.0.0.0/16, "fd00::/64"] }] }
  tagged: { match: [{ interface: lan0, vlan: [10, "10.20"] }], intra_zone: drop }
  card:   { match: [{ interface: lan1, mac: "02:00:00:00:00:09" }] }
  plant:  { match: [{ interface: lan1, prefix: [10.1.0.0/16, "fd00:0:0:1::/64"] }], mode: audit }
  far:    { match: [{ interface: lan2 }, { interface: lan2, prefix: "2000::/3" }] }
  groups: { match: [{ interface: lan2, prefix: [224.0.0.251/32, "ff02::fb/128"] }] }
  wan:    { match: [{ interface: wan0 }] }
failsafe:
  - { from: 10.0.0.0/24, service: [tcp/22, ping, sctp/9], interface: lan0 }
conduits:
  - { id: web,    from: [lan, card], to: [wan, plant], services: [tcp/80, udp/53, sctp/1-9, ping] }
  - { id: errors, from: any, to: any, services: [icmp/3, icmpv6/1, proto/47, proto/4] }
  - { id: out,    from: [self, unknown], to: [lan, wan], services: [tcp/1-1024, icmp, icmpv6] }
  - { id: no,     from: tagged, to: any, services: any, action: reject, priority: 2 }
"#;

/// An interface that the router does not have.
const FOREIGN: u32 = 99;

thread_local! {
    static JUDGE: RefCell<Judge> = RefCell::new(Judge::new());
}

/// Two readings of one policy.
struct Judge {
    policy: Policy,
    world: &'static World,
    compiled: InProcess<'static>,
}

/// Judges a frame, whose way the first byte says; panics where two readings differ.
pub fn check(bytes: &[u8]) {
    let Some((way, frame)) = bytes.split_first() else {
        return;
    };
    let ifindex = [11, 12, 13, 14, SPARE, FOREIGN, 11, 14][usize::from(way & 7)];
    let way = match way >> 3 & 3 {
        0 | 1 => Way::In(ifindex),
        2 => Way::Out(ifindex, None),
        _ => Way::Out(ifindex, Some(FOREIGN)),
    };
    JUDGE.with_borrow_mut(|judge| judge.compare(frame, way));
    padding_means_nothing(frame);
    quotes_agree(frame);
}

impl Judge {
    fn new() -> Self {
        let world = Box::leak(Box::new(World::new()));
        let (policy, _) = parse(&Source::from_text("frames", POLICY)).expect("it is valid");
        Self {
            compiled: InProcess::new(&[&policy], world),
            policy,
            world,
        }
    }

    /// The compiled tables say what the policy does.
    fn compare(&mut self, frame: &[u8], way: Way) {
        let mut history = History::default();
        let expected = oracle::judge(&self.policy, self.world, frame, way, &mut history);
        let before = self.compiled.counters();
        let passed = self.compiled.run(frame, way);
        let counted = difference(&before, &self.compiled.counters());
        let wanted = expected.counters().into_iter().map(|counter| (counter, 1));
        assert!(
            passed == expected.passes() && counted == wanted.collect(),
            "{way:?}: {expected:?}, but passed {passed}, counted {counted:?}"
        );
    }
}

/// What the parser finds in a frame.
fn read(packet: &Bytes) -> Result<(Payload, Facts), DropReason> {
    let link = parse::link_layer(packet)?;
    let mut facts = Facts::unread(Place::at(0, Origin::WIRE));
    let payload = parse::payload(packet, &link, &mut facts)?;
    Ok((payload, facts))
}

/// Bytes behind a packet change nothing, unless it wants more than it has.
fn padding_means_nothing(frame: &[u8]) {
    let short = read(&Bytes::new(frame));
    if short == Err(DropReason::TRUNCATED) {
        return;
    }
    for byte in [0, 0xff] {
        let padded = [frame, &[byte; 64]].concat();
        assert_eq!(read(&Bytes::new(&padded)), short, "padded with {byte}");
    }
}

/// Both parsers find the same packet inside an error.
fn quotes_agree(frame: &[u8]) {
    let packet = Bytes::new(frame);
    let Ok((Payload::Ip, facts)) = read(&packet) else {
        return;
    };
    let mut quoted = facts;
    let has_quote = facts.flags & Facts::UNUSUAL != 0
        && !facts.is_fragment()
        && parse::quoted(&packet, &facts, &mut quoted).is_ok();
    let expected = match packet::read(frame) {
        Ok(packet::Frame {
            payload: packet::Payload::Ip(datagram),
            ..
        }) => datagram.quote.is_some() && datagram.part == oracle::fragments::Part::Whole,
        other => panic!("only one parser finds IP: {other:?}"),
    };
    assert_eq!(has_quote, expected, "a quote");
}
