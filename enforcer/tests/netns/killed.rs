//! A deadline, a confirmation or a rollback that is killed leaves one whole policy.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::lab::{Family, succeeded};

use crate::either::{Force, apply, in_force, serving};
use crate::network::Net;

const ROUNDS: u32 = 16;

#[test]
fn a_killed_apply_that_waits_to_be_confirmed() {
    let (net, files) = serving();
    let (a, b) = (&files.a, &files.b);
    let arguments = ["apply", "--confirm", "1h", b];
    let mut seen = BTreeSet::new();
    apply(&net, a);
    let usual = run(&net, &arguments);
    run(&net, &["rollback"]);
    for round in 0..ROUNDS {
        apply(&net, a);
        killed(&net, &arguments, (usual, round));
        let family = Family::BOTH[(round % 2) as usize];
        let force = in_force(&net, family).unwrap();
        assert_eq!(waits(&net), force == Force::B, "round {round}");
        seen.insert(force);
        if force == Force::B {
            run(&net, &["rollback"]);
        }
        assert_eq!(in_force(&net, family).unwrap(), Force::A, "round {round}");
    }
    assert_eq!(seen.len(), 2, "every kill came too early or too late");
}

#[test]
fn a_killed_confirm_or_rollback() {
    let (net, files) = serving();
    let (a, b) = (&files.a, &files.b);
    for (end, then) in [("confirm", Force::B), ("rollback", Force::A)] {
        apply(&net, a);
        run(&net, &["apply", "--confirm", "1h", b]);
        let usual = run(&net, &[end]);
        for round in 0..ROUNDS {
            apply(&net, a);
            run(&net, &["apply", "--confirm", "1h", b]);
            killed(&net, &[end], (usual, round));
            let family = Family::BOTH[(round % 2) as usize];
            let before = in_force(&net, family).unwrap();
            let is_done = !waits(&net);
            assert_eq!(
                before,
                if is_done { then } else { Force::B },
                "{end} {round}"
            );
            if !is_done {
                run(&net, &[end]);
            }
            assert_eq!(
                (in_force(&net, family).unwrap(), waits(&net)),
                (then, false),
                "{end} {round}"
            );
        }
    }
}

/// Runs a command and kills it, later in each round.
fn killed(net: &Net, arguments: &[&str], (usual, round): (Duration, u32)) {
    let mut child = net.enforcer.start(arguments).unwrap();
    let until = Instant::now() + usual * 5 / 4 * round / ROUNDS;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
}

/// Runs a command to its end, and says how long that took.
fn run(net: &Net, arguments: &[&str]) -> Duration {
    let started = Instant::now();
    succeeded(&net.enforcer.output(arguments).unwrap()).unwrap();
    started.elapsed()
}

/// Whether the active policy waits to be confirmed.
fn waits(net: &Net) -> bool {
    net.enforcer.status().unwrap()["confirm"] != Value::Null
}
