//! Packets from sources that nobody has.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, connect, send, socket,
};

use crate::lab::spoof::checksum;

const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;
const SYN: u8 = 0x02;

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// TCP segments that open connections.
    Syn,
    /// UDP datagrams.
    Udp,
}

/// Sends `count` packets to `to`, each from another source; the same `seed`
/// gives the same sources.
///
/// They leave through a raw socket in the namespace of the calling thread.
pub fn send_all(flood: Flood, to: SocketAddrV4, (count, seed): (u32, u64)) -> Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let raw = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw);
    let raw: OwnedFd = raw.context("cannot open a raw socket")?;
    let target = SockaddrIn::from(SocketAddrV4::new(*to.ip(), 0));
    connect(raw.as_raw_fd(), &target).with_context(|| format!("no way to {to}"))?;
    let mut random = Random(seed | 1);
    for _ in 0..count {
        let source = random.source();
        let packet = match flood {
            Flood::Syn => packet(TCP, (source, to), &syn(random.next() as u32)),
            Flood::Udp => packet(UDP, (source, to), &UDP_REST),
        };
        match send(raw.as_raw_fd(), &packet, MsgFlags::empty()) {
            // What a queue has no room for is lost, as on a real network.
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok(())
}

/// What follows the ports: length, checksum, data.
const UDP_REST: [u8; 8] = [0, 12, 0, 0, b'e', b'c', b'h', b'o'];

/// What follows the ports of a TCP segment that opens a connection (RFC 9293).
fn syn(sequence: u32) -> [u8; 16] {
    let [a, b, c, d] = sequence.to_be_bytes();
    [a, b, c, d, 0, 0, 0, 0, 5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]
}

/// An IPv4 packet; the kernel fills in length, id and checksum of its header.
/// `rest` is what follows the ports, with no checksum yet.
fn packet(protocol: u8, (source, to): (SocketAddrV4, SocketAddrV4), rest: &[u8]) -> Vec<u8> {
    let addresses = [source.ip().octets(), to.ip().octets()].concat();
    let ports = [source.port(), to.port()].map(u16::to_be_bytes).concat();
    let mut segment = [ports.as_slice(), rest].concat();
    let length = (segment.len() as u16).to_be_bytes();
    let pseudo_header = [&addresses[..], &[0, protocol], &length].concat();
    let sum = checksum(&[&pseudo_header[..], &segment].concat());
    let place = if protocol == TCP { 16 } else { 6 };
    segment[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, HOP_LIMIT, protocol, 0, 0];
    [&header, addresses.as_slice(), &segment].concat()
}

/// Numbers that look like chance (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A public address between 11.0.0.0 and 99.255.255.255, and a port.
    fn source(&mut self) -> SocketAddrV4 {
        let bits = self.next();
        let first = 11 + (bits >> 56) % 89;
        let address = (first << 24 | bits & 0x00ff_ffff) as u32;
        let port = 1024 + (bits >> 24) as u16 % 60_000;
        SocketAddrV4::new(Ipv4Addr::from_bits(address), port)
    }
}
