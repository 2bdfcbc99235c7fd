//! Transport headers that aim at the edges of a policy's services.

use std::net::IpAddr;

use enforcer::policy::Policy;
use enforcer::policy::service::{IcmpFamily, Service, Transport};

use super::Rng;
use super::frames::{self, Packet};
use crate::oracle::packet::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// What the services of a policy name, and what lies beside it.
pub struct Aim {
    services: Vec<Service>,
    /// Few enough that packets meet in one flow by chance.
    source_ports: Vec<u16>,
}

impl Aim {
    pub fn at(policy: &Policy) -> Self {
        let conduits = policy.conduits.iter().flat_map(|found| &found.services);
        let failsafes = policy.failsafe.iter().flat_map(|found| &found.services);
        let mut services: Vec<Service> = conduits.chain(failsafes).copied().collect();
        services.push(Service::Any);
        Self {
            services,
            source_ports: vec![0, 40000, 40001, 65535],
        }
    }

    /// A service that the policy names somewhere.
    pub fn service(&self, rng: &mut Rng) -> Service {
        rng.pick(&self.services)
    }

    /// A packet that a service covers, or nearly so.
    pub fn packet(&self, rng: &mut Rng, ends: (IpAddr, IpAddr), service: Service) -> Packet {
        let is_v4 = ends.0.is_ipv4();
        let (protocol, segment) = match service {
            Service::Ports(transport, range) => {
                let protocol = match transport {
                    Transport::Tcp => TCP,
                    Transport::Udp => UDP,
                    Transport::Sctp => SCTP,
                };
                let protocol = if rng.percent(8) {
                    rng.pick(&[TCP, UDP, SCTP])
                } else {
                    protocol
                };
                let (start, end) = (range.start(), range.end());
                let inside = start + (rng.next() % u64::from(end - start + 1)) as u16;
                let port = rng.pick(&[
                    start,
                    end,
                    start.wrapping_sub(1),
                    end.wrapping_add(1),
                    inside,
                ]);
                (protocol, self.segment(rng, protocol, port))
            }
            Service::Icmp(family, kind, code) if is_v4 == (family == IcmpFamily::V4) => {
                let kind = kind.unwrap_or_else(|| any_type(rng, is_v4));
                let kind = if rng.percent(10) {
                    kind.wrapping_add(1)
                } else {
                    kind
                };
                let code = code.unwrap_or(0).wrapping_add(rng.pick(&[0, 0, 1, 255]));
                (
                    icmp_of(is_v4),
                    frames::icmp(kind, code, rng.pick(&[0, 1, 7])),
                )
            }
            Service::Protocol(protocol)
                if ![ICMP, ICMPV6, 0, 43, 44, 51, 60].contains(&protocol) =>
            {
                let protocol = protocol.wrapping_add(rng.pick(&[0, 0, 0, 1]));
                (protocol, self.segment(rng, protocol, 80))
            }
            _ => self.anything(rng, is_v4),
        };
        Packet::new(ends.0, ends.1, protocol, segment)
    }

    fn anything(&self, rng: &mut Rng, is_v4: bool) -> (u8, Vec<u8>) {
        match rng.below(10) {
            0..=2 => {
                let protocol = rng.pick(&[TCP, UDP, SCTP]);
                let port = rng.pick(&[0, 1, 53, 80, 443, 65535]);
                (protocol, self.segment(rng, protocol, port))
            }
            3..=5 => {
                let request = if is_v4 { 8 } else { 128 };
                (
                    icmp_of(is_v4),
                    frames::icmp(request, 0, rng.pick(&[0, 1, 7])),
                )
            }
            6..=8 => (icmp_of(is_v4), frames::icmp(any_type(rng, is_v4), 0, 7)),
            _ => {
                let protocol = rng.byte();
                (protocol, self.segment(rng, protocol, 80))
            }
        }
    }

    fn segment(&self, rng: &mut Rng, protocol: u8, port: u16) -> Vec<u8> {
        let source = rng.pick(&self.source_ports);
        let flags = tcp_flags(rng, 70);
        match protocol {
            TCP | UDP | SCTP => frames::with_ports(protocol, source, port, flags),
            ICMP | ICMPV6 => frames::icmp(8, 0, source),
            _ => vec![0xab; rng.below(30)],
        }
    }
}

/// Changes what may change from one packet of a flow to the next, and now and
/// then what may not.
pub fn vary(rng: &mut Rng, packet: &mut Packet) {
    let is_v4 = packet.source.is_ipv4();
    match packet.protocol {
        TCP if rng.percent(60) => packet.segment[13] = tcp_flags(rng, 30),
        TCP | UDP | SCTP if rng.percent(15) => {
            let byte = 1 + 2 * rng.below(2);
            packet.segment[byte] = packet.segment[byte].wrapping_add(1);
        }
        ICMP | ICMPV6 if rng.percent(25) => packet.segment[0] = any_type(rng, is_v4),
        ICMP | ICMPV6 if rng.percent(15) => packet.segment[5] ^= 1,
        _ => {}
    }
}

/// A SYN with the given chance in percent, else any flags.
fn tcp_flags(rng: &mut Rng, chance_of_syn: usize) -> u8 {
    match rng.percent(chance_of_syn) {
        true => frames::SYN | rng.pick(&[0, 0, 0xc0, 0x08]),
        false => rng.pick(&[
            frames::ACK,
            frames::SYN_ACK,
            0x04,
            0x11,
            0x00,
            0x03,
            0x06,
            0xff,
        ]),
    }
}

/// ICMP types of some meaning, mostly echo.
fn any_type(rng: &mut Rng, is_v4: bool) -> u8 {
    match is_v4 {
        true => rng.pick(&[8, 8, 0, 0, 3, 4, 5, 11, 12, 13, 2, 6, 255]),
        false => rng.pick(&[
            128, 128, 129, 129, 1, 2, 3, 4, 0, 127, 130, 133, 135, 137, 255,
        ]),
    }
}

fn icmp_of(is_v4: bool) -> u8 {
    if is_v4 { ICMP } else { ICMPV6 }
}
