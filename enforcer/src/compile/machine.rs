//! The machine that a policy is compiled for, as the kernel describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::policy::model::Vlan;

/// Interfaces and addresses of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// In any order.
    pub interfaces: Vec<Interface>,
    /// In any order.
    pub addresses: Vec<Address>,
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
    /// The bridge, bond or VRF that it is a part of.
    pub master: Option<u32>,
    /// Hardware address.
    pub mac: Option<[u8; 6]>,
    /// Kind of a virtual device, such as `veth` or `bond`.
    pub kind: Option<String>,
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
        let entries = policy.zones.iter().flat_map(|zone| &zone.entries);
        let names: BTreeSet<_> = entries
            .flat_map(|entry| &entry.interfaces)
            .chain(policy.failsafe.iter().flat_map(|entry| &entry.interface))
            .chain(policy.interfaces.keys())
            .map(|name| name.as_str())
            .collect();
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
        }
    }
}

/// Where frames are seen: a device, and the tags they carry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    /// `None` for any tags.
    pub(super) vlan: Option<Vlan>,
}

/// The interfaces of a machine by name and by index.
pub(super) struct Devices<'m> {
    by_name: BTreeMap<&'m str, &'m Interface>,
    by_index: BTreeMap<u32, &'m Interface>,
}

impl<'m> Devices<'m> {
    pub(super) fn new(machine: &'m Machine) -> Self {
        let all = || machine.interfaces.iter();
        Self {
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

    /// The device that carries a VLAN device's frames; `None` when `device` is
    /// no VLAN device, or on one that lives in another namespace.
    pub(super) fn parent(&self, device: &Interface) -> Option<&'m Interface> {
        self.by_index.get(&device.vlan?.parent).copied()
    }

    /// The bridge that the device is a port of.
    pub(super) fn bridge(&self, device: &Interface) -> Option<&'m Interface> {
        self.master(device).filter(|master| master.is_bridge)
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
