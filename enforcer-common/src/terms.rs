//! What an allow conduit asks beside zones and services: a rate, a log.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371): a bucket is
//! one word, the time at which the next packet is due if packets came evenly.
//! A packet conforms unless it is due later than the tolerance allows.
//!
//! Times in buckets are timer ticks with [`TICK_BITS`] bits of fraction.

use crate::address::Addr;
use crate::cell::Slot;

/// Bits of fraction in the times of buckets.
pub const TICK_BITS: u32 = 24;

/// Bits of fraction in [`Terms::interval`], which is in seconds.
pub const INTERVAL_BITS: u32 = 32;

/// Packets that a bucket can be overdrawn by: what arrives as one packet may be
/// cut into many when it leaves.
const DEBT: u64 = 64;

/// What the conduit of a slot asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Seconds from one packet to the next, with [`INTERVAL_BITS`] bits of
    /// fraction; 0 for any rate.
    pub interval: u64,
    /// Seconds by which packets may come early, with [`TICK_BITS`] bits of
    /// fraction.
    pub tolerance: u64,
    /// Where is counted what an audit lets pass.
    pub audit_slot: Slot,
    /// [`Terms::FLOWS`] and so on.
    pub flags: u32,
}

/// Whose rate it is, where each source has its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    /// The conduit.
    pub slot: u32,
    /// The source.
    pub source: Addr,
}

const _: () = assert!(size_of::<SourceKey>() == 20);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SourceKey {}

impl Default for Slot {
    fn default() -> Self {
        Self::NO_CONDUIT
    }
}

impl Terms {
    /// Half-words that the terms of a slot take in their table.
    pub const HALF_WORDS: u32 = 12;
    /// The rate is one of flows, not of packets.
    pub const FLOWS: u32 = 1;
    /// Each source has a rate of its own.
    pub const PER_SOURCE: u32 = 2;
    /// An event tells of each flow that opens.
    pub const LOG: u32 = 4;
    /// No event tells of what the rate does not let pass.
    pub const QUIET: u32 = 8;

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Longest tolerance, in seconds: about eight years.
    pub const MOST_TOLERANCE_S: u64 = 1 << 28;

    /// The terms of `limit` packets in a period of up to an hour, of which
    /// `burst` may come at once; neither is 0.
    ///
    /// `None` when it takes longer than [`Terms::MOST_TOLERANCE_S`] to save up
    /// for the burst.
    pub fn paced((limit, period_s): (u32, u32), burst: u32) -> Option<Self> {
        let (limit, period_s) = (u64::from(limit), u64::from(period_s));
        let early = (u128::from(burst - 1) * u128::from(period_s)) << TICK_BITS;
        // Rounded up, so that the whole burst passes.
        let tolerance = early.div_ceil(limit.into());
        let is_possible = tolerance <= u128::from(Self::MOST_TOLERANCE_S) << TICK_BITS;
        is_possible.then_some(Self {
            interval: (period_s << INTERVAL_BITS) / limit,
            tolerance: tolerance as u64,
            ..Self::default()
        })
    }
}

/// A rate on a clock of `per_second` ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one packet to the next.
    interval: u64,
    /// By how much packets may come early.
    tolerance: u64,
}

impl Pace {
    /// The rate of some terms.
    #[inline(always)]
    pub const fn new(terms: &Terms, per_second: u32) -> Self {
        Self {
            interval: (terms.interval * per_second as u64) >> (INTERVAL_BITS - TICK_BITS),
            tolerance: terms.tolerance * per_second as u64,
        }
    }

    /// What a bucket holds after `packets` more at `now`, in whole ticks;
    /// `None` when they have to wait.
    ///
    /// What is sent as one passes as one, and is paid for later.
    #[inline(always)]
    pub fn after(&self, bucket: u64, now: u64, packets: u64) -> Option<u64> {
        let now = now << TICK_BITS;
        let latest = now + self.tolerance;
        // More than this remains only of another, slower rate: it begins anew.
        let is_of_this = bucket <= latest + self.interval * DEBT;
        if bucket > latest && is_of_this {
            return None;
        }
        let due = if bucket > now && is_of_this {
            bucket
        } else {
            now
        };
        let packets = if packets < DEBT { packets } else { DEBT };
        Some(due + self.interval * packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 250;
    /// Ticks since boot when each test begins: a large number, as they are.
    const START: u64 = 0xffff_b6c2;

    fn pace(limit: u32, period_s: u32, burst: u32) -> Pace {
        Pace::new(&Terms::paced((limit, period_s), burst).unwrap(), HZ)
    }

    /// Packets that pass when one comes every `every` ticks.
    fn passed(pace: &Pace, every: u64, count: u64) -> u64 {
        let mut bucket = 0;
        let mut passed = 0;
        for index in 0..count {
            if let Some(after) = pace.after(bucket, START + index * every, 1) {
                bucket = after;
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let cases = [
            // limit, period, burst, one packet every … ticks, for … packets: passed
            ((3, 3_600, 5), (1, 1_000), 5),
            ((100, 1, 100), (0, 1_000), 100),
            // 4 s at 100/s, and the burst before.
            ((100, 1, 10), (1, 1_001), 10 + 400),
            ((60, 60, 1), (250, 100), 100),
            ((60, 60, 1), (249, 100), 100 - 49),
            ((1_000_000, 1, 1), (1, 1_000), 1_000),
        ];
        for ((limit, period, burst), (every, count), want) in cases {
            let pace = pace(limit, period, burst);
            let got = passed(&pace, every, count);
            assert!(
                got.abs_diff(want) <= 1,
                "{limit}/{period} burst {burst}: {got}, not {want}"
            );
        }
    }

    #[test]
    fn what_is_sent_as_one_is_paid_for_later() {
        let pace = pace(10, 1, 2);
        let after = pace.after(0, START, 40).unwrap();
        // 40 packets take 4 s = 1000 ticks; one may come 25 ticks early.
        assert_eq!(pace.after(after, START + 974, 1), None);
        assert!(pace.after(after, START + 975, 1).is_some());
    }

    #[test]
    fn a_slow_rate_does_not_outlast_its_policy() {
        let (slow, fast) = (pace(1, 3_600, 20), pace(1_000, 1, 1_000));
        let mut bucket = 0;
        for _ in 0..20 {
            bucket = slow.after(bucket, START, 1).unwrap();
        }
        assert_eq!(slow.after(bucket, START, 1), None);
        let after = fast.after(bucket, START, 1).unwrap();
        assert!(after < bucket, "{after}");
    }

    #[test]
    fn the_whole_burst_passes_at_once() {
        for (limit, period) in [(1, 1), (3, 1), (7, 60), (1_001, 1), (999_983, 3_600)] {
            for burst in [1, 2, 3, 10, 1_000] {
                let got = passed(&pace(limit, period, burst), 0, 2_000);
                assert_eq!(got, u64::from(burst), "{limit}/{period}");
            }
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        assert_eq!(Terms::paced((1, 3_600), u32::MAX), None);
        for (limit, period, burst) in [(1, 3_600, 74_000), (u32::MAX, 1, u32::MAX)] {
            let pace = Pace::new(&Terms::paced((limit, period), burst).unwrap(), 1_200);
            let mut bucket = 0;
            for _ in 0..74_000 {
                bucket = pace.after(bucket, START, 1).unwrap();
            }
        }
    }
}
