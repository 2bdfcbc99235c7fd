//! What a packet costs: nanoseconds of the loaded programs above an empty one.
//!
//! The programs are those that `apply` loads, run by `BPF_PROG_TEST_RUN` in a
//! network namespace of this process alone. Machines are shared and noisy: each
//! round measures every case once, so that a disturbance meets all of them, and
//! the figures are the lowest and the median of the rounds, and the spread between
//! quartiles. A neighbour on the same core raises all of them.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

mod frames;
mod policy;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use enforcer::compile::{self, Image, Machine, Numbering, machine};
use enforcer::controller;
use enforcer::kernel::trial::{Run, Trial};
use enforcer::policy::{self as language, Source};
use nix::sched::{CloneFlags, unshare};

use frames::{Frame, TCP_ACK, TCP_SYN};

/// Runs of a program in one measurement.
const REPEAT: u32 = 200_000;
/// Measurements of each case.
const ROUNDS: usize = 15;
/// Flows that are opened in one measurement of new flows.
const NEW_FLOWS: u16 = 2_048;

const PASS: i32 = 2;
const DROP: i32 = 1;

/// One case in one round, in nanoseconds a packet.
type Samples = BTreeMap<&'static str, Vec<f64>>;

fn main() -> Result<()> {
    let json = std::env::args()
        .skip_while(|argument| argument != "--json")
        .nth(1);
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (needs root)")?;
    let interfaces = policy::interfaces()?;
    let image = compiled(&interfaces)?;
    let mut bench = Bench::start(&image, interfaces)?;
    let mut samples = Samples::new();
    for round in 0..ROUNDS {
        bench.round(round as u16, &mut samples)?;
    }
    let report = Report::of(&samples);
    report.print(&bench.trial.tags()?);
    if let Some(path) = json {
        std::fs::write(&path, report.json()).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

fn compiled(interfaces: &[machine::Interface]) -> Result<Image> {
    let source = Source::from_text("bench.yaml", policy::text());
    let policy = match language::parse(&source) {
        Ok((policy, _)) => policy,
        Err(findings) => anyhow::bail!(findings.render(&source)),
    };
    let machine = Machine {
        interfaces: interfaces.to_vec(),
        ..Machine::default()
    };
    compile::compile(&policy, &machine, &mut Numbering::default())
        .map_err(|findings| anyhow::anyhow!(findings.render(&source)))
}

struct Bench {
    trial: Trial,
    interfaces: Vec<machine::Interface>,
}

impl Bench {
    fn start(image: &Image, interfaces: Vec<machine::Interface>) -> Result<Self> {
        let capacity = controller::capacity(image.sizes());
        let trial = Trial::start(&capacity, &controller::tables(image))?;
        Ok(Self { trial, interfaces })
    }

    fn round(&mut self, round: u16, samples: &mut Samples) -> Result<()> {
        let (office, plant) = (self.interfaces[0].ifindex, self.interfaces[1].ifindex);
        let empty = self.empty(REPEAT)?;
        let mut add = |case, above: f64| samples.entry(case).or_default().push(above);
        add(EMPTY, empty);

        let stateless = Frame::v4(policy::ISOLATED, policy::PLANT).tcp(40_000, 443, TCP_SYN);
        let isolated = self.interfaces[2].ifindex;
        add(
            "drop, no state possible",
            self.timed(&stateless, isolated, DROP)? - empty,
        );

        let refused = Frame::v4(policy::OFFICE, policy::PLANT).tcp(40_000, 9, TCP_SYN);
        add(
            "drop, state possible",
            self.timed(&refused, office, DROP)? - empty,
        );

        let refused = Frame::v6(policy::OFFICE_V6, policy::PLANT_V6).tcp(40_000, 9, TCP_SYN);
        add(
            "drop, state possible, IPv6",
            self.timed(&refused, office, DROP)? - empty,
        );

        let there = Frame::v4(policy::OFFICE, policy::PLANT);
        let back = Frame::v4(policy::PLANT, policy::OFFICE);
        self.open(&there.tcp(40_001, 443, TCP_SYN), office)?;
        self.open(&back.tcp(443, 40_001, TCP_SYN | TCP_ACK), plant)?;
        let data = there.tcp(40_001, 443, TCP_ACK);
        add("established flow", self.timed(&data, office, PASS)? - empty);

        let there = Frame::v6(policy::OFFICE_V6, policy::PLANT_V6);
        let back = Frame::v6(policy::PLANT_V6, policy::OFFICE_V6);
        self.open(&there.tcp(40_001, 443, TCP_SYN), office)?;
        self.open(&back.tcp(443, 40_001, TCP_SYN | TCP_ACK), plant)?;
        let data = there.tcp(40_001, 443, TCP_ACK);
        add(
            "established flow, IPv6",
            self.timed(&data, office, PASS)? - empty,
        );

        add("new flow", self.new_flows(round, office)?);
        Ok(())
    }

    fn empty(&mut self, repeat: u32) -> Result<f64> {
        let frame = Frame::v4(policy::OFFICE, policy::PLANT).tcp(1, 1, TCP_SYN);
        let office = self.interfaces[0].ifindex;
        Ok(nanoseconds(self.trial.run_empty(&frame, office, repeat)?))
    }

    /// Time of a packet, once its verdict is seen to be right.
    fn timed(&mut self, frame: &[u8], ifindex: u32, want: i32) -> Result<f64> {
        let run = self.trial.run_xdp(frame, ifindex, REPEAT)?;
        ensure!(
            run.action == want,
            "the verdict is {} and should be {want}",
            run.action
        );
        Ok(nanoseconds(run))
    }

    fn open(&mut self, frame: &[u8], ifindex: u32) -> Result<()> {
        let run = self.trial.run_xdp(frame, ifindex, 1)?;
        ensure!(run.action == PASS, "a flow that should open is refused");
        Ok(())
    }

    /// Time of the first packet of a flow: each packet is another flow, so each
    /// runs once, and so does the empty program that is subtracted.
    fn new_flows(&mut self, round: u16, office: u32) -> Result<f64> {
        let mut total = 0.0;
        let there = Frame::v4(policy::OFFICE, policy::PLANT);
        for flow in 0..NEW_FLOWS {
            let frame = there.udp(1_024 + round * NEW_FLOWS + flow, 5_000);
            let run = self.trial.run_xdp(&frame, office, 1)?;
            ensure!(run.action == PASS, "a flow that should open is refused");
            total += nanoseconds(run) - self.empty(1)?;
        }
        Ok(total / f64::from(NEW_FLOWS))
    }
}

fn nanoseconds(run: Run) -> f64 {
    run.duration.as_nanos() as f64
}

struct Report {
    rows: Vec<Row>,
}

struct Row {
    case: &'static str,
    lowest: f64,
    median: f64,
    /// Between the quartiles, as a part of the median.
    spread: f64,
}

const EMPTY: &str = "empty program";

impl Report {
    fn of(samples: &Samples) -> Self {
        let rows = samples.iter().map(|(case, samples)| {
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
            Row {
                case,
                lowest: at(0),
                median: at(2),
                spread: (at(3) - at(1)) / at(2),
            }
        });
        Self {
            rows: rows.collect(),
        }
    }

    fn print(&self, tags: &[(&str, u64)]) {
        println!("{ROUNDS} rounds of {REPEAT} packets; ns above the empty program");
        for (program, tag) in tags {
            println!("{program}: tag {tag:016x}");
        }
        let empty = self.rows.iter().find(|row| row.case == EMPTY);
        let empty = empty.map_or(1.0, |row| row.median);
        let titles = ["lowest", "median", "spread", "of an empty run"];
        let [lowest, median, spread, ratio] = titles;
        println!(
            "{:<28} {lowest:>7} {median:>7} {spread:>7} {ratio:>16}",
            "case"
        );
        for row in &self.rows {
            let base = if row.case == EMPTY { 0.0 } else { empty };
            println!(
                "{:<28} {:>7.0} {:>7.0} {:>6.0}% {:>15.1}×",
                row.case,
                row.lowest,
                row.median,
                row.spread * 100.0,
                (row.median + base) / empty
            );
        }
    }

    fn json(&self) -> String {
        let figure = |row: &Row| {
            let figure = serde_json::json!({ "lowest_ns": row.lowest, "median_ns": row.median });
            (row.case, figure)
        };
        let figures: BTreeMap<_, _> = self.rows.iter().map(figure).collect();
        serde_json::json!({ "figures": figures }).to_string()
    }
}
