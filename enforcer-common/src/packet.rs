//! Bounds-checked access to the bytes of a packet, the same in both hooks and
//! in user space.

use crate::verdict::DropReason;
use crate::wire::{Header, PairOfBytes};

/// Where the bytes of a packet lie.
///
/// # Safety
///
/// The bytes from `data()` up to `data_end()` can be read for as long as the
/// value is borrowed.
pub unsafe trait Packet {
    /// Address of the first byte, the start of the Ethernet header.
    fn data(&self) -> usize;
    /// Address after the last byte that can be read in place.
    fn data_end(&self) -> usize;
    /// Length of the whole packet, which may reach beyond `data_end`.
    fn total_bytes(&self) -> usize;
    /// VLAN id of a tag that the device took off the frame.
    fn stripped_tag(&self) -> Option<u16>;
    /// Returns `value` in such a way that the verifier forgets what it knows of
    /// it. A loop that passes its variables through here looks the same to the
    /// verifier in every turn, so that it does not follow each way through.
    fn opaque(&self, value: u32) -> u32;
}

/// Returns the header `H` that starts `offset` bytes into the packet.
#[inline(always)]
pub fn header<H: Header>(packet: &impl Packet, offset: usize) -> Result<&H, DropReason> {
    let start = packet.data() + offset;
    // The verifier accepts later reads because of this comparison.
    if start + size_of::<H>() > packet.data_end() {
        return Err(DropReason::TRUNCATED);
    }
    // SAFETY: the bytes of `H` lie inside the packet, and `Header` promises
    // that any bytes, at any address, are an `H`.
    Ok(unsafe { &*(start as *const H) })
}

/// Returns the byte at `offset`, which is not the first of the packet.
#[inline(always)]
pub fn byte(packet: &impl Packet, offset: usize) -> Result<u8, DropReason> {
    // Together with the byte before it: the compiler turns the comparison for
    // a single byte into one that the verifier does not learn from. And by an
    // offset that the compiler cannot take apart, so that what is compared is
    // also what is read.
    let offset = core::hint::black_box(offset - 1);
    header::<PairOfBytes>(packet, offset).map(PairOfBytes::second)
}

/// A packet in the memory of this process.
#[cfg(any(test, feature = "user"))]
pub struct Bytes<'a>(pub &'a [u8]);

// SAFETY: the slice is borrowed for as long as `Bytes` lives.
#[cfg(any(test, feature = "user"))]
unsafe impl Packet for Bytes<'_> {
    fn data(&self) -> usize {
        self.0.as_ptr().addr()
    }

    fn data_end(&self) -> usize {
        self.data() + self.0.len()
    }

    fn total_bytes(&self) -> usize {
        self.0.len()
    }

    fn stripped_tag(&self) -> Option<u16> {
        None
    }

    fn opaque(&self, value: u32) -> u32 {
        value
    }
}
