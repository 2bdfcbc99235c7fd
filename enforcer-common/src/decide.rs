//! The decision: who speaks to whom, and what the policy says of it.
//!
//! The kernel runs it over its maps, `explain` over an image; the steps and
//! their order are the same. What is kept about flows lies around it, in the
//! kernel programs.

use crate::cell::{AddressClass, Cell, Pair, Slot, SourceCell};
pub use crate::dropped::Dropped;
use crate::essential::{self, Essential};
use crate::failsafe;
use crate::layout::Layout;
use crate::lookup::{self, LinkClass, Tables};
use crate::parse::Facts;
use crate::question::{Origin, Place, Question, Tags};
pub use crate::route::{Route, Routes};
use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// What the tables say of the asking end of a question.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceEnd {
    /// The link it is seen on.
    pub link: LinkClass,
    /// Zone of the source.
    pub zone: SourceCell,
    /// Class of the source address; of a packet that does not come from the
    /// wire it means nothing.
    class: u16,
}

/// What the tables say of both ends of a question.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The asking end.
    pub source: SourceEnd,
    /// Class of the destination.
    class: u16,
    /// What is known of that class.
    destination: AddressClass,
}

impl Ends {
    /// Whether the destination is a multicast or broadcast address.
    #[inline(always)]
    pub fn is_to_group(&self) -> bool {
        self.destination.flags & AddressClass::GROUP != 0
    }
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
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Source zone.
    pub from: ZoneId,
    /// Destination zone.
    pub to: ZoneId,
    /// Verdict and the slot that decided.
    pub cell: Cell,
}

impl Judgement {
    /// The drop of this judgement for `reason`, which no conduit decided.
    #[inline(always)]
    pub const fn dropped(&self, reason: DropReason) -> Dropped {
        Dropped::between(self.from, self.to, reason)
    }
}

/// Looks up the asking end.
#[inline(always)]
pub fn source_end(tables: &impl Tables, question: &Question) -> SourceEnd {
    let link = lookup::link(tables, question.place.ifindex, question.place.tags).class;
    if question.place.origin != Origin::WIRE {
        let is_router = question.place.origin == Origin::ROUTER;
        let zone = if is_router {
            ZoneId::SELF
        } else {
            ZoneId::UNKNOWN
        };
        return SourceEnd {
            link,
            zone: SourceCell::new(zone, false),
            class: 0,
        };
    }
    let class = lookup::address(tables, &question.source);
    SourceEnd {
        link,
        zone: lookup::source(tables, link, class, &question.place.mac),
        class,
    }
}

/// Looks up the other end.
#[inline(always)]
pub fn both_ends(tables: &impl Tables, question: &Question, source: SourceEnd) -> Ends {
    let class = lookup::address(tables, &question.destination);
    Ends {
        source,
        class,
        destination: lookup::address_class(tables, class),
    }
}

/// The zone of the asking end whatever its hardware address: the zone that
/// packets to it have.
#[inline(always)]
pub fn zone_of_any_mac(tables: &impl Tables, source: &SourceEnd) -> ZoneId {
    if tables.layout().macs_shift == 0 {
        return source.zone.zone();
    }
    lookup::zone(tables, source.link, source.class).zone()
}

/// Looks up both ends.
#[inline(always)]
pub fn ends(tables: &impl Tables, question: &Question) -> Ends {
    both_ends(tables, question, source_end(tables, question))
}

/// Lets a frame pass that carries no IP but an essential protocol, unless the
/// policy turned that off where the frame is seen.
#[inline(always)]
pub fn admit_frame(
    tables: &impl Tables,
    place: &Place,
    essential: Essential,
) -> Result<Slot, Dropped> {
    match frame_from(tables, place, essential) {
        ZoneId::NONE => Ok(essential.slot()),
        from => {
            let from = ZoneId(tables.opaque(from.0));
            Err(Dropped::early(from, DropReason::ESSENTIAL_OFF))
        }
    }
}

/// The zone that such a frame is dropped from; [`ZoneId::NONE`] where it passes.
///
/// A function of its own in the kernel: all ways through it end as one.
#[inline(never)]
fn frame_from(tables: &impl Tables, place: &Place, essential: Essential) -> ZoneId {
    let link = lookup::link(tables, place.ifindex, place.tags).class;
    if !lookup::link_facts(tables, link).is_off(essential) {
        return ZoneId::NONE;
    }
    match place.origin {
        // Addresses that no entry names have class 0.
        Origin::WIRE => lookup::zone(tables, link, 0).zone(),
        Origin::ROUTER => ZoneId::SELF,
        _ => ZoneId::UNKNOWN,
    }
}

/// Lets essential protocols and failsafe traffic pass and keeps forged sources
/// out; `None` when the policy has to decide.
#[inline(always)]
pub fn admit(tables: &impl Tables, facts: &Facts, ends: &Ends) -> Result<Option<Slot>, Dropped> {
    let question = &facts.question;
    let is_from_router = question.place.origin == Origin::ROUTER;
    let is_from_wire = question.place.origin == Origin::WIRE;
    let is_to_router = ends.destination.destination == ZoneId::SELF.0;
    let is_group = ends.is_to_group();
    let stays_here = is_to_router || is_group || question.destination.is_link_local();
    if is_from_router || is_from_wire && stays_here {
        let slot = essential_slot(tables, facts, ends.source.link);
        if slot != Slot::NO_CONDUIT {
            return Ok(Some(slot));
        }
    }
    if is_from_router || is_from_wire && is_to_router && !is_group {
        let peer = if is_from_router {
            ends.class
        } else {
            ends.source.class
        };
        let matching = failsafe::matching(tables, facts, (peer, ends.source.link), is_from_router);
        if matching != 0 {
            return Ok(Some(Slot(Slot::FAILSAFE.0 + lowest_bit(matching))));
        }
    }
    if ends.source.zone.is_refused() {
        return Err(refused(ends));
    }
    Ok(None)
}

/// The slot of the essential protocol that a packet to or from the router belongs
/// to; [`Slot::NO_CONDUIT`] where it belongs to none, or the policy turns it off.
///
/// A function of its own in the kernel: all ways through it end as one.
#[inline(never)]
fn essential_slot(tables: &impl Tables, facts: &Facts, link: LinkClass) -> Slot {
    match essential::of(facts) {
        Some(essential) if !lookup::link_facts(tables, link).is_off(essential) => essential.slot(),
        _ => Slot::NO_CONDUIT,
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
fn refused(ends: &Ends) -> Dropped {
    Dropped::early(ends.source.zone.zone(), ends.source.zone.refusal())
}

/// The destination zone, where the address alone tells it.
#[inline(always)]
pub fn target(tables: &impl Tables, question: &Question, ends: &Ends) -> Option<Target> {
    let zone = ends.destination.destination;
    // What leaves for a group goes to the zone of the link.
    let is_by_link = zone == AddressClass::BY_ROUTE || zone == ZoneId::SELF.0;
    if question.place.origin != Origin::WIRE && is_by_link {
        return Some(joined(
            tables,
            ends,
            lookup::zone(tables, ends.source.link, ends.class).zone(),
        ));
    }
    if zone == AddressClass::BY_ROUTE {
        return None;
    }
    Some(joined(tables, ends, ZoneId(zone)))
}

#[inline(always)]
fn joined(tables: &impl Tables, ends: &Ends, to: ZoneId) -> Target {
    Target {
        to,
        pair: lookup::pair(tables, ends.source.zone.zone(), to),
    }
}

/// The drop of a packet between zones that can hold no flow, where the address
/// alone tells the other zone: what most of a flood needs. `None` where [`judge`]
/// has to say.
#[inline(always)]
pub fn hopeless(tables: &impl Tables, question: &Question, ends: &Ends) -> Option<Dropped> {
    let Target { to, pair } = target(tables, question, ends)?;
    if !pair.is_stateless() {
        return None;
    }
    let class = lookup::port_class(tables, question.protocol(), question.service);
    let cell = lookup::cell(tables, pair, class);
    (!cell.allows()).then(|| by_cell((ends.source.zone.zone(), to), cell))
}

#[inline(always)]
fn by_cell(ends: (ZoneId, ZoneId), cell: Cell) -> Dropped {
    Dropped::by_rule(ends, cell.slot(), cell.reason(), cell.is_quiet())
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
    let class = lookup::port_class(tables, question.protocol(), question.service);
    let mut by_address = None;
    if let Some(target) = target {
        let Target { to, pair } = target;
        let cell = lookup::cell(tables, pair, class);
        // Of a group the routing table says nothing that counts.
        let is_group = ends.is_to_group();
        let is_known = question.place.origin != Origin::WIRE || to == ZoneId::SELF || is_group;
        // The routing table calls local what it never forwards.
        if is_known || !cell.allows() || leaves_its_link(question, pair) {
            return concluded(question, ends, target, cell);
        }
        by_address = Some((target, cell));
    }
    let to = match (routes.route(question), by_address) {
        (Route::Local, _) => ZoneId::SELF,
        (_, Some((target, cell))) => return concluded(question, ends, target, cell),
        (Route::Nowhere, None) => ZoneId::UNKNOWN,
        (Route::Via(ifindex), None) => {
            let egress = lookup::link(tables, ifindex, Tags::default());
            lookup::zone(tables, egress.class, ends.class).zone()
        }
    };
    let target = joined(tables, ends, to);
    let cell = lookup::cell(tables, target.pair, class);
    concluded(question, ends, target, cell)
}

#[inline(always)]
fn concluded(
    question: &Question,
    ends: &Ends,
    Target { to, pair }: Target,
    cell: Cell,
) -> Result<Judgement, Dropped> {
    let from = ends.source.zone.zone();
    if !cell.allows() {
        return Err(by_cell((from, to), cell));
    }
    if leaves_its_link(question, pair) {
        return Err(Dropped::between(from, to, DropReason::LINK_LOCAL));
    }
    Ok(Judgement { from, to, cell })
}

/// Whether a link-local address is on its way to another zone.
#[inline(always)]
fn leaves_its_link(question: &Question, pair: Pair) -> bool {
    pair.is_between_zones()
        && (question.source.is_link_local() || question.destination.is_link_local())
}

/// All of it at once, for what is no packet: a flow that is judged again, or a
/// question of the operator's.
#[inline(always)]
pub fn decide(
    tables: &impl Tables,
    routes: &impl Routes,
    question: &Question,
    ends: &Ends,
) -> Result<Judgement, Dropped> {
    if ends.source.zone.is_refused() {
        return Err(refused(ends));
    }
    let target = target(tables, question, ends);
    judge(tables, routes, question, ends, target)
}

/// Whether an audit of the whole policy lets pass what would be dropped: all
/// that conduits and zones have not decided themselves, unless a zone says
/// `enforce`.
#[inline(always)]
pub fn is_audited(tables: &impl Tables, dropped: &Dropped) -> bool {
    if tables.layout().flags & Layout::AUDIT == 0 || dropped.reason.is_of_policy() {
        return false;
    }
    let to = dropped.to().unwrap_or(dropped.from);
    !lookup::pair(tables, dropped.from, to).is_enforced()
}
