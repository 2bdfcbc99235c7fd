//! What the ring buffer `events` tells of single packets.
//!
//! Counters are exact; events are samples, as many as a budget lets through.

use crate::address::Addr;

/// One packet, and what was done with it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub time_ns: u64,
    /// Number of the policy that decided.
    pub generation: u32,
    /// Slot of the conduit or built-in rule that decided; [`Event::NO_SLOT`].
    pub slot: u32,
    /// Source zone.
    pub from: u16,
    /// Destination zone; [`Event::NO_ZONE`] where it was not known.
    pub to: u16,
    /// The interface where the packet was judged.
    pub ifindex: u32,
    /// VLAN id of the outer tag; 0 for none.
    pub outer_tag: u16,
    /// VLAN id of the inner tag; 0 for none.
    pub inner_tag: u16,
    /// Its layer-2 length.
    pub bytes: u32,
    /// Source address; means something with [`Event::PARSED`] only, as all that
    /// follows up to `kind`.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Source port, identifier of an echo, or 0.
    pub source_port: u16,
    /// Destination port, or type and code of ICMP (`type << 8 | code`), or 0.
    pub service: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// What was done.
    pub kind: Kind,
    /// Number of the drop reason; 0 for none.
    pub reason: u8,
    /// [`Event::PARSED`], [`Event::EGRESS`] and [`Event::ARP`].
    pub flags: u8,
}

/// What was done with a packet.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// It was dropped.
    pub const DROP: Self = Self(1);
    /// It passed, and would have been dropped but for an audit.
    pub const AUDIT: Self = Self(2);
    /// It was dropped because a conduit says reject.
    pub const REJECT: Self = Self(3);
    /// It opened a flow of a conduit that logs them.
    pub const LOG: Self = Self(4);
}

impl Event {
    /// No conduit or built-in rule decided.
    pub const NO_SLOT: u32 = u32::MAX;
    /// The destination zone was not known.
    pub const NO_ZONE: u16 = u16::MAX;
    /// The headers were read.
    pub const PARSED: u8 = 1;
    /// The packet was going out, not coming in.
    pub const EGRESS: u8 = 2;
    /// The packet is ARP.
    pub const ARP: u8 = 4;
}

const _: () = assert!(size_of::<Event>() == 72);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Event {}

/// How often something may be done on one CPU, and how often it could not be.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// When the next one is due, in ticks times [`Budget::PER_SECOND`].
    due: u64,
    /// How often it could not be done.
    pub refused: u64,
}

const _: () = assert!(size_of::<Budget>() == 16);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Budget {}

impl Budget {
    /// How often in a second, and how often at once after a pause.
    pub const PER_SECOND: u64 = 1_000;
    /// The budget of events, an element of the map `budgets`.
    pub const EVENTS: u32 = 0;
    /// The budget of answers to what is rejected.
    pub const ANSWERS: u32 = 1;
    /// Elements of the map `budgets`.
    pub const COUNT: usize = 2;

    /// Takes one; false when none is left, which is counted.
    ///
    /// `now` is in ticks, of which a second has `per_second`.
    #[inline(always)]
    pub fn take(&mut self, now: u64, per_second: u32) -> bool {
        // Ticks times a rate instead of intervals: no division, and exact.
        let now = now * Self::PER_SECOND;
        let interval = u64::from(per_second);
        if self.due > now + interval * (Self::PER_SECOND - 1) {
            self.refused += 1;
            return false;
        }
        let due = if self.due > now { self.due } else { now };
        self.due = due + interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_a_burst_and_then_its_rate() {
        for hz in [100, 250, 1_000] {
            let mut budget = Budget::default();
            let burst = (0..5_000).filter(|_| budget.take(7_000_000, hz)).count();
            assert_eq!((burst, budget.refused), (1_000, 4_000), "{hz}");
            let ticks = (7_000_001..=7_000_000 + 2 * u64::from(hz)).flat_map(|now| [now; 20]);
            let later = ticks.filter(|now| budget.take(*now, hz)).count();
            assert_eq!(later, 2_000, "{hz}");
        }
    }
}
