//! What the policy says of links, whatever the address.

use crate::essential::Essential;

/// What is known of a link class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkFacts {
    /// One bit for each failsafe entry that admits traffic from the link.
    pub failsafes: u16,
    /// One bit for each [`Essential`] that the policy does not let pass there.
    pub essentials_off: u16,
    /// Zone of the link: that of groups on it, and of frames without addresses.
    pub zone: u16,
    /// For later use; zero.
    pub reserved: u16,
}

impl LinkFacts {
    /// Half-words a class takes in its table.
    pub const HALF_WORDS: u32 = 4;

    /// The class whose table entry is these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            failsafes: bits as u16,
            essentials_off: (bits >> 16) as u16,
            zone: (bits >> 32) as u16,
            reserved: (bits >> 48) as u16,
        }
    }

    /// The table entry.
    pub const fn half_words(self) -> [u16; Self::HALF_WORDS as usize] {
        [
            self.failsafes,
            self.essentials_off,
            self.zone,
            self.reserved,
        ]
    }

    /// Whether the protocol is turned off on the link.
    #[inline(always)]
    pub const fn is_off(self, essential: Essential) -> bool {
        self.essentials_off & essential.bit() != 0
    }
}
