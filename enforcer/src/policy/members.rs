//! Devices resolved: which zone each is in, and that no packet could be of two.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::ast::{Ast, Spanned};
use super::device::{Device, DeviceAst};
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::kind::NameOf;
use super::mac::Mac;
use super::model::Zone;
use super::names::ZoneName;
use super::read::shown;
use super::resolve::{BUILT_IN_ZONES, MAX_ZONES, Resolver};
use super::seen::FirstSeen;
use super::source::Span;

/// What devices are known by, to find what two of them share.
#[derive(PartialEq, Eq, Hash)]
enum Known {
    Mac(Mac),
    Address(IpAddr),
}

impl<'n> Resolver<'n, '_> {
    /// The devices; `zones` are all zones.
    pub(super) fn define_devices(&mut self, ast: &Ast<'n>, zones: &[Zone]) -> Vec<Zone> {
        let written = ast
            .zones
            .iter()
            .map(|zone| (zone.name.value, zone.name.span));
        let written: HashMap<&str, Span> = written.collect();
        let mut devices = Vec::with_capacity(ast.devices.len());
        let mut names = Vec::with_capacity(ast.devices.len());
        for device in &ast.devices {
            let index = zones.len() + devices.len();
            let resolved = self.device(device, zones, &written);
            let is_zone = written.contains_key(device.name.value);
            if !is_zone {
                names.push((device.name.value, resolved.is_some().then_some(index)));
            }
            devices.extend(resolved);
        }
        self.zones.extend(names);
        let most = MAX_ZONES.saturating_sub(ast.zones.len());
        if let Some(first) = ast.devices.get(most) {
            let found = ast.zones.len() + ast.devices.len();
            self.too_many("zones and devices", found, MAX_ZONES, first.name.span);
        }
        self.share_nothing(ast);
        devices
    }

    fn device(
        &mut self,
        device: &DeviceAst<'n>,
        zones: &[Zone],
        written: &HashMap<&str, Span>,
    ) -> Option<Zone> {
        let name = self.device_name(device.name, written);
        let home = self.home(device.zone?)?;
        let zone = &zones[home];
        for address in &device.addresses {
            self.lies_in(zone, address);
            self.is_unclaimed(home, zones, address);
        }
        Some(Zone {
            name: name?,
            description: device.description.map(str::to_owned),
            entries: Vec::new(),
            device: Some(Device {
                zone: home,
                mac: device.mac.map(|mac| mac.value),
                addresses: device.addresses.iter().map(|found| found.value).collect(),
            }),
            intra_zone: zone.intra_zone,
            mode: zone.mode,
            essential_off: zone.essential_off.clone(),
            state: zone.state,
            span: device.name.span,
        })
    }

    fn device_name(
        &mut self,
        Spanned { value: name, span }: Spanned<&str>,
        written: &HashMap<&str, Span>,
    ) -> Option<ZoneName> {
        if BUILT_IN_ZONES.contains(&name) {
            let name = name.to_owned();
            self.report(DiagnosticKind::ReservedZone { name }, span);
            return None;
        }
        if let Some(first) = written.get(name) {
            let name = shown(name);
            let finding = Diagnostic::new(DiagnosticKind::DuplicateName { name }, span);
            self.findings.push(finding.with_related(*first));
            return None;
        }
        let checked = ZoneName::new(name);
        if let Err(error) = &checked {
            let (name, of, error) = (shown(name), NameOf::Device, error.clone());
            self.report(DiagnosticKind::InvalidName { name, of, error }, span);
        }
        checked.ok()
    }

    /// The zone that a device says it is in.
    fn home(&mut self, Spanned { value: name, span }: Spanned<&str>) -> Option<usize> {
        if let Some(known) = self.zones.get(name) {
            return *known;
        }
        let nearest = self.nearest(name, self.zones.keys().copied());
        let name = shown(name);
        self.report(DiagnosticKind::NotAZone { name, nearest }, span);
        None
    }

    /// A member has an address that its zone has, too.
    fn lies_in(&mut self, zone: &Zone, address: &Spanned<IpAddr>) {
        let mut entries = zone.entries.iter();
        let is_inside = entries.any(|entry| {
            let mut prefixes = entry.prefixes.iter();
            entry.prefixes.is_empty() || prefixes.any(|prefix| prefix.contains(&address.value))
        });
        // A zone whose entries are all in error is not to blame.
        if !is_inside && !zone.entries.is_empty() {
            let (zone, related) = (zone.name.clone(), zone.span);
            let kind = DiagnosticKind::OutsideZone {
                address: address.value,
                zone,
            };
            let finding = Diagnostic::new(kind, address.span);
            self.findings.push(finding.with_related(related));
        }
    }

    /// No other zone claims exactly the address of a device.
    fn is_unclaimed(&mut self, home: usize, zones: &[Zone], address: &Spanned<IpAddr>) {
        let exactly = IpNet::from(address.value);
        let others = zones.iter().enumerate().filter(|(index, _)| *index != home);
        let mut entries = others.flat_map(|(_, zone)| zone.entries.iter().map(move |e| (zone, e)));
        let Some((zone, entry)) = entries.find(|(_, entry)| entry.prefixes.contains(&exactly))
        else {
            return;
        };
        let kind = DiagnosticKind::ClaimedAddress {
            zone: zone.name.clone(),
            prefix: exactly,
        };
        let finding = Diagnostic::new(kind, address.span);
        self.findings.push(finding.with_related(entry.span));
    }

    fn share_nothing(&mut self, ast: &Ast<'_>) {
        let mut seen = FirstSeen::new();
        for device in &ast.devices {
            let mac = device.mac.map(|mac| (Known::Mac(mac.value), mac.span));
            let addresses = device.addresses.iter();
            let addresses = addresses.map(|found| (Known::Address(found.value), found.span));
            for (known, span) in mac.into_iter().chain(addresses) {
                let address = match &known {
                    Known::Mac(mac) => mac.to_string(),
                    Known::Address(address) => address.to_string(),
                };
                if let Some(first) = seen.insert(known, span) {
                    let kind = DiagnosticKind::SharedAddress { address };
                    let finding = Diagnostic::new(kind, span);
                    self.findings.push(finding.with_related(first));
                }
            }
        }
    }
}
