//! The network that the tests run in, and what they ask of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};

use xtask::lab::{Enforcer, Expectation, Network, Outcome, Seen, Service, Topology, succeeded};

/// Passes by IPv4 and IPv6.
pub const PASSES: Seen = Seen::both(Outcome::Answered);
/// Is dropped without a word, by IPv4 and IPv6.
pub const DROPPED: Seen = Seen::both(Outcome::Silent);

/// A router between `office`, `plant` and `guests`, and an enforcer on it.
pub struct Net {
    pub lab: Topology,
    pub enforcer: Enforcer,
}

/// A row of what should be seen: from, to, service, outcome.
pub type Row = (&'static str, &'static str, Service, Seen);

impl Net {
    /// Nothing is enforced yet.
    pub fn open() -> Self {
        Self::between(vec![
            Network::new("office", "off0", "10.1.0.0", "fd01::"),
            Network::new("plant", "plc0", "10.2.0.0", "fd02::"),
            Network::new("guests", "gst0", "10.3.0.0", "fd03::"),
        ])
    }

    /// The same with `guests` behind a device without Ethernet.
    pub fn with_tunnel() -> Self {
        Self::between(vec![
            Network::new("office", "off0", "10.1.0.0", "fd01::"),
            Network::new("plant", "plc0", "10.2.0.0", "fd02::"),
            Network::new("guests", "gst0", "10.3.0.0", "fd03::").bare(),
        ])
    }

    pub fn between(networks: Vec<Network>) -> Self {
        let lab = Topology::new(networks).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_enforcer"));
        let enforcer = Enforcer::install(lab.router(), program).unwrap();
        Self { lab, enforcer }
    }

    /// The policy is active.
    pub fn under(policy: &str) -> Self {
        let net = Self::open();
        net.apply(policy);
        net
    }

    /// Does to the kernel what a reboot does: programs, maps and pins are gone, and
    /// the BPF file system is not mounted yet.
    pub fn forget(&self) {
        let mount = self.enforcer.root().join("bpf");
        let router = self.lab.router().namespace();
        router
            .run(move || umount2(&mount, MntFlags::empty()))
            .unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        // The kernel takes its time to let go of them.
        while !self.xdp_programs().is_empty() {
            assert!(Instant::now() < patience, "the programs stay");
            thread::yield_now();
        }
    }

    /// Applies a policy, which must succeed.
    pub fn apply(&self, policy: &str) {
        let output = self.enforcer.apply(policy).unwrap();
        if let Err(error) = succeeded(&output) {
            panic!("apply failed: {error}\nthe policy was\n{policy}");
        }
    }

    /// Sends the traffic of every row; where a drop is wanted, without much patience.
    pub fn see(&self, rows: &[Row]) -> Vec<Seen> {
        let expectations = rows.iter().map(|&(from, to, service, want)| Expectation {
            from,
            to,
            service,
            want,
        });
        self.lab.observe(&expectations.collect::<Vec<_>>()).unwrap()
    }

    /// Sends the traffic of every row, and fails with those that are wrong.
    pub fn expect(&self, rows: &[Row]) {
        let mut wrong = String::new();
        for (row, seen) in rows.iter().zip(self.see(rows)) {
            let (from, to, service, want) = *row;
            if seen != want {
                wrong += &format!("\n{from} -> {to} {service}: {seen:?}, not {want:?}");
            }
        }
        if !wrong.is_empty() {
            let counters = self.enforcer.counters();
            panic!("wrong:{wrong}\ncounters: {counters:#?}");
        }
    }

    /// Packets dropped between two zones for one reason.
    pub fn drops(&self, from: &str, to: &str, reason: &str) -> u64 {
        self.enforcer.drops(from, to, reason).unwrap()
    }

    /// Packets that passed by a conduit.
    pub fn passed(&self, conduit: &str) -> u64 {
        self.enforcer.conduit(conduit).unwrap()
    }

    /// Waits until something holds.
    pub fn until(&self, holds: impl Fn() -> bool) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < patience, "{:#?}", self.enforcer.counters());
            thread::yield_now();
        }
    }

    /// What `bpftool` prints on the router, as JSON.
    pub fn bpftool(&self, args: &[&str]) -> serde_json::Value {
        let text = self
            .enforcer
            .run_program("bpftool", &[&["-j"], args].concat());
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    /// Ids of the XDP programs on the router's interfaces.
    pub fn xdp_programs(&self) -> Vec<u64> {
        self.xdp_programs_on(&["off0", "plc0", "gst0"])
    }

    /// Ids of the XDP programs on some of the router's interfaces.
    pub fn xdp_programs_on(&self, interfaces: &[&str]) -> Vec<u64> {
        let attached = self.bpftool(&["net", "show"]);
        let programs = attached[0]["xdp"].as_array().unwrap().iter();
        let theirs = programs.filter(|it| interfaces.contains(&it["devname"].as_str().unwrap()));
        theirs.map(|it| it["id"].as_u64().unwrap()).collect()
    }
}

/// A policy for the zones `office`, `plant` and `guests`; each line is a conduit.
pub fn policy(conduits: &[&str]) -> String {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0, prefix: [10.1.0.0/24, \"fd01::/64\"] }] }
  plant: { match: [{ interface: plc0, prefix: [10.2.0.0/24, \"fd02::/64\"] }] }
  guests: { match: [{ interface: gst0 }] }
";
    with_conduits(head, conduits)
}

/// Like [`policy`], with more zones and conduits than the smallest maps hold.
pub fn large(conduits: &[&str]) -> String {
    let mut head = policy(&[]);
    let mut all: Vec<_> = conduits.iter().map(|it| (*it).to_owned()).collect();
    for cell in 0..40 {
        head += &format!(
            "  cell-{cell}: {{ match: [{{ interface: plc0, prefix: 10.99.{cell}.0/24 }}] }}\n"
        );
        for port in 0..10 {
            all.push(format!(
                "id: cell-{cell}-{port}, from: office, to: cell-{cell}, services: tcp/{}",
                1000 + 7 * cell + port
            ));
        }
    }
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    with_conduits(&head, &all)
}

/// `head` and a list of conduits.
pub fn with_conduits(head: &str, conduits: &[&str]) -> String {
    if conduits.is_empty() {
        return head.to_owned();
    }
    let lines: String = conduits
        .iter()
        .map(|it| format!("  - {{ {it} }}\n"))
        .collect();
    format!("{head}conduits:\n{lines}")
}
