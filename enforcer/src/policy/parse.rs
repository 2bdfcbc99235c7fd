//! Source to [`Ast`]: which keys there are, and what their values look like.

use super::ast::{Ast, Conduit, Entry, Failsafe, NamedService, ServiceRef, Spanned, Zone};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::model::Hook;
use super::names::InterfaceName;
use super::read::{Fields, Reader, Section, shown};
use super::yaml::{Key, Node};

/// The longest `name` of a policy, in characters.
const MAX_POLICY_NAME: usize = 63;

const POLICY: Section = Section {
    name: "the policy",
    expected: "a policy: a mapping that starts with `version: 1`",
    keys: &[
        "version",
        "name",
        "defaults",
        "interfaces",
        "zones",
        "devices",
        "services",
        "failsafe",
        "conduits",
        "limits",
    ],
    may_be_null: false,
};
const DEFAULTS: Section = Section {
    name: "`defaults`",
    expected: "a mapping such as `{ intra_zone: drop }`",
    keys: &["mode", "intra_zone", "self_out"],
    may_be_null: true,
};
const INTERFACE: Section = Section {
    name: "an interface",
    expected: "a mapping such as `{ hook: xdp }`",
    keys: &["hook"],
    may_be_null: true,
};
const ZONE: Section = Section {
    name: "a zone",
    expected: "a mapping such as `{ match: [{ interface: eth1 }] }`",
    keys: &[
        "description",
        "match",
        "intra_zone",
        "mode",
        "essential_off",
        "state",
    ],
    may_be_null: true,
};
const ENTRY: Section = Section {
    name: "a `match` entry",
    expected: "a mapping such as `{ interface: eth1, prefix: 10.0.10.0/24 }`",
    keys: &["interface", "vlan", "mac", "prefix"],
    may_be_null: false,
};
const FAILSAFE: Section = Section {
    name: "a failsafe entry",
    expected: "a mapping such as `{ from: 10.0.10.5/32, service: tcp/22, interface: eth1 }`",
    keys: &["from", "service", "interface"],
    may_be_null: false,
};
const CONDUIT: Section = Section {
    name: "a conduit",
    expected: "a mapping such as `{ id: C-010, from: office, to: plant, services: [tcp/443] }`",
    keys: &[
        "id",
        "from",
        "to",
        "services",
        "action",
        "priority",
        "reason",
        "owner",
        "description",
        "mode",
        "rate",
        "log",
    ],
    may_be_null: false,
};

/// Reads the tree of a policy file; what is wrong is left out and reported.
pub fn parse<'n>(root: &'n Node<'n>, findings: &mut Vec<Diagnostic>) -> Option<Ast<'n>> {
    let mut reader = Reader::default();
    let ast = reader.policy(root);
    findings.append(&mut reader.findings);
    ast
}

impl Reader {
    fn policy<'n>(&mut self, root: &'n Node<'n>) -> Option<Ast<'n>> {
        let fields = self.fields(root, &POLICY)?;
        self.version(&fields);
        let mut ast = Ast {
            name: fields
                .get("name")
                .and_then(|node| self.text(node, MAX_POLICY_NAME)),
            ..Ast::default()
        };
        if let Some(node) = fields.get("defaults") {
            self.defaults(node, &mut ast);
        }
        let expected = "a mapping from interface names to `{ hook: … }`";
        for (key, node) in self.named(fields.get("interfaces"), expected) {
            ast.interfaces.extend(self.interface(key, node));
        }
        let expected = "a mapping from zone names to `{ match: … }`";
        let zones = self.required(&fields, "zones", fields.span);
        for (key, node) in self.named(zones, expected) {
            ast.zones.push(self.zone(key, node));
        }
        ast.no_zones = zones.filter(|node| node.is_empty()).map(|node| node.span);
        let expected = "a mapping from device names to `{ zone: …, ip: … }`";
        for (key, node) in self.named(fields.get("devices"), expected) {
            ast.devices.extend(self.device(key, node));
        }
        let expected = "a mapping from service names to lists such as `[tcp/443]`";
        for (key, node) in self.named(fields.get("services"), expected) {
            ast.services.push(self.named_service(key, node));
        }
        let expected = "a list of failsafe entries, each after a `-`";
        for node in self.sequence(fields.get("failsafe"), expected) {
            ast.failsafe.extend(self.failsafe(node));
        }
        let expected = "a list of conduits, each after a `-`";
        for node in self.sequence(fields.get("conduits"), expected) {
            ast.conduits.extend(self.conduit(node));
        }
        if let Some(node) = fields.get("limits") {
            ast.limits = self.limits(node);
        }
        Some(ast)
    }

    fn version(&mut self, fields: &Fields<'_>) {
        let Some(node) = self.required(fields, "version", fields.span) else {
            return;
        };
        if let Some(text) = self.scalar(node, "`1`")
            && text != "1"
        {
            self.report(
                DiagnosticKind::UnknownVersion { found: shown(text) },
                node.span,
            );
        }
    }

    fn defaults(&mut self, node: &Node<'_>, ast: &mut Ast<'_>) {
        let Some(fields) = self.fields(node, &DEFAULTS) else {
            return;
        };
        ast.mode = self.mode(&fields);
        ast.intra_zone = self.allow_or_drop(&fields, "intra_zone");
        ast.self_out = self.allow_or_drop(&fields, "self_out");
    }

    fn interface(
        &mut self,
        key: &Key<'_>,
        node: &Node<'_>,
    ) -> Option<(InterfaceName, Option<Hook>)> {
        let name = self.interface_name(&key.text, key.span);
        let fields = self.fields(node, &INTERFACE)?;
        let hook = self.hook(&fields);
        Some((name?, hook))
    }

    fn zone<'n>(&mut self, key: &'n Key<'n>, node: &'n Node<'n>) -> Zone<'n> {
        let name = Spanned {
            value: &*key.text,
            span: key.span,
        };
        let mut zone = Zone {
            name,
            description: None,
            entries: Vec::new(),
            intra_zone: None,
            mode: None,
            essential_off: Vec::new(),
            state: None,
        };
        let Some(fields) = self.fields(node, &ZONE) else {
            return zone;
        };
        zone.mode = self.mode(&fields);
        zone.state = self.state(&fields);
        zone.intra_zone = self.allow_or_drop(&fields, "intra_zone");
        if let Some(node) = fields.get("essential_off") {
            let found = self.values(node, "essential_off", Self::essential);
            zone.essential_off = found.into_iter().map(|found| found.value).collect();
        }
        zone.description = self.optional_text(&fields, "description");
        if let Some(node) = self.required(&fields, "match", key.span) {
            let entries = self.one_or_more(node, "match").iter();
            zone.entries = entries.filter_map(|entry| self.entry(entry)).collect();
        }
        zone
    }

    /// One `match` entry, unless anything is wrong with it: an entry that lost
    /// a key would match more than was meant.
    fn entry<'n>(&mut self, node: &'n Node<'n>) -> Option<Entry> {
        let before = self.findings.len();
        let fields = self.fields(node, &ENTRY)?;
        let mut entry = Entry {
            interfaces: Vec::new(),
            vlans: Vec::new(),
            macs: Vec::new(),
            prefixes: Vec::new(),
            span: node.span,
        };
        if let Some(node) = fields.get("interface") {
            let found = self.values(node, "interface", Self::interface_value);
            entry.interfaces = found.into_iter().map(|found| found.value).collect();
        }
        if let Some(node) = fields.get("vlan") {
            let found = self.values(node, "vlan", Self::vlan);
            entry.vlans = found.into_iter().map(|found| found.value).collect();
        }
        if let Some(node) = fields.get("mac") {
            let found = self.values(node, "mac", Self::mac);
            entry.macs = found.into_iter().map(|found| found.value).collect();
        }
        if let Some(node) = fields.get("prefix") {
            let found = self.values(node, "prefix", Self::prefix);
            entry.prefixes = found.into_iter().map(|found| found.value).collect();
        }
        let empty = ENTRY.keys.iter().all(|key| fields.get(key).is_none());
        if empty && self.findings.len() == before {
            self.report(DiagnosticKind::EmptyEntry, node.span);
        }
        (self.findings.len() == before).then_some(entry)
    }

    fn named_service<'n>(&mut self, key: &'n Key<'n>, node: &'n Node<'n>) -> NamedService<'n> {
        let literals = self.values(node, "services", |reader, node| {
            match reader.service(node)? {
                ServiceRef::Literal(literal) => Some(literal),
                ServiceRef::Name(name) => {
                    let name = shown(name);
                    reader.report(DiagnosticKind::NestedService { name }, node.span);
                    None
                }
            }
        });
        NamedService {
            name: Spanned {
                value: &key.text,
                span: key.span,
            },
            services: literals
                .into_iter()
                .flat_map(|literal| literal.value.services().to_vec())
                .collect(),
        }
    }

    /// One failsafe entry, unless anything is wrong with it.
    fn failsafe<'n>(&mut self, node: &'n Node<'n>) -> Option<Failsafe<'n>> {
        let before = self.findings.len();
        let fields = self.fields(node, &FAILSAFE)?;
        let from = self
            .required(&fields, "from", fields.span)
            .and_then(|node| self.prefix(node));
        let services = match self.required(&fields, "service", fields.span) {
            Some(node) => self.values(node, "service", Self::service),
            None => Vec::new(),
        };
        let interface = fields
            .get("interface")
            .and_then(|node| self.interface_value(node));
        let failsafe = Failsafe {
            from: from?,
            services,
            interface,
            span: node.span,
        };
        (self.findings.len() == before).then_some(failsafe)
    }

    fn conduit<'n>(&mut self, node: &'n Node<'n>) -> Option<Conduit<'n>> {
        let fields = self.fields(node, &CONDUIT)?;
        let id = self.required(&fields, "id", fields.span);
        let from = self.required(&fields, "from", fields.span);
        let to = self.required(&fields, "to", fields.span);
        let services = self.required(&fields, "services", fields.span);
        let action = self.action(&fields);
        self.optional_text(&fields, "description");
        Some(Conduit {
            id: id.and_then(|node| self.conduit_id(node)),
            from: from
                .map(|node| self.zone_names(node, "from"))
                .unwrap_or_default(),
            to: to
                .map(|node| self.zone_names(node, "to"))
                .unwrap_or_default(),
            services: services
                .map(|node| self.values(node, "services", Self::service))
                .unwrap_or_default(),
            action,
            priority: self.priority(&fields),
            mode: self.mode(&fields),
            rate: self.rate(&fields, action),
            log: self.log(&fields),
            reason: self.optional_text(&fields, "reason"),
            owner: self.optional_text(&fields, "owner"),
            span: node.span,
        })
    }

    fn zone_names<'n>(&mut self, node: &'n Node<'n>, key: &'static str) -> Vec<Spanned<&'n str>> {
        self.values(node, key, |reader, node| reader.scalar(node, "a zone name"))
    }
}
