//! Packets that get another source address on their way through the router.

use crate::cell::AddressClass;
use crate::lookup::{self, Tables};
use crate::packet::Packet;
use crate::parse;
use crate::zone::ZoneId;

/// Whether a packet that the router forwards has an address of the router as its
/// source.
#[inline(always)]
pub fn is_translated(tables: &impl Tables, packet: &impl Packet) -> bool {
    let Ok(link) = parse::link_layer(packet) else {
        return false;
    };
    let Some(source) = parse::source(packet, &link) else {
        return false;
    };
    let class = lookup::address_class(tables, lookup::address(tables, &source));
    class.destination == ZoneId::SELF.0 && class.flags & AddressClass::GROUP == 0
}
