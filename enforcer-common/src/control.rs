//! The `control` map: which policy is active.

use crate::layout::Layout;

/// The only element of the `control` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Slot of the active policy, 0 or 1; one aligned store activates.
    pub active: u32,
    /// Timer ticks per second, measured at load.
    pub jiffies_per_second: u32,
    /// Until this tick (`jiffies`, 64 bit) TCP segments in mid-stream may open
    /// a flow where a conduit allows it; 0 for never.
    pub pickup_until: u64,
    /// At this tick [`Control::previous`] takes the place of the active policy,
    /// unless somebody confirms that one before; 0 when nobody has to.
    pub confirm_until: u64,
    /// Slot of the policy before the active one, or [`Control::OPEN`].
    pub previous: u32,
    /// Blocks that each policy takes, from the first of its element.
    pub used_blocks: [u32; 2],
    /// Shape of `drop_counters`.
    pub drops: DropTable,
    /// The tables of both policies.
    pub slots: [Layout; 2],
    /// For later use; zero.
    pub reserved: u32,
}

impl Control {
    /// In the place of a slot: no policy, every packet passes.
    pub const OPEN: u32 = 2;
}

/// How `drop_counters` is indexed; see [`crate::counter`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropTable {
    /// Zone ids there is room for.
    pub zones: u32,
    /// Cells from one destination zone to the next; 0 when destinations share
    /// a cell.
    pub to_stride: u32,
    /// Cells from one source zone to the next, in the part for pairs.
    pub from_stride: u32,
    /// Index of the first cell of drops whose destination is not known.
    pub singles: u32,
}

const _: () = assert!(size_of::<Control>() == 56 + 2 * size_of::<Layout>());

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Control {}
