//! A port of the router whose frames a test writes and reads itself.

use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::lab::cable;
use crate::lab::link::{ip, mac};
use crate::lab::topology::Topology;

/// Longer than any frame.
const FRAME_BYTES: usize = 65_536;

/// The port, for as long as it lives.
pub struct Port {
    device: File,
    mac: [u8; 6],
}

impl Topology {
    /// Gives the router one port more, with these addresses (such as
    /// `10.9.0.1/24`).
    pub fn port(&self, name: &'static str, addresses: &[&str]) -> Result<Port> {
        let mut commands = String::new();
        for address in addresses {
            commands += &format!("address add {address} dev {name}\n");
        }
        commands += &format!("link set {name} up\n");
        self.router().namespace().run(move || {
            let device = cable::ethernet(name)?;
            ip(&commands)?;
            let text = mac(name)?;
            let mut mac = [0; 6];
            for (byte, text) in mac.iter_mut().zip(text.split(':')) {
                *byte = u8::from_str_radix(text, 16)?;
            }
            Ok(Port { device, mac })
        })
    }
}

impl Port {
    /// The router's hardware address there.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Lets a frame come in; the programs have judged it when this returns.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let written = self.device.write(frame);
        written.context("the port takes no frame").map(drop)
    }

    /// The next frame that the router sends and that is wanted, unless none comes
    /// while patience lasts.
    pub fn receive(
        &mut self,
        patience: Duration,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        let end = Instant::now() + patience;
        let mut frame = vec![0; FRAME_BYTES];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout)? == 0 {
                return Ok(None);
            }
            let len = self.device.read(&mut frame)?;
            if is_wanted(&frame[..len]) {
                return Ok(Some(frame[..len].to_vec()));
            }
        }
    }
}

/// An Ethernet frame; `tags` are VLAN ids, the outer one first, `kind` the
/// EtherType of what it carries.
pub fn frame(to: [u8; 6], tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    const FROM: [u8; 6] = [0x02, 0, 0, 0, 0x77, 0x01];
    const CUSTOMER_TAG: u16 = 0x8100;
    const SERVICE_TAG: u16 = 0x88a8;
    let mut frame = [to, FROM].concat();
    for (index, tag) in tags.iter().enumerate() {
        let is_outer = index + 1 < tags.len();
        let kind = if is_outer { SERVICE_TAG } else { CUSTOMER_TAG };
        frame.extend([kind, *tag].map(u16::to_be_bytes).concat());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The EtherType of packets between such addresses.
pub fn ether_type(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => 0x0800,
        IpAddr::V6(_) => 0x86dd,
    }
}
