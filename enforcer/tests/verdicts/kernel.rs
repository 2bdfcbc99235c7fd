//! The real programs in the kernel, run by test-run in the network namespace of
//! the calling thread.

use enforcer::compile::Image;
use enforcer::compile::size::{SizeClass, Sizes};
use enforcer::kernel::maps::{Capacity, Tables};
use enforcer::kernel::trial::Trial;
use enforcer::policy::Policy;

use crate::compare::{Counter, Counters, Datapath};
use crate::compiled::images;
use crate::world::World;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

/// Loaded programs, and policies that follow each other.
pub struct Kernel {
    trial: Trial,
    /// The policies that are still to come.
    images: std::vec::IntoIter<Image>,
}

impl Kernel {
    /// Loads the programs anew, so that they know no flow, with the first of
    /// the policies active.
    pub fn new(policies: &[&Policy], world: &World) -> Self {
        let images = images(policies, world);
        let most = |size: fn(&Image) -> u32| images.iter().map(size).max().unwrap_or(0);
        let class = SizeClass::for_sizes(Sizes {
            blocks: most(|image| image.sizes().blocks),
            zone_ids: most(|image| image.sizes().zone_ids),
            slots: most(|image| image.sizes().slots),
        });
        let class = class.expect("the compiler keeps to the largest class");
        let capacity = Capacity {
            blocks: class.blocks,
            slots: class.slots,
            zones: class.zone_ids,
        };
        let mut images = images.into_iter();
        let first = images.next().expect("a case has a policy");
        let trial = Trial::start(&capacity, &tables(&first));
        Self {
            trial: trial.expect("the programs load; this needs root"),
            images,
        }
    }
}

impl Datapath for Kernel {
    fn run(&mut self, frame: &[u8], ifindex: u32) -> bool {
        let run = self.trial.run_xdp(frame, ifindex, 1);
        match run.expect("a test-run of the program").action {
            XDP_PASS => true,
            XDP_DROP => false,
            other => panic!("the program returned {other}"),
        }
    }

    fn counters(&mut self) -> Counters {
        let conduits = self
            .trial
            .maps
            .conduits
            .read()
            .expect("counters can be read");
        let drops = self.trial.maps.drops.read().expect("counters can be read");
        let conduits = conduits
            .into_iter()
            .map(|count| (Counter::Conduit(count.id), count.packets));
        let drops = drops.into_iter().map(|count| {
            let drop = Counter::Drop {
                from: count.from,
                to: (count.to != "-").then_some(count.to),
                reason: count.reason,
            };
            (drop, count.packets)
        });
        conduits.chain(drops).collect()
    }

    fn next_policy(&mut self) {
        let image = self.images.next().expect("a policy for every stage");
        let replaced = self.trial.replace(&tables(&image));
        replaced.expect("another policy takes its place");
    }

    fn is_stateful(&self) -> bool {
        true
    }
}

fn tables(image: &Image) -> Tables<'_> {
    Tables {
        blocks: &image.blocks,
        layout: &image.layout,
        zones: &image.zones,
        slots: &image.slots,
    }
}
