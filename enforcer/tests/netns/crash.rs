//! An apply that is killed leaves one whole policy active.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use xtask::lab::{Family, Service, succeeded};

use crate::network::{Net, PASSES, large, policy};

/// Both policies allow this one; its answer comes after those sent for before.
const ALWAYS: u16 = 1000;
/// Policy A allows the first of these, policy B the second, nobody the third.
const ONLY_A: u16 = 1001;
const ONLY_B: u16 = 1002;
const NEVER: u16 = 1003;

const CONDUITS_A: [&str; 2] = [
    "id: always, from: office, to: plant, services: udp/1000",
    "id: only, from: office, to: plant, services: udp/1001",
];
const CONDUITS_B: [&str; 2] = [
    "id: always, from: office, to: plant, services: udp/1000",
    "id: only, from: office, to: plant, services: udp/1002",
];

#[test]
fn a_killed_apply_leaves_the_old_policy_or_the_new_one() {
    let net = serving();
    let files = small_files(&net);
    kill_applies(&net, &files, 64);
}

/// The second policy needs larger maps, so each apply replaces maps and programs.
#[test]
fn a_killed_apply_that_moves_to_other_maps_leaves_one_whole_policy() {
    let net = serving();
    let small = policy_file(&net, &policy(&CONDUITS_A), ONLY_A);
    let large = policy_file(&net, &large(&CONDUITS_B), ONLY_B);
    kill_applies(&net, &[small, large], 64);
}

#[test]
fn after_a_killed_first_apply_the_next_one_works() {
    let net = serving();
    let files = small_files(&net);
    let started = Instant::now();
    apply(&net, &files[0]);
    let usual = started.elapsed();
    let rounds = 16;
    for round in 0..rounds {
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
        kill_apply(&net, &files[0], usual * round / rounds);
        apply(&net, &files[1]);
        assert_eq!(active(&net, Family::V4), ONLY_B, "round {round}");
    }
}

#[test]
fn a_killed_detach_can_be_repeated() {
    let net = serving();
    let file = policy_file(&net, &policy(&CONDUITS_A), ONLY_A);
    let rounds = 8;
    let mut usual = Duration::from_millis(50);
    for round in 0..rounds {
        apply(&net, &file);
        let mut child = net.enforcer.start(&["detach"]).unwrap();
        thread::sleep(usual * round / rounds);
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
        let started = Instant::now();
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
        usual = started.elapsed();
        net.expect(&[("office", "plant", Service::Udp(NEVER), PASSES)]);
    }
}

fn serving() -> Net {
    let net = Net::open();
    for port in [ALWAYS, ONLY_A, ONLY_B, NEVER] {
        net.lab.host("plant").serve(Service::Udp(port)).unwrap();
    }
    net
}

fn small_files(net: &Net) -> [String; 2] {
    [(CONDUITS_A, ONLY_A), (CONDUITS_B, ONLY_B)]
        .map(|(conduits, port)| policy_file(net, &policy(&conduits), port))
}

/// A file with the policy of which `port` is typical.
fn policy_file(net: &Net, policy: &str, port: u16) -> String {
    let file = net.enforcer.policy_file(&format!("only-{port}"), policy);
    file.unwrap().display().to_string()
}

/// Kills applies of two policies in turn, each a bit later after its start.
///
/// The first policy allows [`ONLY_A`], the second [`ONLY_B`].
fn kill_applies(net: &Net, files: &[String; 2], kills: u32) {
    let usual = usual_duration(net, files);
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..kills {
        let next = (round % 2) as usize;
        kill_apply(net, &files[next], usual * 5 / 4 * round / kills);
        let family = Family::BOTH[(round / 2 % 2) as usize];
        seen[next].insert(active(net, family));
        if round % 8 == 7 {
            apply(net, &files[1 - next]);
            assert_eq!(active(net, family), [ONLY_B, ONLY_A][next], "round {round}");
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

fn apply(net: &Net, file: &str) {
    let output = net.enforcer.output(&["apply", file]).unwrap();
    succeeded(&output).unwrap();
}

/// How long an apply over another policy takes.
fn usual_duration(net: &Net, files: &[String; 2]) -> Duration {
    apply(net, &files[0]);
    let started = Instant::now();
    for file in [1, 0, 1] {
        apply(net, &files[file]);
    }
    started.elapsed() / 3
}

fn kill_apply(net: &Net, file: &str, after: Duration) {
    let mut child = net.enforcer.start(&["apply", file]).unwrap();
    thread::sleep(after);
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
}

/// The port that answers besides [`ALWAYS`]; fails when it is not exactly one.
fn active(net: &Net, family: Family) -> u16 {
    let from = net.lab.address("office", "office", family);
    let to = net.lab.address("office", "plant", family);
    let office = net.lab.host("office").namespace();
    let socket = office.run(move || UdpSocket::bind((from, 0))).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    for port in [NEVER, ONLY_A, ONLY_B, ALWAYS] {
        socket.send_to(b"?", SocketAddr::new(to, port)).unwrap();
    }
    let mut answers = BTreeSet::new();
    while answers.len() < 2 {
        answers.insert(answer(&socket, to).expect("both policies allow two ports"));
    }
    // Whatever else passes was sent before, so it has arrived by now, or almost.
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    while let Ok(port) = answer(&socket, to) {
        answers.insert(port);
    }
    assert!(answers.remove(&ALWAYS), "{answers:?}");
    assert_eq!(answers.len(), 1, "not one policy, but {answers:?}");
    answers.pop_first().unwrap()
}

fn answer(socket: &UdpSocket, from: IpAddr) -> io::Result<u16> {
    let (_, peer) = socket.recv_from(&mut [0; 8])?;
    assert_eq!(peer.ip(), from);
    Ok(peer.port())
}
