//! Events with names in the place of numbers.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_common::event::{Event, Kind};
use enforcer_common::question::Tags;
use enforcer_common::verdict::DropReason;
use nix::net::if_::if_indextoname;
use nix::time::{ClockId, clock_gettime};

use crate::kernel::events::Events;
use crate::kernel::maps::Names;
use crate::kernel::set::Set;

use super::error::ControllerError;
use super::instance::Instance;
use super::lock::Lock;
use super::programs;

/// Follows the events of an installation; nobody else does at the same time.
pub struct Follower<'i> {
    instance: &'i Instance,
    events: Events,
    names: Names,
    /// Generation that `names` were read under.
    generation: u32,
    /// Lost events that have been told of.
    lost: u64,
    _lock: Lock,
}

/// One packet, and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, since 1970.
    pub at: Duration,
    /// What was done.
    pub verdict: Done,
    /// Why, where it was or would have been dropped.
    pub reason: Option<DropReason>,
    /// Source zone.
    pub from: String,
    /// Destination zone, where it was known.
    pub to: Option<String>,
    /// Id of the conduit or built-in rule that decided, if one did.
    pub rule: Option<String>,
    /// Name of the interface; its number when it is gone.
    pub interface: String,
    /// Whether the packet came in there, or was going out.
    pub comes_in: bool,
    /// VLAN tags there.
    pub tags: Tags,
    /// What the headers say, where they could be read.
    pub packet: Option<Packet>,
    /// Layer-2 length.
    pub bytes: u32,
}

/// What was done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was dropped.
    Drop,
    /// It was dropped because a conduit says reject.
    Reject,
    /// It passed, and would have been dropped but for an audit.
    Audit,
    /// It opened a flow of a conduit that logs them.
    Log,
}

/// What the headers of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number; ARP has none.
    pub protocol: Option<u8>,
    /// Source port, of protocols that have ports.
    pub source_port: u16,
    /// Destination port, or type and code of ICMP (`type << 8 | code`).
    pub service: u16,
}

impl Done {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Audit => "audit",
            Self::Log => "log",
        }
    }
}

impl<'i> Follower<'i> {
    /// Begins with what the ring still holds.
    pub fn new(instance: &'i Instance) -> Result<Self, ControllerError> {
        programs::check_privileges("following events")?;
        instance.pins.check()?;
        let lock = Lock::take_at_once(&instance.followed);
        let lock = lock.map_err(|error| match error {
            ControllerError::Busy { pid } => ControllerError::Followed { pid },
            error => error,
        })?;
        let events = Events::open(&instance.pins)?.ok_or(ControllerError::NothingActive)?;
        let lost = events.lost()?;
        let mut follower = Self {
            instance,
            events,
            names: Names::default(),
            generation: 0,
            lost,
            _lock: lock,
        };
        follower.read_names()?;
        Ok(follower)
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Result<Option<Told>, ControllerError> {
        let Some(event) = self.events.next_event() else {
            return Ok(None);
        };
        if event.generation != self.generation && event.generation != 0 {
            self.generation = event.generation;
            self.read_names()?;
        }
        Ok(Some(self.told(&event)))
    }

    /// Events that were lost since this was last asked.
    pub fn lost(&mut self) -> Result<u64, ControllerError> {
        let now = self.events.lost()?;
        let grown = now.saturating_sub(self.lost);
        self.lost = now;
        Ok(grown)
    }

    /// Whether there will be more; turns to another ring when the programs do.
    pub fn goes_on(&mut self) -> Result<bool, ControllerError> {
        let pins = &self.instance.pins;
        if self.events.is_current(pins)? {
            return Ok(true);
        }
        let Some(events) = Events::open(pins)? else {
            return Ok(false);
        };
        self.lost = 0;
        self.events = events;
        self.read_names()?;
        Ok(true)
    }

    /// The zones that there are.
    pub fn zones(&self) -> impl Iterator<Item = &str> {
        self.names.zones.values().map(String::as_str)
    }

    /// Names change with the policy only.
    fn read_names(&mut self) -> Result<(), ControllerError> {
        if let Some(number) = self.instance.pins.current()? {
            self.names = Set::open(&self.instance.pins, number)?.maps.names()?;
        }
        Ok(())
    }

    fn told(&self, event: &Event) -> Told {
        let zone = |id: u16| {
            let name = self.names.zones.get(&id);
            name.cloned().unwrap_or_else(|| format!("#{id}"))
        };
        let mut reasons = DropReason::ALL.iter();
        let name = if_indextoname(event.ifindex).ok();
        let name = name.and_then(|name| name.into_string().ok());
        let packet = Packet {
            source: event.source.into(),
            destination: event.destination.into(),
            protocol: (event.flags & Event::ARP == 0).then_some(event.protocol),
            source_port: event.source_port,
            service: event.service,
        };
        Told {
            at: wall_clock(event.time_ns),
            verdict: match event.kind {
                Kind::AUDIT => Done::Audit,
                Kind::REJECT => Done::Reject,
                Kind::LOG => Done::Log,
                _ => Done::Drop,
            },
            reason: reasons.find(|reason| reason.0 == event.reason).copied(),
            from: zone(event.from),
            to: (event.to != Event::NO_ZONE).then(|| zone(event.to)),
            rule: self.names.slots.get(&event.slot).cloned(),
            interface: name.unwrap_or_else(|| format!("#{}", event.ifindex)),
            comes_in: event.flags & Event::EGRESS == 0,
            tags: Tags {
                outer: event.outer_tag,
                inner: event.inner_tag,
            },
            packet: (event.flags & Event::PARSED != 0).then_some(packet),
            bytes: event.bytes,
        }
    }
}

impl AsFd for Follower<'_> {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// A moment since boot, as time since 1970.
fn wall_clock(since_boot_ns: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    let ago = uptime.unwrap_or_default();
    let ago = ago.saturating_sub(Duration::from_nanos(since_boot_ns));
    now.unwrap_or_default().saturating_sub(ago)
}
