//! What there is to know of a machine before a policy is enforced on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::kernel::ethtool::Driver;
use crate::kernel::netfilter::Rules;
use crate::kernel::netlink::Interface;
use crate::kernel::owner::{Owner, Slot};
use crate::policy::model::Hook;

/// All of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Version of the kernel, as it calls itself.
    pub release: String,
    /// Major and minor version of the kernel.
    pub version: (u32, u32),
    /// The kernel describes its types.
    pub has_btf: bool,
    /// Capabilities that this process lacks; `None` if that is not known.
    pub missing_capabilities: Option<Vec<&'static str>>,
    /// Most bytes that this process may lock in memory; `None` for no limit.
    pub memlock: Option<u64>,
    /// `net.core.bpf_jit_enable`; `None` where it is not shown.
    pub jit: Option<u32>,
    /// `net.core.bpf_jit_harden`.
    pub jit_harden: Option<u32>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_disabled: Option<u32>,
    /// How far the kernel is locked down.
    pub lockdown: Option<String>,
    /// CPUs that packets may be received on.
    pub cpus: u32,
    /// The folder for pins.
    pub pins: PinFacts,
    /// IPv4 packets are forwarded; `None` without IPv4.
    pub forwards_v4: Option<bool>,
    /// IPv6 packets are forwarded; `None` without IPv6.
    pub forwards_v6: Option<bool>,
    /// Interfaces, but `lo`; or why they cannot be listed.
    pub interfaces: Result<Vec<InterfaceFacts>, String>,
    /// What nftables has; or why that cannot be listed.
    pub nftables: Result<Rules, String>,
    /// Tables of iptables in its older form, such as `ip filter`.
    pub iptables: Vec<String>,
    /// The policy that is to be enforced, or is.
    pub policy: Option<PolicyFacts>,
}

/// The folder for pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinFacts {
    /// Where it is.
    pub folder: PathBuf,
    /// How the file system there is mounted, such as `bpf, mode=700`.
    pub mounted: Option<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// One interface.
#[derive(Clone, Debug, Default)]
pub struct InterfaceFacts {
    /// What netlink says of it.
    pub link: Interface,
    /// What its driver says; `None` if it says nothing.
    pub driver: Option<Driver>,
    /// Its driver has XDP; `None` where the kernel does not tell.
    pub has_driver_xdp: Option<bool>,
    /// Its XDP program.
    pub xdp: Option<(Occupant, Slot)>,
    /// A program of ours judges what comes in.
    pub is_judged: bool,
    /// The tcx programs at its ingress, in the order in which they run.
    pub ingress: Vec<Occupant>,
    /// The tcx programs at its egress, in the order in which they run.
    pub egress: Vec<Occupant>,
    /// Priorities of the TC egress filters of others.
    pub egress_filters: Vec<u16>,
    /// Strictness of the kernel's own check of source addresses
    /// (`rp_filter`, the greater of `all` and its own).
    pub rp_filter: u32,
    /// IPv4 packets that come in here are forwarded, if any are.
    pub forwards_v4: Option<bool>,
    /// IPv6 packets that come in here are forwarded, if any are.
    pub forwards_v6: Option<bool>,
}

/// A program that is attached somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Whose it is.
    pub owner: Owner,
    /// It is one of this installation.
    pub is_ours: bool,
}

/// A policy, as far as it says what must work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Its name.
    pub name: String,
    /// It is in force already.
    pub is_active: bool,
    /// Why it cannot be enforced whatever the machine is like.
    pub refused: Option<String>,
    /// Interfaces that it names and that are not there.
    pub missing: Vec<String>,
    /// Interfaces that get programs, and on which hook.
    pub enforced: BTreeMap<String, Hook>,
    /// Interfaces with zones that VLAN tags tell apart.
    pub with_vlans: BTreeSet<String>,
}

impl Facts {
    /// An interface by its index.
    pub fn interface(&self, ifindex: u32) -> Option<&InterfaceFacts> {
        let interfaces = self.interfaces.as_ref().ok()?;
        interfaces.iter().find(|one| one.link.ifindex == ifindex)
    }

    /// Whether an interface gets programs, or may: without a policy, all may.
    pub fn concerns(&self, one: &InterfaceFacts) -> bool {
        let policy = self.policy.as_ref();
        policy.is_none_or(|policy| policy.enforced.contains_key(&one.link.name))
    }

    /// Whether its ingress program is to run in the driver.
    pub fn wants_driver(&self, one: &InterfaceFacts) -> bool {
        match self
            .policy
            .as_ref()
            .and_then(|policy| policy.enforced.get(&one.link.name))
        {
            Some(hook) => *hook == Hook::Xdp,
            None => !one.link.is_bare,
        }
    }
}

#[cfg(test)]
impl Facts {
    /// A router with two Ethernet interfaces, as good as they come.
    pub fn example() -> Self {
        let interface = |name: &str, ifindex: u32| InterfaceFacts {
            link: Interface {
                name: name.to_owned(),
                ifindex,
                is_up: true,
                mac: Some([2, 0, 0, 0, 0, ifindex as u8]),
                mtu: 1_500,
                ..Interface::default()
            },
            driver: Some(Driver {
                name: "igb".to_owned(),
                ..Driver::default()
            }),
            has_driver_xdp: Some(true),
            forwards_v4: Some(true),
            forwards_v6: Some(true),
            ..InterfaceFacts::default()
        };
        Self {
            release: "6.18.1".to_owned(),
            version: (6, 18),
            has_btf: true,
            missing_capabilities: Some(Vec::new()),
            memlock: Some(8 << 20),
            jit: Some(1),
            jit_harden: Some(0),
            unprivileged_disabled: Some(2),
            lockdown: Some("none".to_owned()),
            cpus: 4,
            pins: PinFacts {
                folder: "/sys/fs/bpf/enforcer".into(),
                mounted: Some("bpf, mode=700".to_owned()),
                problem: None,
            },
            forwards_v4: Some(true),
            forwards_v6: Some(true),
            interfaces: Ok(vec![interface("eth0", 2), interface("eth1", 3)]),
            nftables: Ok(Rules::default()),
            iptables: Vec::new(),
            policy: None,
        }
    }

    /// The first interface, to be spoilt.
    pub fn eth0(&mut self) -> &mut InterfaceFacts {
        let interfaces = self.interfaces.as_mut();
        &mut interfaces.expect("the example has interfaces")[0]
    }

    /// Adds an interface.
    pub fn add(&mut self, link: Interface) -> &mut InterfaceFacts {
        let interfaces = self.interfaces.as_mut();
        let interfaces = interfaces.expect("the example has interfaces");
        interfaces.push(InterfaceFacts {
            link,
            ..InterfaceFacts::default()
        });
        interfaces.last_mut().expect("one was added")
    }

    /// A policy for the first interface.
    pub fn named_eth0(mut self) -> Self {
        self.policy = Some(PolicyFacts {
            name: "plant".to_owned(),
            enforced: [("eth0".to_owned(), Hook::Xdp)].into(),
            ..PolicyFacts::default()
        });
        self
    }
}
