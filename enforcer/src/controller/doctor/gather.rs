//! Looks at the machine; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, InterfaceFacts, Occupant, PinFacts, PolicyFacts};
use crate::compile::{self, Machine, machine::Interface as Compiled};
use crate::controller::{Instance, grow, machine, settle, tags};
use crate::kernel::links::{self, Side};
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::owner::Owners;
use crate::kernel::{ethtool, inspect, netfilter, owner, probe, xdp_features};
use crate::policy::Policy;
use crate::policy::model::Hook;

/// Everything that can be found out; about a policy, or the active one.
pub fn gather(instance: &Instance, policy: Option<&Policy>) -> Facts {
    let links = Netlink::connect().and_then(|netlink| {
        let links = netlink.interfaces()?;
        Ok((machine(&netlink)?, links, netlink))
    });
    let nothing = Machine::default();
    let here = links.as_ref().map_or(&nothing, |(machine, ..)| machine);
    let policy = match policy {
        Some(policy) => Some(policy_facts(policy, here, false)),
        None => active(instance).map(|policy| policy_facts(&policy, here, true)),
    };
    let number = |setting: &str| probe::sysctl(setting)?.parse().ok();
    Facts {
        release: probe::release().unwrap_or_else(|| "unknown".to_owned()),
        version: probe::version(),
        has_btf: std::path::Path::new("/sys/kernel/btf/vmlinux").exists(),
        missing_capabilities: probe::missing_capabilities().ok(),
        memlock: probe::memlock(),
        jit: number("net/core/bpf_jit_enable"),
        jit_harden: number("net/core/bpf_jit_harden"),
        unprivileged_disabled: number("kernel/unprivileged_bpf_disabled"),
        lockdown: probe::lockdown(),
        cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        pins: PinFacts {
            folder: instance.pins.folder().to_owned(),
            mounted: owner::bpf_mount_of(instance.pins.folder()),
            problem: instance.pins.check().err().map(|error| error.to_string()),
        },
        forwards_v4: flag("net/ipv4/ip_forward"),
        forwards_v6: flag("net/ipv6/conf/all/forwarding"),
        interfaces: match links {
            Ok((_, links, netlink)) => Ok(interfaces(instance, &links, &netlink)),
            Err(error) => Err(error.to_string()),
        },
        nftables: netfilter::rules().map_err(|error| error.to_string()),
        iptables: probe::legacy_iptables(),
        policy,
    }
}

fn active(instance: &Instance) -> Option<Policy> {
    let active = settle::active(instance).ok()??;
    let (_, policy) = grow::reparsed(&active.record.ok()?).ok()?;
    Some(policy)
}

fn flag(setting: &str) -> Option<bool> {
    Some(probe::sysctl(setting)? != "0")
}

fn interfaces(instance: &Instance, links: &[Interface], netlink: &Netlink) -> Vec<InterfaceFacts> {
    let owners = Owners::gather();
    let attached = links::list(&instance.pins).unwrap_or_default();
    let ours: BTreeSet<u32> = attached.iter().filter_map(|one| one.program_id).collect();
    let is_judged = |ifindex: u32| {
        let mut here = attached.iter().filter(|one| one.ifindex == ifindex);
        here.any(|one| one.side() == Side::Ingress && one.program_id.is_some())
    };
    let occupant = |program_id: u32| Occupant {
        owner: owners.of(program_id),
        is_ours: ours.contains(&program_id),
    };
    let occupants = |places: Vec<inspect::Place>| {
        let places = places.iter();
        places.map(|place| occupant(place.program_id)).collect()
    };
    let have_xdp = xdp_features::drivers_with_xdp().unwrap_or_default();
    let outside = links.iter().filter(|link| !link.is_loopback);
    let facts = outside.map(|link| InterfaceFacts {
        driver: ethtool::driver(&link.name).ok(),
        has_driver_xdp: have_xdp.get(&link.ifindex).copied(),
        is_judged: is_judged(link.ifindex),
        xdp: link.xdp_program().map(|(id, slot)| (occupant(id), slot)),
        ingress: occupants(inspect::ingress(link.ifindex)),
        egress: occupants(inspect::egress(link.ifindex)),
        egress_filters: netlink.foreign_egress_filters(link.ifindex),
        rp_filter: ["all", &link.name]
            .iter()
            .filter_map(|name| {
                probe::sysctl(&format!("net/ipv4/conf/{name}/rp_filter"))?
                    .parse()
                    .ok()
            })
            .max()
            .unwrap_or(0),
        forwards_v4: flag(&format!("net/ipv4/conf/{}/forwarding", link.name)),
        forwards_v6: flag(&format!("net/ipv6/conf/{}/forwarding", link.name)),
        link: link.clone(),
    });
    facts.collect()
}

fn policy_facts(policy: &Policy, here: &Machine, is_active: bool) -> PolicyFacts {
    let known: BTreeMap<&str, &Compiled> = here
        .interfaces
        .iter()
        .map(|one| (one.name.as_str(), one))
        .collect();
    let named = Machine::imagined(policy).interfaces;
    let named: Vec<&str> = named.iter().map(|one| one.name.as_str()).collect();
    let (present, missing): (Vec<&str>, Vec<&str>) =
        named.iter().partition(|name| known.contains_key(**name));
    let chosen = |name: &str| {
        let mut hooks = policy.interfaces.iter();
        let chosen = hooks.find(|(other, _)| other.as_str() == name);
        chosen.and_then(|(_, hook)| *hook).unwrap_or_default()
    };
    let (enforced, refused): (BTreeMap<String, Hook>, _) = match compile::hooks(policy, here) {
        Ok(hooks) => {
            let interfaces = here.interfaces.iter();
            let enforced =
                interfaces.filter_map(|one| Some((one.name.clone(), *hooks.get(&one.ifindex)?)));
            (enforced.collect(), None)
        }
        // That some are missing is told; what is wrong with the others is not
        // known before these are there.
        Err(_) if !missing.is_empty() => {
            let enforced = present.iter();
            let enforced = enforced.map(|name| ((*name).to_owned(), chosen(name)));
            (enforced.collect(), None)
        }
        Err(findings) => {
            let refused = format!("cannot be enforced here: {findings}");
            (BTreeMap::new(), Some(refused))
        }
    };
    PolicyFacts {
        name: policy.name.clone(),
        is_active,
        refused,
        missing: missing.iter().map(|name| (*name).to_owned()).collect(),
        with_vlans: tags::told_apart(policy, here, enforced.keys().map(String::as_str)),
        enforced,
    }
}
