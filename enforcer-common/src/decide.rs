//! The decision: who speaks to whom, and what the policy says of it.
//!
//! The kernel runs it over its maps, `explain` over an image; the steps and
//! their order are the same. What is kept about flows lies around it, in the
//! kernel programs.

use crate::admit::refused;
pub use crate::admit::{admit, admit_frame};
use crate::bridge;
use crate::cell::{AddressClass, Cell, Pair, Slot, SourceCell};
pub use crate::dropped::Dropped;
use crate::layout::Layout;
use crate::lookup::{self, LinkClass, Tables};
use crate::question::{Origin, Question, Tags};

pub use crate::route::{Route, Routes, route};
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
    pub(crate) destination: AddressClass,
}

impl SourceEnd {
    /// The class of the source.
    #[inline(always)]
    pub(crate) fn class(&self) -> u16 {
        self.class
    }
}

impl Ends {
    /// The class of the destination.
    #[inline(always)]
    pub fn class(&self) -> u16 {
        self.class
    }

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
    /// Only the port by which a packet leaves a bridge tells its zone: it passes
    /// as far as there, and is judged there.
    #[inline(always)]
    const fn deferred(from: ZoneId) -> Self {
        Self {
            from,
            to: ZoneId::NONE,
            cell: Cell::allow(Slot::NOWHERE),
        }
    }

    /// Whether nothing is decided yet.
    #[inline(always)]
    pub const fn is_deferred(&self) -> bool {
        self.to.0 == ZoneId::NONE.0
    }

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
        return SourceEnd {
            link,
            zone: SourceCell::new(question.place.zone(), false),
            class: 0,
        };
    }
    let class = lookup::address(tables, &question.source);
    let zone = if question.place.is_bridged() && bridge::is_without_address(question) {
        SourceCell::new(lookup::link_zone(tables, link), false)
    } else {
        lookup::source(tables, link, class, &question.place.mac)
    };
    SourceEnd { link, zone, class }
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

/// The destination zone, where the address alone tells it.
#[inline(always)]
pub fn target(tables: &impl Tables, question: &Question, ends: &Ends) -> Option<Target> {
    if question.place.is_bridged() {
        let to = bridge::exit_zone(tables, question, ends.class);
        return Some(joined(tables, ends, to));
    }
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
    if !pair.is_stateless() || !question.place.is_from_wire() {
        return None;
    }
    let class = lookup::port_class(tables, question.protocol, question.service);
    let cell = lookup::cell(tables, pair, class);
    (!cell.allows()).then(|| by_cell((ends.source.zone.zone(), to), cell))
}

#[inline(always)]
fn by_cell(ends: (ZoneId, ZoneId), cell: Cell) -> Dropped {
    Dropped::by_rule(ends, cell.slot(), cell.reason(), cell.is_quiet())
}

/// Whether a TCP segment in mid-stream may be the first that is seen of a
/// connection between these zones.
#[inline(always)]
pub fn is_loose(tables: &impl Tables, from: ZoneId, to: Option<ZoneId>) -> bool {
    match to {
        Some(to) => lookup::pair(tables, from, to).is_loose(),
        None => false,
    }
}

/// Asks the policy; `target` is what [`target`] said. The judgement may be
/// [`Judgement::is_deferred`].
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
    let class = lookup::port_class(tables, question.protocol, question.service);
    let mut by_address = None;
    if let Some(target) = target {
        let Target { to, pair } = target;
        let cell = lookup::cell(tables, pair, class);
        // Of a group the routing table says nothing that counts.
        let is_group = ends.is_to_group();
        let is_known = !question.place.is_from_wire() || to == ZoneId::SELF || is_group;
        // The routing table calls local what it never forwards.
        if is_known || !cell.allows() || leaves_its_link(question, pair) {
            return concluded(question, ends, target, cell);
        }
        by_address = Some((target, cell));
    }
    let to = match (route(tables, routes, question), by_address) {
        (Route::Local, _) => ZoneId::SELF,
        (_, Some((target, cell))) => return concluded(question, ends, target, cell),
        (Route::Nowhere, None) => ZoneId::UNKNOWN,
        (Route::Via(ifindex), None) => {
            let egress = lookup::link(tables, ifindex, Tags::default());
            let cell = lookup::zone(tables, egress.class, ends.class);
            let from = ends.source.zone.zone();
            // Behind the router nobody sees the hardware address any more.
            if cell.is_several() && from == zone_of_any_mac(tables, &ends.source) {
                return Ok(Judgement::deferred(from));
            }
            cell.zone()
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
