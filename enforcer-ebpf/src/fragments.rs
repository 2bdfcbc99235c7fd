//! Fragments: the first one is judged, the later ones follow it.

use core::hint::black_box;

use aya_ebpf::bindings::BPF_ANY;
use enforcer_common::decide::Dropped;
use enforcer_common::fragment::{Datagram, DatagramKey, Progress};
use enforcer_common::parse::Facts;
use enforcer_common::verdict::DropReason;

use crate::flows::ticks;
use crate::maps::{Active, FRAGMENTS, Scratch};

/// Memory outside the stack for what a fragment needs of its datagram.
#[repr(C)]
pub struct DatagramScratch {
    key: DatagramKey,
    /// What is inserted for a new datagram; its units are never written, and so
    /// are always none.
    entry: Datagram,
}

/// Not a reason: the fragment may go on.
const NONE: u32 = 0;

/// Gives a later fragment the header of the first one of its datagram, if that
/// has passed. A second first one contradicts what came before.
#[inline(always)]
pub fn follow(active: &Active, scratch: &mut Scratch) -> Result<(), Dropped> {
    let source = &scratch.ends.source;
    match found(active, &mut scratch.facts, &mut scratch.datagram) {
        NONE => Ok(()),
        reason => {
            let mut reason = DropReason(reason as u8);
            // The first one of a forged source has been dropped for that.
            if reason == DropReason::FRAGMENT_ORPHAN && source.zone.is_refused() {
                reason = source.zone.refusal();
            }
            Err(Dropped::early(source.zone.zone(), reason))
        }
    }
}

/// [`NONE`] or the number of a drop reason.
#[inline(always)]
fn found(active: &Active, facts: &mut Facts, scratch: &mut DatagramScratch) -> u32 {
    scratch.key = DatagramKey::of(facts);
    let scratch = black_box(scratch);
    let is_first = facts.flags & Facts::FIRST != 0;
    let Some(datagram) = datagram(active, &scratch.key) else {
        return if is_first {
            NONE
        } else {
            number(DropReason::FRAGMENT_ORPHAN)
        };
    };
    if is_first {
        datagram.make_void();
        return number(DropReason::FRAGMENT_OVERLAP);
    }
    match datagram.take(&facts.piece, |value| active.forgotten(value)) {
        Progress::Void => return number(DropReason::FRAGMENT_OVERLAP),
        Progress::Incomplete => datagram.lend(facts),
        Progress::Complete => {
            datagram.lend(facts);
            // Its number may come again.
            let _ = FRAGMENTS.remove(&scratch.key);
        }
    }
    NONE
}

/// Remembers the datagram whose first fragment passes, for the later ones.
#[inline(always)]
pub fn remember(active: &Active, scratch: &mut Scratch) {
    let (facts, scratch) = (&scratch.facts, &mut scratch.datagram);
    scratch.key = DatagramKey::of(facts);
    scratch.entry.begin(facts, ticks() as u32);
    let scratch = black_box(scratch);
    // Without an entry the later fragments are orphans, and drop.
    let _ = FRAGMENTS.insert(&scratch.key, &scratch.entry, BPF_ANY.into());
    if let Some(datagram) = datagram(active, &scratch.key) {
        datagram.take(&facts.piece, |value| active.forgotten(value));
    }
}

/// The datagram that awaits fragments under a key.
#[inline(always)]
fn datagram(active: &Active, key: &DatagramKey) -> Option<&'static mut Datagram> {
    // SAFETY: the entry stays mapped while the program runs. Other CPUs may
    // write to it, each field whole.
    let datagram = unsafe { &mut *FRAGMENTS.get_ptr_mut(key)? };
    let is_over = datagram.is_over(ticks() as u32, active.control.jiffies_per_second);
    (!is_over).then_some(datagram)
}

#[inline(always)]
const fn number(reason: DropReason) -> u32 {
    reason.0 as u32
}
