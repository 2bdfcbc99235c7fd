//! What is different between two ports of a bridge, where nothing is routed: the
//! destination zone is that of the port by which a frame leaves, and of the
//! protocols between neighbours only those pass that find a station.

use crate::admit;
use crate::cell::{AddressClass, Slot, SourceCell};
use crate::decide::{Dropped, Ends, Judgement};
use crate::essential::Essential;
use crate::lookup::{self, LinkClass, Tables};
use crate::parse::Facts;
use crate::question::{Origin, Question};
use crate::verdict::DropReason;
use crate::wire::protocol;
use crate::zone::ZoneId;

/// The zone that an address has behind the port by which a frame leaves. An
/// address that cannot be there, such as that of a group, is that port's.
#[inline(always)]
pub fn exit_zone(tables: &impl Tables, question: &Question, class: u16) -> ZoneId {
    let link = exit(tables, question);
    let cell = lookup::zone(tables, link, class);
    if cell.is_spoofed() {
        lookup::link_zone(tables, link)
    } else {
        cell.zone()
    }
}

/// The link by which a frame leaves.
#[inline(always)]
fn exit(tables: &impl Tables, question: &Question) -> LinkClass {
    lookup::link(tables, question.place.exit, question.place.tags).class
}

/// The zone of somebody on a link whose address alone may not tell it.
#[inline(always)]
fn of_station(tables: &impl Tables, link: LinkClass, cell: SourceCell) -> ZoneId {
    if cell.is_spoofed() || cell.zone() == ZoneId::UNKNOWN {
        lookup::link_zone(tables, link)
    } else {
        cell.zone()
    }
}

/// Whether who asks has no address yet and asks for one (RFC 2131): its zone is
/// that of the port.
#[inline(always)]
pub fn is_without_address(question: &Question) -> bool {
    const DHCP_SERVER: u16 = 67;
    question.source.as_v4() == Some(0)
        && question.protocol() == protocol::UDP
        && question.service == DHCP_SERVER
}

/// Whether a packet that was routed to the port of a bridge was not judged where it
/// came in, because only that port tells the zone of its destination.
#[inline(always)]
pub fn was_deferred(tables: &impl Tables, question: &Question) -> bool {
    let class = lookup::address(tables, &question.destination);
    if lookup::address_class(tables, class).destination != AddressClass::BY_ROUTE {
        return false;
    }
    let bridge = lookup::routed_by(tables, question.place.exit);
    let link = lookup::link(tables, bridge, question.place.tags).class;
    lookup::zone(tables, link, class).is_several()
}

/// Whether a packet is of the protocol that finds IPv6 neighbours, and the policy
/// does not turn that off where it comes in.
#[inline(always)]
pub fn finds_neighbours(tables: &impl Tables, facts: &Facts, link: LinkClass) -> bool {
    admit::essential_slot(tables, facts, link) == Essential::ND.slot()
}

/// Lets stations look for each other inside a zone, and where a conduit joins
/// their zones in either direction.
#[inline(always)]
pub fn neighbours(tables: &impl Tables, question: &Question, ends: &Ends) -> Result<(), Dropped> {
    let from = match question.place.origin {
        Origin::WIRE => of_station(tables, ends.source.link, ends.source.zone),
        _ => ends.source.zone.zone(),
    };
    let link = exit(tables, question);
    let to = of_station(tables, link, lookup::zone(tables, link, ends.class()));
    if lookup::pair(tables, from, to).is_joined() {
        return Ok(());
    }
    Err(Dropped::by_rule(
        (from, to),
        Slot::NO_CONDUIT,
        DropReason::NO_CONDUIT,
        false,
    ))
}

/// Asks the policy about a frame without addresses that it knows: its question
/// has [`protocol::ETHERNET`] and an EtherType. There is no state about such
/// frames.
#[inline(always)]
pub fn judge_frame(tables: &impl Tables, question: &Question) -> Result<Judgement, Dropped> {
    let place = &question.place;
    // The class of addresses that no entry names.
    let nobody = 0;
    let link = lookup::link(tables, place.ifindex, place.tags).class;
    let here = |cell| of_station(tables, link, cell);
    let (from, to) = match place.origin {
        Origin::WIRE => {
            let cell = lookup::source(tables, link, nobody, &place.mac);
            let to = if place.is_bridged() {
                let link = exit(tables, question);
                of_station(tables, link, lookup::zone(tables, link, nobody))
            } else {
                ZoneId::SELF
            };
            (here(cell), to)
        }
        _ => (place.zone(), here(lookup::zone(tables, link, nobody))),
    };
    let class = lookup::port_class(tables, question.protocol, question.service);
    let cell = lookup::cell(tables, lookup::pair(tables, from, to), class);
    if cell.allows() {
        return Ok(Judgement { from, to, cell });
    }
    Err(match cell.reason() {
        DropReason::NO_CONDUIT => Dropped::between(from, to, DropReason::UNKNOWN_ETHERTYPE),
        reason => Dropped::by_rule((from, to), cell.slot(), reason, cell.is_quiet()),
    })
}
