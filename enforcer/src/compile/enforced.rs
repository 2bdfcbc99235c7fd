//! Which interfaces get programs, and on which hook.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::{Devices, Interface, Programs};
use crate::policy::model::Hook;
use crate::policy::names::InterfaceName;
use crate::policy::suggest::nearest;
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy, Span};

/// The hook of each interface that gets programs.
///
/// Those are the interfaces that a `match` names (for a VLAN device its parent)
/// and, when an entry names none, every other one that is up: only then can the
/// zone's packets arrive anywhere. Of devices that share frames one is enough:
/// the parent of VLAN devices, the bond of its members. A bridge has programs on
/// itself and on all its ports, or on none.
pub(super) fn hooks(
    policy: &Policy,
    devices: &Devices<'_>,
) -> Result<BTreeMap<u32, Hook>, Findings> {
    let mut chosen = Chosen {
        devices,
        interfaces: BTreeMap::new(),
        findings: Vec::new(),
    };
    let entries = || policy.zones.iter().flat_map(|zone| &zone.entries);
    for entry in entries() {
        for name in &entry.interfaces {
            if let Some(device) = chosen.known(name, entry.span) {
                let parent = devices.parent(device);
                let is_port = devices.bridge(device).is_some();
                let device = parent.filter(|_| !is_port).unwrap_or(device);
                chosen.enforce(device, entry.span);
            }
        }
    }
    if let Some(entry) = entries().find(|entry| entry.interfaces.is_empty()) {
        chosen.enforce_others(entry.span);
    }
    for failsafe in &policy.failsafe {
        if let Some(name) = &failsafe.interface {
            chosen.known(name, failsafe.span);
        }
    }
    for (name, hook) in &policy.interfaces {
        if let Some(device) = chosen.known(name, Span::default()) {
            chosen.set_hook(device, *hook);
        }
    }
    chosen.respect_programs();
    if chosen.findings.is_empty() {
        Ok(chosen.interfaces)
    } else {
        Err(chosen.findings.into_iter().collect())
    }
}

/// What programs do on interfaces, by index.
pub(super) struct Judged {
    /// Where a program judges what arrives: a program on a device judges what
    /// its VLAN devices and the members of a bond get, too.
    pub(super) at_ingress: BTreeSet<u32>,
    /// The bridge of each port where a program only looks at senders: the frame
    /// is judged where it leaves the bridge, by another port or to the router.
    pub(super) ports: BTreeMap<u32, u32>,
    /// The bridges of those ports.
    pub(super) bridges: BTreeSet<u32>,
}

impl Judged {
    pub(super) fn new(hooks: &BTreeMap<u32, Hook>, devices: &Devices<'_>) -> Self {
        let is_at_tc = |device: &Interface| hooks.get(&device.ifindex) == Some(&Hook::Tc);
        let bridge_of = |device: &Interface| {
            // Where the bridge itself has no program, the port judges as if there
            // were none; so does a program that is not where ports have it.
            let bridge = devices.bridge(device).filter(|bridge| is_at_tc(bridge))?;
            is_at_tc(device).then_some(bridge.ifindex)
        };
        let judges =
            |device: &Interface| hooks.contains_key(&device.ifindex) && bridge_of(device).is_none();
        let at_ingress = devices.iter().filter(|device| {
            judges(device)
                || devices.parent(device).is_some_and(judges)
                || devices.bond(device).is_some_and(judges)
        });
        let ports = devices
            .iter()
            .filter_map(|port| Some((port.ifindex, bridge_of(port)?)));
        let ports: BTreeMap<u32, u32> = ports.collect();
        Self {
            at_ingress: at_ingress.map(|device| device.ifindex).collect(),
            bridges: ports.values().copied().collect(),
            ports,
        }
    }
}

impl Hook {
    /// Where the ingress program of a device goes unless the policy says: XDP
    /// takes Ethernet frames only.
    fn of(device: &Interface) -> Self {
        if device.is_bare {
            Self::Tc
        } else {
            Self::default()
        }
    }
}

struct Chosen<'d, 'm> {
    devices: &'d Devices<'m>,
    interfaces: BTreeMap<u32, Hook>,
    findings: Vec<Diagnostic>,
}

impl<'m> Chosen<'_, 'm> {
    fn known(&mut self, name: &InterfaceName, span: Span) -> Option<&'m Interface> {
        let found = self.devices.named(name.as_str());
        if found.is_none() && !self.devices.awaits(name.as_str()) {
            let nearest = nearest(name.as_str(), self.devices.names());
            let kind = DiagnosticKind::UnknownInterface {
                name: name.clone(),
                nearest: nearest.map(str::to_owned),
            };
            self.findings.push(Diagnostic::new(kind, span));
        }
        found
    }

    fn enforce(&mut self, device: &Interface, span: Span) {
        if device.is_loopback {
            return self.refuse(device, "the loopback interface", span);
        }
        let devices = self.devices;
        let own = devices.iter().find(|own| own.ifindex == device.ifindex);
        let is_bridge = |device: &&Interface| device.is_bridge;
        if let Some(bridge) = devices.bridge(device).or(own.filter(is_bridge)) {
            return self.enforce_bridge(bridge, span);
        }
        for vlan in devices.vlans(device) {
            // The programs of the parent would take its frames for routed ones.
            if devices.bridge(vlan).is_some() {
                self.refuse(vlan, "a VLAN device in a bridge", span);
            }
        }
        self.interfaces.insert(device.ifindex, Hook::of(device));
    }

    /// Enforces a bridge: where its ports take frames and give them out, and
    /// where it hands them to the router.
    fn enforce_bridge(&mut self, bridge: &Interface, span: Span) {
        let devices = self.devices;
        for port in devices.ports(bridge) {
            if devices.parent(port).is_some() {
                self.refuse(port, "a VLAN device in a bridge", span);
            }
            // They get frames before the bridge does.
            if devices.vlans(port).next().is_some() {
                self.refuse(port, "a port of a bridge that has VLAN devices", span);
            }
            self.interfaces.insert(port.ifindex, Hook::Tc);
        }
        self.interfaces.insert(bridge.ifindex, Hook::Tc);
    }

    /// Enforces every interface that is up and shares no frames with one that
    /// is enforced.
    fn enforce_others(&mut self, span: Span) {
        let devices = self.devices;
        let named = |device: &Interface| self.interfaces.contains_key(&device.ifindex);
        let bonds_of_named: Vec<u32> = devices
            .iter()
            .filter(|device| named(device))
            .filter_map(|member| Some(devices.bond(member)?.ifindex))
            .collect();
        let is_up = |device: &Interface| device.is_up;
        let others = devices.iter().filter(|device| {
            let shares_frames = devices.parent(device).is_some_and(is_up)
                || devices.bond(device).is_some_and(is_up)
                || devices.bridge(device).is_some_and(is_up)
                || bonds_of_named.contains(&device.ifindex);
            device.is_up && !device.is_loopback && !shares_frames && !named(device)
        });
        for device in others.collect::<Vec<_>>() {
            self.enforce(device, span);
        }
    }

    fn set_hook(&mut self, device: &Interface, hook: Option<Hook>) {
        if self.devices.parent(device).is_some() {
            self.refuse(device, "a VLAN device", Span::default());
        } else if device.is_bare && hook.is_some_and(|hook| hook != Hook::Tc) {
            let kind = DiagnosticKind::NoEthernet {
                name: device.name.clone(),
            };
            self.findings.push(Diagnostic::new(kind, Span::default()));
        } else if (device.is_bridge || self.devices.bridge(device).is_some())
            && hook.is_some_and(|hook| hook != Hook::Tc)
        {
            let kind = DiagnosticKind::BridgeHook {
                name: device.name.clone(),
            };
            self.findings.push(Diagnostic::new(kind, Span::default()));
        } else if let Some(chosen) = self.interfaces.get_mut(&device.ifindex) {
            *chosen = hook.unwrap_or(*chosen);
        }
    }

    /// Programs that are there stay, and there are none where none can be.
    fn respect_programs(&mut self) {
        for device in self.devices.iter() {
            match device.programs {
                Programs::ByPolicy => {}
                Programs::Kept(hook) => {
                    self.interfaces.insert(device.ifindex, hook);
                }
                Programs::Refused => {
                    self.interfaces.remove(&device.ifindex);
                }
            }
        }
    }

    fn refuse(&mut self, device: &Interface, what: &'static str, span: Span) {
        let name = device.name.clone();
        let kind = DiagnosticKind::UnsupportedInterface { name, what };
        self.findings.push(Diagnostic::new(kind, span));
    }
}
