//! What the verifier of this kernel says of the programs.

#![expect(clippy::print_stdout, reason = "`cargo xtask vm-test` reads it")]

use enforcer::compile::size::Sizes;
use enforcer::controller;
use enforcer::kernel::object;

/// The kernel follows no more instructions than this.
const LIMIT: u32 = 1_000_000;

/// A policy of almost nothing, and one of almost everything.
const SIZES: [Sizes; 2] = [
    Sizes {
        blocks: 1,
        zone_ids: 3,
        slots: 33,
        flows: 1_024,
        flows_new: 1_024,
    },
    Sizes {
        blocks: 65_536,
        zone_ids: 1_003,
        slots: 131_072,
        flows: 65_536,
        flows_new: 65_536,
    },
];

#[test]
fn the_kernel_accepts_every_program() {
    for sizes in SIZES {
        let object = object::load(&controller::capacity(sizes), &[]);
        let mut object = object.expect("the programs load; this needs root");
        for (name, count) in object.verified().expect("every program loads") {
            match count {
                Some(count) => println!("verified {name} {count}"),
                None => println!("verified {name} unknown"),
            }
            assert!(count.is_none_or(|count| count < LIMIT), "{name}: {count:?}");
        }
    }
}
