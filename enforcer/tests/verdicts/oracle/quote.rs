//! The packet that an ICMP error is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fragments::Part;
use super::packet::{
    self, AH, ICMP, ICMPV6, Ports, Reason, SCTP, TCP, Transport, UDP, array, bytes, ports, u16_at,
};
use super::rules::Content;

/// As much of a packet as says which flow it was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub content: Content,
}

/// The packet that an ICMP message quotes, if it is an error that may be about a
/// flow (unreachable, time exceeded, parameter problem, packet too big) and says
/// enough of it.
pub fn quote(protocol: u8, message: &[u8]) -> Option<Quote> {
    let kind = *message.first()?;
    let quoted = match protocol {
        ICMP if matches!(kind, 3 | 11 | 12) => ipv4(&message[8..]),
        ICMPV6 if matches!(kind, 1..=4) => ipv6(&message[8..]),
        _ => return None,
    };
    quoted.ok()
}

fn ipv4(packet: &[u8]) -> Result<Quote, Reason> {
    let fixed = bytes(packet, 0, 20)?;
    let header_length = usize::from(fixed[0] & 0x0f) * 4;
    let is_later_fragment = u16_at(fixed, 6)? & 0x1fff != 0;
    if fixed[0] >> 4 != 4 || header_length < 20 || is_later_fragment {
        return Err("not the start of a packet");
    }
    let walked = packet::extensions(packet, header_length, fixed[9], &[AH])?;
    Ok(Quote {
        source: Ipv4Addr::from(array::<4>(&fixed[12..16])).into(),
        destination: Ipv4Addr::from(array::<4>(&fixed[16..20])).into(),
        content: content(walked.protocol, &packet[walked.at..])?,
    })
}

fn ipv6(packet: &[u8]) -> Result<Quote, Reason> {
    let fixed = bytes(packet, 0, 40)?;
    let source = Ipv6Addr::from(array::<16>(&fixed[8..24]));
    let destination = Ipv6Addr::from(array::<16>(&fixed[24..40]));
    let is_mapped = |address: Ipv6Addr| address.to_ipv4_mapped().is_some();
    if fixed[0] >> 4 != 6 || is_mapped(source) || is_mapped(destination) {
        return Err("not a packet");
    }
    let walked = packet::extensions(packet, 40, fixed[6], packet::IPV6_EXTENSIONS)?;
    if matches!(walked.part, Part::Later(_)) {
        return Err("not the start of a packet");
    }
    Ok(Quote {
        source: source.into(),
        destination: destination.into(),
        content: content(walked.protocol, &packet[walked.at..])?,
    })
}

/// The first eight bytes are enough.
fn content(protocol: u8, segment: &[u8]) -> Result<Content, Reason> {
    let transport = match protocol {
        TCP | UDP | SCTP => {
            let Ports {
                source,
                destination,
            } = ports(bytes(segment, 0, 8)?)?;
            Transport::Ports(Ports {
                source,
                destination,
            })
        }
        ICMP | ICMPV6 => {
            let header = bytes(segment, 0, 8)?;
            let is_echo = match protocol {
                ICMP => matches!(header[0], 0 | 8),
                _ => matches!(header[0], 128 | 129),
            };
            if !is_echo {
                return Err("of no flow");
            }
            Transport::Icmp {
                kind: header[0],
                code: 0,
                id: u16_at(header, 4)?,
            }
        }
        _ => Transport::Other,
    };
    Ok(Content {
        protocol,
        transport,
    })
}
