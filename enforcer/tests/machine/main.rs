//! What changes a whole machine, not just a network namespace: the clock, and
//! devices that not every kernel has.
//!
//! `cargo xtask vm-test` runs this where the machine is a virtual one of its own;
//! anywhere else it refuses.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod bond;
mod clock;

use std::path::Path;
use std::process::Output;

use xtask::lab::{Enforcer, Expectation, Network, Outcome, Seen, Service, Topology, succeeded};

/// Passes by IPv4 and IPv6.
const PASSES: Seen = Seen::both(Outcome::Answered);
/// Is dropped without a word, by IPv4 and IPv6.
const DROPPED: Seen = Seen::both(Outcome::Silent);

/// Set by whoever has made the machine, and throws it away.
const OWN: &str = "ENFORCER_OWN_MACHINE";

/// A router between `office` and `plant`.
struct Net {
    lab: Topology,
    enforcer: Enforcer,
}

/// A row of what should be seen: from, to, service, outcome.
type Row = (&'static str, &'static str, Service, Seen);

impl Net {
    fn open() -> Self {
        assert!(
            std::env::var_os(OWN).is_some(),
            "this sets the clock: run `cargo xtask vm-test`, whose machines are its own"
        );
        let networks = vec![
            Network::new("office", "off0", "10.1.0.0", "fd01::"),
            Network::new("plant", "plc0", "10.2.0.0", "fd02::"),
        ];
        let lab = Topology::new(networks).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_enforcer"));
        let enforcer = Enforcer::install(lab.router(), program).unwrap();
        Self { lab, enforcer }
    }

    fn apply(&self, policy: &str) {
        succeeded(&self.enforcer.apply(policy).unwrap()).unwrap();
    }

    fn output(&self, args: &[&str]) -> Output {
        self.enforcer.output(args).unwrap()
    }

    fn see(&self, rows: &[Row]) -> Vec<Seen> {
        let rows = rows.iter().map(|&(from, to, service, want)| Expectation {
            from,
            to,
            service,
            want,
        });
        self.lab.observe(&rows.collect::<Vec<_>>()).unwrap()
    }

    fn expect(&self, rows: &[Row]) {
        for (row, seen) in rows.iter().zip(self.see(rows)) {
            let counters = || self.enforcer.counters();
            assert_eq!(seen, row.3, "{row:?}, counters: {:#?}", counters());
        }
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        self.enforcer.run_program(program, args).unwrap()
    }
}
