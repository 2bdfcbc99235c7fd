//! Devices in a policy, replaced by those where frames are seen: a VLAN device by
//! its parent and VLAN, and a bridge by itself and all its ports.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::machine::{Devices, Interface};
use crate::policy::model::{Vlan, Zone, ZoneEntry};
use crate::policy::names::InterfaceName;
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy, Severity, overlaps};

/// The zones of a policy without names of VLAN devices, and with the ports of the
/// bridges that they name.
///
/// Names can hide that two zones claim the same frames (`eth1.10`, and VLAN 10
/// of `eth1`), so overlaps are looked for once more.
pub(super) fn where_seen<'p>(
    policy: &'p Policy,
    devices: &Devices<'_>,
) -> Result<Cow<'p, [Zone]>, Findings> {
    let is_special = |name: &InterfaceName| {
        let device = devices.named(name.as_str());
        let is_of_bridge =
            |device: &Interface| device.is_bridge || devices.bridge(device).is_some();
        vlan_of(name, devices).is_some() || device.is_some_and(is_of_bridge)
    };
    let mut entries = policy.zones.iter().flat_map(|zone| &zone.entries);
    if !entries.any(|entry| entry.interfaces.iter().any(is_special)) {
        return Ok(Cow::Borrowed(&policy.zones));
    }
    let mut findings = Vec::new();
    let mut zones = policy.zones.clone();
    for zone in &mut zones {
        let entries = std::mem::take(&mut zone.entries);
        for entry in entries {
            split(entry, devices, &mut zone.entries, &mut findings);
        }
        for entry in &mut zone.entries {
            with_ports(entry, devices, &mut findings);
        }
    }
    let is_error = |finding: &Diagnostic| finding.severity() == Severity::Error;
    findings.extend(overlaps(&zones).into_iter().filter(is_error));
    if findings.is_empty() {
        Ok(Cow::Owned(zones))
    } else {
        Err(findings.into_iter().collect())
    }
}

/// Splits an entry into one for its plain interfaces and one for each VLAN
/// device.
fn split(
    mut entry: ZoneEntry,
    devices: &Devices<'_>,
    entries: &mut Vec<ZoneEntry>,
    findings: &mut Vec<Diagnostic>,
) {
    let names = std::mem::take(&mut entry.interfaces);
    let mut plain = Vec::new();
    for name in &names {
        let Some((parent, device)) = vlan_of(name, devices) else {
            plain.push(name.clone());
            continue;
        };
        match inside(device, &entry.vlans) {
            Ok(vlans) => entries.push(ZoneEntry {
                interfaces: vec![parent],
                vlans,
                ..entry.clone()
            }),
            Err(vlan) => {
                let name = name.clone();
                let kind = DiagnosticKind::TooManyTags { name, device, vlan };
                findings.push(Diagnostic::new(kind, entry.span));
            }
        }
    }
    if !plain.is_empty() || names.is_empty() {
        entries.push(ZoneEntry {
            interfaces: plain,
            ..entry
        });
    }
}

/// Adds the ports of each bridge to an entry.
fn with_ports(entry: &mut ZoneEntry, devices: &Devices<'_>, findings: &mut Vec<Diagnostic>) {
    for name in entry.interfaces.clone() {
        let Some(device) = devices.named(name.as_str()) else {
            continue;
        };
        let bridge = devices.bridge(device).unwrap_or(device);
        if bridge.filters_vlans && !entry.vlans.is_empty() {
            let name = device.name.clone();
            let kind = DiagnosticKind::FilteredVlan { name };
            findings.push(Diagnostic::new(kind, entry.span));
        }
        let ports = devices.ports(device);
        let names = ports.filter_map(|port| InterfaceName::new(&port.name).ok());
        entry.interfaces.extend(names);
    }
    let mut seen = BTreeSet::new();
    entry.interfaces.retain(|name| seen.insert(name.clone()));
}

/// The parent and the VLAN of a VLAN device.
fn vlan_of(name: &InterfaceName, devices: &Devices<'_>) -> Option<(InterfaceName, Vlan)> {
    let device = devices.named(name.as_str())?;
    let parent = InterfaceName::new(&devices.parent(device)?.name).ok()?;
    Some((parent, devices.place(device).vlan?))
}

/// Tags on the parent of frames that carry one of `vlans` on the VLAN device;
/// fails with the one that makes more than two tags.
fn inside(device: Vlan, vlans: &[Vlan]) -> Result<Vec<Vlan>, Vlan> {
    if vlans.is_empty() {
        return Ok(vec![device]);
    }
    let both = |vlan: &Vlan| match (device.inner, vlan.inner) {
        (0, 0) => Ok(Vlan {
            outer: device.outer,
            inner: vlan.outer,
        }),
        _ => Err(*vlan),
    };
    vlans.iter().map(both).collect()
}
