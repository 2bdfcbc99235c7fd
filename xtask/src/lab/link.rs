//! Links, addresses and settings of the namespace that the calling thread is in.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket,
};
use nix::sys::time::TimeVal;

/// Netlink group of changes to IPv6 addresses (`linux/rtnetlink.h`).
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// Scope of link-local addresses, and the flag of those that must not be used yet, as
/// `/proc/net/if_inet6` shows them.
const SCOPE_LINK: &str = "20";
const TENTATIVE: u32 = 0x40;

/// Longer than any link takes to come up.
const LINK_SECONDS: i64 = 10;

/// Writes `value` to the kernel setting `name`, such as `net/ipv4/ip_forward`.
pub fn set(name: &str, value: &str) -> Result<()> {
    fs::write(format!("/proc/sys/{name}"), value)
        .with_context(|| format!("cannot set {name} to {value}"))
}

/// Links that were told to come up, and the kernel's news of them.
pub struct Links(OwnedFd);

impl Links {
    /// Runs `commands` of `ip`, one on each line.
    pub fn bring_up(commands: &str) -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_IPV6_IFADDR))?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(LINK_SECONDS, 0))?;
        ip(commands)?;
        Ok(Self(socket))
    }

    /// Waits until each of `interfaces` carries packets.
    ///
    /// The kernel gives an interface its link-local address once the queues behind it
    /// run, which is the last thing to happen.
    pub fn wait_ready(&self, interfaces: &[&str]) -> Result<()> {
        let mut message = [0; 4096];
        while let Some(late) = not_ready(interfaces)? {
            recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty())
                .map_err(io::Error::from)
                .with_context(|| format!("the link {late} does not come up"))?;
        }
        Ok(())
    }
}

/// Runs `commands` of `ip`, one on each line.
pub fn ip(commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .env("PATH", crate::command::path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `ip`")?;
    let mut input = child.stdin.take().expect("it is piped");
    // When `ip` ends early, its status tells more than this error.
    let written = input.write_all(commands.as_bytes());
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`ip` failed: {}; the commands were\n{commands}",
            reason.trim()
        );
    }
    written.context("`ip` did not read its commands")
}

fn not_ready<'a>(interfaces: &[&'a str]) -> Result<Option<&'a str>> {
    // `/proc/net` would be that of the main thread.
    let table = fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    let mut ready = Vec::new();
    for line in table.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        ensure!(fields.len() == 6, "not a line of if_inet6: {line}");
        let flags = u32::from_str_radix(fields[4], 16)?;
        if fields[3] == SCOPE_LINK && flags & TENTATIVE == 0 {
            ready.push(fields[5]);
        }
    }
    let late = interfaces
        .iter()
        .find(|interface| !ready.contains(interface));
    Ok(late.copied())
}

/// The hardware address of `interface`, as text.
pub fn mac(interface: &str) -> Result<String> {
    let output = Command::new("ip")
        .args(["-json", "link", "show", "dev", interface])
        .env("PATH", crate::command::path())
        .output()
        .context("cannot run `ip`")?;
    let links: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mac = links[0]["address"].as_str();
    Ok(mac.context("the interface has no address")?.to_owned())
}
