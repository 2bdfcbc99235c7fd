//! The decision: who speaks to whom, and what the policy says of it.
//!
//! The kernel runs it over its maps, `explain` over an image; the steps and
//! their order are the same. What is kept about flows lies around it, in the
//! kernel programs.

use crate::address::Addr;
use crate::cell::{AddressClass, Cell, Pair, Slot, SourceCell};
use crate::essential;
use crate::flow::{Flow, FlowKey};
use crate::lookup::{self, Link, Tables};
use crate::parse::{Facts, Tags, echo_request};
use crate::verdict::DropReason;
use crate::wire::protocol;
use crate::zone::ZoneId;

/// One flow, or one packet outside any flow, seen from its initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it comes in; where it goes out when the router sends it.
    pub ifindex: u32,
    /// VLAN tags there.
    pub tags: Tags,
    /// Who asks.
    pub source: Addr,
    /// Whom.
    pub destination: Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// The router itself is the initiator.
    pub is_from_router: bool,
    /// Destination port, or type and code of ICMP, or 0.
    pub service: u16,
}

/// Where the routing table sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the router itself, or nowhere that it would forward to.
    Local,
    /// Out of the interface with this index.
    Via(u32),
    /// Nowhere: the router answers that itself.
    Nowhere,
}

/// The routing table.
pub trait Routes {
    /// Where the router sends what it gets.
    fn route(&self, question: &Question) -> Route;
}

/// What the tables say of both ends of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The link it is seen on.
    pub link: Link,
    /// Zone of the source.
    pub source: SourceCell,
    /// Failsafe entries that name the peer of the router, one bit each.
    failsafes: u16,
    /// Class of the destination.
    class: u16,
    /// What is known of that class.
    destination: AddressClass,
}

/// A destination zone and what joins the source zone to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The zone.
    pub to: ZoneId,
    /// The pair of both.
    pub pair: Pair,
}

/// What the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Source zone.
    pub from: ZoneId,
    /// Destination zone.
    pub to: ZoneId,
    /// Verdict and the slot that decided.
    pub cell: Cell,
}

/// A packet that must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Source zone, as far as it is known.
    pub from: ZoneId,
    /// Destination zone, if it is known.
    pub to: Option<ZoneId>,
    /// Why.
    pub reason: DropReason,
    /// The conduit or built-in rule that decided, if one did.
    pub slot: Option<Slot>,
}

impl From<DropReason> for Dropped {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self {
            from: ZoneId::UNKNOWN,
            to: None,
            reason,
            slot: None,
        }
    }
}

impl Judgement {
    /// The drop of this judgement for `reason`, which no conduit decided.
    #[inline(always)]
    pub fn dropped(&self, reason: DropReason) -> Dropped {
        Dropped {
            from: self.from,
            to: Some(self.to),
            reason,
            slot: None,
        }
    }
}

impl Question {
    /// What a packet asks that came in on a link, or goes out by it when the
    /// router sent it.
    #[inline(always)]
    pub fn of_packet(facts: &Facts, ifindex: u32, tags: Tags, is_from_router: bool) -> Self {
        Self {
            ifindex,
            tags,
            source: facts.source,
            destination: facts.destination,
            protocol: facts.protocol,
            is_from_router,
            service: facts.service,
        }
    }

    /// What the initiator of a flow asked.
    #[inline(always)]
    pub fn of_flow(key: &FlowKey, flow: &Flow) -> Self {
        let (source, destination, port) = if flow.initiator_is_low() {
            (key.low, key.high, key.high_port)
        } else {
            (key.high, key.low, key.low_port)
        };
        let protocol = key.protocol as u8;
        let service = match protocol {
            protocol::ICMP | protocol::ICMPV6 => u16::from(echo_request(protocol)) << 8,
            _ => port,
        };
        Self {
            ifindex: flow.ifindex,
            tags: flow.tags(),
            source,
            destination,
            protocol,
            is_from_router: flow.from == ZoneId::SELF,
            service,
        }
    }
}

/// Looks up both ends.
#[inline(always)]
pub fn ends(tables: &impl Tables, question: &Question) -> Result<Ends, DropReason> {
    let link = lookup::link(tables, question.ifindex, question.tags)?;
    let class = lookup::address(tables, &question.destination)?;
    let destination = lookup::address_class(tables, class)?;
    if question.is_from_router {
        let source = SourceCell::new(ZoneId::SELF, false);
        return Ok(Ends {
            link,
            source,
            failsafes: destination.failsafes,
            class,
            destination,
        });
    }
    let source_class = lookup::address(tables, &question.source)?;
    let source = lookup::source(tables, link.class, source_class)?;
    let failsafes = lookup::address_class(tables, source_class)?.failsafes;
    Ok(Ends {
        link,
        source,
        failsafes,
        class,
        destination,
    })
}

/// Lets essential protocols and failsafe traffic pass and keeps forged sources
/// out; `None` when the policy has to decide.
#[inline(always)]
pub fn admit(
    tables: &impl Tables,
    facts: &Facts,
    question: &Question,
    ends: &Ends,
) -> Result<Option<Slot>, Dropped> {
    let is_to_router = ends.destination.destination == ZoneId::SELF.0;
    let is_group = ends.destination.flags & AddressClass::GROUP != 0;
    let is_local =
        question.is_from_router || is_to_router || is_group || question.destination.is_link_local();
    if let Some(essential) = essential::of(facts, is_local) {
        return Ok(Some(essential.slot()));
    }
    let is_managed = question.is_from_router || (is_to_router && !is_group);
    if ends.failsafes != 0 && is_managed {
        let service = failsafe_service(facts, question.is_from_router);
        let class = lookup::port_class(tables, facts.protocol, service)?;
        let matching = ends.failsafes
            & lookup::link_failsafes(tables, ends.link.class)?
            & lookup::port_failsafes(tables, class)?;
        if matching != 0 {
            return Ok(Some(Slot(Slot::FAILSAFE.0 + lowest_bit(matching))));
        }
    }
    if ends.source.is_spoofed() {
        return Err(spoofed(ends));
    }
    Ok(None)
}

/// The service a failsafe packet belongs to: answers of the router carry it on
/// their source side.
#[inline(always)]
fn failsafe_service(facts: &Facts, is_answer: bool) -> u16 {
    match (is_answer, facts.protocol) {
        (false, _) => facts.service,
        (true, protocol::ICMP | protocol::ICMPV6) => u16::from(echo_request(facts.protocol)) << 8,
        (true, _) => facts.source_port,
    }
}

#[inline(always)]
fn lowest_bit(bits: u16) -> u32 {
    let mut index = 0;
    for bit in 0..16 {
        if bits & 1 << bit != 0 {
            index = bit;
            break;
        }
    }
    index
}

#[inline(always)]
fn spoofed(ends: &Ends) -> Dropped {
    Dropped {
        from: ends.source.zone(),
        to: None,
        reason: DropReason::SPOOFED_SOURCE,
        slot: None,
    }
}

/// The destination zone, where the address alone tells it.
#[inline(always)]
pub fn target(
    tables: &impl Tables,
    question: &Question,
    ends: &Ends,
) -> Result<Option<Target>, DropReason> {
    let zone = ends.destination.destination;
    // What the router sends to a group goes to the zone of the link.
    if question.is_from_router && (zone == AddressClass::BY_ROUTE || zone == ZoneId::SELF.0) {
        let to = lookup::source(tables, ends.link.class, ends.class)?.zone();
        return joined(tables, ends, to).map(Some);
    }
    if zone == AddressClass::BY_ROUTE {
        return Ok(None);
    }
    joined(tables, ends, ZoneId(zone)).map(Some)
}

#[inline(always)]
fn joined(tables: &impl Tables, ends: &Ends, to: ZoneId) -> Result<Target, DropReason> {
    Ok(Target {
        to,
        pair: lookup::pair(tables, ends.source.zone(), to)?,
    })
}

/// Asks the policy; `target` is what [`target`] said.
///
/// A destination that the tables take for another zone's is `self` when the
/// routing table calls it local: addresses appear without anybody telling.
#[inline(always)]
pub fn judge(
    tables: &impl Tables,
    routes: &impl Routes,
    question: &Question,
    ends: &Ends,
    target: Option<Target>,
) -> Result<Judgement, Dropped> {
    let class = lookup::port_class(tables, question.protocol, question.service)?;
    if let Some(Target { to, pair }) = target {
        let cell = lookup::cell(tables, pair, class)?;
        let is_final = question.is_from_router || to == ZoneId::SELF || !cell.allows();
        if is_final || routes.route(question) != Route::Local {
            return concluded(question, ends, to, cell);
        }
    }
    let to = match target {
        Some(_) => ZoneId::SELF,
        None => routed(tables, ends, routes.route(question))?,
    };
    let pair = lookup::pair(tables, ends.source.zone(), to)?;
    concluded(question, ends, to, lookup::cell(tables, pair, class)?)
}

/// The zone of a destination that no prefix names.
#[inline(always)]
fn routed(tables: &impl Tables, ends: &Ends, route: Route) -> Result<ZoneId, DropReason> {
    match route {
        Route::Local => Ok(ZoneId::SELF),
        Route::Nowhere => Ok(ZoneId::UNKNOWN),
        Route::Via(ifindex) => {
            let egress = lookup::link(tables, ifindex, Tags::default())?;
            Ok(lookup::source(tables, egress.class, ends.class)?.zone())
        }
    }
}

#[inline(always)]
fn concluded(
    question: &Question,
    ends: &Ends,
    to: ZoneId,
    cell: Cell,
) -> Result<Judgement, Dropped> {
    let from = ends.source.zone();
    let is_between_zones = from != to && from != ZoneId::SELF && to != ZoneId::SELF;
    let is_link_local = question.source.is_link_local() || question.destination.is_link_local();
    if is_between_zones && is_link_local {
        let reason = DropReason::LINK_LOCAL;
        return Err(Dropped {
            from,
            to: Some(to),
            reason,
            slot: None,
        });
    }
    if !cell.allows() {
        let (reason, slot) = (cell.reason(), Some(cell.slot()));
        return Err(Dropped {
            from,
            to: Some(to),
            reason,
            slot,
        });
    }
    Ok(Judgement { from, to, cell })
}

/// All of it at once, for a flow that is judged again.
#[inline(always)]
pub fn decide(
    tables: &impl Tables,
    routes: &impl Routes,
    question: &Question,
) -> Result<Judgement, Dropped> {
    let ends = ends(tables, question)?;
    if ends.source.is_spoofed() {
        return Err(spoofed(&ends));
    }
    let target = target(tables, question, &ends)?;
    judge(tables, routes, question, &ends, target)
}
