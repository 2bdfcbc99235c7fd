//! Runs packets through a datapath and through the oracle, and tells the first
//! difference so that it can be understood.

use std::collections::BTreeMap;
use std::fmt::Write;

use enforcer::policy::Policy;

use super::generate_packet::Arrival;
use super::oracle::{Expected, History, judge};
use super::world::World;

/// Whatever judges packets with the tables of a policy.
pub trait Datapath {
    /// Whether the packet passes.
    fn run(&mut self, frame: &[u8], ifindex: u32) -> bool;
    /// Everything counted so far; what is 0 may be missing.
    fn counters(&mut self) -> Counters;
    /// Whether it remembers flows.
    fn is_stateful(&self) -> bool;
}

/// Packets by what they are counted as.
pub type Counters = BTreeMap<Counter, u64>;

/// What a packet is counted as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Id of a conduit or built-in rule.
    Conduit(String),
    Drop {
        from: String,
        to: Option<String>,
        reason: String,
    },
}

/// A policy, and packets that are to be judged by it one after the other.
pub struct Case {
    /// What makes it again.
    pub origin: String,
    pub text: String,
    pub policy: Policy,
    pub packets: Vec<Arrival>,
}

/// How often each kind of verdict was expected: ids and drop reasons.
pub type Tally = BTreeMap<String, u64>;

/// Compares every verdict and every counter of a case; panics on a difference.
pub fn compare<D: Datapath>(
    case: &Case,
    world: &World,
    open: impl Fn(&Policy) -> D,
    tally: &mut Tally,
) {
    let mut datapath = open(&case.policy);
    let mut history = History::default();
    let before = datapath.counters();
    let mut expected = Counters::new();
    for (number, (frame, ifindex)) in case.packets.iter().enumerate() {
        if !datapath.is_stateful() {
            history = History::default();
        }
        let verdict = judge(&case.policy, world, frame, *ifindex, &mut history);
        for counter in verdict.counters() {
            *expected.entry(counter).or_default() += 1;
        }
        *tally.entry(verdict.kind()).or_default() += 1;
        if datapath.run(frame, *ifindex) != verdict.passes() {
            explain(case, world, open(&case.policy), number);
        }
    }
    if difference(&before, &datapath.counters()) != expected {
        explain(case, world, open(&case.policy), case.packets.len());
    }
}

/// Runs the packets again, looks at the counters after each up to `last`, and
/// panics with the first difference.
fn explain(case: &Case, world: &World, mut datapath: impl Datapath, last: usize) -> ! {
    let mut history = History::default();
    let mut before = datapath.counters();
    for (number, (frame, ifindex)) in case.packets.iter().take(last + 1).enumerate() {
        if !datapath.is_stateful() {
            history = History::default();
        }
        let flows = history.clone();
        let expected = judge(&case.policy, world, frame, *ifindex, &mut history);
        let passed = datapath.run(frame, *ifindex);
        let after = datapath.counters();
        let seen = difference(&before, &after);
        before = after;
        let wanted: Counters = expected
            .counters()
            .into_iter()
            .map(|counter| (counter, 1))
            .collect();
        if passed != expected.passes() || seen != wanted {
            panic!(
                "packet {number} of {}\n{}\nfrom interface {ifindex}, {} bytes: {}\n{:?}\n\
                 flows: {flows:?}\nexpected: {expected:?}\nseen: passed {passed}, counted {seen:?}",
                case.origin,
                case.text,
                frame.len(),
                hex(frame),
                super::oracle_packet::read(frame),
            );
        }
    }
    panic!(
        "{}: the difference went away when it was run again",
        case.origin
    );
}

impl Expected {
    /// Whether the packet passes.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    /// The drop reason, or what kind of rule lets the packet pass.
    fn kind(&self) -> String {
        match self {
            Self::Pass { counted } if counted.starts_with("(failsafe") => "(failsafe)".to_owned(),
            Self::Pass { counted } if counted.starts_with('(') => counted.clone(),
            Self::Pass { .. } => "allowed".to_owned(),
            Self::Drop { reason, .. } => (*reason).to_owned(),
        }
    }

    /// The counters that move.
    fn counters(&self) -> Vec<Counter> {
        let conduit = |id: &String| Counter::Conduit(id.clone());
        match self {
            Self::Pass { counted } => vec![conduit(counted)],
            Self::Drop {
                reason,
                from,
                to,
                counted,
            } => {
                let drop = Counter::Drop {
                    from: from.clone(),
                    to: to.clone(),
                    reason: (*reason).to_owned(),
                };
                counted.iter().map(conduit).chain([drop]).collect()
            }
        }
    }
}

fn difference(before: &Counters, after: &Counters) -> Counters {
    let changed = after.iter().map(|(counter, packets)| {
        let earlier = before.get(counter).copied().unwrap_or(0);
        (counter.clone(), packets - earlier)
    });
    changed.filter(|(_, packets)| *packets != 0).collect()
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
