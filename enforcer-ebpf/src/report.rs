//! Counters: what passed and what was dropped.

use enforcer_common::cell::Slot;
use enforcer_common::control::Control;
use enforcer_common::decide::Dropped;

use crate::maps::{CONDUIT_COUNTERS, DROP_COUNTERS};

/// What a packet adds to a counter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Amount {
    /// Packets on the wire.
    pub packets: u64,
    /// Their layer-2 lengths, without frame check sequence.
    pub bytes: u64,
}

/// Counts what a conduit or built-in rule decided.
#[inline(always)]
pub fn decided(slot: Slot, amount: &Amount) {
    if let Some(cell) = CONDUIT_COUNTERS.get_ptr_mut(slot.0) {
        // SAFETY: the cell belongs to this CPU, and programs of one CPU that
        // interrupt each other at worst lose a count.
        unsafe {
            (*cell).packets += amount.packets;
            (*cell).bytes += amount.bytes;
        }
    }
}

/// Counts a drop.
#[inline(always)]
pub fn dropped(control: &Control, drop: &Dropped, amount: &Amount) {
    let index = control.drops.index(drop.from, drop.to(), drop.reason);
    if let Some(cell) = DROP_COUNTERS.get_ptr_mut(index) {
        // SAFETY: as in `decided`.
        unsafe {
            (*cell).packets += amount.packets;
            (*cell).bytes += amount.bytes;
        }
    }
    if let Some(slot) = drop.slot() {
        decided(slot, amount);
    }
}
