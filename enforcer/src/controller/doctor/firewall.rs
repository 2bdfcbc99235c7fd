//! Other firewalls on the machine, and what they mean beside this one.

use std::collections::BTreeSet;

use super::{Facts, Finding, bad, good, warning};
use crate::kernel::netfilter::Rules;

/// What follows from the facts about them.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    const ABOUT: &str = "other firewalls";
    let rules = match &facts.nftables {
        Ok(rules) => rules,
        Err(error) => {
            let found = format!("nftables cannot be listed ({error})");
            return vec![warning(ABOUT, found, "run enforcer with sudo")];
        }
    };
    let mut findings = Vec::new();
    let names = known(rules, &facts.iptables);
    let hooks: BTreeSet<&str> = rules.chains.iter().filter_map(|chain| chain.hook).collect();
    if rules.tables.is_empty() && facts.iptables.is_empty() {
        findings.push(good(ABOUT, "none"));
    } else {
        let hooks: Vec<_> = hooks.into_iter().collect();
        let hooks = match hooks.as_slice() {
            [] => String::new(),
            hooks => format!(", at {}", hooks.join(", ")),
        };
        let found = format!(
            "{}{hooks}; what either of both drops is dropped, theirs are not counted here",
            names.into_iter().collect::<Vec<_>>().join(", ")
        );
        findings.push(good(ABOUT, found));
    }
    for flow_table in &rules.flow_tables {
        let name = format!(
            "flow table {} {} {}",
            flow_table.table.family, flow_table.table.name, flow_table.name
        );
        findings.push(match flow_table.is_in_hardware {
            true => bad(
                ABOUT,
                format!("{name} lets the hardware forward flows, which no program sees then"),
                "remove `flags offload` from it",
            ),
            false => good(
                ABOUT,
                format!("{name} skips their rules, not enforcer's programs"),
            ),
        });
    }
    findings
}

/// Names that operators know them by.
fn known(rules: &Rules, iptables: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for table in &rules.tables {
        names.insert(match table.name.as_str() {
            "firewalld" => "firewalld".to_owned(),
            name if name.starts_with("docker") => "docker".to_owned(),
            name => format!("nftables table {} {name}", table.family),
        });
    }
    for chain in &rules.chains {
        let name = chain.name.to_ascii_lowercase();
        for tool in [
            "docker", "ufw", "libvirt", "fail2ban", "kube", "cali", "lxc",
        ] {
            if name.starts_with(tool) || name.starts_with(&format!("f2b-{tool}")) {
                names.insert(tool.to_owned());
            }
        }
    }
    names.extend(
        iptables
            .iter()
            .map(|table| format!("iptables-legacy table {table}")),
    );
    names
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::tests::{about, expect, fine};
    use crate::kernel::netfilter::{Chain, FlowTable, Rules, Table};

    const ABOUT: &str = "other firewalls";

    fn table(family: &'static str, name: &str) -> Table {
        Table {
            family,
            name: name.to_owned(),
        }
    }

    #[test]
    fn firewalls_are_known_by_their_names() {
        let mut facts = fine();
        let chain = |name: &str, hook| Chain {
            table: table("ip", "filter"),
            name: name.to_owned(),
            hook,
        };
        facts.nftables = Ok(Rules {
            tables: vec![table("ip", "filter"), table("inet", "firewalld")],
            chains: vec![
                chain("FORWARD", Some("forward")),
                chain("DOCKER-USER", None),
                chain("ufw-user-input", None),
            ],
            flow_tables: Vec::new(),
        });
        facts.iptables = vec!["ip6 mangle".to_owned()];
        let (level, text) = about(&facts, ABOUT).remove(0);
        assert_eq!(level, Good);
        let parts = [
            "nftables table ip filter",
            "firewalld",
            "docker",
            "ufw",
            "iptables-legacy table ip6 mangle",
            "at forward",
        ];
        for part in parts {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn forwarding_in_hardware_is_in_the_way() {
        let mut facts = fine();
        let flow_table = |is_in_hardware| FlowTable {
            table: table("inet", "fast"),
            name: "ft".to_owned(),
            is_in_hardware,
        };
        let rules = |is_in_hardware| Rules {
            tables: vec![table("inet", "fast")],
            chains: Vec::new(),
            flow_tables: vec![flow_table(is_in_hardware)],
        };
        facts.nftables = Ok(rules(true));
        expect(&facts, ABOUT, Bad, &["inet fast ft", "flags offload"]);
        facts.nftables = Ok(rules(false));
        assert!(about(&facts, ABOUT).iter().all(|(level, _)| *level == Good));
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let mut facts = fine();
        facts.nftables = Err("Operation not permitted".to_owned());
        expect(&facts, ABOUT, Warning, &["not permitted", "sudo"]);
    }
}
