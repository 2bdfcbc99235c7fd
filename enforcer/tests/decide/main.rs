//! The decision over compiled tables, run in this process, agrees with an
//! independent reading of the policy; no root, no kernel, no flow table.

#[path = "../verdicts/cases.rs"]
mod cases;
#[path = "../verdicts/compare.rs"]
mod compare;
#[path = "../verdicts/compiled.rs"]
mod compiled;
#[path = "../verdicts/crossing.rs"]
mod crossing;
#[path = "../verdicts/generate/mod.rs"]
mod generate;
mod in_process;
#[path = "../verdicts/oracle/mod.rs"]
mod oracle;
#[path = "../verdicts/pcap.rs"]
mod pcap;
mod tables_memory;
mod tables_neighbours;
mod tables_packet;
mod tables_verdict;
#[path = "../verdicts/world.rs"]
mod world;

use cases::Scale;
use compare::{Tally, compare};
use in_process::InProcess;
use world::World;

#[test]
fn random_packets_get_the_verdict_of_the_policy() {
    let world = World::new();
    let open = |policies: &[&_]| InProcess::new(policies, &world);
    let (scale, mut tally) = (Scale::new(300, 300), Tally::new());
    for case in scale.cases(&world) {
        compare(&case, &world, open, &mut tally);
    }
    // Every packet finds a full bucket, and nothing known before it.
    let except = ["rate-limited", "(related)", "fragment-overlap"];
    scale.assert_all_seen(&tally, &except);
}

#[test]
fn captured_packets_get_the_verdict_of_the_policy() {
    let world = World::new();
    let open = |policies: &[&_]| InProcess::new(policies, &world);
    for case in [cases::captures_in(), cases::captures_out()] {
        compare(&case, &world, open, &mut Tally::new());
    }
}

#[test]
fn frames_between_ports_get_the_verdict_of_the_policy() {
    let world = World::bridged();
    let open = |policies: &[&_]| InProcess::new(policies, &world);
    let (scale, mut tally) = (Scale::new(100, 300), Tally::new());
    for case in scale.cases(&world) {
        compare(&case.between_ports(&world), &world, open, &mut tally);
    }
    for seen in ["(essential:arp)", "(essential:nd)", "allowed", "no-conduit"] {
        assert!(tally.contains_key(seen), "{seen}: {tally:#?}");
    }
}
