//! `cargo xtask demo`: a router, four networks, one policy and real traffic.

#![expect(clippy::print_stdout, reason = "the demo is what it prints")]

use std::env;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

use xtask::lab::{
    Enforcer, Expectation, Family, Network, Outcome, ROUTER, Seen, Service, Topology, succeeded,
};

use crate::command::{cargo, run, workspace};
use crate::root::as_root;
use crate::setup::setup;

use Outcome::{Answered, Silent};
use Service::{Ping, Tcp, Udp};

const POLICY: &str = "policies/iot.yaml";

/// Keeps the drop counters that are not zero and adds the CPUs up.
const JQ: &str = r#"[.[].formatted.values[].value | select(.packets > 0)]
  | group_by([.from, .to, .reason])[]
  | "\(.[0].from) -> \(.[0].to): \(.[0].reason), \(map(.packets) | add) packets, \(map(.bytes) | add) bytes""#;

/// Who asks whom for what, and whether the policy lets it pass.
const TRAFFIC: [(&str, &str, Service, Seen); 26] = [
    ("servers", "cameras", Tcp(554), PASSES),
    ("servers", "cameras", Udp(5000), PASSES),
    ("servers", "cameras", Ping, PASSES),
    ("servers", "cameras", Tcp(23), DROPPED),
    ("cameras", "servers", Udp(123), PASSES),
    ("cameras", "servers", Tcp(443), DROPPED),
    ("cameras", "servers", Ping, DROPPED),
    ("cameras", "office", Tcp(445), DROPPED),
    ("cameras", "internet", Tcp(443), DROPPED),
    ("cameras", "internet", Udp(53), DROPPED),
    ("cameras", "internet", Ping, DROPPED),
    ("cameras", ROUTER, Tcp(22), DROPPED),
    ("office", "servers", Tcp(443), PASSES),
    ("office", "servers", Ping, PASSES),
    ("office", "cameras", Tcp(554), DROPPED),
    ("office", "internet", Tcp(443), PASSES),
    ("office", "internet", Udp(53), PASSES),
    ("office", "internet", Ping, PASSES),
    ("office", "internet", Tcp(25), DROPPED),
    ("office", ROUTER, Udp(53), PASSES),
    ("office", ROUTER, Ping, PASSES),
    ("office", ROUTER, Tcp(22), FAILSAFE),
    ("internet", "servers", Tcp(443), DROPPED),
    ("internet", ROUTER, Tcp(22), DROPPED),
    (ROUTER, "servers", Udp(123), PASSES),
    (ROUTER, "internet", Tcp(443), PASSES),
];

const PASSES: Seen = Seen::both(Answered);
const DROPPED: Seen = Seen::both(Silent);

/// The policy names one IPv4 address that always reaches the router.
const FAILSAFE: Seen = Seen {
    v4: Answered,
    v6: Silent,
};

/// Builds the program, then shows it at work; fails when anything is not as expected.
pub fn demo() -> Result<ExitCode> {
    as_root(|| {
        setup()?;
        run(&mut cargo(&["build", "--release", "--package", "enforcer"]))
    })?;
    clean_up_on_signals()?;
    let lab = Topology::new(networks())?;
    let enforcer = Enforcer::install(lab.router(), &program()?)?;
    println!("A router joins cameras, servers, office and internet. Nothing is filtered yet:");
    let mut right = show_open(&lab)?;

    let root = enforcer.root().display();
    println!("\n# enforcer --root {root} apply {POLICY}");
    let applied = enforcer.apply_file(&workspace().join(POLICY))?;
    print!("{}", succeeded(&applied)?);
    println!("\n  from      to        service    expected           IPv4        IPv6");
    right &= show_traffic(&lab)?;
    right &= show_spoofed(&lab)?;

    show_counters(&enforcer)?;
    println!("\n# enforcer --root {root} detach");
    print!("{}", succeeded(&enforcer.detach()?)?);
    right &= show_open(&lab)?;
    drop(lab);
    println!("\nCleaned up: networks, router, programs and maps are gone.");
    if right {
        return Ok(ExitCode::SUCCESS);
    }
    println!("Some traffic was not treated as expected: see ✗ above.");
    Ok(ExitCode::FAILURE)
}

fn networks() -> Vec<Network> {
    vec![
        Network::new("cameras", "cam0", "10.20.1.0", "fd20:1::"),
        Network::new("servers", "srv0", "10.20.2.0", "fd20:2::"),
        Network::new("office", "off0", "10.20.3.0", "fd20:3::"),
        Network::new("internet", "wan0", "198.51.100.0", "2001:db8:100::"),
    ]
}

/// The release build beside this program's own.
fn program() -> Result<PathBuf> {
    let here = env::current_exe()?;
    let target = here.ancestors().nth(2);
    let target = target.with_context(|| format!("{} is in no target folder", here.display()))?;
    Ok(target.join("release/enforcer"))
}

fn expectations() -> Vec<Expectation> {
    let rows = TRAFFIC.iter();
    rows.map(|&(from, to, service, want)| Expectation {
        from,
        to,
        service,
        want,
    })
    .collect()
}

/// Shows that without a policy everything passes: what is dropped later, `enforcer` drops.
fn show_open(lab: &Topology) -> Result<bool> {
    let open = Seen::both(Answered);
    let rows = expectations();
    let rows = rows
        .into_iter()
        .map(|row| Expectation { want: open, ..row });
    let seen = lab.observe(&rows.collect::<Vec<_>>())?;
    let passed = seen.iter().filter(|seen| **seen == open).count();
    let right = passed == seen.len();
    println!(
        "  {} {passed} of {} services answer, by IPv4 and IPv6",
        mark(right),
        seen.len()
    );
    Ok(right)
}

fn show_traffic(lab: &Topology) -> Result<bool> {
    let rows = expectations();
    let mut right = true;
    for (row, seen) in rows.iter().zip(lab.observe(&rows)?) {
        let service = row.service.to_string();
        show_row((row.from, row.to, &service), row.want, seen);
        right &= seen == row.want;
    }
    Ok(right)
}

/// A camera lies about its address: a workplace could ask for names in the internet.
fn show_spoofed(lab: &Topology) -> Result<bool> {
    let [v4, v6] = Family::BOTH.map(|family| {
        let claimed = lab.address("cameras", "office", family);
        lab.spoof("cameras", claimed, "internet", 53)
    });
    let seen = Seen { v4: v4?, v6: v6? };
    show_row(("cameras", "internet", "as office"), DROPPED, seen);
    Ok(seen == DROPPED)
}

fn show_row((from, to, service): (&str, &str, &str), want: Seen, seen: Seen) {
    let expected = if want.v4 == want.v6 {
        word(want.v4).to_owned()
    } else {
        format!("{} / {}", word(want.v4), word(want.v6))
    };
    let [v4, v6] = Family::BOTH.map(|family| {
        let seen = seen.by(family);
        format!("{} {}", mark(seen == want.by(family)), word(seen))
    });
    println!("  {from:9} {to:9} {service:10} {expected:18} {v4:11} {v6}");
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "passes",
        Outcome::Refused => "refused",
        Outcome::Silent => "dropped",
    }
}

fn mark(right: bool) -> char {
    if right { '✓' } else { '✗' }
}

fn show_counters(enforcer: &Enforcer) -> Result<()> {
    let root = enforcer.root().display();
    for args in [&["counters"][..], &["counters", "--drops"]] {
        println!("\n# enforcer --root {root} {}", args.join(" "));
        print!("{}", succeeded(&enforcer.output(args)?)?);
    }
    println!("\nThe same drops, without enforcer:");
    let line = format!("bpftool -j map dump pinned {root}/bpf/drop_counters | jq -r '{JQ}'");
    println!("# {line}");
    print!("{}", enforcer.run_program("sh", &["-c", &line])?);
    Ok(())
}

/// Says so, and ends, when somebody interrupts: what the demo made ends with it.
fn clean_up_on_signals() -> Result<()> {
    for name in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: `interrupted` only calls what a signal handler may call.
        unsafe { signal(name, SigHandler::Handler(interrupted)) }?;
    }
    Ok(())
}

extern "C" fn interrupted(_: libc::c_int) {
    const INTERRUPTED: libc::c_int = 130;
    // SAFETY: standard error is open as long as the process lives.
    let stderr = unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) };
    let _ = nix::unistd::write(stderr, b"\ndemo: interrupted; cleaning up\n");
    // SAFETY: it may be called in a signal handler, and it never returns.
    unsafe { libc::_exit(INTERRUPTED) }
}
