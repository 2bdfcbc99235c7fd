//! VLAN devices in a policy, replaced by their parents and VLANs: programs run
//! on the parent and see the tags.

use std::borrow::Cow;

use super::machine::Devices;
use crate::policy::model::{Vlan, Zone, ZoneEntry};
use crate::policy::names::InterfaceName;
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy, Severity, overlaps};

/// The zones of a policy without names of VLAN devices.
///
/// Names can hide that two zones claim the same frames (`eth1.10`, and VLAN 10
/// of `eth1`), so overlaps are looked for once more.
pub(super) fn by_parent<'p>(
    policy: &'p Policy,
    devices: &Devices<'_>,
) -> Result<Cow<'p, [Zone]>, Findings> {
    let is_vlan_device = |name: &InterfaceName| vlan_of(name, devices).is_some();
    let mut entries = policy.zones.iter().flat_map(|zone| &zone.entries);
    if !entries.any(|entry| entry.interfaces.iter().any(is_vlan_device)) {
        return Ok(Cow::Borrowed(&policy.zones));
    }
    let mut findings = Vec::new();
    let mut zones = policy.zones.clone();
    for zone in &mut zones {
        let entries = std::mem::take(&mut zone.entries);
        for entry in entries {
            split(entry, devices, &mut zone.entries, &mut findings);
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
