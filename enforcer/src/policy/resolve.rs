//! [`Ast`] to [`Policy`]: names resolved, defaults filled in, limits kept.

use std::collections::HashMap;

use super::ast::{self, Ast, ServiceRef, Spanned};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::kind::NameOf;
use super::model::{
    Action, Conduit, Defaults, Endpoints, Failsafe, Policy, Zone, ZoneEntry, ZoneRef,
};
use super::names::{ZoneName, check_identifier};
use super::read::shown;
use super::render::MAX_RENDERED;
use super::seen::FirstSeen;
use super::service::{self, Service};
use super::source::Span;
use super::suggest;

/// The most zones that a policy may define, devices included.
pub const MAX_ZONES: usize = 1000;
/// The most failsafe entries that a policy may have.
pub const MAX_FAILSAFE: usize = 16;

/// Names that mean something without being defined.
pub(super) const BUILT_IN_ZONES: [&str; 3] = ["self", "unknown", "any"];

/// Resolves a policy; what is wrong is left out and reported.
pub fn resolve(ast: &Ast<'_>, findings: &mut Vec<Diagnostic>) -> Policy {
    let mut resolver = Resolver {
        findings,
        zones: HashMap::new(),
        services: HashMap::new(),
    };
    let mut zones = resolver.define_zones(ast);
    let devices = resolver.define_devices(ast, &zones);
    zones.extend(devices);
    resolver.define_services(ast);
    let failsafe = ast
        .failsafe
        .iter()
        .map(|entry| resolver.failsafe(entry))
        .collect();
    if let Some(first) = ast.failsafe.get(MAX_FAILSAFE) {
        resolver.too_many(
            "failsafe entries",
            ast.failsafe.len(),
            MAX_FAILSAFE,
            first.span,
        );
    }
    Policy {
        name: ast.name.unwrap_or_default().to_owned(),
        defaults: Defaults {
            mode: ast.mode.unwrap_or_default(),
            self_out: ast.self_out.unwrap_or(Action::Allow),
        },
        interfaces: ast.interfaces.iter().cloned().collect(),
        zones,
        failsafe,
        conduits: resolver.conduits(ast),
        limits: ast.limits,
    }
}

pub(super) struct Resolver<'n, 'f> {
    pub(super) findings: &'f mut Vec<Diagnostic>,
    /// Every name of a zone or device; `None` when there is something wrong with
    /// it.
    pub(super) zones: HashMap<&'n str, Option<usize>>,
    services: HashMap<&'n str, &'n [Service]>,
}

impl<'n> Resolver<'n, '_> {
    fn define_zones(&mut self, ast: &Ast<'n>) -> Vec<Zone> {
        let mut zones = Vec::with_capacity(ast.zones.len());
        for zone in &ast.zones {
            let index = zones.len();
            let resolved = self.zone(zone, ast.intra_zone);
            self.zones
                .insert(zone.name.value, resolved.is_some().then_some(index));
            zones.extend(resolved);
        }
        if let Some(span) = ast.no_zones {
            self.report(DiagnosticKind::NoZones, span);
        }
        if let Some(first) = ast.zones.get(MAX_ZONES) {
            self.too_many("zones", ast.zones.len(), MAX_ZONES, first.name.span);
        }
        zones
    }

    fn zone(&mut self, zone: &ast::Zone<'n>, default: Option<Action>) -> Option<Zone> {
        let Spanned { value: name, span } = zone.name;
        if BUILT_IN_ZONES.contains(&name) {
            self.report(
                DiagnosticKind::ReservedZone {
                    name: name.to_owned(),
                },
                span,
            );
            return None;
        }
        let entries = zone.entries.iter().map(|entry| ZoneEntry {
            interfaces: entry.interfaces.clone(),
            vlans: entry.vlans.clone(),
            macs: entry.macs.clone(),
            prefixes: entry.prefixes.clone(),
            span: entry.span,
        });
        match ZoneName::new(name) {
            Ok(name) => Some(Zone {
                name,
                description: zone.description.map(str::to_owned),
                entries: entries.collect(),
                device: None,
                intra_zone: zone.intra_zone.or(default).unwrap_or(Action::Allow),
                mode: zone.mode,
                essential_off: zone.essential_off.iter().copied().collect(),
                state: zone.state.unwrap_or_default(),
                span,
            }),
            Err(error) => {
                let (name, of) = (shown(name), NameOf::Zone);
                self.report(DiagnosticKind::InvalidName { name, of, error }, span);
                None
            }
        }
    }

    fn define_services(&mut self, ast: &'n Ast<'n>) {
        for service in &ast.services {
            let Spanned { value: name, span } = service.name;
            self.services.insert(name, &service.services);
            if service::is_literal(name) {
                self.report(DiagnosticKind::ReservedService { name: shown(name) }, span);
            } else if let Err(error) = check_identifier(name) {
                let (name, of) = (shown(name), NameOf::Service);
                self.report(DiagnosticKind::InvalidName { name, of, error }, span);
            }
        }
    }

    fn failsafe(&mut self, failsafe: &ast::Failsafe<'_>) -> Failsafe {
        let services = self.services(&failsafe.services);
        if services
            .iter()
            .any(|service| matches!(service, Service::Ethernet(_)))
        {
            self.report(DiagnosticKind::FrameFailsafe, failsafe.span);
        }
        Failsafe {
            from: failsafe.from,
            services,
            interface: failsafe.interface.clone(),
            span: failsafe.span,
        }
    }

    fn conduits(&mut self, ast: &Ast<'_>) -> Vec<Conduit> {
        let mut ids = FirstSeen::new();
        let mut conduits = Vec::with_capacity(ast.conduits.len());
        for conduit in &ast.conduits {
            if let Some(Spanned { value: id, span }) = &conduit.id
                && let Some(first) = ids.insert(id, *span)
            {
                let kind = DiagnosticKind::DuplicateConduit { id: id.clone() };
                self.findings
                    .push(Diagnostic::new(kind, *span).with_related(first));
            }
            conduits.extend(self.conduit(conduit));
        }
        conduits
    }

    fn conduit(&mut self, conduit: &ast::Conduit<'_>) -> Option<Conduit> {
        let from = self.endpoints(&conduit.from);
        let to = self.endpoints(&conduit.to);
        let services = self.services(&conduit.services);
        let self_in = |side: &[Spanned<&str>]| {
            side.iter()
                .find(|name| name.value == "self")
                .map(|name| name.span)
        };
        if let (Some(first), Some(second)) = (self_in(&conduit.from), self_in(&conduit.to)) {
            let finding = Diagnostic::new(DiagnosticKind::SelfToSelf, second);
            self.findings.push(finding.with_related(first));
        }
        Some(Conduit {
            id: conduit.id.as_ref()?.value.clone(),
            from,
            to,
            services,
            action: conduit.action.unwrap_or(Action::Allow),
            priority: conduit.priority.unwrap_or(0),
            mode: conduit.mode,
            rate: conduit.rate,
            log: conduit.log,
            reason: conduit.reason.map(str::to_owned),
            owner: conduit.owner.map(str::to_owned),
            span: conduit.span,
        })
    }

    fn endpoints(&mut self, names: &[Spanned<&str>]) -> Endpoints {
        let mut endpoints = Endpoints::default();
        for &Spanned { value: name, span } in names {
            match (name, self.zones.get(name)) {
                ("any", _) => endpoints.any = true,
                ("self", _) => endpoints.zones.push(ZoneRef::SelfZone),
                ("unknown", _) => endpoints.zones.push(ZoneRef::Unknown),
                (_, Some(index)) => endpoints.zones.extend(index.map(ZoneRef::Zone)),
                (_, None) => {
                    let known = self.zones.keys().copied().chain(BUILT_IN_ZONES);
                    let nearest = self.nearest(name, known);
                    let name = shown(name);
                    self.report(DiagnosticKind::UnknownZone { name, nearest }, span);
                }
            }
        }
        endpoints
    }

    /// All services named, each once, in the order of the file.
    fn services(&mut self, refs: &[Spanned<ServiceRef<'_>>]) -> Vec<Service> {
        let mut seen = FirstSeen::new();
        let mut services = Vec::with_capacity(refs.len());
        for found in refs {
            let named = match &found.value {
                ServiceRef::Literal(literal) => literal.services(),
                ServiceRef::Name(name) => match self.services.get(name) {
                    Some(named) => named,
                    None => {
                        let nearest = self.nearest(name, self.services.keys().copied());
                        let name = shown(name);
                        self.report(DiagnosticKind::UnknownService { name, nearest }, found.span);
                        continue;
                    }
                },
            };
            let new = |service: &&Service| seen.insert(**service, found.span).is_none();
            services.extend(named.iter().filter(new));
        }
        services
    }

    /// The name that was meant; not asked for any more once there are more
    /// findings than are shown, because it compares with every name.
    pub(super) fn nearest<'c>(
        &self,
        name: &str,
        known: impl Iterator<Item = &'c str>,
    ) -> Option<String> {
        if self.findings.len() > MAX_RENDERED {
            return None;
        }
        suggest::nearest(name, known).map(str::to_owned)
    }

    pub(super) fn too_many(&mut self, what: &'static str, found: usize, limit: usize, span: Span) {
        self.report(DiagnosticKind::TooMany { what, found, limit }, span);
    }

    pub(super) fn report(&mut self, kind: DiagnosticKind, span: Span) {
        self.findings.push(Diagnostic::new(kind, span));
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Hook;
    use super::super::source::Source;
    use super::*;

    const POLICY: &str = "
version: 1
defaults: { intra_zone: drop, self_out: drop }
interfaces: { eth3: { hook: xdp-generic }, eth4: }
zones:
  office: { match: [{ interface: eth1, vlan: [10, 100.20] }, { prefix: 10.0.0.0/8 }] }
  plant:  { match: { interface: eth2 }, intra_zone: allow }
services:
  web: [tcp/80, ping, tcp/443]
failsafe:
  - { from: 192.0.2.1/32, service: [web, tcp/22], interface: eth1 }
conduits:
  - { id: C-1, from: [any, self], to: [plant, unknown], services: [icmp/8, web], priority: -7 }
  - { id: C-2, from: plant, to: office, services: any, action: drop, owner: 42, reason: why }
";

    #[test]
    fn names_and_defaults_are_filled_in() {
        let policy = parse(POLICY);
        assert_eq!(policy.name, "unnamed");
        assert_eq!(policy.defaults.self_out, Action::Drop);
        let hooks: Vec<_> = policy.interfaces.values().collect();
        assert_eq!(hooks, [&Some(Hook::XdpGeneric), &None]);

        let [office, plant] = &policy.zones[..] else {
            panic!("{:?}", policy.zones)
        };
        assert_eq!(
            (office.intra_zone, plant.intra_zone),
            (Action::Drop, Action::Allow)
        );
        assert_eq!(office.entries.len(), 2);
        let vlans: Vec<String> = office.entries[0]
            .vlans
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(vlans, ["10", "100.20"]);

        assert_eq!(
            text(&policy.failsafe[0].services),
            "tcp/80 icmp/8 icmpv6/128 tcp/443 tcp/22"
        );
    }

    #[test]
    fn conduits_are_resolved_in_order() {
        let policy = parse(POLICY);
        let [first, second] = &policy.conduits[..] else {
            panic!("{:?}", policy.conduits)
        };
        assert_eq!(
            first.from,
            Endpoints {
                any: true,
                zones: vec![ZoneRef::SelfZone]
            }
        );
        assert_eq!(first.to.zones, [ZoneRef::Zone(1), ZoneRef::Unknown]);
        assert_eq!(text(&first.services), "icmp/8 tcp/80 icmpv6/128 tcp/443");
        assert_eq!((first.action, first.priority), (Action::Allow, -7));
        assert_eq!(
            second.from,
            Endpoints {
                any: false,
                zones: vec![ZoneRef::Zone(1)]
            }
        );
        assert_eq!((second.action, second.priority), (Action::Drop, 0));
        assert_eq!(
            (second.owner.as_deref(), second.reason.as_deref()),
            (Some("42"), Some("why"))
        );
        assert_eq!(
            &POLICY[second.span.start..second.span.start + 9],
            "{ id: C-2"
        );
    }

    #[test]
    fn limits_are_kept() {
        let zones = |count: usize| {
            let zone = |i| format!("  z{i}: {{ match: {{ interface: eth{i} }} }}\n");
            let zones: String = (0..count).map(zone).collect();
            format!(
                "version: 1\nzones:\n{zones}conduits: [{{ id: C, from: any, to: z0, services: any }}]"
            )
        };
        let cases = [
            (MAX_ZONES, None),
            (MAX_ZONES + 1, Some("1001 zones: at most 1000 are allowed")),
        ];
        for (count, want) in cases {
            let found = super::super::parse(&Source::from_text("p", zones(count))).err();
            let got =
                found.map(|found| found.iter().map(|f| f.kind.to_string()).collect::<Vec<_>>());
            assert_eq!(got, want.map(|want| vec![want.to_owned()]), "{count}");
        }
    }

    fn parse(text: &str) -> Policy {
        let (policy, findings) =
            super::super::parse(&Source::from_text("unnamed.yaml", text)).unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        policy
    }

    fn text(services: &[Service]) -> String {
        services
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
