//! One loaded object, pinned in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::programs::Xdp;
use aya_obj::programs::xdp::XdpAttachType;

use super::carry::{self, Carried};
use super::clock;
use super::error::KernelError;
use super::maps::{Capacity, Clock, Maps};
use super::object::{self, Object, TICKS};
use super::pins::{Pins, failed};
use super::shape::Shape;

/// Programs and maps that belong together, and their pins.
pub struct Set {
    number: u32,
    folder: PathBuf,
    since: Option<u64>,
    /// Where this process has loaded it.
    object: Option<Object>,
    /// Its maps.
    pub maps: Maps,
}

/// How long after the first attach TCP connections that are already
/// established are let in, where a conduit allows them.
const PICKUP: Duration = Duration::from_secs(30);

/// The pin that names the programs; a link to no file, because a BPF file
/// system holds no text.
const BUILD: &str = "build";
/// The pin that tells when counting began, in seconds since 1970; a link to no
/// file too.
const SINCE: &str = "since";

impl Set {
    /// Loads a set of the given capacity.
    ///
    /// Another set's flows and counters are shared where both have room for the
    /// same number of them; [`Set::take_over_flows`] and [`Set::copy_counters`]
    /// take over the others.
    pub fn create(
        pins: &Pins,
        number: u32,
        capacity: &Capacity,
        other: Option<&Self>,
    ) -> Result<Self, KernelError> {
        let folder = pins.set(number);
        fs::create_dir(&folder).map_err(failed("create", &folder))?;
        let reused = other.map(|other| other.shared_with(capacity));
        let reused = reused.unwrap_or_default();
        let mut object = object::load(capacity, &reused)?;
        object.pin(&folder)?;
        let build = folder.join(BUILD);
        symlink(this_build(), &build).map_err(failed("create", &build))?;
        let began = other.map_or_else(now_s, |other| other.since);
        if let Some(began) = began {
            let since = folder.join(SINCE);
            symlink(began.to_string(), &since).map_err(failed("create", &since))?;
        }

        let clock = match other {
            None => pickup_clock(&mut object)?,
            Some(other) => other.clock(),
        };
        let mut maps = object.take_maps()?;
        maps.initialize(capacity.zones, clock)?;
        Ok(Self {
            number,
            folder,
            since: began,
            object: Some(object),
            maps,
        })
    }

    /// Opens a set by its pins.
    pub fn open(pins: &Pins, number: u32) -> Result<Self, KernelError> {
        let folder = pins.set(number);
        let maps = Maps::of(|shape| shape.open(&folder))?;
        Ok(Self {
            number,
            since: began_in(&folder),
            folder,
            object: None,
            maps,
        })
    }

    /// Takes over the active policy of another set; this must be a new one.
    pub fn adopt(&mut self, other: &Self) -> Result<(), KernelError> {
        self.maps.adopt(&other.maps)
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When its counters began to count, in seconds since 1970; `None` where
    /// that is not known. Sets that take over counts take over this as well.
    pub fn since(&self) -> Option<u64> {
        self.since
    }

    /// Takes over the flows of another set, where they are not shared, as far
    /// as this one does not know them.
    ///
    /// To be done before links lead to the programs of this set, and again
    /// after: then no flow is lost that began in between.
    pub fn take_over_flows(&mut self, other: &Self) -> Result<(), KernelError> {
        let now = other.now_ticks()? as u32;
        self.maps.flows.take_over(&other.maps.flows, now)
    }

    /// Takes over what another set has counted so far in counters that are not
    /// shared; drops, those between `zones`. Nothing may run its programs yet.
    pub fn copy_counters(
        &self,
        other: &Self,
        zones: &BTreeMap<u16, String>,
    ) -> Result<Carried, KernelError> {
        carry::copy(&other.maps, &self.maps, zones)
    }

    /// Takes over what another set has counted since [`Set::copy_counters`].
    /// Nothing may lead to the programs of the other one any more, and this set
    /// must be one that [`Set::create`] has made.
    pub fn add_counters(&mut self, other: &Self, carried: &Carried) -> Result<(), KernelError> {
        match &mut self.object {
            Some(object) => carry::add_rest(&other.maps, &self.maps, carried, object),
            None => Err(KernelError::Incomplete(Shape::CONDUITS.name)),
        }
    }

    /// Where it is pinned.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a program is pinned.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Now, in timer ticks since boot (`jiffies_64`), by which its programs
    /// tell time.
    pub fn now_ticks(&self) -> Result<u64, KernelError> {
        let ticks = Xdp::from_pin(self.program(TICKS), XdpAttachType::Interface);
        let ticks = ticks.map_err(|source| KernelError::Program {
            program: TICKS,
            source: Box::new(source),
        })?;
        clock::now_ticks(&ticks)
    }

    /// From now on and for as long as `window`, TCP segments in mid-stream may
    /// open a flow where a conduit allows it.
    pub fn pick_up(&self, window: Duration) -> Result<(), KernelError> {
        let ticks = window.as_secs() * u64::from(self.maps.control().jiffies_per_second);
        self.maps.set_pickup_until(self.now_ticks()? + ticks);
        Ok(())
    }

    /// Whether its programs are those inside this executable.
    pub fn is_of_this_build(&self) -> bool {
        let build = fs::read_link(self.folder.join(BUILD));
        build.is_ok_and(|build| build.as_os_str() == this_build().as_str())
    }

    /// Maps that a set of some capacity shares with this one, by their pins.
    fn shared_with(&self, capacity: &Capacity) -> Vec<(&'static str, PathBuf)> {
        let own = self.maps.capacity();
        let shared = [
            (Shape::FLOWS, own.flows == capacity.flows),
            (Shape::FLOWS_NEW, own.flows_new == capacity.flows_new),
            (Shape::FRAGMENTS, true),
            (Shape::RATE_SOURCES, true),
            (Shape::BUDGETS, true),
            (Shape::EVENTS, true),
            (Shape::RATES, own.slots == capacity.slots),
            (Shape::CONDUITS, own.slots == capacity.slots),
            (Shape::DROPS, own.zones == capacity.zones),
        ];
        let shared = shared.into_iter().filter(|(_, is_shared)| *is_shared);
        shared
            .map(|(shape, _)| (shape.name, self.folder.join(shape.name)))
            .collect()
    }

    fn clock(&self) -> Clock {
        let control = self.maps.control();
        Clock {
            ticks_per_second: control.jiffies_per_second,
            pickup_until: control.pickup_until,
        }
    }
}

/// The clock of a first set: established connections are let in for a while.
pub(super) fn pickup_clock(object: &mut Object) -> Result<Clock, KernelError> {
    let ticks_per_second = clock::ticks_per_second();
    let ticks_per_second =
        ticks_per_second.map_err(|source| KernelError::System("read the timer", source))?;
    let pickup = PICKUP.as_secs() * u64::from(ticks_per_second);
    Ok(Clock {
        ticks_per_second,
        pickup_until: object.now_ticks()? + pickup,
    })
}

fn began_in(folder: &Path) -> Option<u64> {
    let text = fs::read_link(folder.join(SINCE)).ok()?;
    text.to_str()?.parse().ok()
}

fn now_s() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

fn this_build() -> String {
    format!("{:016x}", object::build())
}
