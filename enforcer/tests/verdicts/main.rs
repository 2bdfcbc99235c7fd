//! The real programs, run in the kernel packet by packet, agree with an
//! independent reading of the policy: the verdict, its reason, both zones and
//! the conduit that is counted.
//!
//! `VERDICT_POLICIES`, `VERDICT_PACKETS` and `VERDICT_SEED` try more.

mod answers;
mod cases;
mod compare;
mod compiled;
mod crossing;
mod generate;
mod kernel;
mod namespace;
mod oracle;
mod pcap;
mod programs;
mod reasons;
mod world;

use cases::Scale;
use compare::{Tally, compare};
use kernel::{Hook, Kernel};
use world::World;

/// Each judges its share of what comes.
const HOOKS: [Hook; 2] = [Hook::Xdp, Hook::Tc];

#[test]
fn random_packets_get_the_verdict_of_the_policy() {
    let world = World::new();
    namespace::within(&world.clone(), move || {
        let (scale, mut tally) = (Scale::new(300, 300), Tally::new());
        for (case, hook) in scale.cases(&world).zip(HOOKS.into_iter().cycle()) {
            let open = |policies: &[&_]| Kernel::new(policies, &world, hook);
            compare(&case, &world, open, &mut tally);
        }
        scale.assert_all_seen(&tally, &[]);
    });
}

#[test]
fn captured_packets_get_the_verdict_of_the_policy() {
    let world = World::new();
    namespace::within(&world.clone(), move || {
        for hook in HOOKS {
            let open = |policies: &[&_]| Kernel::new(policies, &world, hook);
            compare(&cases::captures_in(), &world, open, &mut Tally::new());
        }
        let open = |policies: &[&_]| Kernel::new(policies, &world, Hook::Tc);
        compare(&cases::captures_out(), &world, open, &mut Tally::new());
    });
}

#[test]
fn frames_between_ports_get_the_verdict_of_the_policy() {
    let world = World::bridged();
    namespace::within(&world.clone(), move || {
        let (scale, mut tally) = (Scale::new(120, 300), Tally::new());
        for case in scale.cases(&world) {
            let case = case.between_ports(&world);
            let open = |policies: &[&_]| Kernel::new(policies, &world, Hook::Tc);
            compare(&case, &world, open, &mut tally);
        }
        for seen in ["(essential:arp)", "(essential:nd)", "allowed", "no-conduit"] {
            assert!(tally.contains_key(seen), "{seen}: {tally:#?}");
        }
    });
}
