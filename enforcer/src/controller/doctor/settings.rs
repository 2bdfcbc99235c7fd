//! Settings of the network that contradict what a policy wants.

use super::{Facts, Finding, InterfaceFacts, bad, good, warning};

/// What follows from the facts about them.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        forwarding("IPv4", "net.ipv4.ip_forward", facts.forwards_v4),
        forwarding("IPv6", "net.ipv6.conf.all.forwarding", facts.forwards_v6),
    ];
    findings.extend(policy(facts));
    let interfaces = facts.interfaces.iter().flatten();
    let concerned = interfaces.filter(|one| facts.concerns(one));
    findings.extend(concerned.flat_map(|one| interface(facts, one)));
    findings
}

fn forwarding(family: &str, setting: &str, forwards: Option<bool>) -> Finding {
    match forwards {
        Some(false) => warning(
            family,
            "this machine forwards nothing",
            format!("if it is a router: sysctl -w {setting}=1"),
        ),
        Some(true) => good(family, "forwarding is on"),
        None => good(family, "absent"),
    }
}

fn policy(facts: &Facts) -> Vec<Finding> {
    let Some(policy) = &facts.policy else {
        return Vec::new();
    };
    let about = format!("policy `{}`", policy.name);
    let mut findings = Vec::new();
    if let Some(refused) = &policy.refused {
        findings.push(bad(&about, refused, "enforcer check POLICY tells more"));
    }
    for name in &policy.missing {
        let found = format!("names interface {name}, which this machine has not");
        let remedy = "create it, or correct the name in the policy";
        findings.push(match policy.is_active {
            true => warning(&about, found, remedy),
            false => bad(&about, found, remedy),
        });
    }
    findings
}

fn interface(facts: &Facts, one: &InterfaceFacts) -> Vec<Finding> {
    let name = &one.link.name;
    let mut findings = Vec::new();
    let families = [
        ("IPv4", "ipv4", facts.forwards_v4, one.forwards_v4),
        ("IPv6", "ipv6", facts.forwards_v6, one.forwards_v6),
    ];
    for (family, key, machine, interface) in families {
        if machine == Some(true) && interface == Some(false) {
            findings.push(warning(
                name,
                format!(
                    "does not forward {family}: what the policy allows from here goes no further"
                ),
                format!("sysctl -w net.{key}.conf.{name}.forwarding=1"),
            ));
        }
    }
    if one.rp_filter == 1 {
        findings.push(good(
            name,
            "the kernel drops IPv4 sources that it would not route back here (rp_filter=1), uncounted",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::tests::{about, expect, fine};

    #[test]
    fn a_router_that_does_not_forward_is_told() {
        let mut facts = fine();
        facts.forwards_v4 = Some(false);
        expect(&facts, "IPv4", Warning, &["net.ipv4.ip_forward=1"]);
        // Then what its interfaces do says nothing more.
        facts.eth0().forwards_v4 = Some(false);
        facts.eth0().forwards_v6 = Some(false);
        expect(
            &facts,
            "eth0",
            Warning,
            &["net.ipv6.conf.eth0.forwarding=1"],
        );
        facts.forwards_v6 = None;
        assert_eq!(about(&facts, "IPv6")[0].0, Good);
    }

    #[test]
    fn strict_source_checks_are_mentioned() {
        let mut facts = fine();
        facts.eth0().rp_filter = 1;
        let found = about(&facts, "eth0");
        assert!(
            found.iter().any(|(_, text)| text.contains("rp_filter=1")),
            "{found:?}"
        );
    }

    #[test]
    fn a_policy_that_cannot_be_enforced_is_told() {
        let mut facts = fine().named_eth0();
        let policy = facts.policy.as_mut().unwrap();
        policy.missing = vec!["eth7".to_owned()];
        expect(&facts, "policy `plant`", Bad, &["eth7"]);
        facts.policy.as_mut().unwrap().is_active = true;
        expect(&facts, "policy `plant`", Warning, &["eth7"]);
        let policy = facts.policy.as_mut().unwrap();
        policy.missing.clear();
        policy.refused = Some("2 errors".to_owned());
        expect(
            &facts,
            "policy `plant`",
            Bad,
            &["2 errors", "enforcer check"],
        );
    }
}
