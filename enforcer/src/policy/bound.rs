//! Where zones are bound, as far as their entries tell: which of them have a
//! say in what passes on a link whatever the address.

use std::collections::BTreeSet;
use std::fmt;

use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::{Vlan, Zone, ZoneEntry};
use super::names::InterfaceName;

/// Where an entry holds: an interface, a VLAN, both, or everywhere.
#[derive(Clone, PartialEq, Eq)]
struct Place<'z> {
    interface: Option<&'z InterfaceName>,
    vlan: Option<Vlan>,
}

/// Essential protocols that a zone turns off and another zone keeps in the same
/// place: a warning for each two zones.
pub fn kept(zones: &[Zone]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for zone in zones.iter().filter(|zone| !zone.essential_off.is_empty()) {
        let mut told = BTreeSet::new();
        let places: Vec<Place<'_>> = zone.entries.iter().flat_map(places).collect();
        for place in places {
            let others = zones.iter().filter(|other| other.is_at(&place));
            for other in others {
                let kept = zone.essential_off.difference(&other.essential_off);
                let names: Vec<String> = kept.map(|one| format!("`{}`", one.name())).collect();
                if names.is_empty() || !told.insert(&other.name) {
                    continue;
                }
                let kind = DiagnosticKind::EssentialKept {
                    names: names.join(", "),
                    place: place.to_string(),
                    other: other.name.clone(),
                };
                findings.push(Diagnostic::new(kind, zone.span));
            }
        }
    }
    findings
}

fn places(entry: &ZoneEntry) -> impl Iterator<Item = Place<'_>> {
    fn each<T>(values: impl Iterator<Item = T>) -> Vec<Option<T>> {
        let values: Vec<_> = values.map(Some).collect();
        if values.is_empty() {
            vec![None]
        } else {
            values
        }
    }
    let interfaces = each(entry.interfaces.iter());
    interfaces.into_iter().flat_map(|interface| {
        let vlans = each(entry.vlans.iter().copied());
        vlans.into_iter().map(move |vlan| Place { interface, vlan })
    })
}

impl Zone {
    /// Whether the zone has an entry that says as much of the place as one that
    /// names exactly that.
    fn is_at(&self, place: &Place<'_>) -> bool {
        let mut places = self.entries.iter().flat_map(places);
        places.any(|found| found == *place)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.interface, self.vlan) {
            (Some(interface), Some(vlan)) => write!(f, "VLAN {vlan} of interface {interface}"),
            (Some(interface), None) => write!(f, "interface {interface}"),
            (None, Some(vlan)) => write!(f, "VLAN {vlan}"),
            (None, None) => f.write_str("interfaces that no entry names"),
        }
    }
}
