//! Bounds-checked access to the bytes of a packet, the same in both hooks and
//! in user space.

use crate::verdict::DropReason;
use crate::wire::{Header, PairOfBytes};

/// Where the bytes of a packet lie.
///
/// # Safety
///
/// The bytes from `data()`, an even address, up to `data_end()` can be read for
/// as long as the value is borrowed. In the kernel frames start at addresses
/// that are multiples of at least four, or at two above one (`NET_IP_ALIGN`).
pub unsafe trait Packet {
    /// Address of the first byte, the start of the Ethernet header.
    fn data(&self) -> usize;
    /// Address after the last byte that can be read in place.
    fn data_end(&self) -> usize;
    /// Length of the whole packet, which may reach beyond `data_end`.
    fn total_bytes(&self) -> usize;
    /// VLAN id of a tag that the device took off the frame.
    fn stripped_tag(&self) -> Option<u16>;
    /// EtherType of a packet of a device without Ethernet, which starts with
    /// its network header; `None` for a frame.
    #[inline(always)]
    fn bare_ether_type(&self) -> Option<u16> {
        None
    }
    /// Makes the first `bytes` of the packet readable in place, as far as it has
    /// so many; what was read before must be read again.
    fn pull(&self, bytes: u32);
    /// Returns `value` in such a way that the verifier forgets what it knows of
    /// it. A loop that passes its variables through here looks the same to the
    /// verifier in every turn, so that it does not follow each way through.
    fn opaque(&self, value: u32) -> u32;
}

/// Returns the header `H` that starts `offset` bytes into the packet, an even
/// number unless `H` has alignment 1: all link and network headers and options
/// that are read have even lengths.
#[inline(always)]
pub fn header<H: Header>(packet: &impl Packet, offset: usize) -> Result<&H, DropReason> {
    let start = packet.data() + offset;
    // The verifier accepts later reads because of this comparison.
    if start + size_of::<H>() > packet.data_end() {
        return Err(DropReason::TRUNCATED);
    }
    // SAFETY: the bytes of `H` lie inside the packet, at an even address, and
    // `Header` promises that any bytes there are an `H`.
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
pub struct Bytes {
    half_words: alloc::vec::Vec<u16>,
    len: usize,
}

#[cfg(any(test, feature = "user"))]
impl Bytes {
    /// Copies a frame to an even address.
    pub fn new(frame: &[u8]) -> Self {
        let half_words = frame.chunks(2).map(|pair| match *pair {
            [first, second] => u16::from_ne_bytes([first, second]),
            [last] => u16::from_ne_bytes([last, 0]),
            _ => 0,
        });
        Self {
            half_words: half_words.collect(),
            len: frame.len(),
        }
    }
}

// SAFETY: the vector owns the bytes, and half-words lie at even addresses.
#[cfg(any(test, feature = "user"))]
unsafe impl Packet for Bytes {
    fn data(&self) -> usize {
        self.half_words.as_ptr().addr()
    }

    fn data_end(&self) -> usize {
        self.data() + self.len
    }

    fn total_bytes(&self) -> usize {
        self.len
    }

    fn stripped_tag(&self) -> Option<u16> {
        None
    }

    fn pull(&self, _bytes: u32) {}

    fn opaque(&self, value: u32) -> u32 {
        value
    }
}
