//! A daemon that meets faults while it follows a change.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use xtask::lab::{Family, Service};

use super::seam::{Calls, Effect, Fault};
use super::{FILES, KERNEL, faults};
use crate::daemon::Daemon;
use crate::either::{Force, apply, in_force, serving};
use crate::network::{DROPPED, Net};

/// Calls by which a daemon changes files and pins.
const FILE_CALLS: [&str; 5] = ["openat", "fsync", "rename", "unlink", "getdents64"];
/// The network that comes and goes, its interface, and the index of that.
const LOST: (&str, &str, u32) = ("guests", "gst0", 200);
/// How long a change takes to be followed, if nothing is in the way.
const USUAL: Duration = Duration::from_secs(3);

#[test]
fn failing_bpf_calls_of_a_daemon() {
    follow_with_faults((&["bpf"], &KERNEL), 5);
}

#[test]
fn failing_file_calls_of_a_daemon() {
    follow_with_faults((&FILE_CALLS, &FILES), 11);
}

#[test]
fn failing_netlink_calls_of_a_daemon() {
    let calls = ["socket", "bind", "sendto", "recvfrom"];
    follow_with_faults((&calls, &["ENOBUFS", "ENOMEM"]), 2);
}

/// No news come, and it looks again all the same.
#[test]
fn a_daemon_tries_again_what_has_failed() {
    const RETRY: Duration = Duration::from_secs(30);
    let (net, files) = serving();
    apply(&net, &files.a);
    let mut daemon = Daemon::start(&net);
    unplug(&net, &mut daemon);
    let lasting = Fault {
        call: "bpf",
        number: 1,
        times: 10_000,
        effect: Effect::Error("ENOMEM"),
    };
    let tracer = Tracer::attach(daemon.pid(), &["bpf"], Some(lasting));
    net.lab.plug(LOST.0, LOST.2).unwrap();
    let said = daemon.hears(USUAL, is_whole).unwrap_err();
    assert!(said.iter().any(|line| line.contains("memory")), "{said:#?}");
    assert_eq!(in_force(&net, Family::V4), Ok(Force::A));
    tracer.detach();
    let healed = daemon.hears(RETRY + 2 * USUAL, is_whole);
    assert!(healed.is_ok(), "{healed:#?}");
    assert_eq!(net.xdp_programs().len(), 3);
}

/// Whatever fails while an interface appears, the policy stays in force, the daemon
/// lives and says what is wrong, and the next change finds all in order.
fn follow_with_faults((names, errors): (&[&'static str], &[&'static str]), stride: usize) {
    let (net, files) = serving();
    apply(&net, &files.a);
    let mut daemon = Daemon::start(&net);
    let calls = count(&net, &mut daemon, names);
    assert!(calls.iter().any(|it| !it.numbers.is_empty()), "{calls:?}");
    for (round, fault) in faults(&calls, errors, stride).into_iter().enumerate() {
        let family = Family::BOTH[round % 2];
        unplug(&net, &mut daemon);
        let tracer = Tracer::attach(daemon.pid(), &[fault.call], Some(fault));
        net.lab.plug(LOST.0, LOST.2).unwrap();
        let heard = daemon.hears(USUAL, is_healed);
        assert_eq!(in_force(&net, family), Ok(Force::A), "{fault:?}");
        let guests = [("guests", "plant", Service::Udp(53), DROPPED)];
        assert_eq!(net.see(&guests), [DROPPED], "{fault:?}");
        tracer.detach();
        if let Err(said) = heard {
            assert!(!said.is_empty(), "{fault:?} is not told");
            for action in ["add", "delete"] {
                let news = ["address", action, "192.0.2.1/32", "dev", "lo"];
                net.enforcer.run_program("ip", &news).unwrap();
            }
            let healed = daemon.hears(4 * USUAL, is_healed);
            assert!(healed.is_ok(), "{fault:?}: {said:#?}, then {healed:#?}");
        }
        assert_eq!(net.xdp_programs().len(), 3, "{fault:?}");
        assert_eq!(in_force(&net, family), Ok(Force::A), "{fault:?}");
    }
}

/// Lets the daemon follow once, undisturbed; counts the calls of each thread.
fn count(net: &Net, daemon: &mut Daemon, names: &[&'static str]) -> Vec<Calls> {
    unplug(net, daemon);
    let tracer = Tracer::attach(daemon.pid(), names, None);
    net.lab.plug(LOST.0, LOST.2).unwrap();
    daemon.hears(4 * USUAL, is_whole).unwrap();
    let trace = tracer.detach();
    let most = |call: &'static str| {
        let mut threads = BTreeMap::new();
        for line in trace.lines() {
            let (thread, made) = line.split_once(' ').unwrap();
            if made.trim_start().starts_with(&format!("{call}(")) {
                *threads.entry(thread.to_owned()).or_insert(0) += 1;
            }
        }
        let most = threads.into_values().max().unwrap_or(0);
        let numbers = (1..=most).collect();
        Calls { call, numbers }
    };
    names.iter().map(|call| most(call)).collect()
}

fn unplug(net: &Net, daemon: &mut Daemon) {
    net.lab.unplug(LOST.0).unwrap();
    daemon.wait_line(&format!("missing: {}", LOST.1));
}

/// Whether a line says that every interface has its programs.
fn is_healed(line: &str) -> bool {
    let attached = line.contains("programs attached to") && line.contains(LOST.1);
    is_whole(line) || attached && !line.contains("NOT enforced")
}

fn is_whole(line: &str) -> bool {
    let lacks = ["missing", "NOT enforced"];
    let names_all = line.contains("every interface of the policy is there")
        || line.contains("is enforced on") && line.contains(LOST.1);
    names_all && !lacks.iter().any(|lack| line.contains(lack))
}

/// `strace` on a process that runs.
struct Tracer {
    strace: Child,
    folder: TempDir,
}

impl Tracer {
    /// Returns when every thread is traced; calls are counted from then on.
    fn attach(pid: Pid, names: &[&str], fault: Option<Fault>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &pid.to_string(), "-o"]);
        strace.arg(folder.path().join("trace"));
        strace.args(["-e", &format!("trace={}", names.join(","))]);
        strace.args(fault.map(|fault| format!("--{}", fault.injection())));
        let strace = strace.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut strace = strace.spawn().unwrap();
        let mut complaints = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached =
            complaints.find(|line| line.as_ref().is_ok_and(|it| it.contains("attached")));
        attached.expect("strace attaches").unwrap();
        Self { strace, folder }
    }

    /// Lets the process go; returns what it did.
    fn detach(mut self) -> String {
        let pid = Pid::from_raw(self.strace.id().try_into().unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        self.strace.wait().unwrap();
        fs::read_to_string(self.folder.path().join("trace")).unwrap()
    }
}
