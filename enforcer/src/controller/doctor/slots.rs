//! The places where programs are attached, and who else is there.

use super::facts::Occupant;
use super::{Facts, Finding, InterfaceFacts, bad, good, warning};
use crate::kernel::owner::Slot;

/// What follows from who is attached to an interface.
pub(super) fn findings(facts: &Facts, one: &InterfaceFacts) -> Vec<Finding> {
    let mut findings = vec![xdp(facts, one)];
    findings.extend(tc(one, Slot::Ingress));
    findings.extend(tc(one, Slot::Egress));
    findings.extend(filters(facts, one));
    findings.extend(missing(facts, one));
    findings
}

/// Who has the one place for an XDP program.
fn xdp(facts: &Facts, one: &InterfaceFacts) -> Finding {
    let name = &one.link.name;
    match &one.xdp {
        None => good(name, "no XDP program"),
        Some((occupant, _)) if occupant.is_ours => {
            good(name, format!("runs XDP program {}, ours", occupant.owner))
        }
        Some((occupant, slot)) => {
            let found = format!("runs XDP program {}, not ours", occupant.owner);
            let removal = occupant.owner.removal(name, *slot);
            match facts.concerns(one) {
                true => bad(
                    name,
                    found,
                    format!("an interface takes one only; to detach it: {removal}"),
                ),
                false => good(name, found),
            }
        }
    }
}

/// Who sees packets at TC ingress or egress, before us and after us.
fn tc(one: &InterfaceFacts, slot: Slot) -> Vec<Finding> {
    let name = &one.link.name;
    let (occupants, way, through) = match slot {
        Slot::Egress => (&one.egress, "TC egress", "out"),
        _ => (&one.ingress, "TC ingress", "in"),
    };
    let ours = occupants.iter().position(|occupant| occupant.is_ours);
    let others = occupants
        .iter()
        .enumerate()
        .filter(|(_, occupant)| !occupant.is_ours);
    others
        .map(|(at, Occupant { owner, .. })| match ours {
            Some(ours) if at < ours => warning(
                name,
                format!("{way} program {owner} runs before ours, and may let packets {through} that ours never sees"),
                format!(
                    "attach it after ours (BPF_F_AFTER), or detach it: {}",
                    owner.removal(name, slot)
                ),
            ),
            Some(_) => good(name, format!("{way} program {owner} runs after ours")),
            // At ingress ours is XDP, which comes first anyway.
            None => good(name, format!("{way} program {owner}; ours will run before it")),
        })
        .collect()
}

/// Filters of others that could run before ours, where ours is a filter too.
fn filters(facts: &Facts, one: &InterfaceFacts) -> Vec<Finding> {
    const OURS: u16 = 1;
    let name = &one.link.name;
    if facts.version >= (6, 6) {
        return Vec::new();
    }
    let early = one
        .egress_filters
        .iter()
        .filter(|priority| **priority <= OURS);
    early
        .map(|priority| {
            warning(
                name,
                format!("a TC egress filter of somebody else has priority {priority}, like ours, and may let packets out first"),
                format!("give it another priority: tc filter del dev {name} egress pref {priority}"),
            )
        })
        .collect()
}

/// Programs of ours that should be there and are not.
fn missing(facts: &Facts, one: &InterfaceFacts) -> Option<Finding> {
    let active = facts.policy.as_ref().filter(|policy| policy.is_active)?;
    let is_enforced = active.enforced.contains_key(&one.link.name);
    (is_enforced && !one.is_judged).then(|| {
        bad(
            &one.link.name,
            format!(
                "policy `{}` is active, and nobody judges what comes in here",
                active.name
            ),
            "apply it again",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::facts::Occupant;
    use super::super::tests::{about, expect, fine};
    use crate::kernel::owner::{Owner, Slot};
    use crate::kernel::probe::Program;
    use crate::policy::model::Hook;

    fn occupant(name: &str, is_ours: bool) -> Occupant {
        let owner = Owner {
            program: Program {
                id: 9,
                name: name.to_owned(),
                tag: "00".to_owned(),
            },
            links: vec![4],
            pins: vec!["/sys/fs/bpf/x".into()],
            processes: Vec::new(),
        };
        Occupant { owner, is_ours }
    }

    #[test]
    fn another_xdp_program_is_named_with_the_way_to_remove_it() {
        let mut facts = fine();
        facts.eth0().xdp = Some((occupant("balancer", false), Slot::Xdp));
        expect(
            &facts,
            "eth0",
            Bad,
            &[
                "`balancer` (id 9",
                "pinned at /sys/fs/bpf/x",
                "rm /sys/fs/bpf/x",
            ],
        );
        let mut elsewhere = facts.clone().named_eth0();
        let policy = elsewhere.policy.as_mut().unwrap();
        policy.enforced = [("eth1".to_owned(), Hook::Xdp)].into();
        assert!(
            about(&elsewhere, "eth0")
                .iter()
                .all(|(level, _)| *level != Bad)
        );
        facts.eth0().xdp = Some((occupant("enforcer_xdp", true), Slot::Xdp));
        assert_eq!(about(&facts, "eth0")[0].0, Good);
    }

    #[test]
    fn only_who_comes_before_us_is_a_danger() {
        let mut facts = fine();
        let (ours, other) = (occupant("enforcer_egress", true), occupant("shaper", false));
        facts.eth0().egress = vec![ours.clone(), other.clone()];
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
        facts.eth0().egress = vec![other.clone(), ours];
        expect(
            &facts,
            "eth0",
            Warning,
            &["`shaper`", "before ours", "rm /sys/fs/bpf/x"],
        );
        facts.eth0().egress = vec![other.clone()];
        let ours = occupant("enforcer_ingress", true);
        facts.eth0().ingress = vec![other.clone(), ours];
        let words = ["TC ingress program `shaper`", "packets in"];
        expect(&facts, "eth0", Warning, &words);
        facts.eth0().ingress = vec![other];
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
    }

    #[test]
    fn filters_of_our_priority_matter_on_old_kernels() {
        let mut facts = fine();
        facts.eth0().egress_filters = vec![1, 10];
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
        facts.version = (6, 1);
        expect(&facts, "eth0", Warning, &["priority 1", "egress pref 1"]);
    }

    #[test]
    fn a_program_that_is_gone_is_missed() {
        let mut facts = fine().named_eth0();
        assert!(
            about(&facts, "eth0")
                .iter()
                .all(|(level, _)| *level == Good)
        );
        facts.policy.as_mut().unwrap().is_active = true;
        expect(&facts, "eth0", Bad, &["nobody judges", "apply it again"]);
    }
}
