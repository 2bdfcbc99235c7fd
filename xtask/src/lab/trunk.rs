//! A router whose networks all come in by one port, told apart by VLAN tags.
//!
//! Needs the kernel module `8021q` and the program `ethtool`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::lab::host::Host;
use crate::lab::link::Links;
use crate::lab::namespace::Namespace;
use crate::lab::network::{Family, Network};
use crate::lab::topology::{
    FIRST_INDEX, ROUTER, Topology, UPLINK, add_address, host_link, settings,
};

/// The router's port.
pub const TRUNK: &str = "trk0";

/// The other end of the cable.
const FAR_END: &str = "far0";

/// Far from every index of the router.
const FAR_INDEX: u32 = 2 * FIRST_INDEX;

/// A network behind a VLAN tag, or behind two, the outer one first.
///
/// The interface of the network is the VLAN device that the router has for it.
pub struct Tagged {
    /// The network.
    pub network: Network,
    /// Its tags.
    pub tags: &'static [u16],
}

impl Topology {
    /// Builds a router with one port, and returns when every network carries packets.
    /// Frames come in with their tags inside, as XDP has to see them.
    pub fn trunk(tagged: Vec<Tagged>) -> Result<Self> {
        let router = Namespace::with_own_mounts(ROUTER)?;
        router.run(|| settings(true))?;
        let cable = Namespace::new("cable")?;
        cable.run(|| settings(false))?;
        let mut on_router = format!(
            "link set lo up\nlink add {TRUNK} index {FIRST_INDEX} type veth \
             peer name {FAR_END} index {FAR_INDEX} netns {}\nlink set {TRUNK} up\n",
            cable.thread_id()
        );
        let mut on_cable = format!("link set {FAR_END} up\n");
        let mut joined = Vec::new();
        for Tagged { network, tags } in tagged {
            let host = Namespace::new(network.name)?;
            host.run(|| settings(false))?;
            let interface = network.interface;
            on_router += &vlan_device(TRUNK, tags, interface);
            for family in Family::BOTH {
                on_router += &add_address(network.router(family), interface, family);
            }
            on_router += &format!("link set {interface} up\n");
            let name = network.name;
            on_cable += &vlan_device(FAR_END, tags, name);
            on_cable += &format!("link set {name} netns {} name {UPLINK}\n", host.thread_id());
            joined.push((network, Host::new(host)));
        }
        let router_links = router.run(move || Links::bring_up(&on_router))?;
        cable.run(move || {
            keep_tags_inside()?;
            Links::bring_up(&on_cable)
        })?;
        let mut interfaces = Vec::new();
        for (network, host) in &joined {
            let uplink = host_link(network);
            let ready = move || Links::bring_up(&uplink)?.wait_ready(&[UPLINK]);
            host.namespace().run(ready)?;
            interfaces.push(network.interface);
        }
        router.run(move || router_links.wait_ready(&interfaces))?;
        Ok(Self {
            router: Host::new(router),
            networks: joined,
            _between: Some(cable),
            _cables: Vec::new(),
        })
    }
}

/// Commands that make a VLAN device of `parent`.
fn vlan_device(parent: &str, tags: &[u16], name: &str) -> String {
    match tags {
        [outer, inner] => {
            let middle = format!("{parent}.{outer}");
            format!(
                "link add link {parent} name {middle} type vlan proto 802.1ad id {outer}\n\
                 link set {middle} up\n\
                 link add link {middle} name {name} type vlan id {inner}\n"
            )
        }
        _ => {
            let tags = tags.iter().map(|tag| format!(" id {tag}"));
            let tags: String = tags.collect();
            format!("link add link {parent} name {name} type vlan{tags}\n")
        }
    }
}

/// Otherwise a veth hands the tag over beside the frame, where XDP does not see it.
fn keep_tags_inside() -> Result<()> {
    let args = [
        "-K",
        FAR_END,
        "txvlan",
        "off",
        "tx-vlan-stag-hw-insert",
        "off",
    ];
    let output = Command::new("ethtool")
        .args(args)
        .env("PATH", command::path())
        .output()
        .context("cannot run `ethtool`")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ethtool: {}", complaint.trim());
    Ok(())
}
