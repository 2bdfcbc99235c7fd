//! Zone numbers.

/// A zone, as the tables name it.
///
/// Numbers of the policy's zones start at [`ZoneId::FIRST`] and stay the same
/// for a name from one apply to the next.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

impl ZoneId {
    /// What no zone matches.
    pub const UNKNOWN: Self = Self(0);
    /// The router.
    pub const SELF: Self = Self(1);
    /// The first number of a zone under `zones:`.
    pub const FIRST: u16 = 2;
    /// No zone.
    pub const NONE: Self = Self(u16::MAX);
}
