//! Random devices: members of zones, near each other's addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Rng;
use super::addresses::{near, prefix};
use super::policy::MACS;

const NAMES: [&str; 5] = ["historian", "panel", "laptop", "printer", "scanner"];

/// A device.
pub struct Device {
    pub name: &'static str,
    /// Index of its zone.
    zone: usize,
    mac: Option<&'static str>,
    addresses: Vec<IpAddr>,
    pub has_address: bool,
}

/// Devices of some of the `zones`, whose `match` entries are these `claims`.
pub fn devices(rng: &mut Rng, zones: usize, claims: &BTreeMap<[String; 4], usize>) -> Vec<Device> {
    let count = rng.pick(&[0, 0, 1, 2, 3, 5]);
    let mut taken = BTreeSet::new();
    let mut macs = MACS.to_vec();
    let mut devices: Vec<Device> = Vec::new();
    for name in NAMES.into_iter().take(count) {
        let zone = rng.below(zones);
        let mut prefixes: Vec<&str> = claims
            .iter()
            .filter(|(_, owner)| **owner == zone)
            .map(|(claim, _)| claim[0].as_str())
            .collect();
        prefixes.dedup();
        let mac = rng.percent(70).then(|| macs.remove(rng.below(macs.len())));
        let mut addresses = Vec::new();
        let wanted = match mac {
            Some(_) => rng.pick(&[0, 1, 1, 2, 3]),
            None => rng.pick(&[1, 2]),
        };
        for _ in 0..wanted {
            // A zone that has claimed nothing takes in every address.
            let around = match rng.pick(&[&prefixes[..], &[""]].concat()) {
                "" if prefixes.contains(&"") || prefixes.is_empty() => prefix(rng),
                "" => continue,
                text => text.parse().expect("a valid prefix"),
            };
            let address = near(rng, around);
            let is_exact = claims.keys().any(|claim| {
                claim[0]
                    .parse::<IpNet>()
                    .is_ok_and(|net| net == IpNet::from(address))
            });
            if around.contains(&address) && is_of_one(address) && !is_exact && taken.insert(address)
            {
                addresses.push(address);
            }
        }
        if mac.is_some() || !addresses.is_empty() {
            devices.push(Device {
                name,
                zone,
                mac,
                has_address: !addresses.is_empty(),
                addresses,
            });
        }
    }
    devices
}

/// Whether one station may have the address to itself.
fn is_of_one(address: IpAddr) -> bool {
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !is_special
        && match address {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
        }
}

impl Device {
    /// The device as an operator would write it.
    pub fn text(&self, zones: &[&str]) -> String {
        let mut keys = vec![format!("zone: {}", zones[self.zone])];
        keys.extend(self.mac.map(|mac| format!("mac: \"{mac}\"")));
        let addresses: Vec<String> = self
            .addresses
            .iter()
            .map(|ip| format!("\"{ip}\""))
            .collect();
        if self.has_address {
            keys.push(format!("ip: [{}]", addresses.join(", ")));
        }
        format!("{}: {{ {} }}", self.name, keys.join(", "))
    }
}
