//! VLAN tags that zones depend on, and devices that hide them from XDP.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::machine::{Interface, Machine};
use crate::kernel::ethtool::{self, Driver};
use crate::policy::model::{Hook, Policy};

use super::error::ControllerError;

/// Whether a device takes tags off frames before XDP sees them.
///
/// A veth only says so: its frames keep the tags that they were sent with, unless
/// the other end left them beside the frame.
pub fn hides_tags(driver: &Driver) -> bool {
    driver.strips_vlan_tags && driver.name != "veth"
}

/// Names of the interfaces on which tags tell zones apart; a VLAN device stands
/// for a tag of the interface below it. `enforced` are those with programs.
pub fn told_apart<'a>(
    policy: &Policy,
    machine: &Machine,
    enforced: impl Iterator<Item = &'a str> + Clone,
) -> BTreeSet<String> {
    let all = || machine.interfaces.iter();
    let mut found = BTreeSet::new();
    for entry in policy.zones.iter().flat_map(|zone| &zone.entries) {
        if !entry.vlans.is_empty() && entry.interfaces.is_empty() {
            found.extend(enforced.clone().map(str::to_owned));
        }
        for name in &entry.interfaces {
            let device = all().find(|one| one.name == name.as_str());
            let vlan = device.and_then(|device| device.vlan.as_ref());
            let below = vlan.and_then(|vlan| all().find(|one| one.ifindex == vlan.parent));
            match below {
                Some(below) => found.extend([below.name.clone()]),
                None if !entry.vlans.is_empty() => found.extend([name.as_str().to_owned()]),
                None => {}
            }
        }
    }
    found
}

/// Refuses a policy whose zones depend on tags that its programs would not see.
pub fn check(
    policy: &Policy,
    machine: &Machine,
    hooks: &BTreeMap<u32, Hook>,
) -> Result<(), ControllerError> {
    check_with(policy, machine, hooks, |name| ethtool::driver(name).ok())
}

fn check_with(
    policy: &Policy,
    machine: &Machine,
    hooks: &BTreeMap<u32, Hook>,
    driver: impl Fn(&str) -> Option<Driver>,
) -> Result<(), ControllerError> {
    let hook = |one: &Interface| hooks.get(&one.ifindex).copied();
    let enforced = machine.interfaces.iter().filter(|one| hook(one).is_some());
    let names = enforced.clone().map(|one| one.name.as_str());
    let told_apart = told_apart(policy, machine, names);
    // TC sees tags beside the frame too.
    let mut at_xdp = enforced.filter(|one| hook(one) != Some(Hook::Tc));
    let hidden = at_xdp.find(|one| {
        told_apart.contains(&one.name) && driver(&one.name).is_some_and(|one| hides_tags(&one))
    });
    match hidden {
        Some(one) => Err(ControllerError::HiddenTags {
            interface: one.name.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;
    use crate::policy::{self, Source};

    /// What is refused on a machine where `eth0` hides tags, `veth0` only says
    /// so, and `eth1` does not; each is VLAN 7 of a device, too.
    fn refused(zone: &str, rest: &str) -> Option<String> {
        let text = format!("version: 1\nzones: {{ a: {{ match: [{zone}] }} }}\n{rest}");
        let (policy, _) = policy::parse(&Source::from_text("p", text)).unwrap();
        let mut machine = Machine::default();
        for (index, name) in (1..).zip(["eth0", "eth1", "veth0"]) {
            let plain = Interface {
                name: name.to_owned(),
                ifindex: index,
                is_up: true,
                ..Interface::default()
            };
            let vlan = Interface {
                name: format!("{name}.7"),
                ifindex: index + 10,
                vlan: Some(compile::machine::VlanDevice {
                    parent: index,
                    outer: 7,
                    inner: 0,
                }),
                ..plain.clone()
            };
            machine.interfaces.extend([plain, vlan]);
        }
        let hooks = compile::hooks(&policy, &machine).unwrap();
        let driver = |name: &str| {
            Some(Driver {
                name: name.trim_end_matches(char::is_numeric).to_owned(),
                strips_vlan_tags: name != "eth1",
                ..Driver::default()
            })
        };
        let result = check_with(&policy, &machine, &hooks, driver);
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn zones_by_tag_are_refused_where_xdp_sees_no_tags() {
        let cases = [
            ("{ interface: eth0 }", "", false),
            ("{ interface: eth0, vlan: 7 }", "", true),
            ("{ interface: eth0.7 }", "", true),
            ("{ vlan: 7 }", "", true),
            ("{ interface: eth1, vlan: 7 }", "", false),
            ("{ interface: veth0, vlan: 7.8 }", "", false),
            (
                "{ interface: eth0, vlan: 7 }",
                "interfaces: { eth0: { hook: tc } }",
                false,
            ),
            (
                "{ interface: eth0, vlan: 7 }",
                "interfaces: { eth0: { hook: xdp-generic } }",
                true,
            ),
        ];
        for (zone, rest, is_refused) in cases {
            let refused = refused(zone, rest);
            assert_eq!(refused.is_some(), is_refused, "{zone} {rest}: {refused:?}");
            for part in ["eth0", "ethtool -K eth0 rxvlan off", "hook: tc"] {
                assert!(refused.as_ref().is_none_or(|text| text.contains(part)));
            }
        }
    }
}
