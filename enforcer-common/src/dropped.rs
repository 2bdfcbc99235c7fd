//! Packets that must not pass: why, and between which zones.

use crate::cell::Slot;
use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// A packet that must not pass.
///
/// Absent values are numbers that name nothing rather than `Option`s: the
/// verifier refuses to copy the undefined half of an `Option` into a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Source zone, as far as it is known.
    pub from: ZoneId,
    to: ZoneId,
    slot: Slot,
    /// Why.
    pub reason: DropReason,
    /// 1 where the policy says that no event tells of it.
    quiet: u8,
}

impl Dropped {
    const NO_SLOT: Slot = Slot(u32::MAX);

    /// A drop before the destination was known.
    #[inline(always)]
    pub const fn early(from: ZoneId, reason: DropReason) -> Self {
        Self {
            from,
            to: ZoneId::NONE,
            slot: Self::NO_SLOT,
            reason,
            quiet: 0,
        }
    }

    /// A drop on the way from one zone to another that no conduit decided.
    #[inline(always)]
    pub const fn between(from: ZoneId, to: ZoneId, reason: DropReason) -> Self {
        Self {
            from,
            to,
            slot: Self::NO_SLOT,
            reason,
            quiet: 0,
        }
    }

    /// A drop on the way from one zone to another that a conduit or built-in
    /// rule decided.
    #[inline(always)]
    pub const fn by_rule(
        (from, to): (ZoneId, ZoneId),
        slot: Slot,
        reason: DropReason,
        is_quiet: bool,
    ) -> Self {
        Self {
            from,
            to,
            slot,
            reason,
            quiet: is_quiet as u8,
        }
    }

    /// Whether the policy says that no event tells of it.
    #[inline(always)]
    pub fn is_quiet(&self) -> bool {
        self.quiet != 0
    }

    /// Destination zone, if it is known.
    #[inline(always)]
    pub fn to(&self) -> Option<ZoneId> {
        (self.to != ZoneId::NONE).then_some(self.to)
    }

    /// The conduit or built-in rule that decided, if one did.
    #[inline(always)]
    pub fn slot(&self) -> Option<Slot> {
        (self.slot != Self::NO_SLOT).then_some(self.slot)
    }
}

impl From<DropReason> for Dropped {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::early(ZoneId::UNKNOWN, reason)
    }
}
