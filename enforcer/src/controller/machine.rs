//! The machine as the compiler wants it, from what netlink tells.

use std::collections::BTreeSet;

use crate::compile::Machine;
use crate::compile::machine::{self as compiled, Programs};
use crate::kernel::KernelError;
use crate::kernel::netlink::{Interface, Netlink};
use crate::policy::Policy;

/// Interfaces and addresses of this network namespace.
pub fn machine(netlink: &Netlink) -> Result<Machine, KernelError> {
    machine_with(&netlink.interfaces()?, netlink)
}

/// A machine with these interfaces, and the addresses of this one.
///
/// All in order, so that a machine that stays the same equals itself.
pub fn machine_with(interfaces: &[Interface], netlink: &Netlink) -> Result<Machine, KernelError> {
    let mut interfaces = described(interfaces);
    interfaces.sort_by_key(|one| one.ifindex);
    let addresses = netlink.addresses()?;
    let mut addresses: Vec<_> = addresses
        .iter()
        .map(|address| compiled::Address {
            ifindex: address.ifindex,
            address: address.address,
            prefix_len: address.prefix_len,
            broadcast: address.broadcast,
        })
        .collect();
    addresses.sort_by_key(|one| (one.ifindex, one.address, one.prefix_len));
    Ok(Machine {
        interfaces,
        addresses,
        awaited: BTreeSet::new(),
    })
}

/// This machine, if it has every interface that a policy names; else one that
/// has exactly those. Says whether it is this one.
pub fn machine_for(policy: &Policy) -> (Machine, bool) {
    let imagined = Machine::imagined(policy);
    let real = Netlink::connect().and_then(|netlink| machine(&netlink));
    let has_all = |real: &Machine| {
        let names: BTreeSet<&str> = real
            .interfaces
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let mut wanted = imagined.interfaces.iter();
        wanted.all(|one| names.contains(one.name.as_str()))
    };
    match real {
        Ok(real) if has_all(&real) => (real, true),
        _ => (imagined, false),
    }
}

fn described(interfaces: &[Interface]) -> Vec<compiled::Interface> {
    let one = |interface: &Interface| compiled::Interface {
        name: interface.name.clone(),
        ifindex: interface.ifindex,
        vlan: vlan(interface, interfaces),
        is_up: interface.is_up,
        is_loopback: interface.is_loopback,
        is_bridge: interface.kind.as_deref() == Some("bridge"),
        filters_vlans: interface.filters_vlans,
        master: interface.master,
        mac: interface.mac,
        kind: interface.kind.clone(),
        programs: Programs::ByPolicy,
        is_bare: interface.is_bare,
    };
    interfaces.iter().map(one).collect()
}

/// What a VLAN device stands for: a VLAN of its parent, or two where the parent
/// is a VLAN device too.
fn vlan(interface: &Interface, interfaces: &[Interface]) -> Option<compiled::VlanDevice> {
    let (id, parent) = (interface.vlan?, interface.parent?);
    let below = interfaces.iter().find(|other| other.ifindex == parent);
    let below = below.and_then(|below| Some((below.vlan?, below.parent?)));
    Some(match below {
        Some((outer, parent)) => compiled::VlanDevice {
            parent,
            outer,
            inner: id,
        },
        None => compiled::VlanDevice {
            parent,
            outer: id,
            inner: 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlan_devices_stand_for_tags_of_the_lowest_device() {
        let device = |ifindex: u32, parent: Option<u32>, vlan: Option<u16>| Interface {
            ifindex,
            parent,
            vlan,
            ..Interface::default()
        };
        let all = [
            device(2, None, None),
            device(3, Some(2), Some(100)),
            device(4, Some(3), Some(30)),
            // A veth names its peer as the device below.
            device(5, Some(2), None),
        ];
        let wanted = [None, Some((2, 100, 0)), Some((2, 100, 30)), None];
        for (interface, want) in all.iter().zip(wanted) {
            let got = vlan(interface, &all).map(|vlan| (vlan.parent, vlan.outer, vlan.inner));
            assert_eq!(got, want, "{}", interface.ifindex);
        }
    }
}
