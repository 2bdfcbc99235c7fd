//! Zones that claim the same packets: a packet has one zone.

use std::collections::{HashMap, HashSet};
use std::fmt;

use ipnet::IpNet;

use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::mac::Mac;
use super::model::{Vlan, Zone, ZoneEntry};
use super::names::InterfaceName;

/// One combination of the keys of a `match` entry.
///
/// The more specific of two claims decides: one with a hardware address first,
/// then prefix length, then whether a VLAN, then whether an interface is given. So two different claims that
/// match one packet never have equal rank, and zones overlap exactly where
/// they make the same claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Source hardware address.
    pub mac: Option<Mac>,
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
    let mut looked_at = HashSet::new();
    let groups = order
        .into_iter()
        .map(|prefix| (by_prefix[&prefix].clone(), prefix));
    groups
        .filter(|(group, _)| group.len() > 1 && looked_at.insert(group.clone()))
        .collect()
}

/// Pairs of entries within a group that make the same claim about `prefix`.
fn equal_claims(
    entries: &[(&Zone, &ZoneEntry)],
    group: &[usize],
    prefix: Option<IpNet>,
) -> Vec<(usize, usize, Claim)> {
    let mut claimed: HashMap<Keys<'_>, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for &index in group {
        for keys in combinations(entries[index].1) {
            let first = *claimed.entry(keys).or_insert(index);
            if first != index {
                let (mac, vlan, interface) = keys;
                let claim = Claim {
                    mac,
                    prefix,
                    vlan,
                    interface: interface.cloned(),
                };
                pairs.push((first, index, claim));
            }
        }
    }
    pairs
}

/// Keys of a claim besides its prefix.
type Keys<'e> = (Option<Mac>, Option<Vlan>, Option<&'e InterfaceName>);

/// Every combination of keys of an entry besides its prefixes.
fn combinations(entry: &ZoneEntry) -> impl Iterator<Item = Keys<'_>> {
    options(&entry.macs).flat_map(move |mac| {
        options(&entry.vlans).flat_map(move |vlan| {
            options_ref(&entry.interfaces).map(move |interface| (mac, vlan, interface))
        })
    })
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
            self.mac.map(|mac| format!("MAC {mac}")),
            self.prefix.map(|prefix| format!("prefix {prefix}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Action;
    use super::super::names::ZoneName;
    use super::super::source::Span;
    use super::*;

    #[test]
    fn zones_overlap_where_they_make_the_same_claim() {
        // Interfaces, VLANs and prefixes of one entry in each of two zones.
        let cases = [
            ("eth1 - -", "eth1 - -", "interface eth1"),
            ("eth1,eth2 - -", "eth3,eth2 - -", "interface eth2"),
            ("eth1 - -", "eth2 - -", ""),
            ("eth1 - -", "eth1 10 -", ""),
            ("- 10 -", "eth1 10 -", ""),
            ("- 10 -", "eth1 - -", ""),
            ("- 10,20 -", "- 20,30 -", "VLAN 20"),
            ("- 10 -", "- 10.20 -", ""),
            ("eth1 10 -", "eth1 10 -", "interface eth1, VLAN 10"),
            ("eth1 10 -", "eth2 10 -", ""),
            ("- - 10.0.0.0/8", "- - 10.0.0.0/8", "prefix 10.0.0.0/8"),
            ("- - 10.0.0.0/8", "- - 10.0.0.0/16", ""),
            ("- - 10.0.0.0/8", "- - fd00::/8", ""),
            ("- - 10.0.0.0/8", "eth1 - 10.0.0.0/8", ""),
            ("eth1 - 10.0.0.0/8", "eth2 - 10.0.0.0/8", ""),
            ("eth1 - 10.0.0.0/8", "eth1 30 10.0.0.0/8", ""),
            (
                "- - 10.0.0.0/8,fd00::/8",
                "- - fd00::/8,10.0.0.0/8",
                "prefix 10.0.0.0/8",
            ),
            (
                "eth1 5 fd00::/8",
                "eth1 5 fd00::/8",
                "interface eth1, VLAN 5, prefix fd00::/8",
            ),
        ];
        for (first, second, want) in cases {
            let zones = [zone("a", &[first]), zone("b", &[second])];
            let got = overlaps(&zones)
                .into_iter()
                .map(|finding| match finding.kind {
                    DiagnosticKind::ZoneOverlap { claim, .. } => claim.to_string(),
                    other => panic!("{first} and {second}: {other}"),
                });
            assert_eq!(
                got.collect::<Vec<_>>().join(";"),
                want,
                "{first} and {second}"
            );
        }
    }

    #[test]
    fn one_zone_may_repeat_itself_with_a_warning() {
        let found = overlaps(&[zone("a", &["eth1 - -", "eth2 - -", "eth2,eth1 - -"])]);
        let got: Vec<String> = found
            .iter()
            .map(|finding| finding.kind.to_string())
            .collect();
        let want = [
            "zone `a` claims interface eth1 twice",
            "zone `a` claims interface eth2 twice",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn the_same_overlaps_are_found_every_time() {
        let prefixes = (0..100).map(|i| format!("10.{i}.0.0/16"));
        let entry = format!("- - {}", prefixes.collect::<Vec<_>>().join(","));
        let zones = [
            zone("a", &[&entry]),
            zone("b", &[&entry, "- - 10.7.0.0/16"]),
            zone("c", &["- - 10.9.0.0/16"]),
        ];
        let first = overlaps(&zones);
        assert_eq!(first.len(), 3);
        for _ in 0..20 {
            assert_eq!(overlaps(&zones), first);
        }
    }

    fn zone(name: &str, entries: &[&str]) -> Zone {
        Zone {
            name: ZoneName::new(name).unwrap(),
            description: None,
            entries: entries.iter().map(|entry| parse(entry)).collect(),
            device: None,
            intra_zone: Action::Allow,
            mode: None,
            essential_off: std::collections::BTreeSet::new(),
            state: Default::default(),
            span: Span::default(),
        }
    }

    fn parse(entry: &str) -> ZoneEntry {
        let mut keys = entry.split(' ').map(|values| {
            values
                .split(',')
                .filter(|value| *value != "-")
                .collect::<Vec<_>>()
        });
        let mut next = || keys.next().unwrap().into_iter();
        ZoneEntry {
            macs: Vec::new(),
            interfaces: next()
                .map(|name| InterfaceName::new(name).unwrap())
                .collect(),
            vlans: next().map(|vlan| vlan.parse().unwrap()).collect(),
            prefixes: next().map(|prefix| prefix.parse().unwrap()).collect(),
            span: Span::default(),
        }
    }
}
