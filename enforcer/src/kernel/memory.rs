//! The memory of an array map, shared with the kernel.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The elements of an array map with `BPF_F_MMAPABLE`, mapped into this
/// process; what is written here, the programs read.
pub struct Memory<T> {
    elements: NonNull<T>,
    count: usize,
}

// SAFETY: the mapping belongs to this value alone, and threads may use it one
// after the other.
unsafe impl<T: Send> Send for Memory<T> {}

impl<T> Memory<T> {
    /// Maps the first `count` elements of `map`, which must be `T`s without
    /// space between them: the size of `T` is a multiple of 8.
    pub fn of(map: &MapData, count: u32) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8) && size_of::<T>() > 0) };
        let count = count as usize;
        let len = NonZeroUsize::new(count * size_of::<T>()).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let address = unsafe {
            mmap(
                None,
                len,
                protection,
                MapFlags::MAP_SHARED,
                map.fd().as_fd(),
                0,
            )?
        };
        Ok(Self {
            elements: address.cast(),
            count,
        })
    }

    /// Where an element lies.
    pub fn element(&self, index: usize) -> Option<NonNull<T>> {
        // SAFETY: the sum lies inside the mapping.
        (index < self.count).then(|| unsafe { self.elements.add(index) })
    }

    /// Whether the elements from `first` on are these.
    pub fn holds(&self, first: usize, elements: &[T]) -> bool
    where
        T: Copy + PartialEq,
    {
        let mut pairs = (first..).zip(elements);
        pairs.all(|(index, wanted)| {
            // SAFETY: the element is mapped, and holds what was written as a `T`.
            let found = self.element(index).map(|at| unsafe { at.read_volatile() });
            found.is_some_and(|found| found == *wanted)
        })
    }

    /// A copy of `count` elements from `first` on; `None` when there are not so
    /// many.
    pub fn read(&self, first: usize, count: usize) -> Option<Vec<T>>
    where
        T: Copy,
    {
        let end = first.checked_add(count).filter(|end| *end <= self.count)?;
        // SAFETY: inside the mapping, and any bytes there are a `T`.
        let read = |index| unsafe { self.elements.add(index).read_volatile() };
        Some((first..end).map(read).collect())
    }

    /// Overwrites elements from `first` on; `false` when they do not fit.
    #[must_use]
    pub fn write(&mut self, first: usize, elements: &[T]) -> bool
    where
        T: Copy,
    {
        let fits = first
            .checked_add(elements.len())
            .is_some_and(|end| end <= self.count);
        if fits {
            // SAFETY: the target lies inside the mapping, which no slice of
            // this process overlaps.
            unsafe {
                let target = self.elements.add(first).as_ptr();
                std::ptr::copy_nonoverlapping(elements.as_ptr(), target, elements.len());
            }
        }
        fits
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `of`, and no reference to it exists.
        let result = unsafe { munmap(self.elements.cast(), self.count * size_of::<T>()) };
        debug_assert!(result.is_ok(), "the mapping is ours: {result:?}");
    }
}
