//! The kernel programs without an interface: packets in, verdicts out.
//!
//! Tests and benchmarks run the very programs that `apply` loads, by
//! `BPF_PROG_TEST_RUN`.

use std::time::Duration;

use aya::programs::{ProgramError, TestRun, TestRunOptions, TestRunResult, Xdp};

use super::clock;
use super::error::KernelError;
use super::maps::{Capacity, Clock, Maps, Tables};
use super::object::{self, EGRESS, Object, XDP};

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
    pub fn tags(&mut self) -> Result<[(&'static str, u64); 2], KernelError> {
        let tag = |name, info: Result<aya::programs::ProgramInfo, _>| match info {
            Ok(info) => Ok((name, info.tag())),
            Err(source) => Err(failed(name, source)),
        };
        let xdp = tag(XDP, self.object.xdp()?.info())?;
        Ok([xdp, tag(EGRESS, self.object.egress()?.info())?])
    }

    /// Gives a frame, as if it came in on an interface of this network
    /// namespace, to the XDP program `repeat` times.
    pub fn run_xdp(&mut self, frame: &[u8], ifindex: u32, repeat: u32) -> Result<Run, KernelError> {
        run_at_ingress(XDP, self.object.xdp()?, (frame, ifindex), repeat)
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

    /// Gives a frame to the TC egress program `repeat` times, as if it left by
    /// an interface of this network namespace and had come in on `ingress`, 0
    /// for a frame of the router itself.
    pub fn run_egress(
        &mut self,
        frame: &[u8],
        (ingress, egress): (u32, u32),
        repeat: u32,
    ) -> Result<Run, KernelError> {
        // `struct __sk_buff`: `ingress_ifindex` is the tenth word, `ifindex`
        // the eleventh, and the kernel wants zeroes behind what it takes.
        let mut context = [0; 48];
        context[9] = ingress;
        context[10] = egress;
        let context = context.map(u32::to_ne_bytes);
        let run = self.object.egress()?.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(context.as_flattened()),
            repeat,
            ..TestRunOptions::new()
        });
        done(EGRESS, run)
    }
}

fn run_at_ingress(
    name: &'static str,
    program: &Xdp,
    (frame, ifindex): (&[u8], u32),
    repeat: u32,
) -> Result<Run, KernelError> {
    // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex,
    // rx_queue_index, egress_ifindex.
    let context = [0, frame.len() as u32, 0, ifindex, 0, 0];
    let context = context.map(u32::to_ne_bytes);
    let run = program.test_run(TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(context.as_flattened()),
        repeat,
        ..TestRunOptions::new()
    });
    done(name, run)
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
