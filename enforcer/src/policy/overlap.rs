//! Zones that claim the same packets: a packet has one zone.

use std::collections::HashMap;
use std::fmt;

use ipnet::IpNet;

use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::{Vlan, Zone, ZoneEntry};
use super::names::InterfaceName;

/// One combination of the keys of a `match` entry.
///
/// The more specific of two claims decides: prefix length first, then whether
/// a VLAN, then whether an interface is given. So two different claims that
/// match one packet never have equal rank, and zones overlap exactly where
/// they make the same claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Source address.
    pub prefix: Option<IpNet>,
    /// VLAN tags.
    pub vlan: Option<Vlan>,
    /// Ingress interface.
    pub interface: Option<InterfaceName>,
}

/// Finds every pair of entries that make the same claim: an error between two
/// zones, a warning inside one. Names the first claim of each pair.
pub fn overlaps(zones: &[Zone]) -> Vec<Diagnostic> {
    let entries: Vec<(&Zone, &ZoneEntry)> = zones
        .iter()
        .flat_map(|zone| zone.entries.iter().map(move |entry| (zone, entry)))
        .collect();
    let mut found = HashMap::new();
    for (group, prefix) in sharing_a_prefix(&entries) {
        for (first, second, claim) in equal_claims(&entries, &group, prefix) {
            found.entry((first, second)).or_insert(claim);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_unstable_by_key(|(pair, _)| *pair);
    found
        .into_iter()
        .map(|((first, second), claim)| {
            let ((a, earlier), (b, later)) = (entries[first], entries[second]);
            let kind = if a.name == b.name {
                DiagnosticKind::DuplicateClaim {
                    zone: a.name.clone(),
                    claim,
                }
            } else {
                DiagnosticKind::ZoneOverlap {
                    first: a.name.clone(),
                    second: b.name.clone(),
                    claim,
                }
            };
            Diagnostic::new(kind, later.span).with_related(earlier.span)
        })
        .collect()
}

/// Sets of two or more entries with a prefix (or the absence of one) in
/// common, each set once, with the first prefix it shares.
fn sharing_a_prefix(entries: &[(&Zone, &ZoneEntry)]) -> Vec<(Vec<usize>, Option<IpNet>)> {
    let mut by_prefix: HashMap<Option<IpNet>, Vec<usize>> = HashMap::new();
    let mut order = Vec::new();
    for (index, (_, entry)) in entries.iter().enumerate() {
        for prefix in options(&entry.prefixes) {
            let group = by_prefix.entry(prefix).or_default();
            if group.is_empty() {
                order.push(prefix);
            }
            if group.last() != Some(&index) {
                group.push(index);
            }
        }
    }
    // Two entries often share thousands of prefixes: one look at them is enough.
    let mut groups: HashMap<Vec<usize>, Option<IpNet>> = HashMap::new();
    for prefix in order {
        let Some(group) = by_prefix.remove(&prefix) else {
            continue;
        };
        if group.len() > 1 {
            groups.entry(group).or_insert(prefix);
        }
    }
    groups.into_iter().collect()
}

/// Pairs of entries within a group that make the same claim about `prefix`.
fn equal_claims(
    entries: &[(&Zone, &ZoneEntry)],
    group: &[usize],
    prefix: Option<IpNet>,
) -> Vec<(usize, usize, Claim)> {
    let mut claimed: HashMap<(Option<Vlan>, Option<&InterfaceName>), usize> = HashMap::new();
    let mut pairs = Vec::new();
    for &index in group {
        let entry = entries[index].1;
        for vlan in options(&entry.vlans) {
            for interface in options_ref(&entry.interfaces) {
                let first = *claimed.entry((vlan, interface)).or_insert(index);
                if first != index {
                    let interface = interface.cloned();
                    pairs.push((
                        first,
                        index,
                        Claim {
                            prefix,
                            vlan,
                            interface,
                        },
                    ));
                }
            }
        }
    }
    pairs
}

/// Every value, or the absence of all.
fn options<T: Copy>(values: &[T]) -> impl Iterator<Item = Option<T>> {
    options_ref(values).map(|value| value.copied())
}

fn options_ref<T>(values: &[T]) -> impl Iterator<Item = Option<&T>> {
    let absent = values.is_empty().then_some(None);
    values.iter().map(Some).chain(absent)
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.interface
                .as_ref()
                .map(|name| format!("interface {name}")),
            self.vlan.map(|vlan| format!("VLAN {vlan}")),
            self.prefix.map(|prefix| format!("prefix {prefix}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}
