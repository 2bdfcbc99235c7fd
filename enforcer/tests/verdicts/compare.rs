//! Runs packets through a datapath and through the oracle, and tells the first
//! difference so that it can be understood.

use std::collections::BTreeMap;
use std::fmt::Write;

use enforcer::policy::Policy;

use crate::crossing::{Crossing, Way};
use crate::oracle::flows::Opening;
use crate::oracle::packet::{Frame, Payload};
use crate::oracle::{self, Expected, History, judge};
use crate::world::World;

/// Whatever judges packets with the tables of policies.
pub trait Datapath {
    /// Whether it can be given the packet.
    fn takes(&self, packet: &Crossing) -> bool {
        let _ = packet;
        true
    }
    /// Whether the packet passes.
    fn run(&mut self, frame: &[u8], way: Way) -> bool;
    /// Everything counted so far; what is 0 may be missing.
    fn counters(&mut self) -> Counters;
    /// Puts the next policy in place of the present one.
    fn next_policy(&mut self);
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

/// Policies that follow each other, each with packets that it judges.
pub struct Case {
    /// What makes it again.
    pub origin: String,
    pub stages: Vec<Stage>,
}

/// One policy and the packets that come while it is active.
pub struct Stage {
    pub text: String,
    pub policy: Policy,
    pub packets: Vec<Crossing>,
}

/// How often each kind of verdict was expected: ids and drop reasons.
pub type Tally = BTreeMap<String, u64>;

/// Compares every verdict and every counter of a case; panics on a difference.
///
/// `open` gives a datapath with the first of the policies active.
pub fn compare<D: Datapath>(
    case: &Case,
    world: &World,
    open: impl Fn(&[&Policy]) -> D,
    tally: &mut Tally,
) {
    let policies: Vec<&Policy> = case.stages.iter().map(|stage| &stage.policy).collect();
    let mut run = Run::new(world, open(&policies));
    for (number, stage) in case.stages.iter().enumerate() {
        run.begin(number);
        let before = run.datapath.counters();
        let mut expected = Counters::new();
        let mut differs = false;
        for packet in run.taken(stage) {
            let (verdict, passed) = run.judge(stage, packet);
            differs |= verdict.passes() != passed;
            *tally.entry(verdict.kind()).or_default() += 1;
            for counter in verdict.counters() {
                *expected.entry(counter).or_default() += 1;
            }
        }
        if differs || difference(&before, &run.datapath.counters()) != expected {
            explain(case, Run::new(world, open(&policies)));
        }
    }
}

/// Runs the packets again, looks at the counters after each, and panics with
/// the first difference.
fn explain<D: Datapath>(case: &Case, mut run: Run<'_, D>) -> ! {
    for (number, stage) in case.stages.iter().enumerate() {
        run.begin(number);
        let mut before = run.datapath.counters();
        for (index, packet) in run.taken(stage).into_iter().enumerate() {
            let flows = run.history.clone();
            let (expected, passed) = run.judge(stage, packet);
            let after = run.datapath.counters();
            let seen = difference(&before, &after);
            before = after;
            let wanted = expected.counters().into_iter().map(|counter| (counter, 1));
            if passed != expected.passes() || seen != wanted.collect() {
                let (frame, way) = (packet.frame(), packet.way);
                let read = oracle::packet::read(frame);
                let flow = match &read {
                    Ok(Frame {
                        vlan,
                        mac,
                        payload: Payload::Ip(datagram),
                    }) => flows.between(&Opening::new(way, (*vlan, *mac), datagram)),
                    _ => None,
                };
                panic!(
                    "{}: packet {index} under policy {number}\n{}\n\
                     {way:?}, {} bytes: {}\n{read:?}\n{flow:?}\n\
                     expected: {expected:?}\nseen: passed {passed}, counted {seen:?}",
                    case.origin,
                    stage.text,
                    frame.len(),
                    hex(frame),
                );
            }
        }
    }
    panic!("{}: the difference was gone when it ran again", case.origin);
}

/// A datapath and what the oracle remembers of the same packets.
struct Run<'w, D> {
    world: &'w World,
    datapath: D,
    history: History,
}

impl<'w, D: Datapath> Run<'w, D> {
    fn new(world: &'w World, datapath: D) -> Self {
        let history = History::default();
        Self {
            world,
            datapath,
            history,
        }
    }

    /// The packets of a stage that the datapath can be given.
    fn taken<'s>(&self, stage: &'s Stage) -> Vec<&'s Crossing> {
        let all = stage.packets.iter();
        all.filter(|packet| self.datapath.takes(packet)).collect()
    }

    /// Makes a policy active, given by its place in the case.
    fn begin(&mut self, number: usize) {
        if number > 0 {
            self.datapath.next_policy();
            self.history.replace_policy();
        }
    }

    /// What the oracle says of a packet, and whether the datapath let it pass.
    fn judge(&mut self, stage: &Stage, packet: &Crossing) -> (Expected, bool) {
        if !self.datapath.is_stateful() {
            self.history = History::default();
        }
        let (frame, way) = (packet.frame(), packet.way);
        let expected = judge(&stage.policy, self.world, frame, way, &mut self.history);
        (expected, self.datapath.run(frame, way))
    }
}

impl Expected {
    /// Whether the packet passes.
    pub fn passes(&self) -> bool {
        !matches!(self, Self::Drop { .. })
    }

    /// The drop reason, or what kind of rule lets the packet pass.
    fn kind(&self) -> String {
        match self {
            Self::Pass { counted } if counted.starts_with("(failsafe") => "(failsafe)".to_owned(),
            Self::Pass { counted } if counted.starts_with('(') => counted.clone(),
            Self::Pass { .. } => "allowed".to_owned(),
            Self::Audited { .. } => "audit".to_owned(),
            Self::Unjudged => "unjudged".to_owned(),
            Self::Drop { reason, .. } => (*reason).to_owned(),
        }
    }

    /// The counters that move.
    pub fn counters(&self) -> Vec<Counter> {
        let conduit = |id: &String| Counter::Conduit(id.clone());
        match self {
            Self::Unjudged => Vec::new(),
            Self::Pass { counted } => vec![conduit(counted)],
            Self::Audited { from, to, counted } => {
                let audit = Counter::Drop {
                    from: from.clone(),
                    to: to.clone(),
                    reason: "audit".to_owned(),
                };
                counted.iter().map(conduit).chain([audit]).collect()
            }
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

/// How far counters have moved.
pub fn difference(before: &Counters, after: &Counters) -> Counters {
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
