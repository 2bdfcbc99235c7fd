//! An apply that is killed leaves one whole policy active.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use xtask::lab::{Family, succeeded};

use crate::either::{Force, apply, in_force, serving};
use crate::footprint::Footprint;
use crate::network::Net;

#[test]
fn a_killed_apply_leaves_the_old_policy_or_the_new_one() {
    let (net, files) = serving();
    kill_applies(&net, [&files.a, &files.b], 64);
}

/// The second policy needs larger maps, so each apply replaces maps and programs.
#[test]
fn a_killed_apply_that_moves_to_other_maps_leaves_one_whole_policy() {
    let (net, files) = serving();
    kill_applies(&net, [&files.a, &files.large_b], 64);
}

#[test]
fn after_a_killed_first_apply_the_next_one_works() {
    let (net, files) = serving();
    let started = Instant::now();
    apply(&net, &files.a);
    let usual = started.elapsed();
    let rounds = 16;
    for round in 0..rounds {
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
        kill_apply(&net, &files.a, usual * round / rounds);
        apply(&net, &files.b);
        assert_eq!(in_force(&net, Family::V4), Ok(Force::B), "round {round}");
    }
}

#[test]
fn a_killed_detach_can_be_repeated() {
    let (net, files) = serving();
    let rounds = 8;
    let mut usual = Duration::from_millis(50);
    for round in 0..rounds {
        apply(&net, &files.a);
        let mut child = net.enforcer.start(&["detach"]).unwrap();
        thread::sleep(usual * round / rounds);
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
        let started = Instant::now();
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
        usual = started.elapsed();
        assert_eq!(in_force(&net, Family::V4), Ok(Force::Open), "round {round}");
    }
}

/// Whatever changes an installation is killed at any moment, again and again, without
/// a look at what that leaves.
#[test]
fn a_thousand_kills_leave_one_whole_policy() {
    const KILLS: usize = 1_000;
    let (net, files) = serving();
    let [a, b] = [files.a.as_str(), files.b.as_str()];
    let commands: [&[&str]; 8] = [
        &["apply", a],
        &["apply", b],
        &["apply", "--confirm", "1h", a],
        &["apply", "--confirm", "1h", b],
        &["confirm"],
        &["rollback"],
        &["boot"],
        &["run"],
    ];
    let usual = usual_duration(&net, [a, b]);
    let footprint = Footprint::of(&net);
    // The same every time (Numerical Recipes).
    let mut random = 1u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % below
    };
    let mut seen = BTreeSet::new();
    for kill in 0..KILLS {
        let command = commands[next(commands.len() as u32) as usize];
        kill_command(&net, command, usual * next(120) / 100);
        let family = Family::BOTH[kill % 2];
        let force = in_force(&net, family);
        let force = force.unwrap_or_else(|error| panic!("kill {kill}, {command:?}: {error}"));
        assert_ne!(force, Force::Open, "kill {kill}, {command:?}");
        seen.insert(force);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    // It may be that none waits.
    let _ = net.enforcer.output(&["confirm"]).unwrap();
    apply(&net, a);
    assert_eq!(in_force(&net, Family::V4), Ok(Force::A));
    footprint.expect(&net);
}

/// Kills applies of two policies in turn, each a bit later after its start.
///
/// They are policy A and policy B.
fn kill_applies(net: &Net, files: [&str; 2], kills: u32) {
    let usual = usual_duration(net, files);
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..kills {
        let next = (round % 2) as usize;
        kill_apply(net, files[next], usual * 5 / 4 * round / kills);
        let family = Family::BOTH[(round / 2 % 2) as usize];
        let force = in_force(net, family);
        seen[next].insert(force.unwrap_or_else(|error| panic!("round {round}: {error}")));
        if round % 8 == 7 {
            apply(net, files[1 - next]);
            let force = [Force::B, Force::A][next];
            assert_eq!(in_force(net, family), Ok(force), "round {round}");
            let mut programs = net.xdp_programs();
            assert_eq!(programs.len(), 3, "one on each interface");
            programs.dedup();
            assert_eq!(programs.len(), 1, "the same everywhere");
        }
    }
    // Otherwise every kill came too early or too late to tell anything.
    let both = seen.iter().any(|ports| ports.len() == 2);
    assert!(both, "{usual:?}: {seen:?}");
}

/// How long an apply over another policy takes.
fn usual_duration(net: &Net, files: [&str; 2]) -> Duration {
    apply(net, files[0]);
    let started = Instant::now();
    for file in [1, 0, 1] {
        apply(net, files[file]);
    }
    started.elapsed() / 3
}

fn kill_apply(net: &Net, file: &str, after: Duration) {
    kill_command(net, &["apply", file], after);
}

fn kill_command(net: &Net, command: &[&str], after: Duration) {
    let mut child = net.enforcer.start(command).unwrap();
    thread::sleep(after);
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
}
