//! What a frame is, read by the book: one slice after the other, early return.
//!
//! Nothing here is shared with the parser of the kernel programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fragments::{Part, Piece};
use super::neighbours::{Claims, arp, discovery};
use super::quote::{Quote, quote};
use super::rules::Content;

/// A frame that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Hardware address that it comes from.
    pub mac: [u8; 6],
    /// The VLANs it is in; 0 for none.
    pub vlan: Vlan,
    /// What it carries.
    pub payload: Payload,
}

/// Outer and inner VLAN id; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    pub outer: u16,
    pub inner: u16,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A protocol between neighbours: link group addresses, PPPoE discovery.
    Link,
    /// ARP for IPv4 over Ethernet.
    Arp(Claims),
    /// IPv4 or IPv6.
    Ip(Datagram),
}

/// What the network and transport headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Behind all extension headers.
    pub protocol: u8,
    /// Of a later fragment nothing.
    pub transport: Transport,
    pub part: Part,
    /// What an ICMP error is about.
    pub quote: Option<Quote>,
    /// What neighbour discovery says.
    pub claims: Option<Result<Claims, Reason>>,
}

/// What the transport header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        ports: Ports,
        flags: u8,
    },
    /// UDP or SCTP.
    Ports(Ports),
    Icmp {
        kind: u8,
        code: u8,
        id: u16,
    },
    Other,
}

impl Datagram {
    /// All that services can tell apart.
    pub fn content(&self) -> Content {
        Content {
            protocol: self.protocol,
            transport: self.transport,
        }
    }
}

/// Source and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub source: u16,
    pub destination: u16,
}

/// Name of a drop reason.
pub type Reason = &'static str;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const AH: u8 = 51;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

/// Reads a whole frame.
pub fn read(frame: &[u8]) -> Result<Frame, Reason> {
    let destination = bytes(frame, 0, 6)?;
    let source = bytes(frame, 6, 6)?;
    let mut ether_type = u16_at(frame, 12)?;
    let mut payload = &frame[14..];
    let mut ids = Vec::new();
    while [0x8100, 0x88a8, 0x9100].contains(&ether_type) {
        if ids.len() == 2 {
            return Err("too-many-tags");
        }
        let tag = bytes(payload, 0, 4)?;
        ids.push(u16_at(tag, 0)? & 0x0fff);
        ether_type = u16_at(tag, 2)?;
        payload = &payload[4..];
    }
    ids.retain(|id| *id != 0);
    let vlan = Vlan {
        outer: ids.first().copied().unwrap_or(0),
        inner: ids.get(1).copied().unwrap_or(0),
    };
    let is_link_group = destination[..5] == [0x01, 0x80, 0xc2, 0, 0] && destination[5] <= 0x0f;
    let carried = match ether_type {
        _ if is_link_group => Payload::Link,
        0x8863 => Payload::Link,
        0x0806 => arp(payload)?,
        0x0800 => Payload::Ip(ipv4(payload)?),
        0x86dd => Payload::Ip(ipv6(payload)?),
        _ => return Err("unknown-ethertype"),
    };
    Ok(Frame {
        mac: source.try_into().expect("six bytes are six bytes"),
        vlan,
        payload: carried,
    })
}

/// RFC 791.
fn ipv4(payload: &[u8]) -> Result<Datagram, Reason> {
    let fixed = bytes(payload, 0, 20)?;
    let header_length = usize::from(fixed[0] & 0x0f) * 4;
    let total_length = usize::from(u16_at(fixed, 2)?);
    if fixed[0] >> 4 != 4 || header_length < 20 || total_length < header_length {
        return Err("bad-ipv4-header");
    }
    let datagram = bytes(payload, 0, total_length)?;
    options(&datagram[20..header_length])?;
    let place = u16_at(datagram, 6)?;
    let start = usize::from(place & 0x1fff) * 8;
    let piece = Piece {
        id: u16_at(datagram, 4)?.into(),
        protocol: datagram[9],
        start,
        end: start + total_length - header_length,
        is_last: place & 0x2000 == 0,
    };
    let part = Part::of(piece);
    if part != Part::Whole && start + total_length > 65_535 {
        return Err("bad-fragment");
    }
    let walked = match part {
        Part::Later(_) => Walked {
            protocol: datagram[9],
            at: header_length,
            part,
        },
        _ => extensions(datagram, header_length, datagram[9], &[AH])?,
    };
    if walked.protocol == ICMPV6 {
        return Err("wrong-icmp-family");
    }
    let ends = (
        Ipv4Addr::from(array::<4>(&datagram[12..16])).into(),
        Ipv4Addr::from(array::<4>(&datagram[16..20])).into(),
    );
    carried(ends, datagram[8], Walked { part, ..walked }, datagram)
}

/// What the datagram carries behind all headers of the network layer.
fn carried(
    (source, destination): (IpAddr, IpAddr),
    hop_limit: u8,
    walked: Walked,
    datagram: &[u8],
) -> Result<Datagram, Reason> {
    let Walked { protocol, at, part } = walked;
    let segment = &datagram[at..];
    if let Part::First(piece) | Part::Later(piece) = part {
        let is_odd = piece.end % 8 != 0 && !piece.is_last;
        if piece.start == piece.end || is_odd {
            return Err("bad-fragment");
        }
    }
    let transport = match part {
        Part::Later(_) => Transport::Other,
        _ => transport(protocol, segment, part == Part::Whole)?,
    };
    Ok(Datagram {
        source,
        destination,
        hop_limit,
        protocol,
        transport,
        part,
        quote: match part {
            Part::Whole => quote(protocol, segment),
            _ => None,
        },
        claims: match part {
            Part::Whole => discovery(source, (protocol, hop_limit), segment),
            _ => None,
        },
    })
}

/// RFC 791, 3.1: END, NOP, and options with a length that counts type and
/// length themselves.
fn options(mut rest: &[u8]) -> Result<(), Reason> {
    while let [kind, behind @ ..] = rest {
        match kind {
            0 => return Ok(()),
            1 => rest = behind,
            131 | 137 => return Err("source-routed"),
            _ => {
                let length = usize::from(*behind.first().ok_or("bad-ipv4-header")?);
                if length < 2 || length > rest.len() {
                    return Err("bad-ipv4-header");
                }
                rest = &rest[length..];
            }
        }
    }
    Ok(())
}

/// RFC 8200.
fn ipv6(payload: &[u8]) -> Result<Datagram, Reason> {
    let fixed = bytes(payload, 0, 40)?;
    if fixed[0] >> 4 != 6 {
        return Err("bad-ipv6-header");
    }
    let datagram = bytes(payload, 0, 40 + usize::from(u16_at(fixed, 4)?))?;
    let source = Ipv6Addr::from(array::<16>(&datagram[8..24]));
    let destination = Ipv6Addr::from(array::<16>(&datagram[24..40]));
    if source.to_ipv4_mapped().is_some() || destination.to_ipv4_mapped().is_some() {
        return Err("mapped-address");
    }
    let walked = extensions(datagram, 40, datagram[6], IPV6_EXTENSIONS)?;
    if walked.protocol == ICMP {
        return Err("wrong-icmp-family");
    }
    carried(
        (source.into(), destination.into()),
        datagram[7],
        walked,
        datagram,
    )
}

/// Where a walk over extension headers has ended.
#[derive(Clone, Copy)]
pub struct Walked {
    /// What is there.
    pub protocol: u8,
    /// Where, in bytes from the start of the datagram.
    pub at: usize,
    pub part: Part,
}

/// Those that are walked in IPv6.
pub const IPV6_EXTENSIONS: &[u8] = &[0, 43, 44, AH, 60];

/// Walks the headers in `walked`, of which the first would start at `start`, up
/// to what is none or to what a later fragment carries.
pub fn extensions(
    datagram: &[u8],
    start: usize,
    mut protocol: u8,
    walked: &[u8],
) -> Result<Walked, Reason> {
    let mut at = start;
    let mut count = 0;
    let mut fragment_headers = 0;
    let mut part = Part::Whole;
    while walked.contains(&protocol) {
        let header = bytes(datagram, at, 8)?;
        let length = match protocol {
            0 if at != start => return Err("bad-ipv6-header"),
            43 if header[2] == 0 => return Err("source-routed"),
            44 => {
                fragment_headers += 1;
                part = Part::of(fragment(datagram, start, at)?);
                8
            }
            AH => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        if fragment_headers > 1 {
            return Err("bad-fragment");
        }
        at += length;
        count += 1;
        if count > 6 || at - start > 256 {
            return Err("too-many-extensions");
        }
        protocol = header[0];
        if matches!(part, Part::Later(_)) {
            break;
        }
    }
    if at > datagram.len() {
        return Err("truncated");
    }
    Ok(Walked { protocol, at, part })
}

/// RFC 8200, 4.5: the fragment header at `at`; the IPv6 header ends at `first`.
fn fragment(datagram: &[u8], first: usize, at: usize) -> Result<Piece, Reason> {
    let header = bytes(datagram, at, 8)?;
    let place = u16_at(header, 2)?;
    let start = usize::from(place & 0xfff8);
    let piece = Piece {
        id: u32::from_be_bytes(array(&header[4..8])),
        protocol: 0,
        start,
        end: start + datagram.len() - at - 8,
        is_last: place & 1 == 0,
    };
    let reassembled = start + datagram.len() - first - 8;
    if Part::of(piece) != Part::Whole && reassembled > 65_535 {
        return Err("bad-fragment");
    }
    Ok(piece)
}

/// Of a first fragment (`is_whole` is false) there is more than `segment`.
fn transport(protocol: u8, segment: &[u8], is_whole: bool) -> Result<Transport, Reason> {
    match protocol {
        TCP => {
            let header = bytes(segment, 0, 20)?;
            let length = usize::from(header[12] >> 4) * 4;
            if length < 20 {
                return Err("bad-transport-header");
            }
            bytes(segment, 0, length)?;
            Ok(Transport::Tcp {
                ports: ports(header)?,
                flags: header[13],
            })
        }
        UDP => {
            let header = bytes(segment, 0, 8)?;
            let length = usize::from(u16_at(header, 4)?);
            if length < 8 || is_whole && length > segment.len() {
                return Err("bad-transport-header");
            }
            Ok(Transport::Ports(ports(header)?))
        }
        SCTP => Ok(Transport::Ports(ports(bytes(segment, 0, 12)?)?)),
        ICMP | ICMPV6 => {
            let header = bytes(segment, 0, 8)?;
            Ok(Transport::Icmp {
                kind: header[0],
                code: header[1],
                id: u16_at(header, 4)?,
            })
        }
        _ => Ok(Transport::Other),
    }
}

pub fn ports(header: &[u8]) -> Result<Ports, Reason> {
    Ok(Ports {
        source: u16_at(header, 0)?,
        destination: u16_at(header, 2)?,
    })
}

/// `length` bytes from `start`, or the packet ends before.
pub fn bytes(from: &[u8], start: usize, length: usize) -> Result<&[u8], Reason> {
    from.get(start..start + length).ok_or("truncated")
}

pub fn u16_at(from: &[u8], start: usize) -> Result<u16, Reason> {
    Ok(u16::from_be_bytes(array(bytes(from, start, 2)?)))
}

pub fn array<const N: usize>(from: &[u8]) -> [u8; N] {
    from.try_into()
        .expect("the slice has the length of the array")
}
