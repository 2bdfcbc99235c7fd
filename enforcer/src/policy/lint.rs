//! Warnings: what is valid but hardly meant.

use std::collections::HashSet;

use super::ast::{Ast, ServiceRef};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::Zone;

/// Failsafe entries that any interface may use.
pub fn failsafe(ast: &Ast<'_>) -> impl Iterator<Item = Diagnostic> {
    let open = ast
        .failsafe
        .iter()
        .filter(|entry| entry.interface.is_none());
    open.map(|entry| Diagnostic::new(DiagnosticKind::FailsafeEverywhere, entry.span))
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
        let unused = zones
            .iter()
            .filter(|zone| !named.contains(zone.name.as_str()));
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
