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
    /// The first slot of a conduit; those before are reserved.
    pub const FIRST: u32 = 32;
}

/// What the policy says of one kind of traffic: the slot that decides in the
/// low 24 bits, and above them [`Cell::ALLOW`] or the drop reason.
///
/// Zero is neither: a cell nobody wrote drops as a table fault.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub u32);

impl Cell {
    const ALLOW: u32 = 0xff;

    /// Traffic that passes.
    #[inline(always)]
    pub const fn allow(slot: Slot) -> Self {
        Self(Self::ALLOW << 24 | slot.0)
    }

    /// Traffic that is dropped.
    #[inline(always)]
    pub const fn drop(slot: Slot, reason: DropReason) -> Self {
        Self((reason.0 as u32) << 24 | slot.0)
    }

    /// Where the traffic is counted.
    #[inline(always)]
    pub const fn slot(self) -> Slot {
        Slot(self.0 & 0x00ff_ffff)
    }

    /// Whether the traffic passes.
    #[inline(always)]
    pub const fn allows(self) -> bool {
        self.0 >> 24 == Self::ALLOW
    }

    /// Why the traffic is dropped, if it is.
    #[inline(always)]
    pub const fn reason(self) -> DropReason {
        match self.0 >> 24 {
            0 => DropReason::TABLE_FAULT,
            reason => DropReason(reason as u8),
        }
    }
}

/// A pair of zones: its row in the low 24 bits, and a flag.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub u32);

impl Pair {
    const STATELESS: u32 = 1 << 31;

    /// The pair that uses `row`; `stateless` when no packet between the zones
    /// can belong to a flow.
    pub const fn new(row: u32, stateless: bool) -> Self {
        Self(if stateless {
            Self::STATELESS | row
        } else {
            row
        })
    }

    /// Index of the row.
    #[inline(always)]
    pub const fn row(self) -> u32 {
        self.0 & 0x00ff_ffff
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

    /// `zone`, or, when `spoofed`, the zone that the link suggests.
    pub const fn new(zone: ZoneId, spoofed: bool) -> Self {
        Self(if spoofed {
            Self::SPOOFED | zone.0
        } else {
            zone.0
        })
    }

    /// The zone.
    #[inline(always)]
    pub const fn zone(self) -> ZoneId {
        ZoneId(self.0 & !Self::SPOOFED)
    }

    /// Whether such a source cannot come from such a link.
    #[inline(always)]
    pub const fn is_spoofed(self) -> bool {
        self.0 & Self::SPOOFED != 0
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
