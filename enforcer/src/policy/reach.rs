//! Conduits to zones and devices that no packet can be told to go to.

use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::{Policy, Zone, ZoneRef};

/// Finds conduits to zones and devices that only hardware addresses tell apart:
/// those are known of senders, not of where a routed packet goes.
pub fn unreachable(policy: &Policy) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for conduit in &policy.conduits {
        for zone in &conduit.to.zones {
            let ZoneRef::Zone(index) = zone else {
                continue;
            };
            let zone = &policy.zones[*index];
            if !is_reachable(zone) {
                let name = zone.name.clone();
                let kind = match zone.device {
                    Some(_) => DiagnosticKind::UnreachableDevice { device: name },
                    None => DiagnosticKind::Unreachable { zone: name },
                };
                findings.push(Diagnostic::new(kind, conduit.span).with_related(zone.span));
            }
        }
    }
    findings
}

fn is_reachable(zone: &Zone) -> bool {
    if let Some(device) = &zone.device {
        return !device.addresses.is_empty() || device.mac.is_none();
    }
    let mut entries = zone.entries.iter();
    // A zone whose entries are all in error is not to blame.
    zone.entries.is_empty()
        || entries.any(|entry| entry.macs.is_empty() || !entry.prefixes.is_empty())
}
