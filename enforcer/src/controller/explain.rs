//! What a policy says of one packet, and by which of its lines: the decision
//! that the kernel programs make, made here.

use std::net::IpAddr;

use enforcer_common::cell::{Cell, Slot};
use enforcer_common::decide::{self, Dropped, Judgement, Route, Routes};
use enforcer_common::limits::FAILSAFES;
use enforcer_common::lookup;
use enforcer_common::parse::Facts;
use enforcer_common::question::{Mac, Origin, Place, Question, Tags};
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::{TCP_SYN, protocol};
use enforcer_common::zone::ZoneId;

use crate::compile::machine::Interface;
use crate::compile::{AUDIT, Image, Machine};
use crate::kernel::routes::KernelRoutes;
use crate::policy::model::Policy;
use crate::policy::{Source, Span};

use super::error::ControllerError;
use super::grow;
use super::instance::Instance;
use super::query::Query;
use super::settle::{self, Active};
use super::stations::port_of;

/// A policy, and the machine that it is asked about on.
pub struct Subject {
    /// The text of the policy.
    pub source: Source,
    /// What it means.
    pub policy: Policy,
    /// What it was compiled to.
    pub image: Image,
    /// What it was compiled for.
    pub machine: Machine,
    /// The routing table; `None` where the machine is imagined.
    pub routes: Option<KernelRoutes>,
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why it is dropped, or would be but for an audit; `None` when it passes.
    pub reason: Option<DropReason>,
    /// Whether it passes nevertheless, because this is an audit.
    pub is_audited: bool,
    /// Source zone.
    pub from: String,
    /// Destination zone, where it matters.
    pub to: Option<String>,
    /// Id of the conduit or built-in rule that decides, if one does.
    pub rule: Option<String>,
    /// Where the packet is judged: the name of an interface.
    pub interface: String,
    /// Whether that is where it comes in, or where it goes out.
    pub comes_in: bool,
    /// Lines of the policy that decide.
    pub lines: Vec<Line>,
}

/// A line of a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Its text.
    pub text: String,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// No interface has this name.
    #[error("there is no interface `{0}`")]
    NoInterface(String),
    /// The routing table does not lead to the source.
    #[error("no route leads to {0}: say with --in where its packets come in")]
    NoWayIn(IpAddr),
    /// The routing table does not lead to the destination.
    #[error("no route leads to {0}")]
    NoWayOut(IpAddr),
    /// Nobody looks at such packets.
    #[error("packets from {0} to {1} stay inside this machine: no program judges them")]
    Inside(IpAddr, IpAddr),
    /// Nobody looks at such packets.
    #[error(
        "interface `{0}` has no program under this policy: what comes in by it for this machine is not judged"
    )]
    NoProgram(String),
    /// Only the port tells the zone.
    #[error(
        "the zone of {0} depends on its port of bridge `{1}`: of a sender say it with --in; of a receiver it shows when the packet leaves"
    )]
    ByPort(IpAddr, String),
}

/// The active policy, as it was applied.
pub fn active_subject(instance: &Instance) -> Result<Subject, ControllerError> {
    let active = settle::active(instance)?;
    let Active { record, .. } = active.ok_or(ControllerError::NothingActive)?;
    let record = record?;
    let (source, policy) = grow::reparsed(&record)?;
    Ok(Subject {
        image: grow::recompiled(&record)?,
        source,
        policy,
        machine: record.machine,
        routes: Some(KernelRoutes::connect()?),
    })
}

/// Asks a policy about the first packet of a flow, which comes in on the named
/// interface, or else where the route back to its source leads.
pub fn explain(
    subject: &Subject,
    query: &Query,
    ingress: Option<&str>,
) -> Result<Explanation, Unexplained> {
    let place = place(subject, query, ingress)?;
    let mut facts = facts(query, place);
    let mut judgement = judged(subject, &facts);
    if let Ok((_, Some(deferred))) = judgement
        && deferred.is_deferred()
    {
        let bridge = routed(subject, query.destination);
        let bridge = bridge.ok_or(Unexplained::NoWayOut(query.destination))?;
        facts.question.place.exit = port_of(subject, (bridge.ifindex, None), query.destination)?;
        judgement = judged(subject, &facts);
    }
    let result = match judgement {
        Ok((slot, judgement)) => Answer {
            reason: judgement.and_then(|judgement| audited(judgement.cell)),
            is_audited: judgement.is_some_and(|judgement| judgement.cell.is_audit()),
            from: judgement.map(|judgement| judgement.from),
            to: judgement.map(|judgement| judgement.to),
            slot: Some(slot),
        },
        Err(dropped) => Answer {
            reason: Some(dropped.reason),
            is_audited: decide::is_audited(&subject.image, &dropped),
            from: Some(dropped.from),
            to: dropped.to(),
            slot: dropped.slot(),
        },
    };
    Ok(described(subject, &facts, &result))
}

/// What the decision says, in numbers.
struct Answer {
    reason: Option<DropReason>,
    is_audited: bool,
    /// `None` where the packet passed before its zones mattered.
    from: Option<ZoneId>,
    to: Option<ZoneId>,
    slot: Option<Slot>,
}

/// Why an audit lets pass what a cell is about.
fn audited(cell: Cell) -> Option<DropReason> {
    cell.is_audit().then(|| cell.reason())
}

/// The steps of the kernel programs, for a packet outside any flow.
fn judged(subject: &Subject, facts: &Facts) -> Result<(Slot, Option<Judgement>), Dropped> {
    let Subject { image, routes, .. } = subject;
    let ends = decide::ends(image, &facts.question);
    if let Some(slot) = decide::admit(image, facts, &ends)? {
        return Ok((slot, None));
    }
    let target = decide::target(image, &facts.question, &ends);
    let judgement = match routes {
        Some(routes) => decide::judge(image, routes, &facts.question, &ends, target)?,
        None => decide::judge(image, &NoRoutes, &facts.question, &ends, target)?,
    };
    Ok((judgement.cell.slot(), Some(judgement)))
}

/// The routing table of a machine that does not exist.
struct NoRoutes;

impl Routes for NoRoutes {
    fn route(&self, _: &Question, _: u32) -> Route {
        Route::Nowhere
    }
}

/// Where the programs see the packet, and who sends it there.
fn place(subject: &Subject, query: &Query, ingress: Option<&str>) -> Result<Place, Unexplained> {
    let machine = &subject.machine;
    let is_own = |address: IpAddr| machine.addresses.iter().any(|own| own.address == address);
    if is_own(query.source) {
        if is_own(query.destination) {
            return Err(Unexplained::Inside(query.source, query.destination));
        }
        return way_out(subject, query, Origin::ROUTER);
    }
    let interface = match ingress {
        Some(name) => named(machine, name)?,
        None => routed(subject, query.source).ok_or(Unexplained::NoWayIn(query.source))?,
    };
    let mut place = seen_at(interface, Origin::WIRE);
    if lookup::is_bridge(&subject.image, place.ifindex) {
        place.ifindex = port_of(subject, (place.ifindex, None), query.source)?;
    }
    let link = lookup::link(&subject.image, place.ifindex, place.tags);
    if link.is_port && !is_own(query.destination) {
        let bridge = lookup::routed_by(&subject.image, place.ifindex);
        if routed(subject, query.destination).is_some_and(|out| out.ifindex == bridge) {
            let others = (bridge, Some(place.ifindex));
            place.exit = port_of(subject, others, query.destination)?;
        }
    }
    if link.is_enforced || link.is_port {
        place.mac = station(&subject.policy, query.source);
        return Ok(place);
    }
    if is_own(query.destination) {
        return Err(Unexplained::NoProgram(interface.name.clone()));
    }
    way_out(subject, query, Origin::UNGUARDED)
}

/// The hardware address that an address is bound to, if one is.
fn station(policy: &Policy, address: IpAddr) -> Mac {
    let devices = policy.zones.iter().filter_map(|zone| zone.device.as_ref());
    let mut owners = devices.filter(|device| device.addresses.contains(&address));
    let mac = owners.next().and_then(|device| device.mac);
    mac.map_or(Mac::NONE, |mac| Mac::of(mac.bytes()))
}

fn way_out(subject: &Subject, query: &Query, origin: Origin) -> Result<Place, Unexplained> {
    let interface = routed(subject, query.destination);
    let interface = interface.ok_or(Unexplained::NoWayOut(query.destination))?;
    Ok(seen_at(interface, origin))
}

fn routed(subject: &Subject, address: IpAddr) -> Option<&Interface> {
    let ifindex = subject.routes.as_ref()?.towards(address).ok()??;
    let mut interfaces = subject.machine.interfaces.iter();
    interfaces.find(|one| one.ifindex == ifindex)
}

fn named<'m>(machine: &'m Machine, name: &str) -> Result<&'m Interface, Unexplained> {
    let found = machine.interfaces.iter().find(|one| one.name == name);
    found.ok_or_else(|| Unexplained::NoInterface(name.to_owned()))
}

/// Frames of a VLAN device are seen on the device that carries them.
fn seen_at(interface: &Interface, origin: Origin) -> Place {
    let (ifindex, tags) = match interface.vlan {
        None => (interface.ifindex, Tags::default()),
        Some(vlan) => {
            let (outer, inner) = (vlan.outer, vlan.inner);
            (vlan.parent, Tags { outer, inner })
        }
    };
    Place {
        tags,
        ..Place::at(ifindex, origin)
    }
}

/// The first packet of the flow.
fn facts(query: &Query, place: Place) -> Facts {
    const HOP_LIMIT: u8 = 64;
    let has_ports = super::query::has_ports(query.protocol);
    Facts {
        question: Question {
            place,
            source: query.source.into(),
            destination: query.destination.into(),
            protocol: query.protocol.into(),
            service: query.service,
        },
        hop_limit: HOP_LIMIT,
        tcp_flags: if query.protocol == protocol::TCP {
            TCP_SYN
        } else {
            0
        },
        flags: Facts::TRACKED,
        source_port: query.source_port,
        destination_port: if has_ports { query.service } else { 0 },
        ..Facts::unread(place)
    }
}

fn described(subject: &Subject, facts: &Facts, answer: &Answer) -> Explanation {
    let Subject { image, machine, .. } = subject;
    let place = &facts.question.place;
    let zone = |id: ZoneId| {
        let name = image.zones.get(&id.0);
        name.cloned().unwrap_or_else(|| format!("#{}", id.0))
    };
    let from = answer.from.unwrap_or_else(|| source_zone(image, facts));
    let interface = machine.interfaces.iter().find(|one| {
        let seen = seen_at(one, place.origin);
        (seen.ifindex, seen.tags) == (place.ifindex, place.tags)
    });
    let slot = answer.slot.map(|slot| slot.0);
    Explanation {
        reason: answer.reason,
        is_audited: answer.is_audited,
        from: zone(from),
        to: answer.to.map(zone),
        rule: slot.and_then(|slot| image.slots.get(&slot).cloned()),
        interface: interface.map_or_else(String::new, |one| one.name.clone()),
        comes_in: place.origin == Origin::WIRE,
        lines: span(subject, answer).map_or_else(Vec::new, |span| lines(&subject.source, span)),
    }
}

fn source_zone(image: &Image, facts: &Facts) -> ZoneId {
    decide::ends(image, &facts.question).source.zone.zone()
}

/// Where the policy says what decided.
fn span(subject: &Subject, answer: &Answer) -> Option<Span> {
    let Subject { policy, image, .. } = subject;
    let slot = answer.slot?;
    let failsafe = slot.0.wrapping_sub(Slot::FAILSAFE.0) as usize;
    if failsafe < FAILSAFES {
        return policy.failsafe.get(failsafe).map(|entry| entry.span);
    }
    if slot == Slot::INTRA_ZONE || slot == Slot::INTRA_ZONE_AUDIT {
        let name = image.zones.get(&answer.from?.0)?;
        let mut zones = policy.zones.iter();
        let zone = zones.find(|zone| zone.name.as_str() == name)?;
        let device = zone.device.as_ref();
        let home = device.map_or(zone, |device| &policy.zones[device.zone]);
        return Some(home.span);
    }
    let id = image.slots.get(&slot.0)?;
    let id = id.strip_suffix(AUDIT).unwrap_or(id);
    let mut conduits = policy.conduits.iter();
    let conduit = conduits.find(|conduit| conduit.id.as_str() == id);
    conduit.map(|conduit| conduit.span)
}

fn lines(source: &Source, span: Span) -> Vec<Line> {
    let last_byte = span.end.saturating_sub(1).max(span.start);
    let (first, last) = (
        source.position(span.start).line,
        source.position(last_byte).line,
    );
    let lines = source.text().lines().zip(1..);
    let of_span = lines.filter(|(_, number)| (first..=last).contains(number));
    let line = |(text, number): (&str, usize)| Line {
        number,
        text: text.to_owned(),
    };
    of_span.map(line).collect()
}
