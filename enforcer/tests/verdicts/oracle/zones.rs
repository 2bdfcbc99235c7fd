//! Which zone an address belongs to: linear search over what the policy says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer::policy::model::{self, Policy, ZoneEntry, ZoneRef};
use ipnet::IpNet;

use super::devices;
use super::packet::Vlan;
use crate::world::{Route, World};

/// Where a frame comes in.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Name of the interface, if it has one.
    pub interface: Option<&'a str>,
    pub vlan: Vlan,
    /// Hardware address that it comes from; `None` where it is to leave.
    pub mac: Option<[u8; 6]>,
}

/// One combination of the keys of a `match` entry, or of what makes a device.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub zone: usize,
    pub is_device: bool,
    pub prefix: Option<IpNet>,
    pub vlan: Option<Vlan>,
    pub mac: Option<[u8; 6]>,
    pub interface: Option<&'a str>,
}

/// A source that nothing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The zone that it is counted for.
    pub zone: ZoneRef,
    pub reason: &'static str,
}

/// How much a claim says: device, then hardware address, then prefix length,
/// then VLAN, then interface.
type Rank = (bool, bool, Option<u8>, bool, bool);

/// The source zone, unless the source cannot come from the link, or violates a
/// binding. Where the hardware address is left out, bindings are, too.
pub fn source_zone(
    policy: &Policy,
    world: &World,
    link: Link<'_>,
    source: IpAddr,
) -> Result<ZoneRef, Refused> {
    let spoofed = |zone| Refused {
        zone,
        reason: "spoofed-source",
    };
    let never = world.is_router(source)
        || source.is_loopback()
        || source.is_unspecified()
        || is_group(source);
    if never {
        // Forged, whatever the hardware address.
        let link = Link { mac: None, ..link };
        let zone = zone_on(policy, link, source);
        return Err(spoofed(zone.unwrap_or_else(|zone| zone)));
    }
    let zone = zone_on(policy, link, source).map_err(spoofed)?;
    match devices::is_violation(policy, link, source) {
        true => Err(Refused {
            zone,
            reason: "binding-violated",
        }),
        false => Ok(zone),
    }
}

/// The zone of a link, whatever the address.
pub fn zone_of_link(policy: &Policy, link: Link<'_>) -> ZoneRef {
    let of_link = claims(policy).filter(|claim| claim.prefix.is_none() && claim.mac.is_none());
    best(of_link.filter(|claim| claim.is_on(link)))
}

/// The zone of a port of a bridge, which groups have there: that of the link; else
/// the only one that names the interface; else the only one that can be there.
pub fn zone_of_port(policy: &Policy, link: Link<'_>) -> ZoneRef {
    let of_link = zone_of_link(policy, link);
    if of_link != ZoneRef::Unknown {
        return of_link;
    }
    let here = claims(policy).filter(|claim| claim.is_on(link) && !claim.is_device);
    let here: Vec<Claim<'_>> = here.collect();
    let named = here.iter().filter(|claim| claim.interface.is_some());
    let named: Vec<Claim<'_>> = named.copied().collect();
    let all = if named.is_empty() { here } else { named };
    only_zone(&all).unwrap_or(ZoneRef::Unknown)
}

/// Whether all zones of a link turn an essential protocol off; of their claims
/// there count those that name a VLAN, else those that name an interface.
pub fn essential_is_off(policy: &Policy, link: Link<'_>, name: &str) -> bool {
    let here: Vec<Claim<'_>> = claims(policy).filter(|claim| claim.is_on(link)).collect();
    let says = |claim: &Claim<'_>| (claim.vlan.is_some(), claim.interface.is_some());
    let Some(most) = here.iter().map(says).max() else {
        return false;
    };
    here.iter()
        .filter(|claim| says(claim) == most)
        .all(|claim| {
            let mut off = policy.zones[claim.zone].essential_off.iter();
            off.any(|essential| essential.name() == name)
        })
}

/// The destination zone, where the address alone tells it.
pub fn zone_by_address(policy: &Policy, world: &World, destination: IpAddr) -> Option<ZoneRef> {
    if world.is_router(destination) {
        return Some(ZoneRef::SelfZone);
    }
    if is_group(destination) {
        let longest = longest(policy, |prefix| {
            prefix.contains(&destination) && is_group_prefix(prefix)
        });
        return only_zone(&longest).or(Some(ZoneRef::SelfZone));
    }
    if destination.is_loopback() || destination.is_unspecified() {
        return Some(ZoneRef::Unknown);
    }
    let longest = longest(policy, |prefix| prefix.contains(&destination));
    if longest.is_empty()
        && claims(policy).all(|claim| claim.prefix.is_some() || claim.mac.is_some())
    {
        // No link has a zone: there is nothing to ask the routes for.
        return Some(ZoneRef::Unknown);
    }
    only_zone(&longest)
}

/// The destination zone of a packet whose address does not tell it.
pub fn zone_by_route(
    policy: &Policy,
    world: &World,
    source: IpAddr,
    destination: IpAddr,
) -> ZoneRef {
    match world.route(source, destination) {
        Route::Local => ZoneRef::SelfZone,
        Route::Nowhere => ZoneRef::Unknown,
        Route::Out(index) => {
            let egress = Link {
                interface: world.name(index),
                vlan: Vlan::default(),
                mac: None,
            };
            // The zone that its answers will come from.
            zone_behind(policy, egress, destination)
        }
    }
}

/// The zone of an address behind a link that packets leave by.
pub fn zone_behind(policy: &Policy, link: Link<'_>, destination: IpAddr) -> ZoneRef {
    let link = Link { mac: None, ..link };
    zone_on(policy, link, destination).unwrap_or_else(|zone| zone)
}

/// Whether what comes in by an interface is judged there: a policy names it, or
/// speaks of all.
pub fn is_enforced(policy: &Policy, world: &World, ifindex: u32) -> bool {
    let Some(name) = world.name(ifindex).filter(|name| *name != "lo") else {
        return false;
    };
    let mut entries = policy.zones.iter().flat_map(|zone| &zone.entries);
    entries.any(|entry| {
        let mut named = entry.interfaces.iter();
        entry.interfaces.is_empty() || named.any(|named| named.as_str() == name)
    })
}

/// The zone of an address that is seen on a link. An error where the longest
/// prefix around the address is bound to other links: then the zone of the
/// link, whatever the address.
fn zone_on(policy: &Policy, link: Link<'_>, address: IpAddr) -> Result<ZoneRef, ZoneRef> {
    let longest = longest(policy, |prefix| prefix.contains(&address));
    let is_bound = longest.iter().all(|claim| claim.interface.is_some());
    let is_here = longest.iter().any(|claim| claim.is_on(link));
    if !longest.is_empty() && is_bound && !is_here {
        return Err(zone_of_link(policy, link));
    }
    let around =
        claims(policy).filter(|claim| claim.prefix.is_none_or(|prefix| prefix.contains(&address)));
    let from_mac = |claim: &Claim<'_>| claim.mac.is_none() || claim.mac == link.mac;
    Ok(best(
        around.filter(|claim| claim.is_on(link)).filter(from_mac),
    ))
}

/// Multicast and limited broadcast.
pub fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == Ipv4Addr::BROADCAST
}

/// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// Whether every address in the prefix is a group.
fn is_group_prefix(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(prefix) => {
            prefix.prefix_len() >= 4 && prefix.addr().is_multicast()
                || prefix.prefix_len() == 32 && prefix.addr() == Ipv4Addr::BROADCAST
        }
        IpNet::V6(prefix) => {
            let all = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
            prefix.prefix_len() >= 8 && prefix.addr() >= all
        }
    }
}

impl Claim<'_> {
    /// Whether interface and VLAN, where given, are those of the link.
    fn is_on(&self, link: Link<'_>) -> bool {
        let interface = self.interface;
        interface.is_none_or(|name| link.interface == Some(name))
            && self.vlan.is_none_or(|vlan| vlan == link.vlan)
    }

    fn rank(&self) -> Rank {
        (
            self.is_device,
            self.mac.is_some(),
            self.prefix.map(|prefix| prefix.prefix_len()),
            self.vlan.is_some(),
            self.interface.is_some(),
        )
    }
}

/// The zone of the claim that says most.
fn best<'a>(claims: impl Iterator<Item = Claim<'a>>) -> ZoneRef {
    claims
        .max_by_key(Claim::rank)
        .map_or(ZoneRef::Unknown, |claim| ZoneRef::Zone(claim.zone))
}

/// The zone that all claims agree on.
fn only_zone(claims: &[Claim<'_>]) -> Option<ZoneRef> {
    if let Some(device) = claims.iter().find(|claim| claim.is_device) {
        return Some(ZoneRef::Zone(device.zone));
    }
    let first = claims.first()?.zone;
    claims
        .iter()
        .all(|claim| claim.zone == first)
        .then_some(ZoneRef::Zone(first))
}

/// All claims of the longest prefix that is `wanted`.
fn longest(policy: &Policy, wanted: impl Fn(&IpNet) -> bool) -> Vec<Claim<'_>> {
    let with_prefix = claims(policy).filter(|claim| claim.prefix.as_ref().is_some_and(&wanted));
    let length = |claim: &Claim<'_>| claim.prefix.map(|prefix| prefix.prefix_len());
    let most = with_prefix.clone().map(|claim| length(&claim)).max();
    with_prefix
        .filter(|claim| Some(length(claim)) == most)
        .collect()
}

/// Every combination of keys of every entry and device.
fn claims(policy: &Policy) -> std::vec::IntoIter<Claim<'_>> {
    let mut claims = devices::claims(policy);
    for (zone, definition) in policy.zones.iter().enumerate() {
        for entry in &definition.entries {
            for interface in each(entry.interfaces.iter().map(|name| name.as_str())) {
                for vlan in each(entry.vlans.iter()) {
                    for mac in each(entry.macs.iter().map(|mac| mac.bytes())) {
                        claims.extend(each(entry.prefixes.iter().copied()).into_iter().map(
                            |prefix| Claim {
                                zone,
                                is_device: false,
                                prefix,
                                interface,
                                mac,
                                vlan: vlan.map(self::vlan),
                            },
                        ));
                    }
                }
            }
        }
    }
    claims.into_iter()
}

/// Whether interface and VLAN of an entry are those of a link.
pub fn is_on(entry: &ZoneEntry, link: Link<'_>) -> bool {
    let mut interfaces = entry.interfaces.iter();
    let mut vlans = entry.vlans.iter();
    (entry.interfaces.is_empty() || interfaces.any(|name| link.interface == Some(name.as_str())))
        && (entry.vlans.is_empty() || vlans.any(|own| vlan(own) == link.vlan))
}

pub fn vlan(vlan: &model::Vlan) -> Vlan {
    Vlan {
        outer: vlan.outer,
        inner: vlan.inner,
    }
}

/// Each value of a key; one `None` when the key is absent.
pub fn each<T>(values: impl Iterator<Item = T>) -> Vec<Option<T>> {
    let values: Vec<Option<T>> = values.map(Some).collect();
    if values.is_empty() {
        vec![None]
    } else {
        values
    }
}
