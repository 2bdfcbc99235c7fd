//! Named members of zones: what they claim, and who violates a binding.

use std::net::IpAddr;

use enforcer::policy::Policy;
use enforcer::policy::model::{Device, ZoneEntry, ZoneRef};
use ipnet::IpNet;

use super::zones::{Claim, Link, each, is_link_local, is_on};

/// The zone that a device is a member of; others stand for themselves.
pub fn home(policy: &Policy, zone: ZoneRef) -> ZoneRef {
    match zone {
        ZoneRef::Zone(index) => match &policy.zones[index].device {
            Some(device) => ZoneRef::Zone(device.zone),
            None => zone,
        },
        _ => zone,
    }
}

/// Whether both are zones, or members of zones, that are not the same.
pub fn are_between_zones(policy: &Policy, from: ZoneRef, to: ZoneRef) -> bool {
    let (from, to) = (home(policy, from), home(policy, to));
    from != to && from != ZoneRef::SelfZone && to != ZoneRef::SelfZone
}

/// The claims of all devices: by their card on every link of their zone, by
/// their addresses where these are.
pub fn claims(policy: &Policy) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for (index, device) in devices(policy) {
        let mac = device.mac.map(|mac| mac.bytes());
        let mut claim = |entry, prefix| {
            claims.extend(links(entry).into_iter().map(|(interface, vlan)| Claim {
                zone: index,
                is_device: true,
                prefix,
                vlan,
                mac,
                interface,
            }));
        };
        if mac.is_some() {
            for entry in &policy.zones[device.zone].entries {
                claim(entry, None);
            }
        }
        for address in &device.addresses {
            for entry in entries_with(policy, device, *address) {
                claim(entry, Some(IpNet::from(*address)));
            }
        }
    }
    claims
}

/// Whether a frame from the link and address has the card of a device with
/// another address, or its address with another card.
pub fn is_violation(policy: &Policy, link: Link<'_>, source: IpAddr) -> bool {
    devices(policy).any(|(_, device)| {
        let Some(card) = device.mac else {
            return false;
        };
        let mut homes = entries_with(policy, device, source).into_iter();
        let has_address =
            device.addresses.contains(&source) && homes.any(|entry| is_on(entry, link));
        let mut entries = policy.zones[device.zone].entries.iter();
        let has_card = link.mac == Some(card.bytes()) && entries.any(|entry| is_on(entry, link));
        let mut addresses = device.addresses.iter();
        let is_bound = addresses.any(|own| own.is_ipv4() == source.is_ipv4());
        match (has_card, has_address) {
            (true, false) => is_bound && !is_link_local(source),
            (false, true) => link.mac.is_some(),
            _ => false,
        }
    })
}

fn devices(policy: &Policy) -> impl Iterator<Item = (usize, &Device)> {
    let zones = policy.zones.iter().enumerate();
    zones.filter_map(|(index, zone)| Some((index, zone.device.as_ref()?)))
}

/// The entries of the zone of a device with the longest prefix around an
/// address; if none has one, those without a prefix.
fn entries_with<'p>(policy: &'p Policy, device: &Device, address: IpAddr) -> Vec<&'p ZoneEntry> {
    let entries = &policy.zones[device.zone].entries;
    let best = |entry: &ZoneEntry| {
        let mut best = entry.prefixes.is_empty().then_some(-1);
        for prefix in &entry.prefixes {
            if prefix.contains(&address) {
                best = best.max(Some(i16::from(prefix.prefix_len())));
            }
        }
        best
    };
    let most = entries.iter().filter_map(best).max();
    let found = entries.iter();
    found
        .filter(|entry| best(entry).is_some() && best(entry) == most)
        .collect()
}

type Place<'p> = (Option<&'p str>, Option<super::packet::Vlan>);

fn links(entry: &ZoneEntry) -> Vec<Place<'_>> {
    let interfaces = each(entry.interfaces.iter().map(|name| name.as_str()));
    let mut links = Vec::new();
    for interface in interfaces {
        for vlan in each(entry.vlans.iter()) {
            links.push((interface, vlan.map(super::zones::vlan)));
        }
    }
    links
}
