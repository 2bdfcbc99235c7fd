//! The maps of one loaded object, and the two policies they have room for.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use enforcer_common::control::{Control, DropTable};
use enforcer_common::layout::{Block, Layout};

use super::counters::{ConduitCounters, DropCounters};
use super::error::KernelError;
use super::flows::FlowMaps;
use super::memory::Memory;
use super::shape::Shape;
use super::sys;

/// Elements of the map of tables: the active policy and the next.
const POLICIES: u32 = 2;

/// How much the maps of one object have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Blocks of each of the two policies.
    pub blocks: u32,
    /// Slots of conduits and built-in rules.
    pub slots: u32,
    /// Zone ids.
    pub zones: u32,
    /// Established flows.
    pub flows: u32,
    /// Flows that are not established yet.
    pub flows_new: u32,
}

/// The names that the counters have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Names of zones, by number.
    pub zones: BTreeMap<u16, String>,
    /// Names of conduits and built-in rules, by slot.
    pub slots: BTreeMap<u32, String>,
}

/// What the maps hold for one policy.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Blocks, from the first of the policy.
    pub blocks: &'a [Block],
    /// Where each table lies among them; limits of idle flows are in seconds.
    pub layout: &'a Layout,
    /// Names of the zones by number.
    pub zones: &'a BTreeMap<u16, String>,
    /// Names of conduits and built-in rules by slot.
    pub slots: &'a BTreeMap<u32, String>,
}

/// The maps of one loaded object.
pub struct Maps {
    tables: Memory<Block>,
    control: Memory<Control>,
    /// The bucket of each conduit with a rate, by slot.
    rates: Memory<u64>,
    capacity: Capacity,
    /// Flows.
    pub flows: FlowMaps,
    /// What each conduit decided.
    pub conduits: ConduitCounters,
    /// What was dropped.
    pub drops: DropCounters,
}

/// A policy that lies complete in the maps, and is not active yet.
#[must_use]
pub struct Staged {
    slot: u32,
    generation: u32,
}

impl Staged {
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }
}

impl Capacity {
    /// Whether there is room for as many flows.
    pub fn has_flows_of(&self, other: &Self) -> bool {
        (self.flows, self.flows_new) == (other.flows, other.flows_new)
    }
}

impl Tables<'_> {
    /// Whether there is room for the policy.
    pub fn fit(&self, capacity: &Capacity) -> bool {
        let after_last = |last: Option<u32>| last.map_or(0, |last| last + 1);
        self.blocks.len() <= capacity.blocks as usize
            && after_last(self.slots.keys().next_back().copied()) <= capacity.slots
            && after_last(self.zones.keys().next_back().map(|id| u32::from(*id))) <= capacity.zones
    }
}

impl Maps {
    /// Takes over the maps that `open` finds.
    pub(super) fn of(
        mut open: impl FnMut(&Shape) -> Result<MapData, KernelError>,
    ) -> Result<Self, KernelError> {
        let tables = open(&Shape::TABLES)?;
        let blocks = Shape::TABLES.blocks(&tables)?;
        let control = open(&Shape::CONTROL)?;
        let conduits = ConduitCounters::of(open(&Shape::CONDUITS)?)?;
        let drops = DropCounters::of(open(&Shape::DROPS)?)?;
        let rates = open(&Shape::RATES)?;
        let flows = FlowMaps::of(open(&Shape::FLOWS)?, open(&Shape::FLOWS_NEW)?)?;
        let mut maps = Self {
            tables: mapped(&tables, POLICIES * blocks, &Shape::TABLES)?,
            control: mapped(&control, 1, &Shape::CONTROL)?,
            rates: mapped(&rates, conduits.slots(), &Shape::RATES)?,
            capacity: Capacity {
                blocks,
                slots: conduits.slots(),
                zones: 0,
                flows: flows.established_entries(),
                flows_new: flows.new_entries(),
            },
            flows,
            conduits,
            drops,
        };
        maps.capacity.zones = maps.control().drops.zones;
        Ok(maps)
    }

    /// Prepares maps that are all zero.
    pub(super) fn initialize(&mut self, zones: u32, clock: Clock) -> Result<(), KernelError> {
        self.capacity.zones = zones;
        let drops = DropTable::for_zones(zones);
        if drops.cells() > self.drops.cells() {
            return Err(self.too_small(Shape::DROPS.name));
        }
        let control = Control {
            active: 0,
            jiffies_per_second: clock.ticks_per_second,
            pickup_until: clock.pickup_until,
            confirm_until: 0,
            previous: 0,
            used_blocks: [0; 2],
            drops,
            slots: [Layout::default(); 2],
            reserved: 0,
        };
        let fits = self.control.write(0, &[control]);
        debug_assert!(fits, "the map has one element");
        Ok(())
    }

    /// Whether the active policy has exactly these tables.
    pub fn enforce(&self, tables: &Tables<'_>) -> bool {
        let control = self.control();
        let active = active_slot(&control);
        let layout = staged(tables, control.slots[active].generation, &control);
        let first = self.capacity.blocks as usize * active;
        control.slots[active] == layout && self.tables.holds(first, tables.blocks)
    }

    /// How much there is room for.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// What the programs see at this moment.
    pub fn control(&self) -> Control {
        // SAFETY: the element is mapped; any bytes are a `Control`.
        unsafe { self.control_element().read_volatile() }
    }

    /// Number of the active policy; 0 while there is none.
    pub fn generation(&self) -> u32 {
        let control = self.control();
        control.slots[active_slot(&control)].generation
    }

    /// Writes a policy where no program looks, under the given number.
    ///
    /// While the active policy waits to be confirmed there is no such place.
    pub fn stage(&mut self, tables: &Tables<'_>, generation: u32) -> Result<Staged, KernelError> {
        let control = self.control();
        if self.pending().is_some() {
            return Err(KernelError::Unconfirmed);
        }
        if !tables.fit(&self.capacity) {
            return Err(self.too_small(Shape::TABLES.name));
        }
        let active = active_slot(&control);
        let slot = if control.slots[active].generation == 0 {
            active
        } else {
            1 - active
        };
        // Programs that began under the policy before the active one may still
        // read the slot.
        let waited = sys::grace_period();
        waited.map_err(|source| KernelError::System("wait for running programs", source))?;
        self.write_layout(slot, Layout::default());
        let first = self.capacity.blocks * slot as u32;
        if !self.tables.write(first as usize, tables.blocks) {
            return Err(self.too_small(Shape::TABLES.name));
        }
        self.conduits.label(tables.slots)?;
        self.drops.label(&control.drops, tables.zones)?;
        self.write_used(slot, tables.blocks.len() as u32);
        self.write_layout(slot, staged(tables, generation, &control));
        Ok(Staged {
            slot: slot as u32,
            generation,
        })
    }

    /// TCP segments in mid-stream may open a flow until this tick.
    pub(super) fn set_pickup_until(&self, tick: u64) {
        // SAFETY: the word is mapped and aligned, for as long as `self` lives,
        // and both sides access it as a whole.
        let until = unsafe { AtomicU64::from_ptr(&raw mut (*self.control_element()).pickup_until) };
        until.store(tick, Ordering::Release);
    }

    /// How much of the capacity is in use: blocks by the active policy, and
    /// numbers by all that have a name. Flow maps are in use as a whole.
    pub fn used(&self) -> Result<Capacity, KernelError> {
        let control = self.control();
        let Names { zones, slots } = self.names()?;
        let end = |last: Option<u32>| last.map_or(0, |last| last + 1);
        Ok(Capacity {
            blocks: control.used_blocks[active_slot(&control)],
            slots: end(slots.keys().next_back().copied()),
            zones: end(zones.keys().next_back().map(|id| u32::from(*id))),
            ..self.capacity
        })
    }

    /// Takes over the active policy of the maps of another object, bit by bit;
    /// these must be new ones. Names of zones and conduits come with the counters.
    pub(super) fn adopt(&mut self, other: &Self) -> Result<(), KernelError> {
        let control = other.control();
        let active = active_slot(&control);
        let used = control.used_blocks[active];
        let first = other.capacity.blocks * active as u32;
        let blocks = other.tables.read(first as usize, used as usize);
        let fits =
            used <= self.capacity.blocks && control.slots[active].zones <= self.capacity.zones;
        let blocks = blocks.filter(|_| fits);
        if !blocks.is_some_and(|blocks| self.tables.write(0, &blocks)) {
            return Err(self.too_small(Shape::TABLES.name));
        }
        self.write_used(0, used);
        self.write_layout(0, control.slots[active]);
        Ok(())
    }

    /// Names of the zones and of the conduits and built-in rules, as the counters
    /// have them.
    pub fn names(&self) -> Result<Names, KernelError> {
        Ok(Names {
            zones: self.drops.zones(&self.control().drops)?,
            slots: self.conduits.names()?,
        })
    }

    fn write_used(&mut self, slot: usize, blocks: u32) {
        // SAFETY: the element is mapped; programs do not read this word.
        unsafe { (&raw mut (*self.control_element()).used_blocks[slot]).write_volatile(blocks) };
    }

    /// Takes over what is left of rates in the maps of another object.
    pub(super) fn copy_rates(&self, other: &Self) {
        let slots = self.capacity.slots.min(other.capacity.slots);
        for slot in 0..slots as usize {
            if let (Some(to), Some(from)) = (self.rates.element(slot), other.rates.element(slot)) {
                // SAFETY: both are mapped and aligned, and every access to them
                // is one of the whole.
                unsafe { to.write_volatile(from.read_volatile()) };
            }
        }
    }

    fn write_layout(&mut self, slot: usize, layout: Layout) {
        // SAFETY: the element is mapped; no program reads this slot.
        unsafe { (&raw mut (*self.control_element()).slots[slot]).write_volatile(layout) };
    }

    /// The only element of `control`, mapped for as long as `self` lives.
    pub(super) fn control_element(&self) -> *mut Control {
        let control = self.control.element(0).expect("the map has one element");
        control.as_ptr()
    }

    fn too_small(&self, map: &'static str) -> KernelError {
        KernelError::Map {
            action: "fit the policy into",
            map,
            source: io::ErrorKind::StorageFull.into(),
        }
    }
}

/// What the programs need to tell time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Timer ticks per second.
    pub ticks_per_second: u32,
    /// Until this tick TCP segments in mid-stream may open a flow.
    pub pickup_until: u64,
}

/// The layout of a policy as the programs see it.
fn staged(tables: &Tables<'_>, generation: u32, control: &Control) -> Layout {
    Layout {
        generation,
        idle: tables.layout.idle.times(control.jiffies_per_second),
        ..*tables.layout
    }
}

fn active_slot(control: &Control) -> usize {
    (control.active & 1) as usize
}

fn mapped<T>(map: &MapData, count: u32, shape: &Shape) -> Result<Memory<T>, KernelError> {
    Memory::of(map, count).map_err(|source| KernelError::Map {
        action: "map the memory of",
        map: shape.name,
        source,
    })
}
