//! Behind which port of a bridge a station is, as far as the policy tells.

use std::net::IpAddr;

use enforcer_common::lookup;
use enforcer_common::question::Tags;

use super::explain::{Subject, Unexplained};

/// A port of a bridge behind which an address can be; fails when its zone depends on
/// which of several it is.
pub(super) fn port_of(
    subject: &Subject,
    (bridge, except): (u32, Option<u32>),
    address: IpAddr,
) -> Result<u32, Unexplained> {
    let (image, interfaces) = (&subject.image, &subject.machine.interfaces);
    let class = lookup::address(image, &address.into());
    let ports = interfaces.iter().filter(|one| {
        let is_port = lookup::link(image, one.ifindex, Tags::default()).is_port;
        is_port && one.master == Some(bridge) && Some(one.ifindex) != except
    });
    let mut found = ports.filter_map(|port| {
        let link = lookup::link(image, port.ifindex, Tags::default()).class;
        let cell = lookup::zone(image, link, class);
        (!cell.is_spoofed()).then_some((port.ifindex, cell.zone()))
    });
    let first = found.next();
    match first {
        Some((port, zone)) if found.all(|(_, other)| other == zone) => Ok(port),
        _ => {
            let bridge = interfaces.iter().find(|one| one.ifindex == bridge);
            let bridge = bridge.map_or_else(String::new, |one| one.name.clone());
            Err(Unexplained::ByPort(address, bridge))
        }
    }
}
