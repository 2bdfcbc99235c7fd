//! What this machine can do for a policy, and what is in the way.

use crate::kernel::ethtool;
use crate::kernel::links;
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::probe;

use super::instance::Instance;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; a policy can be applied.
    Warning,
    /// In the way of applying a policy.
    Bad,
}

/// Above this MTU drivers refuse XDP programs that take packets in one piece: a
/// page of 4096 bytes less headroom, headers and what the stack appends.
const MAX_MTU: u32 = 3_498;

/// Looks at kernel, file systems, settings and every interface.
pub fn doctor(instance: &Instance) -> Vec<Finding> {
    let mut findings = vec![privileges(), kernel(), tcx(), pins(instance), btf()];
    findings.extend([jit(), unprivileged()].into_iter().flatten());
    findings.extend(lockdown());
    findings.extend([forwarding("IPv4", "net/ipv4/ip_forward")]);
    findings.extend([forwarding("IPv6", "net/ipv6/conf/all/forwarding")]);
    match Netlink::connect().and_then(|netlink| netlink.interfaces()) {
        Ok(interfaces) => {
            let outside = interfaces.iter().filter(|one| !one.is_loopback);
            findings.extend(outside.flat_map(|one| interface(instance, one, &interfaces)));
        }
        Err(error) => findings.push(bad(
            format!("{error}"),
            "check that netlink is allowed here",
        )),
    }
    findings
}

fn privileges() -> Finding {
    match probe::missing_capabilities() {
        Ok(missing) if missing.is_empty() => good("privileges: all that are needed".to_owned()),
        Ok(missing) => bad(
            format!("privileges: without {}", missing.join(", ")),
            "run enforcer with sudo",
        ),
        Err(error) => warning(
            format!("privileges: cannot be read ({error})"),
            "run enforcer with sudo",
        ),
    }
}

fn kernel() -> Finding {
    let release = probe::release().unwrap_or_else(|| "unknown".to_owned());
    match probe::is_at_least(5, 15) {
        true => good(format!("kernel: Linux {release}")),
        false => bad(
            format!("kernel: Linux {release} is too old"),
            "use Linux 5.15 or later",
        ),
    }
}

fn tcx() -> Finding {
    match probe::is_at_least(6, 6) {
        true => good("TC egress: by tcx links".to_owned()),
        false => good("TC egress: by a clsact filter, as before Linux 6.6".to_owned()),
    }
}

fn pins(instance: &Instance) -> Finding {
    match instance.pins.check() {
        Ok(()) => good(format!(
            "pins: {} is usable",
            instance.pins.folder().display()
        )),
        Err(error) => bad(format!("pins: {error}"), "mount it, then apply"),
    }
}

fn btf() -> Finding {
    match std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        true => good("BTF: the kernel has it".to_owned()),
        false => good("BTF: the kernel has none; enforcer does not need it".to_owned()),
    }
}

fn jit() -> Option<Finding> {
    // Only the first network namespace shows it.
    match probe::sysctl("net/core/bpf_jit_enable")?.as_str() {
        "0" => Some(warning(
            "JIT: off, programs are interpreted".to_owned(),
            "sysctl -w net.core.bpf_jit_enable=1",
        )),
        _ => Some(good("JIT: on".to_owned())),
    }
}

fn unprivileged() -> Option<Finding> {
    match probe::sysctl("kernel/unprivileged_bpf_disabled")?.as_str() {
        "0" => Some(warning(
            "unprivileged BPF: every user may load programs".to_owned(),
            "sysctl -w kernel.unprivileged_bpf_disabled=2",
        )),
        _ => Some(good("unprivileged BPF: off".to_owned())),
    }
}

fn lockdown() -> Option<Finding> {
    let mode = probe::lockdown()?;
    Some(good(format!(
        "lockdown: {mode}; XDP and TC programs are allowed"
    )))
}

fn forwarding(family: &str, setting: &str) -> Finding {
    match probe::sysctl(setting).as_deref() {
        Some("0") => warning(
            format!("{family}: this machine forwards nothing"),
            &format!(
                "if it is a router: sysctl -w {}=1",
                setting.replace('/', ".")
            ),
        ),
        Some(_) => good(format!("{family}: forwarding is on")),
        None => good(format!("{family}: absent")),
    }
}

fn interface(instance: &Instance, one: &Interface, all: &[Interface]) -> Vec<Finding> {
    let name = &one.name;
    let mut findings = vec![slot(instance, one)];
    if !one.is_up {
        findings.push(warning(
            format!("{name}: is down"),
            &format!("ip link set dev {name} up"),
        ));
    }
    if one.mtu > MAX_MTU && one.vlan.is_none() {
        findings.push(warning(
            format!(
                "{name}: MTU {} is more than most drivers take with XDP",
                one.mtu
            ),
            &format!(
                "ip link set dev {name} mtu {MAX_MTU}, or `hook: xdp-generic` for it in the policy"
            ),
        ));
    }
    let bridge = all
        .iter()
        .find(|other| Some(other.ifindex) == one.master && other.kind.as_deref() == Some("bridge"));
    if let Some(bridge) = bridge {
        findings.push(warning(
            format!("{name}: is a port of bridge {}", bridge.name),
            "this version enforces routed interfaces only",
        ));
    }
    let mut others = all.iter();
    let has_vlans = others.any(|other| other.vlan.is_some() && other.parent == Some(one.ifindex));
    findings.extend(driver(one, has_vlans));
    findings
}

/// Who has the one place for an XDP program.
fn slot(instance: &Instance, one: &Interface) -> Finding {
    let name = &one.name;
    let Some(owner) = probe::xdp_owner(one) else {
        return good(format!("{name}: no XDP program"));
    };
    let attached = links::list(&instance.pins).unwrap_or_default();
    let is_ours = attached
        .iter()
        .any(|ours| ours.program_id == Some(owner.id));
    let runs = format!(
        "{name}: runs XDP program `{}` (id {})",
        owner.name, owner.id
    );
    match is_ours {
        true => good(format!("{runs}, ours")),
        false => bad(
            format!("{runs}, not ours"),
            &format!(
                "detach it if the policy is to name {name}: ip link set dev {name} xdp off, or the tool it belongs to"
            ),
        ),
    }
}

fn driver(one: &Interface, has_vlans: bool) -> Vec<Finding> {
    let name = &one.name;
    let Ok(driver) = ethtool::driver(name) else {
        return Vec::new();
    };
    let mut findings = vec![good(format!("{name}: driver {}", driver.name))];
    if has_vlans && driver.strips_vlan_tags {
        let remedy = match driver.name.as_str() {
            // A veth hands over what its other end has left beside the frame.
            "veth" => "ethtool -K PEER txvlan off, at its other end".to_owned(),
            _ => format!("ethtool -K {name} rxvlan off"),
        };
        let found = format!("{name}: takes VLAN tags off before XDP sees them");
        findings.push(warning(found, &remedy));
    }
    if driver.joins_packets {
        findings.push(warning(
            format!("{name}: joins received packets (LRO), which drivers refuse with XDP"),
            &format!("ethtool -K {name} lro off"),
        ));
    }
    findings
}

fn good(found: String) -> Finding {
    Finding {
        level: Level::Good,
        found,
        remedy: None,
    }
}

fn warning(found: String, remedy: &str) -> Finding {
    Finding {
        level: Level::Warning,
        found,
        remedy: Some(remedy.to_owned()),
    }
}

fn bad(found: String, remedy: &str) -> Finding {
    Finding {
        level: Level::Bad,
        found,
        remedy: Some(remedy.to_owned()),
    }
}
