//! Counters: what passed and what was dropped.

use enforcer_common::cell::Slot;
use enforcer_common::control::Control;
use enforcer_common::counter::Addition;
use enforcer_common::decide::Dropped;
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

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

/// Adds counts of another time to a cell of this CPU.
///
/// Atomically: it runs in a system call, which the programs that count may
/// interrupt.
#[inline(always)]
pub fn add(addition: &Addition) {
    let cell = match addition.map {
        Addition::CONDUITS => CONDUIT_COUNTERS
            .get_ptr_mut(addition.index)
            // SAFETY: both fields lie in the cell, which lives as long as the map.
            .map(|cell| unsafe { (&raw mut (*cell).packets, &raw mut (*cell).bytes) }),
        _ => DROP_COUNTERS
            .get_ptr_mut(addition.index)
            // SAFETY: as above.
            .map(|cell| unsafe { (&raw mut (*cell).packets, &raw mut (*cell).bytes) }),
    };
    if let Some((packets, bytes)) = cell {
        // SAFETY: both are valid and aligned.
        unsafe {
            add_at_once(packets, addition.packets);
            add_at_once(bytes, addition.bytes);
        }
    }
}

/// Adds by one instruction, which Rust does not offer for this target.
///
/// # Safety
///
/// `count` is valid and aligned.
#[inline(always)]
unsafe fn add_at_once(count: *mut u64, amount: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: writes the eight bytes that the caller vouches for.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({count} + 0) += {amount}",
            count = in(reg) count,
            amount = in(reg) amount,
        );
    }
    // Never runs: other targets are for lints only.
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as above.
    unsafe {
        *count += amount;
    }
}

/// Counts a drop.
#[inline(always)]
pub fn dropped(control: &Control, drop: &Dropped, amount: &Amount) {
    count(control, (drop.from, drop.to()), drop.reason, amount);
    if let Some(slot) = drop.slot() {
        decided(slot, amount);
    }
}

/// Counts what passes only because this is an audit.
#[inline(always)]
pub fn audited(control: &Control, ends: (ZoneId, Option<ZoneId>), amount: &Amount) {
    count(control, ends, DropReason::AUDIT, amount);
}

#[inline(always)]
fn count(
    control: &Control,
    (from, to): (ZoneId, Option<ZoneId>),
    reason: DropReason,
    amount: &Amount,
) {
    let index = control.drops.index(from, to, reason);
    if let Some(cell) = DROP_COUNTERS.get_ptr_mut(index) {
        // SAFETY: as in `decided`.
        unsafe {
            (*cell).packets += amount.packets;
            (*cell).bytes += amount.bytes;
        }
    }
}
