//! The machine that a policy is compiled for, as the kernel describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::policy::model::{Hook, Vlan};
use crate::policy::names::InterfaceName;
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy, Span};

/// Interfaces and addresses of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// In any order.
    pub interfaces: Vec<Interface>,
    /// In any order.
    pub addresses: Vec<Address>,
    /// Names of interfaces that are not there yet, and that a policy may name
    /// nevertheless: nothing arrives on them.
    #[serde(default)]
    pub awaited: BTreeSet<String>,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Unique in the namespace.
    pub name: String,
    /// Unique in the namespace; never 0.
    pub ifindex: u32,
    /// What a VLAN device stands for.
    pub vlan: Option<VlanDevice>,
    /// Administratively up.
    pub is_up: bool,
    /// `lo`.
    pub is_loopback: bool,
    /// A bridge, not a port of one.
    pub is_bridge: bool,
    /// A bridge that sorts frames by VLAN, and may change their tags.
    #[serde(default)]
    pub filters_vlans: bool,
    /// The bridge, bond or VRF that it is a part of.
    pub master: Option<u32>,
    /// Hardware address.
    pub mac: Option<[u8; 6]>,
    /// Kind of a virtual device, such as `veth` or `bond`.
    pub kind: Option<String>,
    /// Its packets have no Ethernet header.
    #[serde(default)]
    pub is_bare: bool,
    /// What decides about programs on it.
    #[serde(default)]
    pub programs: Programs,
}

/// What decides about programs on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Programs {
    /// The policy.
    #[default]
    ByPolicy,
    /// It has programs and keeps them, the ingress program on this hook.
    Kept(Hook),
    /// It cannot have any: nobody judges what arrives there.
    Refused,
}

/// A VLAN device: frames of another device with certain tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanDevice {
    /// Index of the device that carries the tagged frames; for a VLAN device
    /// on a VLAN device, of the one below both.
    pub parent: u32,
    /// VLAN id of the outer tag.
    pub outer: u16,
    /// VLAN id of the inner tag; 0 when there is one tag only.
    pub inner: u16,
}

/// One address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The interface it is assigned to.
    pub ifindex: u32,
    /// The address itself.
    pub address: IpAddr,
    /// Bits of its subnet.
    pub prefix_len: u8,
    /// Broadcast address, if one is set.
    pub broadcast: Option<Ipv4Addr>,
}

impl Machine {
    /// A machine with exactly the interfaces that `policy` names, and without
    /// addresses: what `check` compiles for where there is no router.
    pub fn imagined(policy: &Policy) -> Self {
        let names: BTreeSet<_> = named(policy).map(|(name, _)| name.as_str()).collect();
        let interfaces = names.iter().zip(1..).map(|(name, ifindex)| Interface {
            name: (*name).to_owned(),
            ifindex,
            is_up: true,
            is_loopback: *name == "lo",
            ..Interface::default()
        });
        Self {
            interfaces: interfaces.collect(),
            addresses: Vec::new(),
            awaited: BTreeSet::new(),
        }
    }

    /// Lets `policy` name interfaces that are not there yet; returns a warning
    /// for each.
    pub fn await_missing(&mut self, policy: &Policy) -> Findings {
        let here: BTreeSet<_> = self.interfaces.iter().map(|one| &one.name).collect();
        let mut warnings = Findings::default();
        for (name, span) in named(policy) {
            let is_missing = !here.iter().any(|here| *here == name.as_str());
            if is_missing && self.awaited.insert(name.as_str().to_owned()) {
                let kind = DiagnosticKind::MissingInterface { name: name.clone() };
                warnings.extend([Diagnostic::new(kind, span)]);
            }
        }
        warnings
    }
}

/// The interfaces that a policy names, and where.
fn named(policy: &Policy) -> impl Iterator<Item = (&InterfaceName, Span)> {
    let entries = policy.zones.iter().flat_map(|zone| &zone.entries);
    let failsafe = policy.failsafe.iter();
    let matched = entries.flat_map(|entry| entry.interfaces.iter().map(|name| (name, entry.span)));
    let admitted = failsafe.filter_map(|entry| Some((entry.interface.as_ref()?, entry.span)));
    let hooked = policy.interfaces.keys().map(|name| (name, Span::default()));
    matched.chain(admitted).chain(hooked)
}

/// Where frames are seen: a device, and the tags they carry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    /// `None` for any tags.
    pub(super) vlan: Option<Vlan>,
}

impl Place {
    /// Where no frame is ever seen.
    pub(super) const NONE: Self = Self {
        ifindex: 0,
        vlan: None,
    };
}

/// The interfaces of a machine by name and by index.
pub(super) struct Devices<'m> {
    awaited: &'m BTreeSet<String>,
    by_name: BTreeMap<&'m str, &'m Interface>,
    by_index: BTreeMap<u32, &'m Interface>,
}

impl<'m> Devices<'m> {
    pub(super) fn new(machine: &'m Machine) -> Self {
        let all = || machine.interfaces.iter();
        Self {
            awaited: &machine.awaited,
            by_name: all().map(|device| (device.name.as_str(), device)).collect(),
            by_index: all().map(|device| (device.ifindex, device)).collect(),
        }
    }

    /// In the order of their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'m Interface> {
        self.by_index.values().copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'m str> {
        self.by_name.keys().copied()
    }

    pub(super) fn named(&self, name: &str) -> Option<&'m Interface> {
        self.by_name.get(name).copied()
    }

    /// Whether the device may come later.
    pub(super) fn awaits(&self, name: &str) -> bool {
        self.awaited.contains(name)
    }

    /// The device that carries a VLAN device's frames; `None` when `device` is
    /// no VLAN device, or on one that lives in another namespace.
    pub(super) fn parent(&self, device: &Interface) -> Option<&'m Interface> {
        self.by_index.get(&device.vlan?.parent).copied()
    }

    /// The bridge that the device is a port of.
    pub(super) fn bridge(&self, device: &Interface) -> Option<&'m Interface> {
        self.master(device).filter(|master| master.is_bridge)
    }

    /// The ports of a bridge, in the order of their indices; of other devices
    /// there are none.
    pub(super) fn ports(&self, bridge: &Interface) -> impl Iterator<Item = &'m Interface> {
        let ifindex = bridge.is_bridge.then_some(bridge.ifindex);
        let ports = self.iter();
        ports.filter(move |device| ifindex.is_some() && device.master == ifindex)
    }

    /// The VLAN devices on a device.
    pub(super) fn vlans(&self, parent: &Interface) -> impl Iterator<Item = &'m Interface> {
        let parent = parent.ifindex;
        let devices = self.iter();
        devices.filter(move |device| device.vlan.is_some_and(|vlan| vlan.parent == parent))
    }

    /// The bond or team that the device is a member of.
    pub(super) fn bond(&self, device: &Interface) -> Option<&'m Interface> {
        let is_bond = |kind: &str| matches!(kind, "bond" | "team");
        self.master(device)
            .filter(|master| master.kind.as_deref().is_some_and(is_bond))
    }

    fn master(&self, device: &Interface) -> Option<&'m Interface> {
        self.by_index.get(&device.master?).copied()
    }

    /// Where the frames of a device are judged: a VLAN device's at its parent.
    pub(super) fn place(&self, device: &Interface) -> Place {
        match (self.parent(device), device.vlan) {
            (Some(parent), Some(VlanDevice { outer, inner, .. })) => Place {
                ifindex: parent.ifindex,
                vlan: Some(Vlan { outer, inner }),
            },
            _ => Place {
                ifindex: device.ifindex,
                vlan: None,
            },
        }
    }
}
