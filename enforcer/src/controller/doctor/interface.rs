//! Interfaces, and what they have to do with each other.

use super::{Facts, Finding, InterfaceFacts, bad, driver, good, slots, warning};

/// What follows from the facts about every interface.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let interfaces = match &facts.interfaces {
        Ok(interfaces) => interfaces,
        Err(error) => {
            return vec![bad(
                "interfaces",
                format!("cannot be listed ({error})"),
                "check that netlink is allowed here",
            )];
        }
    };
    interfaces
        .iter()
        .flat_map(|one| interface(facts, one))
        .collect()
}

fn interface(facts: &Facts, one: &InterfaceFacts) -> Vec<Finding> {
    let mut findings = slots::findings(facts, one);
    findings.extend(without_program(facts, one));
    if !facts.concerns(one) {
        return findings;
    }
    findings.extend(down(facts, one));
    findings.extend(place(facts, one));
    findings.extend(bond(facts, one));
    findings.extend(driver::findings(facts, one));
    findings
}

fn down(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let name = &one.link.name;
    // That an interface is down that nobody needs says nothing.
    facts.policy.as_ref()?;
    (!one.link.is_up).then(|| warning(name, "is down", format!("ip link set dev {name} up")))
}

/// Devices that share frames with others.
fn place(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let name = &one.link.name;
    let bridge = facts.interface(one.link.master?)?;
    (bridge.link.kind.as_deref() == Some("bridge")).then(|| {
        let bridge = &bridge.link.name;
        let found = format!(
            "is a port of bridge {bridge}: judged is, at TC, what leaves {bridge}, by another port or to this machine"
        );
        good(name, found)
    })
}

/// A bond takes no program while one of its members has one.
fn bond(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let name = &one.link.name;
    if one.link.kind.as_deref() != Some("bond") {
        return None;
    }
    let mut interfaces = facts.interfaces.iter().flatten();
    let member = interfaces
        .find(|other| other.link.master == Some(one.link.ifindex) && other.xdp.is_some())?;
    let (occupant, slot) = member.xdp.as_ref()?;
    Some(warning(
        name,
        format!(
            "its member {} runs XDP program {}, so the bond takes none",
            member.link.name, occupant.owner
        ),
        occupant.owner.removal(&member.link.name, *slot),
    ))
}

/// What it means that no program judges what comes in somewhere.
fn without_program(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let policy = facts.policy.as_ref()?;
    let name = &one.link.name;
    let is_judged = |ifindex: u32| {
        let interface = facts.interface(ifindex);
        interface.is_some_and(|one| policy.enforced.contains_key(&one.link.name))
    };
    let mut interfaces = facts.interfaces.iter().flatten();
    let is_covered = is_judged(one.link.ifindex)
        || one.link.parent.is_some_and(is_judged) && one.link.vlan.is_some()
        || one.link.master.is_some_and(is_judged)
        || interfaces.any(|other| {
            other.link.master == Some(one.link.ifindex) && is_judged(other.link.ifindex)
        });
    if is_covered || !one.link.is_up {
        return None;
    }
    let found = match one.link.kind.as_deref() {
        Some("bridge") => {
            "a bridge without programs: what its ports send each other is not judged; what leaves it by an enforced interface is of zone `unknown`"
        }
        _ => {
            "has no programs: what comes in here and leaves by an enforced interface is of zone `unknown`, all else is not judged"
        }
    };
    Some(good(name, found))
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::facts::Occupant;
    use super::super::tests::{about, expect, fine};
    use crate::kernel::netlink::Interface;
    use crate::kernel::owner::{Owner, Slot};
    use crate::kernel::probe::Program;

    #[test]
    fn an_interface_that_is_needed_should_be_up() {
        let mut facts = fine();
        facts.eth0().link.is_up = false;
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
        let words = ["is down", "ip link set dev eth0 up"];
        expect(&facts.named_eth0(), "eth0", Warning, &words);
    }

    #[test]
    fn bridges_and_bonds_are_explained() {
        let mut facts = fine().named_eth0();
        let device = |name: &str, ifindex: u32, kind: &str| Interface {
            name: name.to_owned(),
            ifindex,
            is_up: true,
            kind: Some(kind.to_owned()),
            ..Interface::default()
        };
        facts.add(device("docker0", 8, "bridge"));
        let found = about(&facts, "docker0");
        assert!(
            found.iter().any(|(_, text)| text.contains("not judged")),
            "{found:?}"
        );
        facts.eth0().link.master = Some(8);
        let found = about(&facts, "eth0");
        let is_told = |text: &str| text.contains("port of bridge docker0: judged is, at TC");
        assert!(
            found
                .iter()
                .any(|(level, text)| *level == Good && is_told(text)),
            "{found:?}"
        );

        let mut facts = fine();
        facts.add(device("bond0", 8, "bond"));
        facts.eth0().link.master = Some(8);
        let program = Program {
            id: 5,
            name: "other".to_owned(),
            tag: "0".to_owned(),
        };
        let owner = Owner {
            program,
            links: Vec::new(),
            pins: Vec::new(),
            processes: Vec::new(),
        };
        facts.eth0().xdp = Some((
            Occupant {
                owner,
                is_ours: true,
            },
            Slot::Xdp,
        ));
        expect(
            &facts,
            "bond0",
            Warning,
            &["member eth0", "`other`", "xdp off"],
        );
    }

    #[test]
    fn without_netlink_nothing_is_known() {
        let mut facts = fine();
        facts.interfaces = Err("cannot read interfaces".to_owned());
        expect(
            &facts,
            "interfaces",
            Bad,
            &["cannot read interfaces", "netlink"],
        );
    }
}
