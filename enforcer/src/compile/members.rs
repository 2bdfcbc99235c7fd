//! What devices claim: their hardware address wherever their zone is, and each
//! of their addresses where their zone has it.

use std::net::IpAddr;

use super::claims::By;
use super::machine::Devices;
use crate::policy::mac::Mac;
use crate::policy::model::{Device, Zone, ZoneEntry};
use crate::policy::{Diagnostic, DiagnosticKind, Findings};

/// One claim of a device, by the entries of its zone that say where it holds.
pub(super) struct Part<'p> {
    pub(super) entries: Vec<&'p ZoneEntry>,
    pub(super) mac: Option<Mac>,
    pub(super) address: Option<IpAddr>,
    pub(super) by: By,
}

/// Families of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

/// The claims of a device in `zone`.
pub(super) fn parts<'p>(device: &Device, zone: &'p Zone) -> Vec<Part<'p>> {
    let has = |is_v4| {
        let mut addresses = device.addresses.iter();
        addresses.any(|address| address.is_ipv4() == is_v4)
    };
    let station = device.mac.map(|mac| Part {
        entries: zone.entries.iter().collect(),
        mac: Some(mac),
        address: None,
        by: By::Station(Families {
            v4: has(true),
            v6: has(false),
        }),
    });
    let addresses = device.addresses.iter().map(|address| Part {
        entries: around(zone, *address),
        mac: device.mac,
        address: Some(*address),
        by: match device.mac {
            Some(_) => By::Bound,
            None => By::Device,
        },
    });
    station.into_iter().chain(addresses).collect()
}

/// The entries of a zone that say most about an address: those with the longest
/// prefix around it, or else those without.
fn around(zone: &Zone, address: IpAddr) -> Vec<&ZoneEntry> {
    let length = |entry: &ZoneEntry| {
        let around = entry
            .prefixes
            .iter()
            .filter(|prefix| prefix.contains(&address));
        around.map(|prefix| prefix.prefix_len()).max()
    };
    let with_prefix = zone.entries.iter().filter(|entry| length(entry).is_some());
    let longest = with_prefix.clone().map(length).max();
    match longest {
        Some(longest) => with_prefix
            .filter(|entry| length(entry) == longest)
            .collect(),
        None => {
            let entries = zone.entries.iter();
            entries.filter(|entry| entry.prefixes.is_empty()).collect()
        }
    }
}

/// Refuses devices that would have to be known by their hardware address only
/// where packets have none.
pub(super) fn refuse_bare(zones: &[Zone], devices: &Devices<'_>) -> Result<(), Findings> {
    let is_bare = |name: &str| devices.named(name).is_some_and(|device| device.is_bare);
    let mut findings = Vec::new();
    for zone in zones {
        let Some(device) = &zone.device else { continue };
        let by_mac = parts(device, &zones[device.zone]);
        let mut by_mac = by_mac.into_iter().filter(|part| part.mac.is_some());
        let nowhere = by_mac.find_map(|part| {
            let mut names = part.entries.iter().flat_map(|entry| &entry.interfaces);
            let first = names.clone().next()?.clone();
            let mut entries = part.entries.iter();
            let is_named = entries.all(|entry| !entry.interfaces.is_empty());
            (is_named && names.all(|name| is_bare(name.as_str()))).then_some(first)
        });
        if let Some(interface) = nowhere {
            let device = zone.name.clone();
            let kind = DiagnosticKind::NoHardwareAddress { device, interface };
            findings.push(Diagnostic::new(kind, zone.span));
        }
    }
    match findings.is_empty() {
        true => Ok(()),
        false => Err(findings.into_iter().collect()),
    }
}
