//! Where faults come in: between a command and the kernel, by `strace`.

use std::fs;
use std::process::Output;

use crate::network::Net;

/// System calls that go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name.
    pub call: &'static str,
    /// Which one of that name is the first, counted from 1 in each thread.
    pub number: u32,
    /// How many in a row.
    pub times: u32,
    pub effect: Effect,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is not made, and reports this error.
    Error(&'static str),
    /// It is not made, and the process is killed.
    Kill,
}

/// Calls of one name that a command makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    pub call: &'static str,
    /// The numbers of those that are worth a fault.
    pub numbers: Vec<u32>,
}

/// How a thread wakes another: written to no file, and it cannot fail.
const WAKE: &str = "\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8)";

/// Makes a command meet a fault.
pub fn run(net: &Net, fault: Fault, args: &[&str]) -> Output {
    let inject = fault.injection();
    traced(net, &[fault.call], &["-e", &inject], args).0
}

impl Fault {
    /// What `strace` calls it.
    pub fn injection(&self) -> String {
        let Self {
            call,
            number,
            times,
            ..
        } = *self;
        let effect = match self.effect {
            Effect::Error(name) => format!("error={name}"),
            Effect::Kill => "signal=KILL".to_owned(),
        };
        let last = number + times - 1;
        format!("inject={call}:{effect}:when={number}..{last}")
    }
}

/// Runs a command undisturbed, and counts its calls of some names.
pub fn count(net: &Net, names: &[&'static str], args: &[&str]) -> Vec<Calls> {
    let (output, trace) = traced(net, names, &[], args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    let mut lines = trace.lines().filter_map(|line| line.split_once(' '));
    let main = lines.clone().next().expect("the command makes calls").0;
    let own: Vec<&str> = lines
        .by_ref()
        .filter(|(process, _)| *process == main)
        .map(|(_, call)| call.trim_start())
        .collect();
    // The loader opens libraries; the command begins by opening its files.
    let is_ours = |call: &&str| call.starts_with("openat(") && call.contains("/run/enforcer");
    let begin = own.iter().position(is_ours);
    let begin = begin.unwrap_or_default();
    let calls = |call: &'static str| {
        let named = |it: &(usize, &str)| it.1.starts_with(&format!("{call}("));
        let numbered = (1..).zip(own.iter().copied().enumerate().filter(named));
        let worth = numbered.filter(|(_, (at, it))| *at >= begin && !it.contains(WAKE));
        Calls {
            call,
            numbers: worth.map(|(number, _)| number).collect(),
        }
    };
    names.iter().map(|call| calls(call)).collect()
}

fn traced(net: &Net, names: &[&str], options: &[&str], args: &[&str]) -> (Output, String) {
    let path = net.enforcer.root().join("trace");
    let file = path.display().to_string();
    let trace = format!("trace={}", names.join(","));
    // The filter lets all other calls through at full speed.
    let strace = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        &file,
        "-e",
        &trace,
    ];
    let tool = [&strace, options].concat();
    let output = net.enforcer.output_under(&tool, args).unwrap();
    let router = net.lab.router().namespace();
    let trace = router.run(move || fs::read_to_string(path)).unwrap();
    (output, trace)
}
