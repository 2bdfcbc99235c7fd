//! What an apply costs: its own time, and what traffic notices of it.
//!
//! The lab's router forwards pings, a thousand a second, while policies replace
//! each other, and while nothing happens, in turns: what a busy machine does to
//! latency, it does to both. Applies are whole commands, from their start to the
//! end of the process, by which time the policy is active.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::command;
use xtask::lab::{Enforcer, Family, Network, Service, Topology, succeeded};

/// Turns of each kind, and applies in each.
const TURNS: usize = 5;
const APPLIES: usize = 20;
/// Applies that are timed.
const TIMED: usize = 20;
const FIRST: usize = 5;

fn main() -> Result<()> {
    let networks = vec![
        Network::new("office", "off0", "10.1.0.0", "fd01::"),
        Network::new("plant", "plc0", "10.2.0.0", "fd02::"),
    ];
    let lab = Topology::new(networks)?;
    let program = Path::new(env!("CARGO_BIN_EXE_enforcer"));
    let enforcer = Enforcer::install(lab.router(), program)?;
    let file = |name, policy: String| -> Result<String> {
        Ok(enforcer.policy_file(name, &policy)?.display().to_string())
    };

    let small = [file("a", policy(20, 0))?, file("b", policy(20, 1))?];
    let large = [file("c", policy(1_000, 0))?, file("d", policy(1_000, 1))?];
    for (conduits, files) in [(20, &small), (1_000, &large)] {
        let first = timed(FIRST, |_| {
            succeeded(&enforcer.detach()?)?;
            apply(&enforcer, &files[0])
        })?;
        let later = timed(TIMED, |round| apply(&enforcer, &files[(round + 1) % 2]))?;
        println!("apply of {conduits} conduits: first {first}, later {later}");
    }
    pings(&lab, &enforcer, &small)
}

/// Compares pings with and without applies.
fn pings(lab: &Topology, enforcer: &Enforcer, files: &[String; 2]) -> Result<()> {
    // The first ping also finds neighbours.
    lab.host("plant").serve(Service::Ping)?;
    apply(enforcer, &files[0])?;
    let running = Ping::start(lab)?;
    thread::sleep(Duration::from_millis(200));
    running.stop()?;
    let (mut quiet, mut busy) = (Turns::default(), Turns::default());
    for _ in 0..TURNS {
        let running = Ping::start(lab)?;
        let started = Instant::now();
        for round in 0..APPLIES {
            apply(enforcer, &files[(round + 1) % 2])?;
        }
        let took = started.elapsed();
        busy.add(running.stop()?);
        let running = Ping::start(lab)?;
        thread::sleep(took);
        quiet.add(running.stop()?);
    }
    println!("pings at 1 kHz, in {TURNS} turns each:");
    for (what, turns) in [("without applies", &quiet), ("with applies", &busy)] {
        println!("  {what:<16} {}", turns.told());
    }
    let applies = TURNS * APPLIES;
    let grown = busy.worst_ms() - quiet.worst_ms();
    println!("worst latency with {applies} applies minus without: {grown:.2} ms");
    Ok(())
}

/// A host that pings another one.
struct Ping {
    process: Child,
    reader: JoinHandle<std::io::Result<String>>,
}

impl Ping {
    fn start(lab: &Topology) -> Result<Self> {
        let to = lab.address("office", "plant", Family::V4).to_string();
        let mut ping = Command::new("ping");
        ping.args(["-n", "-i", "0.001", &to])
            .env("PATH", command::path())
            .stdout(Stdio::piped());
        let office = lab.host("office").namespace();
        let mut process = office.run(move || ping.spawn()).context("run `ping`")?;
        let mut output = process.stdout.take().context("its output is piped")?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text)?;
            Ok(text)
        });
        Ok(Self { process, reader })
    }

    /// Ends it, and returns what it saw.
    fn stop(mut self) -> Result<Turns> {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGINT)?;
        self.process.wait()?;
        let text = self.reader.join().expect("reading does not panic")?;
        let mut seen = Turns::default();
        let mut last = 0;
        for line in text.lines() {
            let after = |key: &str| line.split_once(key).map(|(_, rest)| rest);
            let (Some(number), Some(time)) = (after("icmp_seq="), after("time=")) else {
                continue;
            };
            let word = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
            last = last.max(word(number).parse::<usize>()?);
            seen.times_ms.push(word(time).parse()?);
        }
        ensure!(last > 0, "`ping` has seen no answer:\n{text}");
        seen.lost = last - seen.times_ms.len();
        Ok(seen)
    }
}

/// Pings of one kind.
#[derive(Default)]
struct Turns {
    times_ms: Vec<f64>,
    lost: usize,
}

impl Turns {
    fn add(&mut self, turn: Self) {
        self.times_ms.extend(turn.times_ms);
        self.lost += turn.lost;
    }

    fn worst_ms(&self) -> f64 {
        self.times_ms.iter().copied().fold(0.0, f64::max)
    }

    fn told(&self) -> String {
        let mut sorted = self.times_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
        format!(
            "{} answered, {} lost; ms: median {:.3}, 99.9 % {:.3}, worst {:.3}",
            sorted.len(),
            self.lost,
            at(0.5),
            at(0.999),
            at(1.0)
        )
    }
}

/// The lowest and the median time of some runs.
fn timed(runs: usize, mut run: impl FnMut(usize) -> Result<Duration>) -> Result<String> {
    let mut times = Vec::new();
    for round in 0..runs {
        times.push(run(round)?);
    }
    times.sort();
    let (lowest, median) = (times[0], times[runs / 2]);
    Ok(format!("{lowest:.1?} (median {median:.1?} of {runs})"))
}

/// How long the command takes.
fn apply(enforcer: &Enforcer, file: &str) -> Result<Duration> {
    let started = Instant::now();
    let output = enforcer.output(&["apply", file])?;
    let took = started.elapsed();
    succeeded(&output)?;
    Ok(took)
}

/// A policy of many conduits, which differs a little from the next variant.
fn policy(conduits: usize, variant: usize) -> String {
    const CELLS: usize = 20;
    let mut text = "\
version: 1
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: plc0 }] }
"
    .to_owned();
    for cell in 0..CELLS {
        text += &format!(
            "  cell-{cell}: {{ match: [{{ interface: plc0, prefix: 10.99.{cell}.0/24 }}] }}\n"
        );
    }
    text += "conduits:\n  - { id: ping, from: office, to: plant, services: ping }\n";
    for conduit in 1..conduits {
        let (cell, port) = (conduit % CELLS, 1_000 + conduit / CELLS + variant);
        text += &format!(
            "  - {{ id: c-{conduit}, from: office, to: cell-{cell}, services: tcp/{port} }}\n"
        );
    }
    text
}
