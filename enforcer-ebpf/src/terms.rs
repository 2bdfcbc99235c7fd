//! What few packets need: audits, and conduits with a rate or a log.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::bindings::BPF_NOEXIST;
use enforcer_common::decide::{Dropped, Judgement};
use enforcer_common::event::Kind;
use enforcer_common::lookup;
use enforcer_common::terms::{Pace, SourceKey, Terms};
use enforcer_common::verdict::DropReason;

use crate::events::{self, Happened};
use crate::flows::{FlowScratch, ticks};
use crate::maps::{RATE_SOURCES, RATES};
use crate::report;

/// How often a bucket is tried that other CPUs use at the same moment.
const ATTEMPTS: u32 = 8;

/// Whether a packet of an initiator passes that needs more than its conduit, by
/// the judgement in the scratch; `opens` when it is judged itself and not as a
/// part of a flow.
///
/// Writes down the slot that lets it pass, or why it is dropped. A function of
/// its own in the kernel: rarely called, it keeps its ways to itself.
#[inline(never)]
pub fn meet(packet: &Happened, opens: bool, scratch: &mut FlowScratch) -> bool {
    let Judgement { from, to, cell } = scratch.judgement;
    scratch.slot = cell.slot();
    if cell.is_audit() {
        let why = Dropped::by_rule((from, to), cell.slot(), cell.reason(), cell.is_quiet());
        audit(packet, &why);
        return true;
    }
    let terms = lookup::terms(packet.active, cell.slot());
    let is_limited = terms.interval != 0 && (opens || !terms.has(Terms::FLOWS));
    if is_limited && !conforms(packet, &terms, scratch) {
        let is_quiet = terms.has(Terms::QUIET);
        let slot = if cell.has_audited_terms() {
            terms.audit_slot
        } else {
            cell.slot()
        };
        scratch.slot = slot;
        scratch.drop = Dropped::by_rule((from, to), slot, DropReason::RATE_LIMITED, is_quiet);
        if !cell.has_audited_terms() {
            return false;
        }
        audit(packet, &scratch.drop);
        return true;
    }
    if opens && terms.has(Terms::LOG) {
        let why = Dropped::by_rule((from, to), cell.slot(), DropReason::AUDIT, false);
        events::tell(packet, Kind::LOG, &why);
    }
    true
}

/// Counts and tells of what passes only because this is an audit.
#[inline(always)]
fn audit(packet: &Happened, why: &Dropped) {
    report::audited(packet.active.control, (why.from, why.to()), packet.amount);
    if !why.is_quiet() {
        events::tell(packet, Kind::AUDIT, why);
    }
}

/// Takes from the bucket of the conduit, or of the source; false when that is
/// empty.
#[inline(always)]
fn conforms(packet: &Happened, terms: &Terms, scratch: &mut FlowScratch) -> bool {
    let slot = scratch.judgement.cell.slot().0;
    let bucket = if terms.has(Terms::PER_SOURCE) {
        scratch.source = SourceKey {
            slot,
            source: packet.facts.question.source,
        };
        bucket_of(&scratch.source)
    } else {
        RATES.get_ptr_mut(slot)
    };
    let Some(bucket) = bucket else {
        return false;
    };
    let pace = Pace::new(terms, packet.active.control.jiffies_per_second);
    let now = ticks();
    for _ in 0..ATTEMPTS {
        // SAFETY: the element stays mapped while the program runs; it is read
        // as a whole.
        let held = unsafe { core::ptr::read_volatile(bucket) };
        let Some(after) = pace.after(held, now, packet.amount.packets) else {
            return false;
        };
        if replaced(bucket, held, after) {
            return true;
        }
    }
    false
}

/// Stores a value in the place of the one that was seen, if it is still there
/// (`BPF_CMPXCHG`, Linux 5.12).
#[inline(always)]
fn replaced(bucket: *mut u64, seen: u64, value: u64) -> bool {
    const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
    // SAFETY: the element stays mapped, and is aligned to eight bytes. The
    // atomic types of `core` do not have this for the BPF target.
    unsafe { atomic_cxchg::<u64, ORDER, ORDER>(bucket, seen, value).1 }
}

/// The bucket of a source, a full one if it has none.
#[inline(always)]
fn bucket_of(source: &SourceKey) -> Option<*mut u64> {
    if let Some(bucket) = RATE_SOURCES.get_ptr_mut(source) {
        return Some(bucket);
    }
    // Whoever is first makes it; all others find it.
    let _ = RATE_SOURCES.insert(source, &0, BPF_NOEXIST.into());
    RATE_SOURCES.get_ptr_mut(source)
}
