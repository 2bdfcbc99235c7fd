//! What each map must look like. A map of another shape is never read.

use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapError, MapType};
use enforcer_common::control::Control;
use enforcer_common::counter::{ConduitCell, DropCell};
use enforcer_common::event::Budget;
use enforcer_common::flow::{Flow, FlowKey};
use enforcer_common::fragment::{Datagram, DatagramKey};
use enforcer_common::layout::Block;
use enforcer_common::terms::SourceKey;

use super::error::KernelError;

/// Name and element of a map.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name in the object and among the pins.
    pub name: &'static str,
    kind: MapType,
    key_bytes: usize,
    /// 0 for elements of any number of blocks; [`NO_ELEMENTS`].
    value_bytes: usize,
}

/// The value size of maps that have no elements.
const NO_ELEMENTS: usize = usize::MAX;

impl Shape {
    const fn array<V>(name: &'static str, kind: MapType) -> Self {
        Self {
            name,
            kind,
            key_bytes: size_of::<u32>(),
            value_bytes: size_of::<V>(),
        }
    }

    const fn hash<K, V>(name: &'static str) -> Self {
        Self {
            name,
            kind: MapType::LruHash,
            key_bytes: size_of::<K>(),
            value_bytes: size_of::<V>(),
        }
    }

    /// The tables of both policies, an element each, as large as the size class
    /// wants.
    pub const TABLES: Self = Self {
        name: "tables",
        kind: MapType::Array,
        key_bytes: size_of::<u32>(),
        value_bytes: 0,
    };
    /// Which policy is active.
    pub const CONTROL: Self = Self::array::<Control>("control", MapType::Array);
    /// What each conduit decided.
    pub const CONDUITS: Self = Self::array::<ConduitCell>("conduit_counters", MapType::PerCpuArray);
    /// What was dropped.
    pub const DROPS: Self = Self::array::<DropCell>("drop_counters", MapType::PerCpuArray);
    /// Flows that are established.
    pub const FLOWS: Self = Self::hash::<FlowKey, Flow>("flows");
    /// Flows that are not established yet.
    pub const FLOWS_NEW: Self = Self::hash::<FlowKey, Flow>("flows_new");
    /// Datagrams whose later fragments are awaited.
    pub const FRAGMENTS: Self = Self::hash::<DatagramKey, Datagram>("fragments");
    /// The bucket of each conduit with a rate.
    pub const RATES: Self = Self::array::<u64>("rates", MapType::Array);
    /// The buckets of sources that have a rate of their own.
    pub const RATE_SOURCES: Self = Self::hash::<SourceKey, u64>("rate_sources");
    /// What is left of budgets, and how often that was not enough.
    pub const BUDGETS: Self = Self::array::<Budget>("budgets", MapType::PerCpuArray);
    /// The ring buffer of events.
    pub const EVENTS: Self = Self {
        name: "events",
        kind: MapType::RingBuf,
        key_bytes: 0,
        value_bytes: NO_ELEMENTS,
    };

    /// Every map that is pinned.
    pub const ALL: [Self; 11] = [
        Self::TABLES,
        Self::CONTROL,
        Self::CONDUITS,
        Self::DROPS,
        Self::FLOWS,
        Self::FLOWS_NEW,
        Self::FRAGMENTS,
        Self::RATES,
        Self::RATE_SOURCES,
        Self::BUDGETS,
        Self::EVENTS,
    ];

    /// Opens the map of this shape that is pinned in `folder`.
    pub fn open(&self, folder: &Path) -> Result<MapData, KernelError> {
        let path = folder.join(self.name);
        let map = MapData::from_pin(&path).map_err(|source| self.unopened(source))?;
        self.check(&map, path)?;
        Ok(map)
    }

    /// Number of elements of a map.
    pub fn elements(&self, map: &MapData) -> Result<u32, KernelError> {
        let info = map.info().map_err(|source| self.unopened(source))?;
        Ok(info.max_entries())
    }

    /// The kernel's number of a map.
    pub(super) fn id(&self, map: &MapData) -> Result<u32, KernelError> {
        let info = map.info().map_err(|source| self.unopened(source))?;
        Ok(info.id())
    }

    /// Blocks in an element of the map of tables.
    pub fn blocks(&self, map: &MapData) -> Result<u32, KernelError> {
        let info = map.info().map_err(|source| self.unopened(source))?;
        Ok(info.value_size() / size_of::<Block>() as u32)
    }

    fn check(&self, map: &MapData, path: PathBuf) -> Result<(), KernelError> {
        let info = map.info().map_err(|source| self.unopened(source))?;
        let kind = info.map_type().map_err(|source| self.unopened(source))?;
        let value_bytes = match self.value_bytes {
            0 => info
                .value_size()
                .next_multiple_of(size_of::<Block>() as u32),
            NO_ELEMENTS => 0,
            bytes => bytes as u32,
        };
        let properties = [
            ("map type", kind as u32, self.kind as u32),
            ("key size", info.key_size(), self.key_bytes as u32),
            ("value size", info.value_size(), value_bytes),
        ];
        let wrong = properties
            .iter()
            .find(|(_, found, expected)| found != expected);
        match wrong {
            None => Ok(()),
            Some(&(property, found, expected)) => Err(KernelError::Shape {
                path,
                property,
                found,
                expected,
            }),
        }
    }

    pub(super) fn unopened(&self, source: MapError) -> KernelError {
        let map = self.name;
        let source = Box::new(source);
        KernelError::OpenMap { map, source }.permission("reading maps")
    }
}
