//! The clock jumps, and nothing that is in force depends on it.

use std::io::{self, BufRead, BufReader};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use xtask::lab::{Service, succeeded};

use Service::{Tcp, Udp};

use crate::{DROPPED, Net, PASSES, Row};

const A: &str = "id: web, from: office, to: plant, services: tcp/443";
const B: &str = "id: names, from: office, to: plant, services: udp/53";
const IN_A: [Row; 2] = [
    ("office", "plant", Tcp(443), PASSES),
    ("office", "plant", Udp(53), DROPPED),
];
const IN_B: [Row; 2] = [
    ("office", "plant", Tcp(443), DROPPED),
    ("office", "plant", Udp(53), PASSES),
];
/// Long enough to look around on an emulated machine before it ends.
const DEADLINE: Duration = Duration::from_secs(60);
/// Some day in 2027.
const TODAY_S: u64 = 1_800_000_000;
const YEAR_S: u64 = 365 * 24 * 3_600;
/// Where the clock jumps: from the past to the future, and back.
const JUMPS: [fn(u64) -> u64; 4] = [
    |now| now + 9 * YEAR_S,
    |now| now - 20 * YEAR_S,
    |_| 100_000,
    |now| now + 55 * YEAR_S,
];

#[test]
fn a_deadline_is_neither_early_nor_lost_when_the_clock_jumps() {
    let net = Net::open();
    set_clock(TODAY_S);
    net.apply(&policy(A));
    for (round, jump) in JUMPS[..2].iter().enumerate() {
        let began = Instant::now();
        apply_for_a_while(&net);
        let applied = Instant::now();

        set_clock(jump(now_s()));

        // It holds, and it is told how long.
        let left = net.enforcer.status().unwrap()["confirm"]["left_s"].clone();
        let left = left.as_u64().unwrap_or_else(|| panic!("{round}: {left}"));
        assert!(left <= DEADLINE.as_secs(), "{round}: {left}");
        net.expect(&IN_B);
        let looked = began.elapsed();
        assert!(looked < DEADLINE, "{round}: too slow to tell: {looked:?}");

        thread::sleep((began + DEADLINE).saturating_duration_since(Instant::now()));
        let patience = applied + DEADLINE + Duration::from_secs(30);
        while net.see(&IN_A.map(impatient)) != IN_A.map(|row| row.3) {
            assert!(Instant::now() < patience, "{round}: the deadline is lost");
        }
        let status = net.enforcer.status().unwrap();
        assert_eq!(status["confirm"], Value::Null, "{round}: {status}");
        assert_eq!(status["policy"]["name"], "a", "{round}: {status}");
        let late = net.output(&["confirm"]);
        assert_eq!(late.status.code(), Some(1), "{round}: {late:?}");
    }
}

#[test]
fn what_is_confirmed_after_a_jump_stays_and_a_boot_returns_to_it() {
    let net = Net::open();
    set_clock(TODAY_S);
    for jump in JUMPS {
        net.apply(&policy(A));
        apply_for_a_while(&net);
        set_clock(jump(now_s()));
        succeeded(&net.output(&["confirm"])).unwrap();
        net.expect(&IN_B);
        let generation = net.enforcer.status().unwrap()["generation"].clone();

        // The journal goes by numbers, not by time.
        forget(&net);
        set_clock(now_s() / 2 + 100_000);
        let said = succeeded(&net.output(&["boot"])).unwrap();
        let next = generation.as_u64().unwrap() + 1;
        assert!(said.contains(&format!("generation {next}")), "{said}");
        net.expect(&IN_B);
    }
}

#[test]
fn times_that_are_told_make_sense_after_a_jump() {
    let net = Net::open();
    set_clock(TODAY_S);
    net.apply(&policy(A));
    let applied_at = now_s();
    net.expect(&IN_A);
    let before = net.enforcer.counters().unwrap();
    let mut events = net.enforcer.start(&["events", "--json"]).unwrap();
    let mut told = BufReader::new(events.stdout.take().unwrap()).lines();
    // What the ring still holds.
    told.next().unwrap().unwrap();
    for jump in JUMPS {
        let now = jump(now_s());
        set_clock(now);
        let status = net.enforcer.status().unwrap();
        let age = status["age_s"].as_u64().unwrap_or_default();
        assert!(
            age.abs_diff(now.saturating_sub(applied_at)) < 600,
            "{status}"
        );
        let counters = net.enforcer.counters().unwrap();
        assert_eq!(counters["since"], before["since"]);
        assert!(counters["drops"].is_array(), "{counters}");
        net.expect(&IN_A[1..]);
        let date = ["-u", "-d", &format!("@{now}"), "+%Y-%m-%d"];
        let today = net.run("date", &date).trim().to_owned();
        let is_of_today = |line: io::Result<String>| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            event["time"].as_str().unwrap().starts_with(&today)
        };
        assert!(told.by_ref().any(is_of_today), "{today}");
    }
    events.kill().unwrap();
    events.wait().unwrap();
}

/// Does to the kernel what a reboot does.
fn forget(net: &Net) {
    let mount = net.enforcer.root().join("bpf");
    net.run("umount", &[&mount.to_string_lossy()]);
    let patience = Instant::now() + Duration::from_secs(30);
    // The kernel takes its time to let go of programs.
    while net.run("ip", &["link"]).contains("xdp") {
        assert!(Instant::now() < patience, "the programs stay");
    }
}

fn policy(conduit: &str) -> String {
    let name = if conduit == A { "a" } else { "b" };
    format!(
        r#"
version: 1
name: {name}
zones:
  office: {{ match: [{{ interface: off0 }}] }}
  plant: {{ match: [{{ interface: plc0 }}] }}
conduits:
  - {{ {conduit} }}
"#
    )
}

fn apply_for_a_while(net: &Net) {
    let file = net.enforcer.policy_file("b", &policy(B)).unwrap();
    let time = format!("{}s", DEADLINE.as_secs());
    let file = file.display().to_string();
    succeeded(&net.output(&["apply", "--confirm", &time, &file])).unwrap();
}

/// The same row, expecting silence, for which nobody waits long.
fn impatient((from, to, service, _): Row) -> Row {
    (from, to, service, DROPPED)
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn set_clock(seconds: u64) {
    let set = Command::new("date")
        .args(["-s", &format!("@{seconds}")])
        .output();
    succeeded(&set.unwrap()).unwrap();
    assert!(now_s().abs_diff(seconds) < 5, "the clock is {}", now_s());
}
