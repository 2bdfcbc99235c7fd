//! The policy that the benchmark runs under: 10 zones, 50 prefixes and 200
//! conduits, about what a plant has.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use enforcer::compile::machine::Interface;
use nix::net::if_::if_nametoindex;

const ZONES: u8 = 10;

/// A station in zone 0, which may open some services in zone 1.
pub const OFFICE: [u8; 4] = [10, 0, 0, 10];
/// The same over IPv6.
pub const OFFICE_V6: u128 = 0xfd00_0000_0000_0000_0000_0000_0000_0010;
/// A station in zone 1.
pub const PLANT: [u8; 4] = [10, 1, 0, 10];
/// The same over IPv6.
pub const PLANT_V6: u128 = 0xfd00_0001_0000_0000_0000_0000_0000_0010;
/// A station in zone 2: no conduit joins it to zone 1.
pub const ISOLATED: [u8; 4] = [10, 2, 0, 10];

/// Makes a router of this network namespace, with an interface for each zone.
pub fn interfaces() -> Result<Vec<Interface>> {
    for family in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{family}"), "1").context("switch forwarding on")?;
    }
    (0..ZONES).map(interface).collect()
}

fn interface(zone: u8) -> Result<Interface> {
    let name = format!("zone{zone}");
    ip(&format!("link add {name} type veth peer name peer{zone}"))?;
    ip(&format!("link set peer{zone} up"))?;
    ip(&format!("link set {name} up"))?;
    ip(&format!("address add 10.{zone}.0.1/16 dev {name}"))?;
    ip(&format!("address add fd00:{zone}::1/64 dev {name} nodad"))?;
    let ifindex = if_nametoindex(name.as_str())?;
    Ok(Interface {
        name,
        ifindex,
        is_up: true,
        ..Interface::default()
    })
}

fn ip(arguments: &str) -> Result<()> {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .context("run ip")?;
    ensure!(status.success(), "ip {arguments} fails");
    Ok(())
}

/// The policy's text.
pub fn text() -> String {
    let mut text = "version: 1\nname: bench\nzones:\n".to_owned();
    for zone in 0..ZONES {
        let prefixes: Vec<_> = (0..4)
            .map(|subnet| format!("10.{zone}.{subnet}.0/24"))
            .chain([format!("\"fd00:{zone}::/64\"")])
            .collect();
        let prefixes = prefixes.join(", ");
        let _ = writeln!(
            text,
            "  z{zone}: {{ match: [{{ interface: zone{zone}, prefix: [{prefixes}] }}] }}"
        );
    }
    text.push_str("conduits:\n");
    text.push_str("  - { id: C-000, from: z0, to: z1, services: [tcp/443, udp/5000] }\n");
    for conduit in 1..200 {
        let from = 3 + conduit % 7;
        let to = 3 + (conduit / 7) % 7;
        let to = if from == to { 0 } else { to };
        let port = 1_000 + conduit;
        let _ = writeln!(
            text,
            "  - {{ id: C-{conduit:03}, from: z{from}, to: z{to}, services: tcp/{port} }}"
        );
    }
    text
}
