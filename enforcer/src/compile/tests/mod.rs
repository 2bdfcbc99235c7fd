//! Policies as text, compiled, and what the tables then say.

mod bridges;
mod conduits;
mod devices;
mod equals;
mod images;
mod links;
mod machines;
mod modes;
mod zones;

use std::net::IpAddr;

use enforcer_common::cell::{AddressClass, Cell, Pair, SourceCell};
use enforcer_common::essential::Essential;
use enforcer_common::lookup;
use enforcer_common::question::{Mac, Tags};
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

use super::machine::{Address, Interface, VlanDevice};
use super::{Image, Machine, Numbering, compile};
use crate::policy::service::{IcmpFamily, PortRange, Service, Transport};
use crate::policy::{self, Findings, Policy, Source};

/// A compiled policy.
struct Compiled(Image);

fn policy(text: &str) -> Policy {
    let text = format!("version: 1\n{text}");
    let source = Source::from_text("test.yaml", text);
    match policy::parse(&source) {
        Ok((policy, _)) => policy,
        Err(findings) => panic!("{}", findings.render(&source)),
    }
}

/// Interfaces `eth0` to `eth3` with indices 10 to 13.
fn machine() -> Machine {
    let eth = |number: u32| Interface {
        name: format!("eth{number}"),
        ifindex: 10 + number,
        is_up: true,
        ..Interface::default()
    };
    let lo = Interface {
        name: "lo".into(),
        ifindex: 1,
        is_up: true,
        is_loopback: true,
        ..Interface::default()
    };
    Machine {
        interfaces: (0..4).map(eth).chain([lo]).collect(),
        ..Machine::default()
    }
}

fn vlan_device(name: &str, ifindex: u32, (parent, outer, inner): (u32, u16, u16)) -> Interface {
    Interface {
        name: name.into(),
        ifindex,
        vlan: Some(VlanDevice {
            parent,
            outer,
            inner,
        }),
        is_up: true,
        ..Interface::default()
    }
}

fn address(ifindex: u32, net: &str) -> Address {
    let net: ipnet::IpNet = net.parse().unwrap();
    Address {
        ifindex,
        address: net.addr(),
        prefix_len: net.prefix_len(),
        broadcast: None,
    }
}

fn compiled(text: &str) -> Compiled {
    compiled_for(text, &machine())
}

fn compiled_for(text: &str, machine: &Machine) -> Compiled {
    let image = compile(&policy(text), machine, &mut Numbering::default());
    Compiled(image.unwrap_or_else(|findings| panic!("{findings:?}")))
}

fn refused(text: &str, machine: &Machine) -> Findings {
    match compile(&policy(text), machine, &mut Numbering::default()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(findings) => findings,
    }
}

/// Codes of all findings.
fn codes(findings: &Findings) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.kind.code()).collect()
}

/// `30` or `100.30` as tags, and nothing as none.
fn tags(text: &str) -> Tags {
    let (outer, inner) = text.split_once('.').unwrap_or((text, ""));
    let tag = |text: &str| text.parse().unwrap_or(0);
    Tags {
        outer: tag(outer),
        inner: tag(inner),
    }
}

impl Compiled {
    fn link(&self, ifindex: u32, vlan: &str) -> lookup::Link {
        lookup::link(&self.0, ifindex, tags(vlan))
    }

    fn class(&self, address: &str) -> u16 {
        let address: IpAddr = address.parse().unwrap();
        lookup::address(&self.0, &address.into())
    }

    fn known(&self, address: &str) -> AddressClass {
        lookup::address_class(&self.0, self.class(address))
    }

    /// The source zone whatever the hardware address, after `!` when the source
    /// is forged.
    fn source(&self, ifindex: u32, vlan: &str, address: &str) -> String {
        let link = self.link(ifindex, vlan);
        self.shown(lookup::zone(&self.0, link.class, self.class(address)))
    }

    /// The source zone of frames from 02:00:00:00:00 and this byte.
    fn source_of(&self, mac: u8, ifindex: u32, vlan: &str, address: &str) -> String {
        let (link, mac) = (self.link(ifindex, vlan), Mac::of([2, 0, 0, 0, 0, mac]));
        self.shown(lookup::source(
            &self.0,
            link.class,
            self.class(address),
            &mac,
        ))
    }

    /// The zone, after `!` when the source is forged, and after `?` when it
    /// violates a binding.
    fn shown(&self, cell: SourceCell) -> String {
        let mark = match cell.is_refused().then(|| cell.refusal()) {
            None => "",
            Some(DropReason::SPOOFED_SOURCE) => "!",
            Some(_) => "?",
        };
        format!("{mark}{}", self.0.zones[&cell.zone().0])
    }

    /// The destination zone, or `route`.
    fn destination(&self, address: &str) -> &str {
        match self.known(address).destination {
            AddressClass::BY_ROUTE => "route",
            zone => &self.0.zones[&zone],
        }
    }

    fn is_group(&self, address: &str) -> bool {
        self.known(address).flags & AddressClass::GROUP != 0
    }

    fn zone(&self, name: &str) -> ZoneId {
        let mut zones = self.0.zones.iter();
        ZoneId(*zones.find(|(_, zone)| *zone == name).unwrap().0)
    }

    fn port_class(&self, service: &str) -> u16 {
        let (protocol, port) = key(service);
        lookup::port_class(&self.0, protocol, port)
    }

    fn pair(&self, from: &str, to: &str) -> Pair {
        lookup::pair(&self.0, self.zone(from), self.zone(to))
    }

    fn cell(&self, from: &str, to: &str, service: &str) -> Cell {
        lookup::cell(&self.0, self.pair(from, to), self.port_class(service))
    }

    /// What decides, after `!` when it drops.
    fn verdict(&self, from: &str, to: &str, service: &str) -> String {
        let cell = self.cell(from, to, service);
        let mark = if cell.allows() { "" } else { "!" };
        format!("{mark}{}", self.0.slots[&cell.slot().0])
    }

    fn is_stateless(&self, from: &str, to: &str) -> bool {
        self.pair(from, to).is_stateless()
    }
}

/// Protocol and port of a literal that means one port: `tcp/443`, `icmp/3/4`.
fn key(service: &str) -> (u16, u16) {
    match service.parse().unwrap() {
        Service::Ports(Transport::Tcp, ports) => (6, PortRange::start(ports)),
        Service::Ports(Transport::Udp, ports) => (17, PortRange::start(ports)),
        Service::Ports(Transport::Sctp, ports) => (132, PortRange::start(ports)),
        Service::Icmp(family, kind, code) => {
            let protocol = if family == IcmpFamily::V4 { 1 } else { 58 };
            let kind = u16::from(kind.unwrap()) << 8;
            (protocol, kind | u16::from(code.unwrap_or(0)))
        }
        Service::Protocol(number) => (number.into(), 0),
        Service::Ethernet(ether_type) => (256, ether_type.number()),
        Service::Any => panic!("not one port"),
    }
}
