//! The kernel programs without an interface: packets in, verdicts out.
//!
//! Tests and benchmarks run the very programs that `apply` loads, by
//! `BPF_PROG_TEST_RUN`.

use std::time::Duration;

use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};

use super::clock;
use super::error::KernelError;
use super::maps::{Capacity, Clock, Maps, Tables};
use super::object::{self, EGRESS, INGRESS, Object, XDP};

/// A loaded object that is attached to nothing and pinned nowhere.
pub struct Trial {
    object: Object,
    /// Its maps.
    pub maps: Maps,
}

/// What a program did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it returned: `XDP_PASS` is 2 and `XDP_DROP` 1; `TC_ACT_UNSPEC` is
    /// -1 and `TC_ACT_SHOT` 2.
    pub action: i32,
    /// Time of one run on average, in whole nanoseconds.
    pub duration: Duration,
}

impl Trial {
    /// Loads the programs, with one policy active as generation 1.
    ///
    /// TCP connections in mid-stream are not let in.
    pub fn start(capacity: &Capacity, tables: &Tables<'_>) -> Result<Self, KernelError> {
        let mut object = object::load(capacity, &[])?;
        let mut maps = object.take_maps()?;
        let ticks_per_second = clock::ticks_per_second();
        let clock = Clock {
            ticks_per_second: ticks_per_second
                .map_err(|source| KernelError::System("read the timer", source))?,
            pickup_until: 0,
        };
        maps.initialize(capacity.zones, clock)?;
        let staged = maps.stage(tables, 1)?;
        maps.activate(staged);
        Ok(Self { object, maps })
    }

    /// Puts another policy in place of the active one.
    pub fn replace(&mut self, tables: &Tables<'_>) -> Result<(), KernelError> {
        let generation = self.maps.generation() + 1;
        let staged = self.maps.stage(tables, generation)?;
        self.maps.activate(staged);
        Ok(())
    }

    /// Names and tags of the programs that `apply` loads.
    pub fn tags(&mut self) -> Result<[(&'static str, u64); 3], KernelError> {
        let tag = |name, info: Result<aya::programs::ProgramInfo, _>| match info {
            Ok(info) => Ok((name, info.tag())),
            Err(source) => Err(failed(name, source)),
        };
        let xdp = tag(XDP, self.object.xdp()?.info())?;
        let ingress = tag(INGRESS, self.object.ingress()?.info())?;
        Ok([xdp, ingress, tag(EGRESS, self.object.egress()?.info())?])
    }

    /// Gives a frame, as if it came in on an interface of this network
    /// namespace, to the XDP program `repeat` times.
    pub fn run_xdp(&mut self, frame: &[u8], ifindex: u32, repeat: u32) -> Result<Run, KernelError> {
        run_at_ingress(XDP, self.object.xdp()?, (frame, ifindex), repeat)
    }

    /// The same once: what the program returned, and the frame as it is then.
    pub fn answer(&mut self, frame: &[u8], ifindex: u32) -> Result<(i32, Vec<u8>), KernelError> {
        const ROOM: usize = 4_096;
        let context = at_ingress(frame, ifindex);
        let mut answer = vec![0; ROOM];
        let run = self.object.xdp()?.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut answer),
            ctx_in: Some(context.as_flattened()),
            ..TestRunOptions::new()
        });
        let run = run.map_err(|source| failed(XDP, source))?;
        answer.truncate(run.data_size_out as usize);
        Ok((run.return_value as i32, answer))
    }

    /// The same for a program that passes everything.
    pub fn run_empty(
        &mut self,
        frame: &[u8],
        ifindex: u32,
        repeat: u32,
    ) -> Result<Run, KernelError> {
        run_at_ingress(
            "enforcer_empty",
            self.object.empty()?,
            (frame, ifindex),
            repeat,
        )
    }

    /// Gives a frame to the TC ingress program `repeat` times, as if it came in
    /// on an interface of this network namespace.
    pub fn run_ingress(
        &mut self,
        frame: &[u8],
        ifindex: u32,
        repeat: u32,
    ) -> Result<Run, KernelError> {
        run_at_tc(INGRESS, self.object.ingress()?, frame, (0, ifindex), repeat)
    }

    /// Gives a frame to the TC egress program `repeat` times, as if it left by
    /// an interface of this network namespace and had come in on `ingress`, 0
    /// for a frame of the router itself.
    pub fn run_egress(
        &mut self,
        frame: &[u8],
        (ingress, egress): (u32, u32),
        repeat: u32,
    ) -> Result<Run, KernelError> {
        let places = (ingress, egress);
        run_at_tc(EGRESS, self.object.egress()?, frame, places, repeat)
    }
}

/// Runs a TC program on an interface, for a frame that came in on another.
fn run_at_tc(
    name: &'static str,
    program: &SchedClassifier,
    frame: &[u8],
    (came_in, ifindex): (u32, u32),
    repeat: u32,
) -> Result<Run, KernelError> {
    // `struct __sk_buff`: `ingress_ifindex` is the tenth word, `ifindex` the
    // eleventh, and the kernel wants zeroes behind what it takes.
    let mut context = [0; 48];
    context[9] = came_in;
    context[10] = ifindex;
    let context = context.map(u32::to_ne_bytes);
    let run = program.test_run(TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(context.as_flattened()),
        repeat,
        ..TestRunOptions::new()
    });
    done(name, run)
}

fn run_at_ingress(
    name: &'static str,
    program: &Xdp,
    (frame, ifindex): (&[u8], u32),
    repeat: u32,
) -> Result<Run, KernelError> {
    let context = at_ingress(frame, ifindex);
    let run = program.test_run(TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(context.as_flattened()),
        repeat,
        ..TestRunOptions::new()
    });
    done(name, run)
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex,
/// rx_queue_index, egress_ifindex.
fn at_ingress(frame: &[u8], ifindex: u32) -> [[u8; 4]; 6] {
    let context = [0, frame.len() as u32, 0, ifindex, 0, 0];
    context.map(u32::to_ne_bytes)
}

fn done(
    program: &'static str,
    run: Result<TestRunResult, ProgramError>,
) -> Result<Run, KernelError> {
    let run = run.map_err(|source| failed(program, source))?;
    Ok(Run {
        action: run.return_value as i32,
        duration: run.duration,
    })
}

fn failed(program: &'static str, source: ProgramError) -> KernelError {
    KernelError::Program {
        program,
        source: Box::new(source),
    }
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use enforcer_common::layout::{Block, Layout, LinkEntry};

    use super::*;
    use crate::kernel::pending::{Pending, Previous};

    const CAPACITY: Capacity = Capacity {
        blocks: 16,
        slots: 64,
        zones: 16,
        flows: 1_024,
        flows_new: 1_024,
    };

    fn names() -> (BTreeMap<u16, String>, BTreeMap<u32, String>) {
        let zones = [(0, "unknown"), (1, "self")].map(|(id, name)| (id, name.to_owned()));
        (zones.into(), [(0, "(no-conduit)".to_owned())].into())
    }

    #[test]
    fn the_kernel_ticks_as_often_as_it_says() {
        let mut object = object::load(&CAPACITY, &[]).unwrap();
        let per_second = f64::from(clock::ticks_per_second().unwrap());
        let (first, started) = (object.now_ticks().unwrap(), Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let (last, elapsed) = (object.now_ticks().unwrap(), started.elapsed());
        let measured = (last - first) as f64 / elapsed.as_secs_f64();
        // A test-run takes a while, and nobody knows when in it the program ran.
        assert!(
            (measured / per_second - 1.0).abs() < 0.1,
            "{measured} ticks per second, not {per_second}"
        );
    }

    #[test]
    fn empty_tables_drop_everything_in_every_hook() {
        let (zones, slots) = names();
        let tables = Tables {
            blocks: &[],
            layout: &Layout::default(),
            zones: &zones,
            slots: &slots,
        };
        let mut trial = Trial::start(&CAPACITY, &tables).unwrap();
        assert_eq!(trial.maps.generation(), 1);
        trial.replace(&tables).unwrap();
        assert_eq!(trial.maps.generation(), 2);
        // An EtherType that nobody has.
        let frame = [[0xff; 14], [0; 14], [0; 14], [0; 14], [0; 14]].concat();
        let (xdp_drop, tc_act_shot) = (1, 2);
        assert_eq!(trial.run_xdp(&frame, 0, 1).unwrap().action, xdp_drop);
        let ingress = trial.run_ingress(&frame, 1, 1);
        assert_eq!(ingress.unwrap().action, tc_act_shot);
        assert_eq!(
            trial.run_egress(&frame, (0, 1), 1).unwrap().action,
            tc_act_shot
        );
        let drops = trial.maps.drops.read().unwrap();
        let counted: Vec<_> = drops
            .iter()
            .map(|drop| (drop.reason.as_str(), drop.packets, drop.to.as_str()))
            .collect();
        assert_eq!(counted, [("unknown-ethertype", 3, "-")]);
    }

    /// Tables that list `lo`, which a test-run takes for the interface of its
    /// frames, if it is to be enforced; they drop every frame.
    fn listing(is_enforced: bool) -> [Block; 1] {
        let mut block = [0; 256];
        block[0] = 1;
        block[3] = if is_enforced { LinkEntry::ENFORCED } else { 0 };
        [block]
    }

    /// Whether a frame passes each of the hooks.
    fn passes(trial: &mut Trial) -> [bool; 2] {
        let frame = [0xff; 70];
        let (xdp_pass, tc_act_unspec) = (2, -1);
        [
            (trial.run_xdp(&frame, 0, 1), xdp_pass),
            (trial.run_egress(&frame, (0, 1), 1), tc_act_unspec),
        ]
        .map(|(run, passed)| run.expect("a frame can be tried").action == passed)
    }

    #[test]
    fn what_is_not_confirmed_in_time_gives_way_to_what_was_before() {
        let (zones, slots) = names();
        let layout = Layout::default();
        let blocks = [listing(true), listing(false)];
        let tables = blocks.each_ref().map(|blocks| Tables {
            blocks,
            layout: &layout,
            zones: &zones,
            slots: &slots,
        });
        // Whether a policy was there before, and enforced the interface.
        for before in [None, Some(true), Some(false)] {
            let mut object = object::load(&CAPACITY, &[]).unwrap();
            let mut maps = object.take_maps().unwrap();
            let clock = Clock {
                ticks_per_second: clock::ticks_per_second().unwrap(),
                pickup_until: 0,
            };
            maps.initialize(CAPACITY.zones, clock).unwrap();
            let mut trial = Trial { object, maps };
            if let Some(is_enforced) = before {
                let before = &tables[usize::from(!is_enforced)];
                let staged = trial.maps.stage(before, 1).unwrap();
                trial.maps.activate(staged);
            }
            let staged = trial.maps.stage(&tables[0], 2).unwrap();
            let until = trial.object.now_ticks().unwrap() + u64::from(clock.ticks_per_second) / 4;
            trial.maps.activate_until(staged, until);
            let previous = before.map_or(Previous::Open, |_| Previous::Generation(1));
            assert_eq!(trial.maps.pending(), Some(Pending { until, previous }));
            assert!(trial.maps.stage(&tables[0], 3).is_err(), "no place is free");
            let is_open = before != Some(true);

            // In its own time.
            while trial.object.now_ticks().unwrap() < until {
                let passed = passes(&mut trial);
                let is_over = trial.object.now_ticks().unwrap() >= until;
                assert!(passed == [false; 2] || is_over, "{before:?}");
            }
            assert_eq!(passes(&mut trial), [is_open; 2], "{before:?}");
            // Confirmed after all, which only the kernel lets happen.
            trial.maps.confirm();
            assert_eq!(trial.maps.pending(), None);
            assert_eq!(passes(&mut trial), [false; 2], "{before:?}");
        }
    }

    #[test]
    fn a_policy_that_is_taken_back_is_gone_at_once() {
        let (zones, slots) = names();
        let tables = Tables {
            blocks: &listing(true),
            layout: &Layout::default(),
            zones: &zones,
            slots: &slots,
        };
        let mut trial = Trial::start(&CAPACITY, &tables).unwrap();
        let staged = trial.maps.stage(&tables, 2).unwrap();
        trial.maps.activate_until(staged, u64::MAX);
        assert_eq!(trial.maps.generation(), 2);
        trial.maps.expire();
        assert_eq!(passes(&mut trial), [false; 2]);
        trial.maps.revert().unwrap();
        assert_eq!((trial.maps.generation(), trial.maps.pending()), (1, None));
        // The place of the other one is free again.
        trial.replace(&tables).unwrap();
    }

    #[test]
    fn a_policy_that_does_not_fit_is_refused() {
        let (zones, slots) = names();
        let mut tables = Tables {
            blocks: &[[0; 256]; 17],
            layout: &Layout::default(),
            zones: &zones,
            slots: &slots,
        };
        assert!(!tables.fit(&CAPACITY));
        assert!(Trial::start(&CAPACITY, &tables).is_err());
        tables.blocks = &[];
        let slots = [(64, "beyond".to_owned())].into();
        tables.slots = &slots;
        assert!(!tables.fit(&CAPACITY));
    }
}
