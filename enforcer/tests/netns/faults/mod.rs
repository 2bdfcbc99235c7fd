//! Every system call of a command may fail, or be the last one of its process.
//!
//! Whatever happens, traffic meets the policy before or the policy after, whole;
//! the command says what is true; the next one works, and nothing is left behind.

mod remains;
mod run;
pub mod seam;
mod story;

use std::env;

use seam::{Calls, Effect, Fault};
use story::{State, Story};

use xtask::lab::Family;

use crate::daemon::Daemon;
use crate::either::{Force, apply, in_force, serving};

/// What the kernel says when it is out of memory, forbids, or is disturbed.
pub const KERNEL: [&str; 4] = ["ENOMEM", "EPERM", "EBUSY", "EINTR"];
/// What file systems say when they are full, broken or read-only.
pub const FILES: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];

/// Calls by which a command changes files and pins.
pub const FILE_CALLS: [&str; 10] = [
    "openat",
    "write",
    "fsync",
    "rename",
    "unlink",
    "symlink",
    "mkdir",
    "rmdir",
    "getdents64",
    "ftruncate",
];

/// Calls between which a command may be killed.
const STEPS: [&str; 7] = [
    "bpf",
    "rename",
    "fsync",
    "unlink",
    "symlink",
    "mkdir",
    "membarrier",
];

/// Set for every fault at every call; else a part of them that differs from call
/// to call.
const ALL: &str = "ENFORCER_ALL_FAULTS";

/// Faults at `calls`, every `stride`th of those that there are.
///
/// Some last for three calls, because a loader may try twice.
pub fn faults(calls: &[Calls], errors: &[&'static str], stride: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for Calls { call, numbers } in calls {
        for number in numbers.iter().copied() {
            for (index, error) in errors.iter().enumerate() {
                // The complaint is written too.
                let lasting = if *call == "write" { 1 } else { 3 };
                for (half, times) in [1, lasting].into_iter().enumerate() {
                    let place = index + errors.len() * half;
                    if is_exhaustive() || number as usize % (2 * errors.len()) == place {
                        let effect = Effect::Error(error);
                        faults.push(Fault {
                            call,
                            number,
                            times,
                            effect,
                        });
                    }
                }
            }
        }
    }
    every(stride, faults)
}

/// The process is killed at each of `calls`, every `stride`th of those that there
/// are.
fn kills(calls: &[Calls], stride: usize) -> Vec<Fault> {
    let kill = |call, number| Fault {
        call,
        number,
        times: 1,
        effect: Effect::Kill,
    };
    let kills = calls
        .iter()
        .flat_map(|it| it.numbers.iter().map(|number| kill(it.call, *number)));
    every(stride, kills.collect())
}

fn every(stride: usize, faults: Vec<Fault>) -> Vec<Fault> {
    let stride = if is_exhaustive() { 1 } else { stride };
    faults.into_iter().step_by(stride).collect()
}

fn is_exhaustive() -> bool {
    env::var_os(ALL).is_some()
}

#[test]
fn failing_bpf_calls_of_an_apply() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let b = State::under(Force::B, &files.b);
    let command = ["apply", &files.b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&["bpf"]);
    story.tell(&faults(&calls, &KERNEL, 1));
}

#[test]
fn failing_bpf_calls_of_a_first_apply() {
    let (net, files) = serving();
    let open = State::open();
    let a = State::under(Force::A, &files.a);
    let command = ["apply", &files.a];
    let story = Story::new(&net, &open, &command, &a);
    let calls = story.count(&["bpf"]);
    story.tell(&faults(&calls, &KERNEL, 5));
}

/// The policy needs larger maps, so that programs and maps are replaced.
#[test]
fn failing_bpf_calls_of_a_move_to_larger_maps() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a).when_first();
    let b = State::under(Force::B, &files.large_b);
    let command = ["apply", &files.large_b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&["bpf"]);
    story.tell(&faults(&calls, &KERNEL, 17));
}

/// The policy needs so much less that programs and maps are replaced after it.
#[test]
fn failing_bpf_calls_of_a_move_to_smaller_maps() {
    let (net, files) = serving();
    let b = State::under(Force::B, &files.large_b).when_first();
    let a = State::under(Force::A, &files.a);
    let command = ["apply", &files.a];
    let story = Story::new(&net, &b, &command, &a);
    let calls = story.count(&["bpf"]);
    story.tell(&faults(&calls, &KERNEL, 17));
}

#[test]
fn failing_bpf_calls_of_detach() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let open = State::open();
    let story = Story::new(&net, &a, &["detach"], &open);
    let calls = story.count(&["bpf"]);
    story.tell(&faults(&calls, &KERNEL, 5));
}

#[test]
fn failing_file_calls_of_an_apply() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let b = State::under(Force::B, &files.b);
    let command = ["apply", &files.b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&FILE_CALLS);
    story.tell(&faults(&calls, &FILES, 1));
}

/// Interfaces and addresses are asked for by netlink.
#[test]
fn failing_netlink_calls_of_an_apply() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let b = State::under(Force::B, &files.b);
    let command = ["apply", &files.b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&["socket", "bind", "sendto", "recvfrom"]);
    story.tell(&faults(&calls, &["ENOBUFS", "ENOMEM", "EPERM"], 1));
}

/// Calls that an apply makes only when it waits to be confirmed, and those by which
/// it ends, one way or the other.
#[test]
fn faults_of_applies_that_wait() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a).also_when_waiting();
    let waiting = State::under(Force::A, &files.a).also_when_waiting();
    let waiting = waiting.then_waiting(Force::B, &files.b);
    let b = State::under(Force::B, &files.b).also_when_waiting();
    let apply = ["apply", "--confirm", "1h", &files.b];
    let stories: [(&State, &[&str], &State); 3] = [
        (&a, &apply, &waiting),
        (&waiting, &["confirm"], &b),
        (&waiting, &["rollback"], &a),
    ];
    for (before, command, after) in stories {
        let story = Story::new(&net, before, command, after);
        let calls = story.count(&STEPS);
        story.tell(&faults(&calls, &KERNEL, 7));
        story.tell(&kills(&calls, 9));
    }
}

#[test]
fn an_apply_that_is_killed_at_any_step() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let b = State::under(Force::B, &files.b);
    let command = ["apply", &files.b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&STEPS);
    story.tell(&kills(&calls, 1));
}

#[test]
fn a_move_to_larger_maps_that_is_killed_at_any_step() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a).when_first();
    let b = State::under(Force::B, &files.large_b);
    let command = ["apply", &files.large_b];
    let story = Story::new(&net, &a, &command, &b);
    let calls = story.count(&STEPS);
    story.tell(&kills(&calls, 17));
}

#[test]
fn a_move_to_smaller_maps_that_is_killed_at_any_step() {
    let (net, files) = serving();
    let b = State::under(Force::B, &files.large_b).when_first();
    let a = State::under(Force::A, &files.a);
    let command = ["apply", &files.a];
    let story = Story::new(&net, &b, &command, &a);
    let calls = story.count(&STEPS);
    story.tell(&kills(&calls, 17));
}

#[test]
fn a_detach_that_is_killed_at_any_step() {
    let (net, files) = serving();
    let a = State::under(Force::A, &files.a);
    let open = State::open();
    let story = Story::new(&net, &a, &["detach"], &open);
    let calls = story.count(&STEPS);
    story.tell(&kills(&calls, 5));
}

/// Killed between two links, an apply leaves interfaces with different flow maps,
/// and answers find no flow. Whoever watches the lock puts that right.
#[test]
fn a_daemon_finishes_a_killed_change_of_the_flow_maps() {
    let (net, files) = serving();
    apply(&net, &files.a);
    let command = ["apply", &files.sized_a];
    let calls = seam::count(&net, &["bpf"], &command);
    let _daemon = Daemon::start(&net);
    for fault in kills(&calls, 11) {
        apply(&net, &files.a);
        seam::run(&net, fault, &command);
        for family in Family::BOTH {
            assert_eq!(in_force(&net, family), Ok(Force::A), "{fault:?}");
        }
    }
}
