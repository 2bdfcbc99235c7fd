//! The real programs in the kernel, run by test-run in the network namespace of
//! the calling thread.

use enforcer::compile::Image;
use enforcer::compile::size::{SizeClass, Sizes};
use enforcer::kernel::maps::{Capacity, Tables};
use enforcer::kernel::trial::Trial;
use enforcer::policy::Policy;
use enforcer_common::layout::Layout;

use crate::compare::{Counter, Counters, Datapath};
use crate::compiled::images;
use crate::crossing::{Crossing, Way};
use crate::world::World;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;

/// Longest frame that a test-run gives to a program in one piece.
const WHOLE_BYTES: usize = 3500;

/// Where a program judges; what leaves crosses TC.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    Xdp,
    Tc,
}

/// Loaded programs, and policies that follow each other.
pub struct Kernel {
    trial: Trial,
    hook: Hook,
    /// The policies that are still to come.
    images: std::vec::IntoIter<Image>,
}

impl Kernel {
    /// Loads the programs anew, so that they know no flow, with the first of
    /// the policies active.
    pub fn new(policies: &[&Policy], world: &World, hook: Hook) -> Self {
        let images = images(policies, world);
        let most = |size: fn(&Image) -> u32| images.iter().map(size).max().unwrap_or(0);
        let class = SizeClass::for_sizes(Sizes {
            blocks: most(|image| image.sizes().blocks),
            zone_ids: most(|image| image.sizes().zone_ids),
            slots: most(|image| image.sizes().slots),
            flows: most(|image| image.sizes().flows),
            flows_new: most(|image| image.sizes().flows_new),
        });
        let class = class.expect("the compiler keeps to the largest class");
        let capacity = Capacity {
            blocks: class.blocks,
            slots: class.slots,
            zones: class.zone_ids,
            flows: class.flows,
            flows_new: class.flows_new,
        };
        let mut images = images.into_iter();
        let first = images.next().expect("a case has a policy");
        let trial = Trial::start(&capacity, &tables(&first));
        Self {
            trial: trial.expect("the programs load; this needs root"),
            hook,
            images,
        }
    }
}

impl Kernel {
    /// Programs whose tables hold nothing, as no compiler leaves them.
    pub fn without_tables(hook: Hook) -> Self {
        let zones = [(0, "unknown"), (1, "self")].map(|(id, name)| (id, name.to_owned()));
        let (zones, slots) = (zones.into(), [(0, "(no-conduit)".to_owned())].into());
        let tables = Tables {
            blocks: &[],
            layout: &Layout::default(),
            zones: &zones,
            slots: &slots,
        };
        let capacity = Capacity {
            blocks: 16,
            slots: 64,
            zones: 16,
            flows: 1_024,
            flows_new: 1_024,
        };
        Self {
            trial: Trial::start(&capacity, &tables).expect("the programs load; this needs root"),
            hook,
            images: Vec::new().into_iter(),
        }
    }

    /// The kind of hook that a packet crosses.
    fn hook_of(&self, way: Way) -> Hook {
        match way {
            Way::In(_) => self.hook,
            Way::Out(..) | Way::Between(..) => Hook::Tc,
        }
    }

    /// What the XDP program returns for a frame, and what it makes of it.
    pub fn answer(&mut self, frame: &[u8], ifindex: u32) -> (i32, Vec<u8>) {
        let answer = self.trial.answer(frame, ifindex);
        answer.expect("a test-run of the program")
    }
}

impl Datapath for Kernel {
    /// A test-run of a TC program refuses frames that end inside the IP header
    /// behind an Ethernet header, which never get as far as that hook.
    fn takes(&self, packet: &Crossing) -> bool {
        let frame = packet.frame();
        let least = match (self.hook_of(packet.way), frame.get(12..14)) {
            (Hook::Xdp, _) => 0,
            (Hook::Tc, Some([0x08, 0x00])) => 20,
            (Hook::Tc, Some([0x86, 0xdd])) => 40,
            (Hook::Tc, _) => 1,
        };
        (14 + least..=WHOLE_BYTES).contains(&frame.len())
    }

    fn run(&mut self, frame: &[u8], way: Way) -> bool {
        let run = match (way, self.hook) {
            (Way::In(ifindex), Hook::Xdp) => self.trial.run_xdp(frame, ifindex, 1),
            (Way::In(ifindex), Hook::Tc) => self.trial.run_ingress(frame, ifindex, 1),
            (Way::Between(from, to), _) => self.trial.run_egress(frame, (from, to), 1),
            (Way::Out(ifindex, ingress), _) => {
                let places = (ingress.unwrap_or(0), ifindex);
                self.trial.run_egress(frame, places, 1)
            }
        };
        let action = run.expect("a test-run of the program").action;
        match (self.hook_of(way), action) {
            (Hook::Xdp, XDP_PASS) | (Hook::Tc, TC_ACT_UNSPEC) => true,
            // What is rejected comes back as an answer, where there may be one.
            (Hook::Xdp, XDP_DROP | XDP_TX) | (Hook::Tc, TC_ACT_SHOT) => false,
            (_, other) => panic!("the program returned {other}"),
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
