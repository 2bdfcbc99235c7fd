//! The ring buffer of events, and how many never got into it.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Map, MapData, RingBuf};
use enforcer_common::event::{Budget, Event};

use super::cells::Cells;
use super::error::KernelError;
use super::pins::Pins;
use super::shape::Shape;

/// Events in the order in which they happened, each read once.
pub struct Events {
    ring: RingBuf<MapData>,
    /// The kernel's number of the ring.
    id: u32,
    budgets: Cells<Budget>,
}

impl Events {
    /// Opens the ring of the set in use; `None` when no set is.
    pub fn open(pins: &Pins) -> Result<Option<Self>, KernelError> {
        let Some(number) = pins.current()? else {
            return Ok(None);
        };
        let folder = pins.set(number);
        let map = Shape::EVENTS.open(&folder)?;
        let id = Shape::EVENTS.id(&map)?;
        let budgets = Cells::of(Shape::BUDGETS.open(&folder)?, Shape::BUDGETS)?;
        let ring = RingBuf::try_from(Map::RingBuf(map));
        let ring = ring.map_err(|source| Shape::EVENTS.unopened(source))?;
        Ok(Some(Self { ring, id, budgets }))
    }

    /// Whether the programs in use send their events to this ring.
    pub fn is_current(&self, pins: &Pins) -> Result<bool, KernelError> {
        let Some(number) = pins.current()? else {
            return Ok(false);
        };
        let map = Shape::EVENTS.open(&pins.set(number))?;
        Ok(Shape::EVENTS.id(&map)? == self.id)
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let item = self.ring.next()?;
            if item.len() >= size_of::<Event>() {
                // SAFETY: the bytes are there, and any bytes are an `Event`.
                return Some(unsafe { item.as_ptr().cast::<Event>().read_unaligned() });
            }
        }
    }

    /// Events that found the budget of their CPU used up or the ring full,
    /// since the maps were made.
    pub fn lost(&self) -> Result<u64, KernelError> {
        let mut lost = 0;
        self.budgets.visit(|index, cpus| {
            if index == Budget::EVENTS {
                lost = cpus.iter().map(|budget| budget.refused).sum();
            }
        })?;
        Ok(lost)
    }
}

impl AsFd for Events {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
