//! Frames of 60 bytes and more, as small as Ethernet has them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// TCP flag SYN.
pub const TCP_SYN: u8 = 0x02;
/// TCP flag ACK.
pub const TCP_ACK: u8 = 0x10;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A frame from one address to another, without its transport header.
#[derive(Clone, Copy)]
pub enum Frame {
    /// IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Frame {
    /// IPv4 from `source` to `destination`.
    pub fn v4(source: [u8; 4], destination: [u8; 4]) -> Self {
        Self::V4(source.into(), destination.into())
    }

    /// IPv6 from `source` to `destination`.
    pub fn v6(source: u128, destination: u128) -> Self {
        Self::V6(source.into(), destination.into())
    }

    /// A TCP segment without data.
    pub fn tcp(&self, source: u16, destination: u16, flags: u8) -> Vec<u8> {
        let mut tcp = [0; 20];
        tcp[..2].copy_from_slice(&source.to_be_bytes());
        tcp[2..4].copy_from_slice(&destination.to_be_bytes());
        tcp[12] = 5 << 4;
        tcp[13] = flags;
        self.with(TCP, &tcp)
    }

    /// A UDP datagram of 18 bytes.
    pub fn udp(&self, source: u16, destination: u16) -> Vec<u8> {
        let mut udp = [0; 26];
        udp[..2].copy_from_slice(&source.to_be_bytes());
        udp[2..4].copy_from_slice(&destination.to_be_bytes());
        udp[4..6].copy_from_slice(&26u16.to_be_bytes());
        self.with(UDP, &udp)
    }

    fn with(&self, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        match self {
            Self::V4(source, destination) => {
                let total = 20 + transport.len() as u16;
                frame.extend([8, 0, 0x45, 0]);
                frame.extend(total.to_be_bytes());
                frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            Self::V6(source, destination) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((transport.len() as u16).to_be_bytes());
                frame.extend([protocol, 64]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
        }
        frame.extend(transport);
        frame.resize(frame.len().max(60), 0);
        frame
    }
}
