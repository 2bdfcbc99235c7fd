//! ICMP errors about packets: right, forged, cut short, about errors.

use std::net::IpAddr;

use super::frames::{self, Packet};
use super::{Rng, edges};
use crate::oracle::packet::{ICMP, ICMPV6};

/// An error about `about`, told to `told` by `teller`.
pub fn error(rng: &mut Rng, mut about: Packet, (teller, told): (IpAddr, IpAddr)) -> Packet {
    let is_v4 = about.source.is_ipv4();
    let (protocol, kinds) = match is_v4 {
        true => (ICMP, [3, 3, 3, 11, 11, 12, 4, 5]),
        false => (ICMPV6, [1, 1, 2, 2, 3, 4, 0, 127]),
    };
    if rng.percent(15) {
        edges::bend(rng, &mut about);
    }
    if rng.percent(5) {
        let quoted = about.datagram();
        about.protocol = protocol;
        about.segment = message(kinds[0], &quoted);
    }
    let header = about.datagram().len() - about.segment.len();
    let mut quoted = about.datagram();
    match rng.below(10) {
        0..5 => quoted.truncate(header + 8),
        5 => quoted.truncate(header + rng.below(9)),
        6 => quoted.truncate(rng.below(quoted.len() + 1)),
        _ => {}
    }
    if rng.percent(6) && !quoted.is_empty() {
        let byte = rng.below(quoted.len());
        quoted[byte] ^= 1 << rng.below(8);
    }
    let kind = rng.pick(&kinds);
    Packet::new(teller, told, protocol, message(kind, &quoted))
}

fn message(kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = frames::icmp(kind, 0, 0);
    message.truncate(8);
    message.extend(quoted);
    message
}
