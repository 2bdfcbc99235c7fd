//! Drivers: what they and their settings let XDP programs do.

use super::{Facts, Finding, InterfaceFacts, bad, good, warning};
use crate::controller::tags::hides_tags;
use crate::kernel::ethtool::Driver;
use crate::policy::model::Hook;

/// Above this MTU drivers refuse XDP programs that take packets in one piece: a
/// page of 4096 bytes less headroom, headers and what the stack appends.
const MAX_MTU: u32 = 3_498;

/// What follows from the driver of an interface that gets programs.
pub(super) fn findings(facts: &Facts, one: &InterfaceFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(driver) = &one.driver {
        findings.push(good(&one.link.name, format!("driver {}", driver.name)));
        findings.extend(tags(facts, one, driver));
    }
    if facts.wants_driver(one) {
        findings.extend(support(facts, one));
        findings.extend(mtu(one));
        if let Some(driver) = &one.driver {
            findings.extend(joining(one, driver));
            findings.extend(channels(facts, one, driver));
            findings.extend(other_end(facts, one, driver));
        }
    }
    findings
}

fn support(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let name = &one.link.name;
    if one.has_driver_xdp != Some(false) {
        return None;
    }
    let remedy = format!(
        "`interfaces: {{ {name}: {{ hook: xdp-generic }} }}` in the policy judges its packets in the network stack, more slowly"
    );
    let found = "its driver has no XDP";
    let is_named = facts
        .policy
        .as_ref()
        .is_some_and(|policy| !policy.is_active);
    Some(match is_named {
        true => bad(name, found, remedy),
        false => warning(name, found, remedy),
    })
}

fn mtu(one: &InterfaceFacts) -> Option<Finding> {
    let (name, mtu) = (&one.link.name, one.link.mtu);
    (mtu > MAX_MTU && one.link.vlan.is_none()).then(|| {
        warning(
            name,
            format!("MTU {mtu} is more than most drivers take with XDP"),
            format!(
                "ip link set dev {name} mtu {MAX_MTU}, or `hook: xdp-generic` for it in the policy"
            ),
        )
    })
}

/// Tags that are taken off before XDP sees them, where zones depend on them.
fn tags(facts: &Facts, one: &InterfaceFacts, driver: &Driver) -> Option<Finding> {
    let name = &one.link.name;
    let interfaces = facts.interfaces.iter().flatten();
    let mut devices = interfaces
        .filter(|other| other.link.vlan.is_some() && other.link.parent == Some(one.link.ifindex));
    let policy = facts.policy.as_ref();
    let hook = policy.and_then(|policy| policy.enforced.get(name));
    if hook == Some(&Hook::Tc) {
        // TC sees tags beside the frame too.
        return None;
    }
    let is_told_apart = policy.is_some_and(|policy| policy.with_vlans.contains(name));
    if !driver.strips_vlan_tags || !(is_told_apart || devices.next().is_some()) {
        return None;
    }
    let remedy = match driver.name.as_str() {
        // A veth hands over what its other end has left beside the frame.
        "veth" => "ethtool -K PEER txvlan off, at its other end".to_owned(),
        _ => format!("ethtool -K {name} rxvlan off, or `hook: tc` for it in the policy"),
    };
    let found = "takes VLAN tags off before XDP sees them";
    Some(match is_told_apart && hides_tags(driver) {
        true => bad(name, format!("{found}, and zones depend on them"), remedy),
        false => warning(name, found, remedy),
    })
}

/// Received packets that the device joins before XDP sees them.
fn joining(one: &InterfaceFacts, driver: &Driver) -> Vec<Finding> {
    let name = &one.link.name;
    let mut findings = Vec::new();
    if driver.joins_packets {
        findings.push(warning(
            name,
            "joins received packets (LRO), which drivers refuse with XDP",
            format!("ethtool -K {name} lro off"),
        ));
    }
    if driver.joins_reversibly {
        findings.push(warning(
            name,
            "joins received packets (GRO in hardware), which some drivers refuse with XDP",
            format!("ethtool -K {name} rx-gro-hw off"),
        ));
    }
    findings
}

/// Drivers that need free queues for XDP, and say little when there are none.
fn channels(facts: &Facts, one: &InterfaceFacts, driver: &Driver) -> Option<Finding> {
    let name = &one.link.name;
    let channels = driver.channels?;
    let (used, most) = (channels.combined, channels.most_combined);
    match driver.name.as_str() {
        // A queue for each CPU beside those in use; else CPUs share queues, or
        // before Linux 5.13 the program is refused.
        "virtio_net" if used + facts.cpus > most => Some(warning(
            name,
            format!(
                "has {most} queues, {used} in use, too few to give each of {} CPUs one for XDP",
                facts.cpus
            ),
            format!(
                "more queues from the host, or ethtool -L {name} combined {}",
                most.saturating_sub(facts.cpus).max(1)
            ),
        )),
        // Half of the queues are for XDP.
        "ena" if 2 * used > most => Some(warning(
            name,
            format!("uses {used} of {most} queues; its driver wants half of them free for XDP"),
            format!("ethtool -L {name} combined {}", (most / 2).max(1)),
        )),
        // Queues for one direction only are refused.
        "bnxt_en" if channels.receive + channels.transmit > 0 => Some(warning(
            name,
            "has queues for one direction only, which its driver refuses with XDP",
            format!(
                "ethtool -L {name} rx 0 tx 0 combined {}",
                channels.receive.max(1)
            ),
        )),
        "ixgbe" if facts.cpus > 64 => Some(warning(
            name,
            format!("{} CPUs share 64 queues for XDP", facts.cpus),
            "fewer CPUs for its interrupts",
        )),
        _ => None,
    }
}

/// A veth takes packets that XDP sends back only where its other end polls.
fn other_end(facts: &Facts, one: &InterfaceFacts, driver: &Driver) -> Option<Finding> {
    let name = &one.link.name;
    if driver.name != "veth" {
        return None;
    }
    let found = "what XDP sends from here is lost: the other end does not poll (NAPI)";
    let peer = facts.interface(one.link.parent?)?;
    let polls = peer.xdp.is_some() || peer.driver.as_ref()?.stack_joins_packets;
    (!polls).then(|| {
        warning(
            name,
            found,
            format!(
                "ethtool -K {} gro on, where the policy rejects packets",
                peer.link.name
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::facts::Facts;
    use super::super::tests::{about, expect, fine};
    use crate::kernel::ethtool::{Channels, Driver};
    use crate::kernel::netlink::Interface;
    use crate::policy::model::Hook;

    fn driver(facts: &mut Facts) -> &mut Driver {
        facts.eth0().driver.as_mut().unwrap()
    }

    #[test]
    fn each_obstacle_of_an_interface_has_a_remedy() {
        type Spoil = fn(&mut Facts);
        let cases: [(Spoil, &[&str]); 8] = [
            (
                |facts| facts.eth0().link.mtu = 9_000,
                &["MTU 9000", "mtu 3498", "xdp-generic"],
            ),
            (
                |facts| driver(facts).joins_packets = true,
                &["LRO", "lro off"],
            ),
            (
                |facts| driver(facts).joins_reversibly = true,
                &["GRO", "rx-gro-hw off"],
            ),
            (
                |facts| facts.eth0().has_driver_xdp = Some(false),
                &["no XDP", "hook: xdp-generic"],
            ),
            (
                |facts| queues(facts, "virtio_net", 2, 4),
                &["4 queues, 2 in use", "4 CPUs", "combined 1"],
            ),
            (
                |facts| queues(facts, "ena", 5, 8),
                &["5 of 8", "combined 4"],
            ),
            (
                |facts| {
                    queues(facts, "bnxt_en", 0, 8);
                    driver(facts).channels.as_mut().unwrap().receive = 4;
                },
                &["one direction", "combined 4"],
            ),
            (
                |facts| {
                    facts.cpus = 128;
                    queues(facts, "ixgbe", 8, 64);
                },
                &["128 CPUs"],
            ),
        ];
        for (spoil, words) in cases {
            let mut facts = fine();
            spoil(&mut facts);
            expect(&facts, "eth0", Warning, words);
        }
        let mut enough = fine();
        queues(&mut enough, "virtio_net", 4, 8);
        assert!(
            about(&enough, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
    }

    #[test]
    fn what_hinders_the_driver_does_not_hinder_the_stack() {
        let mut facts = fine().named_eth0();
        facts.eth0().has_driver_xdp = Some(false);
        facts.eth0().link.mtu = 9_000;
        driver(&mut facts).joins_packets = true;
        assert_eq!(
            about(&facts, "eth0")
                .iter()
                .filter(|(level, _)| *level == Bad)
                .count(),
            1
        );
        let policy = facts.policy.as_mut().unwrap();
        policy.enforced.insert("eth0".to_owned(), Hook::XdpGeneric);
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
    }

    #[test]
    fn stripped_tags_matter_where_zones_depend_on_them() {
        let mut facts = fine();
        driver(&mut facts).strips_vlan_tags = true;
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
        let mut named = facts.clone().named_eth0();
        named
            .policy
            .as_mut()
            .unwrap()
            .with_vlans
            .insert("eth0".to_owned());
        expect(
            &named,
            "eth0",
            Bad,
            &["zones depend", "ethtool -K eth0 rxvlan off"],
        );
        let policy = named.policy.as_mut().unwrap();
        policy.enforced.insert("eth0".to_owned(), Hook::Tc);
        let about = about(&named, "eth0");
        assert!(about.iter().all(|(level, _)| *level == Good), "{about:?}");
        facts.add(Interface {
            name: "eth0.30".to_owned(),
            ifindex: 9,
            is_up: true,
            parent: Some(2),
            vlan: Some(30),
            ..Interface::default()
        });
        expect(&facts, "eth0", Warning, &["rxvlan off"]);
        driver(&mut facts).name = "veth".to_owned();
        expect(&facts, "eth0", Warning, &["txvlan off, at its other end"]);
    }

    #[test]
    fn a_veth_whose_other_end_does_not_poll_is_told() {
        let mut facts = fine();
        driver(&mut facts).name = "veth".to_owned();
        facts.eth0().link.parent = Some(9);
        let peer = Interface {
            name: "peer0".to_owned(),
            ifindex: 9,
            is_up: true,
            ..Interface::default()
        };
        facts.add(peer).driver = Some(Driver::default());
        expect(
            &facts,
            "eth0",
            Warning,
            &["NAPI", "ethtool -K peer0 gro on"],
        );
        let peer = facts.interfaces.as_mut().unwrap().last_mut().unwrap();
        peer.driver.as_mut().unwrap().stack_joins_packets = true;
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
    }

    fn queues(facts: &mut Facts, name: &str, combined: u32, most_combined: u32) {
        let driver = driver(facts);
        driver.name = name.to_owned();
        driver.channels = Some(Channels {
            combined,
            most_combined,
            receive: 0,
            transmit: 0,
        });
    }
}
