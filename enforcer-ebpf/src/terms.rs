//! What few packets need: audits, and conduits with a rate or a log.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::bindings::BPF_NOEXIST;
use enforcer_common::decide::{Dropped, Judgement};
use enforcer_common::event::Kind;
use enforcer_common::lookup;
use enforcer_common::terms::{Pace, SourceKey, Terms};
use enforcer_common::verdict::DropReason;

use crate::events;
use crate::flows::ticks;
use crate::maps::{Active, RATE_SOURCES, RATES, Scratch};
use crate::report;

/// How often a bucket is tried that other CPUs use at the same moment.
const ATTEMPTS: u32 = 8;

/// Whether a packet of an initiator passes that needs more than its conduit, by
/// the judgement in the scratch; `opens` when it is judged itself and not as a
/// part of a flow.
///
/// Writes down the slot that lets it pass, or why it is dropped.
#[inline(always)]
pub fn meet(active: &Active, hook: u32, opens: bool, scratch: &mut Scratch) -> bool {
    let Judgement { from, to, cell } = scratch.flow.judgement;
    scratch.slot = cell.slot();
    if cell.is_audit() {
        scratch.drop = Dropped::by_rule((from, to), cell.slot(), cell.reason(), cell.is_quiet());
        audit(active, hook, scratch);
        return true;
    }
    let terms = lookup::terms(active, cell.slot());
    let is_limited = terms.interval != 0 && (opens || !terms.has(Terms::FLOWS));
    if is_limited && !conforms(active, &terms, scratch) {
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
        audit(active, hook, scratch);
        return true;
    }
    if opens && terms.has(Terms::LOG) {
        scratch.drop = Dropped::by_rule((from, to), cell.slot(), DropReason::AUDIT, false);
        events::tell(active, hook, Kind::LOG);
    }
    true
}

/// Counts and tells of what passes only because this is an audit: the drop in the
/// scratch.
#[inline(always)]
fn audit(active: &Active, hook: u32, scratch: &Scratch) {
    let why = &scratch.drop;
    report::audited(active.control, (why.from, why.to()), &scratch.amount);
    if !why.is_quiet() {
        events::tell(active, hook, Kind::AUDIT);
    }
}

/// Takes from the bucket of the conduit, or of the source; false when that is
/// empty.
#[inline(always)]
fn conforms(active: &Active, terms: &Terms, scratch: &mut Scratch) -> bool {
    let slot = scratch.flow.judgement.cell.slot().0;
    let bucket = if terms.has(Terms::PER_SOURCE) {
        scratch.flow.source = SourceKey {
            slot,
            source: scratch.facts.question.source,
        };
        bucket_of(&scratch.flow.source)
    } else {
        RATES.get_ptr_mut(slot)
    };
    let Some(bucket) = bucket else {
        return false;
    };
    let pace = Pace::new(terms, active.control.jiffies_per_second);
    let now = ticks();
    for _ in 0..ATTEMPTS {
        // SAFETY: the element stays mapped while the program runs; it is read
        // as a whole.
        let held = unsafe { core::ptr::read_volatile(bucket) };
        let Some(after) = pace.after(held, now, scratch.amount.packets) else {
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
