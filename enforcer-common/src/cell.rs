//! The small values that table blocks hold.

use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// Where a conduit, or a built-in rule, is counted.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// `(no-conduit)`.
    pub const NO_CONDUIT: Self = Self(0);
    /// `(intra-zone)`.
    pub const INTRA_ZONE: Self = Self(1);
    /// `(self-out)`.
    pub const SELF_OUT: Self = Self(2);
    /// `(essential:NAME)`: the first of eight, see [`crate::essential`].
    pub const ESSENTIAL: Self = Self(3);
    /// `(failsafe:N)`: the first of [`crate::limits::FAILSAFES`].
    pub const FAILSAFE: Self = Self(11);
    /// `(related)`: ICMP errors about known flows.
    pub const RELATED: Self = Self(27);
    /// `(no-conduit)!audit`.
    pub const NO_CONDUIT_AUDIT: Self = Self(28);
    /// `(intra-zone)!audit`.
    pub const INTRA_ZONE_AUDIT: Self = Self(29);
    /// `(self-out)!audit`.
    pub const SELF_OUT_AUDIT: Self = Self(30);
    /// No slot: what passes so is counted elsewhere.
    pub const NOWHERE: Self = Self(u32::MAX);
    /// The first slot of a conduit; those before are reserved.
    pub const FIRST: u32 = 32;
}

/// What the policy says of one kind of traffic: the slot that decides in the
/// low 24 bits, and above them one byte.
///
/// | byte | verdict |
/// |---|---|
/// | `0xff` | it passes |
/// | `0xfe`, `0xfd` | it passes on the [`crate::terms::Terms`] of the slot |
/// | `0x80` and a reason | audit: it passes, and is counted as what would have been dropped |
/// | a reason | it is dropped |
/// | 0 | a cell nobody wrote: it is dropped, as a table fault |
///
/// With a reason, `0x40` says that no event tells of it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub u32);

impl Cell {
    const PASSES: u32 = 0x80 << 24;
    const QUIET: u32 = 0x40 << 24;
    const REASON: u32 = 0x3f << 24;
    const ALLOW: u32 = 0xff << 24;
    const ON_TERMS: u32 = 0xfe << 24;
    const ON_AUDITED_TERMS: u32 = 0xfd << 24;
    /// What stands in the place of a reason from here on is none.
    const NO_REASONS: u32 = 0x3d << 24;

    /// Traffic that passes.
    #[inline(always)]
    pub const fn allow(slot: Slot) -> Self {
        Self(Self::ALLOW | slot.0)
    }

    /// Traffic that passes as far as the terms of the slot let it; `is_audited`
    /// when what they do not let pass is only counted.
    pub const fn on_terms(slot: Slot, is_audited: bool) -> Self {
        Self(
            slot.0
                | if is_audited {
                    Self::ON_AUDITED_TERMS
                } else {
                    Self::ON_TERMS
                },
        )
    }

    /// Traffic that is dropped.
    #[inline(always)]
    pub const fn drop(slot: Slot, reason: DropReason) -> Self {
        Self((reason.0 as u32) << 24 | slot.0)
    }

    /// Traffic that this cell drops passes instead, and is counted in `slot`.
    pub const fn audited(self, slot: Slot) -> Self {
        Self(Self::PASSES | self.0 & (Self::QUIET | Self::REASON) | slot.0)
    }

    /// The same drop, of which no event tells.
    pub const fn quiet(self) -> Self {
        Self(self.0 | Self::QUIET)
    }

    /// Where the traffic is counted.
    #[inline(always)]
    pub const fn slot(self) -> Slot {
        Slot(self.0 & 0x00ff_ffff)
    }

    /// Whether the traffic passes.
    #[inline(always)]
    pub const fn allows(self) -> bool {
        self.0 & Self::PASSES != 0
    }

    /// Whether the traffic passes and nothing else has to be looked at.
    #[inline(always)]
    pub const fn is_plain(self) -> bool {
        self.0 >= Self::ALLOW
    }

    /// Whether the traffic passes only because this is an audit.
    #[inline(always)]
    pub const fn is_audit(self) -> bool {
        self.allows() && self.0 & Self::REASON < Self::NO_REASONS
    }

    /// Whether what the terms of the slot do not let pass is only counted.
    #[inline(always)]
    pub const fn has_audited_terms(self) -> bool {
        self.0 >> 24 == Self::ON_AUDITED_TERMS >> 24
    }

    /// Whether no event tells of the drop.
    #[inline(always)]
    pub const fn is_quiet(self) -> bool {
        self.0 & Self::QUIET != 0
    }

    /// Why the traffic is dropped, or would be but for an audit.
    #[inline(always)]
    pub const fn reason(self) -> DropReason {
        match (self.0 & Self::REASON) >> 24 {
            0 => DropReason::TABLE_FAULT,
            reason => DropReason(reason as u8),
        }
    }
}

/// A pair of zones: its row in the low 24 bits, and flags.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub u32);

impl Pair {
    const STATELESS: u32 = 1 << 31;
    const ENFORCED: u32 = 1 << 30;
    const BETWEEN: u32 = 1 << 29;
    const JOINED: u32 = 1 << 28;
    const LOOSE: u32 = 1 << 27;

    /// The pair that uses `row`; `stateless` when no packet between the zones
    /// can belong to a flow.
    pub const fn new(row: u32, stateless: bool) -> Self {
        Self(if stateless {
            Self::STATELESS | row
        } else {
            row
        })
    }

    /// The same pair, of which a zone says `enforce`.
    pub const fn enforced(self) -> Self {
        Self(self.0 | Self::ENFORCED)
    }

    /// The same pair, of two zones that are not the same.
    pub const fn between_zones(self) -> Self {
        Self(self.0 | Self::BETWEEN)
    }

    /// Whether traffic of the pair leaves a zone for another, neither being the
    /// router.
    #[inline(always)]
    pub const fn is_between_zones(self) -> bool {
        self.0 & Self::BETWEEN != 0
    }

    /// The same pair, of one zone or of two that a conduit joins.
    pub const fn joined(self) -> Self {
        Self(self.0 | Self::JOINED)
    }

    /// Whether it is a zone and itself, or anything is let pass from one to the
    /// other or back: then stations of both may look for each other.
    #[inline(always)]
    pub const fn is_joined(self) -> bool {
        self.0 & Self::JOINED != 0
    }

    /// The same pair, of which a zone says `state: loose`.
    pub const fn loose(self) -> Self {
        Self(self.0 | Self::LOOSE)
    }

    /// Whether a TCP segment in mid-stream may be the first that is seen of its
    /// connection.
    #[inline(always)]
    pub const fn is_loose(self) -> bool {
        self.0 & Self::LOOSE != 0
    }

    /// Index of the row.
    #[inline(always)]
    pub const fn row(self) -> u32 {
        self.0 & 0x00ff_ffff
    }

    /// Whether a zone says `enforce`, so that no audit of the whole policy is
    /// about the pair.
    #[inline(always)]
    pub const fn is_enforced(self) -> bool {
        self.0 & Self::ENFORCED != 0
    }

    /// Whether no packet from the one zone to the other belongs to a flow.
    #[inline(always)]
    pub const fn is_stateless(self) -> bool {
        self.0 & Self::STATELESS != 0
    }
}

/// The source zone of a link class and an address class.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCell(pub u16);

impl SourceCell {
    const SPOOFED: u16 = 1 << 15;
    const VIOLATING: u16 = 1 << 14;
    const SEVERAL: u16 = 1 << 13;
    const ZONE: u16 = Self::SEVERAL - 1;
    /// Zone ids are below this.
    pub const MOST_ZONES: u16 = Self::SEVERAL;

    /// `zone`, or, when `spoofed`, the zone that the link suggests.
    pub const fn new(zone: ZoneId, spoofed: bool) -> Self {
        Self(if spoofed {
            Self::SPOOFED | zone.0
        } else {
            zone.0
        })
    }

    /// The same zone, with an address that is not bound to the hardware address
    /// or that another one is bound to.
    pub const fn violating(self) -> Self {
        Self(self.0 | Self::VIOLATING)
    }

    /// The zone is another one on each of the links that this may be; unknown.
    pub const fn several(spoofed: bool) -> Self {
        Self(Self::SEVERAL | Self::new(ZoneId::UNKNOWN, spoofed).0)
    }

    /// The zone.
    #[inline(always)]
    pub const fn zone(self) -> ZoneId {
        ZoneId(self.0 & Self::ZONE)
    }

    /// Whether the link is a bridge, and only its port tells the zone.
    #[inline(always)]
    pub const fn is_several(self) -> bool {
        self.0 & Self::SEVERAL != 0
    }

    /// Whether such a source cannot come from such a link.
    #[inline(always)]
    pub const fn is_spoofed(self) -> bool {
        self.0 & Self::SPOOFED != 0
    }

    /// Whether nothing from such a source passes.
    #[inline(always)]
    pub const fn is_refused(self) -> bool {
        self.0 & (Self::SPOOFED | Self::VIOLATING) != 0
    }

    /// Why not; without a branch, so that there is one way to the verifier.
    #[inline(always)]
    pub const fn refusal(self) -> DropReason {
        let is_spoofed = (self.0 / Self::SPOOFED) as u8;
        let difference = DropReason::BINDING_VIOLATED.0 - DropReason::SPOOFED_SOURCE.0;
        DropReason(DropReason::BINDING_VIOLATED.0 - is_spoofed * difference)
    }
}

/// What is known of an address class, whatever link it is seen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressClass {
    /// Zone of the address as a destination; [`AddressClass::BY_ROUTE`] when
    /// only the egress link tells.
    pub destination: u16,
    /// [`AddressClass::GROUP`].
    pub flags: u16,
    /// One bit for each failsafe entry whose prefix contains the address.
    pub failsafes: u16,
}

impl AddressClass {
    /// The egress interface and VLAN decide the zone.
    pub const BY_ROUTE: u16 = 0x7fff;
    /// A multicast or broadcast address.
    pub const GROUP: u16 = 1;
    /// Half-words a class takes in its table.
    pub const HALF_WORDS: u32 = 4;

    /// The class whose table entry is these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            destination: bits as u16,
            flags: (bits >> 16) as u16,
            failsafes: (bits >> 32) as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_what_was_written_into_it() {
        let (slot, twin) = (Slot(0x00ab_cdef), Slot(77));
        for cell in [
            Cell::allow(slot),
            Cell::on_terms(slot, false),
            Cell::on_terms(slot, true),
        ] {
            assert!(
                cell.allows() && !cell.is_audit() && cell.slot() == slot,
                "{cell:?}"
            );
            assert_eq!(cell.is_plain(), cell == Cell::allow(slot), "{cell:?}");
            assert_eq!(
                cell.has_audited_terms(),
                cell == Cell::on_terms(slot, true),
                "{cell:?}"
            );
        }
        for reason in DropReason::ALL {
            for cell in [Cell::drop(slot, *reason), Cell::drop(slot, *reason).quiet()] {
                assert!(
                    !cell.allows() && !cell.is_audit() && !cell.is_plain(),
                    "{cell:?}"
                );
                assert_eq!((cell.slot(), cell.reason()), (slot, *reason));
                let audited = cell.audited(twin);
                assert!(
                    audited.allows() && audited.is_audit() && !audited.is_plain(),
                    "{cell:?}"
                );
                assert_eq!((audited.slot(), audited.reason()), (twin, *reason));
                assert_eq!(audited.is_quiet(), cell.is_quiet(), "{cell:?}");
                assert!(!audited.has_audited_terms(), "{cell:?}");
            }
        }
        assert_eq!(Cell(0).reason(), DropReason::TABLE_FAULT);
        assert!(!Cell(0).allows());
    }
}
