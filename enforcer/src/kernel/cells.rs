//! Per-CPU arrays of counter cells, read and written many at a time.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::os::fd::AsFd;

use aya::Pod;
use aya::maps::MapData;

use super::error::KernelError;
use super::shape::Shape;
use super::sys;

/// A per-CPU array of counter cells, which are a multiple of 8 bytes long.
pub(super) struct Cells<C> {
    map: MapData,
    shape: Shape,
    len: u32,
    cpus: usize,
    cell: PhantomData<C>,
}

/// Bytes that are read or written by one call.
const CHUNK_BYTES: usize = 4 << 20;

impl<C: Pod> Cells<C> {
    /// Takes over a map of `shape`.
    pub(super) fn of(map: MapData, shape: Shape) -> Result<Self, KernelError> {
        const { assert!(size_of::<C>().is_multiple_of(8)) };
        let cpus = aya::util::nr_cpus();
        let cpus = cpus.map_err(|(_, source)| KernelError::System("count the CPUs", source))?;
        Ok(Self {
            len: shape.elements(&map)?,
            map,
            shape,
            cpus,
            cell: PhantomData,
        })
    }

    /// Number of elements.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    fn chunk(&self) -> usize {
        (CHUNK_BYTES / (self.cpus * size_of::<C>())).max(1)
    }

    /// Visits every element: its index, and its cell on each CPU.
    pub(super) fn visit(&self, mut visit: impl FnMut(u32, &[C])) -> Result<(), KernelError> {
        // SAFETY: `C` is plain data, for which all bits zero is a value.
        let zero: C = unsafe { std::mem::zeroed() };
        let mut keys = vec![0; self.chunk().min(self.len as usize)];
        let mut cells = vec![zero; keys.len() * self.cpus];
        let mut after = None;
        let mut seen = 0;
        while seen < self.len as usize {
            let fd = self.map.fd().as_fd();
            let count = sys::lookup_batch(fd, after, &mut keys, &mut cells);
            let count = count.map_err(|source| self.failed("read", source))?;
            let found = keys[..count].iter().zip(cells.chunks_exact(self.cpus));
            found.for_each(|(index, cells)| visit(*index, cells));
            seen += count;
            match keys[..count].last() {
                Some(last) => after = Some(*last),
                None => break,
            }
        }
        Ok(())
    }

    /// Writes elements, given by their cell on each CPU.
    pub(super) fn write(&self, elements: &BTreeMap<u32, Vec<C>>) -> Result<(), KernelError> {
        let keys: Vec<u32> = elements.keys().copied().collect();
        let cells: Vec<C> = elements.values().flatten().copied().collect();
        let chunks = keys.chunks(self.chunk());
        for (keys, cells) in chunks.zip(cells.chunks(self.chunk() * self.cpus)) {
            let written = sys::update_batch(self.map.fd().as_fd(), keys, cells);
            written.map_err(|source| self.failed("write", source))?;
        }
        Ok(())
    }

    /// Writes the cells of `labels`, except those that are there already.
    pub(super) fn label(
        &self,
        mut labels: BTreeMap<u32, C>,
        is_same: impl Fn(&C, &C) -> bool,
    ) -> Result<(), KernelError> {
        self.visit(|index, cells| {
            if labels
                .get(&index)
                .is_some_and(|label| is_same(label, &cells[0]))
            {
                labels.remove(&index);
            }
        })?;
        let missing = labels
            .into_iter()
            .map(|(index, cell)| (index, vec![cell; self.cpus]));
        self.write(&missing.collect())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> KernelError {
        let map = self.shape.name;
        KernelError::Map {
            action,
            map,
            source,
        }
        .permission("reading counters")
    }
}
