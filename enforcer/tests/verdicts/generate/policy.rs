//! Random policies, as the text that an operator would write.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::IpNet;

use super::Rng;
use super::addresses::prefix;
use super::devices::devices;
use super::terms::{self, mode};

const ZONES: [&str; 7] = ["office", "plant", "cameras", "dmz", "guests", "wan", "mgmt"];
const INTERFACES: [&str; 4] = ["lan0", "lan1", "lan2", "wan0"];
/// Outer tags, and pairs of outer and inner ones.
const VLANS: [&str; 6] = ["10", "20", "4094", "10.20", "20.10", "10.10"];
/// Hardware addresses of stations.
pub const MACS: [&str; 5] = [
    "02:00:00:00:00:09",
    "02:00:00:00:00:0a",
    "02:00:00:00:01:09",
    "0a:0b:0c:0d:0e:0f",
    "fe:ff:ff:ff:ff:ff",
];
const PROTOCOLS: [u8; 12] = [0, 1, 2, 4, 6, 17, 41, 47, 50, 58, 132, 255];
const ICMP: [&str; 19] = [
    "ping",
    "icmp",
    "icmp/8",
    "icmp/0",
    "icmp/3",
    "icmp/3/4",
    "icmp/5",
    "icmp/11/0",
    "icmp/13",
    "icmpv6",
    "icmpv6/128",
    "icmpv6/129",
    "icmpv6/1",
    "icmpv6/2/0",
    "icmpv6/127",
    "icmpv6/130",
    "icmpv6/135",
    "icmpv6/137",
    "icmpv6/255/255",
];
const PORTS: [u16; 12] = [1, 22, 53, 67, 80, 255, 256, 443, 502, 1024, 5000, 65535];

/// A policy that can be written and changed.
pub struct Draft {
    parts: Parts,
    defaults: String,
    /// The `match` entries of each zone, and the rest of its keys.
    zones: Vec<(String, String)>,
    devices: Vec<String>,
    services: Vec<String>,
    failsafes: Vec<String>,
    conduits: Vec<String>,
    /// Number of the next conduit.
    next: usize,
}

/// What zones, conduits and failsafe entries of one policy are made of.
struct Parts {
    zones: Vec<&'static str>,
    prefixes: Vec<IpNet>,
    services: Vec<String>,
    named_services: Vec<String>,
    /// Prefix, hardware address, VLAN and interface, and the zone that claims
    /// them.
    claims: BTreeMap<[String; 4], usize>,
    /// Whether zones are told apart by hardware addresses, too.
    has_macs: bool,
    /// Whether zones turn essential protocols off.
    turns_off: bool,
    /// Whether zones are loose.
    has_loose: bool,
    /// The names of devices, and whether they have addresses.
    devices: Vec<(&'static str, bool)>,
}

impl Draft {
    /// A policy that is nearly always valid.
    pub fn new(rng: &mut Rng) -> Self {
        let mut parts = Parts::new(rng);
        let defaults = match rng.percent(60) {
            true => {
                let (inside, out) = (action(rng), action(rng));
                let mode = rng.pick(&["", "", "", ", mode: enforce", ", mode: audit"]);
                format!("defaults: {{ intra_zone: {inside}, self_out: {out}{mode} }}")
            }
            false => String::new(),
        };
        let zones = (0..parts.zones.len())
            .map(|index| parts.zone(rng, index))
            .collect();
        let devices = devices(rng, parts.zones.len(), &parts.claims);
        parts.devices = devices
            .iter()
            .map(|device| (device.name, device.has_address))
            .collect();
        let devices = devices
            .iter()
            .map(|device| device.text(&parts.zones))
            .collect();
        let services = parts
            .named_services
            .iter()
            .map(|name| format!("{name}: {}", list(&rng.some(&parts.services, 3))))
            .collect();
        let failsafes = rng.pick(&[0, 0, 1, 2, 3, 16]);
        let failsafes = (0..failsafes).map(|_| parts.failsafe(rng)).collect();
        let mut draft = Self {
            parts,
            defaults,
            zones,
            devices,
            services,
            failsafes,
            conduits: Vec::new(),
            next: 0,
        };
        for _ in 0..rng.below(14) {
            draft.add_conduit(rng);
        }
        draft
    }

    /// Changes a little, as an operator would from day to day.
    pub fn change(&mut self, rng: &mut Rng) {
        let conduit = (!self.conduits.is_empty()).then(|| rng.below(self.conduits.len()));
        match (rng.below(7), conduit) {
            (0, Some(conduit)) => drop(self.conduits.remove(conduit)),
            (1, Some(conduit)) => {
                let text = &mut self.conduits[conduit];
                match text.contains(", action: drop") {
                    true => *text = text.replace(", action: drop", ""),
                    false => text.push_str(", action: drop"),
                }
            }
            (2, Some(_)) => self.conduits.reverse(),
            (3, _) => {
                // The members of two zones change places.
                let (a, b) = (rng.below(self.zones.len()), rng.below(self.zones.len()));
                let entries = self.zones[a].0.clone();
                self.zones[a].0 = std::mem::replace(&mut self.zones[b].0, entries);
            }
            (4, _) => {
                let zone = rng.below(self.zones.len());
                let off = terms::essential_off(rng);
                self.zones[zone].1 = format!(", intra_zone: {}{}{off}", action(rng), mode(rng));
            }
            _ => self.add_conduit(rng),
        }
    }

    /// The policy as an operator would write it.
    pub fn text(&self) -> String {
        let mut text = format!("version: 1\n{}\nzones:\n", self.defaults);
        for (name, (entries, rest)) in self.parts.zones.iter().zip(&self.zones) {
            line(
                &mut text,
                &format!("  {name}: {{ match: [{entries}]{rest} }}"),
            );
        }
        section(&mut text, "devices", &self.devices);
        section(&mut text, "services", &self.services);
        let items = |items: &[String]| {
            items
                .iter()
                .map(|item| format!("- {{ {item} }}"))
                .collect::<Vec<_>>()
        };
        section(&mut text, "failsafe", &items(&self.failsafes));
        section(&mut text, "conduits", &items(&self.conduits));
        text
    }

    fn add_conduit(&mut self, rng: &mut Rng) {
        let conduit = format!("id: C-{:03}, {}", self.next, self.parts.conduit(rng));
        let place = rng.below(self.conduits.len() + 1);
        self.conduits.insert(place, conduit);
        self.next += 1;
    }
}

impl Parts {
    fn new(rng: &mut Rng) -> Self {
        let count = 1 + rng.below(6);
        let first = rng.below(ZONES.len());
        let prefixes = (0..3 + rng.below(8)).map(|_| prefix(rng)).collect();
        let mut services: Vec<String> = (0..2 + rng.below(8)).map(|_| service(rng)).collect();
        services.sort();
        services.dedup();
        Self {
            zones: ZONES.into_iter().cycle().skip(first).take(count).collect(),
            prefixes,
            services,
            named_services: (0..rng.below(3))
                .map(|index| format!("named{index}"))
                .collect(),
            claims: BTreeMap::new(),
            has_macs: rng.percent(40),
            turns_off: rng.percent(30),
            has_loose: rng.percent(50),
            devices: Vec::new(),
        }
    }

    /// The `match` entries of the zone with this index, and the rest.
    fn zone(&mut self, rng: &mut Rng, index: usize) -> (String, String) {
        let entries: Vec<String> = (0..1 + rng.below(3))
            .filter_map(|_| self.entry(rng, index))
            .collect();
        let entries = match entries.is_empty() {
            // Nobody else can claim that.
            true => format!("{{ vlan: {} }}", 100 + index),
            false => entries.join(", "),
        };
        let mut rest = match rng.percent(40) {
            true => format!(", intra_zone: {}{}", action(rng), mode(rng)),
            false => mode(rng).to_owned(),
        };
        if self.has_loose && rng.percent(60) {
            rest.push_str(", state: loose");
        }
        if self.turns_off {
            rest.push_str(&terms::essential_off(rng));
        }
        (entries, rest)
    }

    /// A `match` entry for the zone with this index, unless another zone has
    /// claimed the same.
    fn entry(&mut self, rng: &mut Rng, zone: usize) -> Option<String> {
        let shape = 1 + rng.below(7);
        let names = |present, names: Vec<String>| if present { names } else { Vec::new() };
        let texts = |all: &[&str]| {
            all.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let interfaces = names(shape & 1 != 0, rng.some(&texts(&INTERFACES), 2));
        let vlans = names(shape & 2 != 0, rng.some(&texts(&VLANS), 2));
        let prefixes: Vec<String> = self.prefixes.iter().map(IpNet::to_string).collect();
        let prefixes = names(shape & 4 != 0, rng.some(&prefixes, 3));
        let macs = names(self.has_macs && rng.percent(50), rng.some(&texts(&MACS), 2));
        let absent = [String::new()];
        let each = |values: &[String]| match values {
            [] => absent.to_vec(),
            values => values.to_vec(),
        };
        let mut claims = Vec::new();
        for prefix in each(&prefixes) {
            for vlan in each(&vlans) {
                for interface in each(&interfaces) {
                    let with_mac = |mac| [prefix.clone(), mac, vlan.clone(), interface.clone()];
                    claims.extend(each(&macs).into_iter().map(with_mac));
                }
            }
        }
        let taken = |claim| self.claims.get(claim).is_some_and(|owner| *owner != zone);
        if claims.iter().any(taken) {
            return None;
        }
        self.claims
            .extend(claims.into_iter().map(|claim| (claim, zone)));
        let keys = [
            ("interface", interfaces),
            ("vlan", vlans),
            ("mac", macs),
            ("prefix", prefixes),
        ];
        let keys: Vec<String> = keys
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(key, values)| format!("{key}: {}", list(values)))
            .collect();
        Some(format!("{{ {} }}", keys.join(", ")))
    }

    fn failsafe(&self, rng: &mut Rng) -> String {
        let from = rng.pick(&self.prefixes);
        let services = list(&rng.some(&self.services_and_names(), 2));
        match rng.percent(50) {
            true => {
                let interface = rng.pick(&INTERFACES);
                format!("from: \"{from}\", service: {services}, interface: {interface}")
            }
            false => format!("from: \"{from}\", service: {services}"),
        }
    }

    fn conduit(&self, rng: &mut Rng) -> String {
        let mut names = self.zones.clone();
        names.extend(["any", "unknown"]);
        names.extend(self.devices.iter().map(|(name, _)| name));
        let from = if rng.percent(10) {
            vec!["self"]
        } else {
            rng.some(&names, 3)
        };
        if from != ["self"] {
            names.extend(["self", "self"]);
        }
        let unreachable = |name: &&str| self.devices.contains(&(name, false));
        names.retain(|name| !unreachable(name));
        let to = rng.some(&names, 3);
        let services = match rng.percent(25) {
            true => "any".to_owned(),
            false => list(&rng.some(&self.services_and_names(), 4)),
        };
        let texts = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (from, to) = (list(&texts(from)), list(&texts(to)));
        let mut conduit = format!("from: {from}, to: {to}, services: {services}");
        conduit.push_str(&terms::keys(rng));
        conduit
    }

    fn services_and_names(&self) -> Vec<String> {
        [self.services.clone(), self.named_services.clone()].concat()
    }
}

fn service(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..=5 => {
            let transport = rng.pick(&["tcp", "tcp", "udp", "udp", "sctp"]);
            let (a, b) = (rng.pick(&PORTS), rng.pick(&PORTS));
            match rng.percent(50) {
                false if a != b => format!("{transport}/{}-{}", a.min(b), a.max(b)),
                _ => format!("{transport}/{a}"),
            }
        }
        6..=8 => rng.pick(&ICMP).to_owned(),
        _ if rng.percent(10) => "any".to_owned(),
        _ => format!("proto/{}", rng.pick(&PROTOCOLS)),
    }
}

fn action(rng: &mut Rng) -> &'static str {
    rng.pick(&["allow", "drop"])
}

fn section(text: &mut String, name: &str, items: &[String]) {
    if !items.is_empty() {
        line(text, &format!("{name}:"));
    }
    items
        .iter()
        .for_each(|item| line(text, &format!("  {item}")));
}

fn list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
