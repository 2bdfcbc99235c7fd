//! The flow maps: their size, and how flows come from one pair to another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap, Map, MapData, MapError};
use enforcer_common::flow::{Flow, FlowKey};

use super::error::KernelError;
use super::shape::Shape;
use super::sys;

/// Flows that one call reads; more than any bucket of the kernel's tables has.
const BATCH: usize = 4_096;
/// `BPF_NOEXIST`: what the programs have written meanwhile is newer.
const ONLY_NEW: u64 = 1;

/// Flows that are established, and those that are not yet.
pub struct FlowMaps {
    established: FlowMap,
    new: FlowMap,
}

struct FlowMap {
    shape: Shape,
    entries: u32,
    fd: OwnedFd,
    map: HashMap<MapData, FlowKey, Flow>,
}

impl FlowMaps {
    /// Takes over maps of [`Shape::FLOWS`] and [`Shape::FLOWS_NEW`].
    pub(super) fn of(established: MapData, new: MapData) -> Result<Self, KernelError> {
        Ok(Self {
            established: FlowMap::of(established, Shape::FLOWS)?,
            new: FlowMap::of(new, Shape::FLOWS_NEW)?,
        })
    }

    /// How many established flows there is room for.
    pub fn established_entries(&self) -> u32 {
        self.established.entries
    }

    /// How many other flows there is room for.
    pub fn new_entries(&self) -> u32 {
        self.new.entries
    }

    /// Takes over the flows of other maps, as far as these know nothing newer,
    /// and have room: the flows that were last seen come first, `now` being the
    /// time in ticks (low 32 bits). Maps of the same size are the same maps.
    ///
    /// Programs may write to both pairs meanwhile. Established flows are read
    /// last, so that one that moves among them is seen at least once.
    pub(super) fn take_over(&mut self, other: &Self, now: u32) -> Result<(), KernelError> {
        if self.new.entries != other.new.entries {
            for (key, flow) in other.new.newest(self.new.entries, now)? {
                if self.has_nothing_newer(&key, &flow)? {
                    self.new.add(&key, &flow)?;
                }
            }
        }
        if self.established.entries != other.established.entries {
            for (key, flow) in other.established.newest(self.established.entries, now)? {
                if self.has_nothing_newer(&key, &flow)? {
                    self.established.add(&key, &flow)?;
                }
            }
        }
        Ok(())
    }

    /// Whether no flow with the same ends is known here that is as new; an older
    /// one is forgotten.
    fn has_nothing_newer(&mut self, key: &FlowKey, flow: &Flow) -> Result<bool, KernelError> {
        for map in [&mut self.established, &mut self.new] {
            if let Some(known) = map.find(key)? {
                if known.created.wrapping_sub(flow.created) as i32 >= 0 {
                    return Ok(false);
                }
                map.remove(key)?;
            }
        }
        Ok(true)
    }
}

impl FlowMap {
    fn of(map: MapData, shape: Shape) -> Result<Self, KernelError> {
        let entries = shape.elements(&map)?;
        let fd = map.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| unread(shape, source))?;
        let map = HashMap::try_from(Map::LruHashMap(map));
        Ok(Self {
            shape,
            entries,
            fd,
            map: map.map_err(|error| failed("read", shape, error))?,
        })
    }

    /// Its flows, the one that was last seen at the end; not more than `count`
    /// of them.
    fn newest(&self, count: u32, now: u32) -> Result<Vec<(FlowKey, Flow)>, KernelError> {
        let mut flows = self.flows()?;
        let age = |(_, flow): &(FlowKey, Flow)| {
            let since = |last_seen: u32| now.wrapping_sub(last_seen);
            since(flow.initiator.last_seen).min(since(flow.responder.last_seen))
        };
        flows.sort_unstable_by_key(|flow| std::cmp::Reverse(age(flow)));
        let first = flows.len().saturating_sub(count as usize);
        Ok(flows.split_off(first))
    }

    fn flows(&self) -> Result<Vec<(FlowKey, Flow)>, KernelError> {
        let (mut flows, mut place) = (Vec::new(), None);
        loop {
            let read = sys::lookup_hash_batch(self.fd.as_fd(), place, BATCH);
            let (keys, values, next) = read.map_err(|source| unread(self.shape, source))?;
            flows.extend(keys.into_iter().zip(values));
            match next {
                Some(_) => place = next,
                None => return Ok(flows),
            }
        }
    }

    fn find(&self, key: &FlowKey) -> Result<Option<Flow>, KernelError> {
        match self.map.get(key, 0) {
            Ok(flow) => Ok(Some(flow)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("read", self.shape, error)),
        }
    }

    /// Adds a flow; one that finds no room, or is there by now, stays out.
    fn add(&mut self, key: &FlowKey, flow: &Flow) -> Result<(), KernelError> {
        match self.map.insert(key, flow, ONLY_NEW) {
            Ok(()) => Ok(()),
            Err(MapError::SyscallError(error)) if is_harmless(&error.io_error) => Ok(()),
            Err(error) => Err(failed("write", self.shape, error)),
        }
    }

    fn remove(&mut self, key: &FlowKey) -> Result<(), KernelError> {
        match self.map.remove(key) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            Err(error) => Err(failed("write", self.shape, error)),
        }
    }
}

fn is_harmless(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [libc::EEXIST, libc::ENOMEM, libc::E2BIG]
        .map(Some)
        .contains(&number)
}

fn failed(action: &'static str, shape: Shape, error: MapError) -> KernelError {
    KernelError::Map {
        action,
        map: shape.name,
        source: io::Error::other(error),
    }
}

fn unread(shape: Shape, source: io::Error) -> KernelError {
    KernelError::Map {
        action: "read",
        map: shape.name,
        source,
    }
}
