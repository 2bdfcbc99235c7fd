//! Warnings: what is valid but hardly meant.

use std::collections::HashSet;

use super::ast::{Ast, ServiceRef};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::{Action, Endpoints, Policy, Zone, ZoneRef};
use super::service::{IcmpFamily, Service};

/// Failsafe entries that any interface may use.
pub fn failsafe(ast: &Ast<'_>) -> impl Iterator<Item = Diagnostic> {
    let open = ast
        .failsafe
        .iter()
        .filter(|entry| entry.interface.is_none());
    open.map(|entry| Diagnostic::new(DiagnosticKind::FailsafeEverywhere, entry.span))
}

/// Conduits from one zone to another that allow redirects by their type.
pub fn redirects(policy: &Policy) -> impl Iterator<Item = Diagnostic> {
    let moot = policy.conduits.iter().filter(|conduit| {
        let mut services = conduit.services.iter();
        conduit.action == Action::Allow
            && joins_zones(policy, &conduit.from, &conduit.to)
            && services.any(|service| {
                matches!(
                    service,
                    Service::Icmp(IcmpFamily::V4, Some(5), _)
                        | Service::Icmp(IcmpFamily::V6, Some(137), _)
                )
            })
    });
    moot.map(|conduit| {
        let id = conduit.id.clone();
        Diagnostic::new(DiagnosticKind::Redirect { id }, conduit.span)
    })
}

/// Whether some zone is joined to another, neither being the router.
fn joins_zones(policy: &Policy, from: &Endpoints, to: &Endpoints) -> bool {
    let others = |side: &Endpoints| -> Vec<ZoneRef> {
        let zones = side.zones.iter().map(|zone| policy.home(*zone));
        zones.filter(|zone| *zone != ZoneRef::SelfZone).collect()
    };
    let (from_zones, to_zones) = (others(from), others(to));
    match (from.any, to.any) {
        (true, true) => true,
        (true, false) => !to_zones.is_empty(),
        (false, true) => !from_zones.is_empty(),
        (false, false) => from_zones
            .iter()
            .any(|from| to_zones.iter().any(|to| from != to)),
    }
}

/// Zones and services that nothing names.
///
/// To be asked only about a policy without errors: a mistyped name would make
/// the right one look unused.
pub fn unused(ast: &Ast<'_>, zones: &[Zone]) -> Vec<Diagnostic> {
    let sides = ast
        .conduits
        .iter()
        .flat_map(|conduit| conduit.from.iter().chain(&conduit.to));
    let named: HashSet<&str> = sides.map(|name| name.value).collect();
    let mut findings = Vec::new();
    if !named.contains("any") {
        // What names a device names a member of its zone.
        let is_named = |zone: &Zone| named.contains(zone.name.as_str());
        let devices = zones.iter().filter(|zone| is_named(zone));
        let homes = devices.filter_map(|zone| Some(zone.device.as_ref()?.zone));
        let homes: HashSet<usize> = homes.collect();
        let unused = zones.iter().enumerate().filter(|(index, zone)| {
            zone.device.is_none() && !is_named(zone) && !homes.contains(index)
        });
        let unused = unused.map(|(_, zone)| zone);
        findings.extend(unused.map(|zone| {
            Diagnostic::new(
                DiagnosticKind::UnusedZone {
                    zone: zone.name.clone(),
                },
                zone.span,
            )
        }));
    }
    let in_conduits = ast.conduits.iter().flat_map(|conduit| &conduit.services);
    let in_failsafe = ast.failsafe.iter().flat_map(|entry| &entry.services);
    let used: HashSet<&str> = in_conduits
        .chain(in_failsafe)
        .filter_map(|found| match found.value {
            ServiceRef::Name(name) => Some(name),
            ServiceRef::Literal(_) => None,
        })
        .collect();
    let unused = ast
        .services
        .iter()
        .filter(|service| !used.contains(service.name.value));
    findings.extend(unused.map(|service| {
        let name = service.name.value.to_owned();
        Diagnostic::new(DiagnosticKind::UnusedService { name }, service.name.span)
    }));
    findings
}
