//! Datagrams under an address that is not the sender's.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

const UDP: u8 = 17;
const UDP_HEADER_LEN: u16 = 8;
const HOP_LIMIT: u8 = 64;
const PAYLOAD: &[u8] = b"not who I say I am";

/// Sends one UDP datagram that claims to come from `source`.
///
/// It leaves through a raw socket in the namespace of the calling thread.
pub fn send(source: SocketAddr, to: SocketAddr) -> Result<()> {
    let packet = match (source.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to_address)) => {
            let addresses = [from.octets(), to_address.octets()].concat();
            ipv4(&addresses, &udp(&addresses, source, to))
        }
        (IpAddr::V6(from), IpAddr::V6(to_address)) => {
            let addresses = [from.octets(), to_address.octets()].concat();
            ipv6(&addresses, &udp(&addresses, source, to))
        }
        _ => anyhow::bail!("{source} and {to} are of different families"),
    };
    send_packet(&packet, to.ip()).with_context(|| format!("cannot send to {to} as {source}"))
}

/// Sends a whole IP packet; of IPv4 the kernel fills in length, checksum and, where
/// it is 0, the id.
///
/// It leaves through a raw socket in the namespace of the calling thread.
pub fn send_packet(packet: &[u8], to: IpAddr) -> Result<()> {
    let domain = match to {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(domain, SockType::Raw, flags, SockProtocol::Raw)
        .context("cannot open a raw socket")?;
    // A raw socket has no ports; IPv6 takes this one for the protocol.
    let route_to = SockaddrStorage::from(SocketAddr::new(to, 0));
    sendto(socket.as_raw_fd(), packet, &route_to, MsgFlags::empty())?;
    Ok(())
}

/// RFC 768. `addresses` are source and destination.
fn udp(addresses: &[u8], source: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let length = UDP_HEADER_LEN + PAYLOAD.len() as u16;
    let words = [source.port(), to.port(), length, 0].map(u16::to_be_bytes);
    let mut datagram = [&words.concat(), PAYLOAD].concat();
    let pseudo_header = [addresses, &[0, UDP], &length.to_be_bytes()].concat();
    let checksum = checksum(&[&pseudo_header[..], &datagram].concat());
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    datagram
}

/// RFC 791; the kernel fills in length, id and checksum.
fn ipv4(addresses: &[u8], datagram: &[u8]) -> Vec<u8> {
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, HOP_LIMIT, UDP, 0, 0];
    [&header, addresses, datagram].concat()
}

/// RFC 8200.
fn ipv6(addresses: &[u8], datagram: &[u8]) -> Vec<u8> {
    let [high, low] = (datagram.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, high, low, UDP, HOP_LIMIT];
    [&header, addresses, datagram].concat()
}

/// RFC 1071; all that is summed here has an even number of bytes.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let sum: u32 = words.map(u32::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
