//! What a packet of ARP or neighbour discovery says of its sender, and whether it
//! is to be believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{ICMPV6, Payload, Reason, array, bytes};
use super::zones::{Link, source_zone};
use super::{Expected, Router};
use crate::crossing::Way;

/// What is said of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub source: IpAddr,
    /// It asks whether anybody has an address, and has none itself.
    pub is_probe: bool,
    /// The hardware addresses that are given for its own.
    pub macs: Vec<[u8; 6]>,
    /// An address that is said to be its own.
    pub target: Option<IpAddr>,
    /// Of ARP: the address that is asked for, or answered to.
    pub sought: Option<IpAddr>,
}

/// RFC 826: hardware type 1, protocol type IPv4, addresses of 6 and 4 bytes.
pub fn arp(payload: &[u8]) -> Result<Payload, Reason> {
    let packet = bytes(payload, 0, 28)?;
    if packet[..6] != [0, 1, 0x08, 0x00, 6, 4] {
        return Err("bad-arp");
    }
    let source = Ipv4Addr::from(array::<4>(&packet[14..18]));
    Ok(Payload::Arp(Claims {
        source: source.into(),
        is_probe: source.is_unspecified(),
        macs: vec![array(&packet[8..14])],
        target: None,
        sought: Some(Ipv4Addr::from(array::<4>(&packet[24..28])).into()),
    }))
}

/// RFC 4861, 4: what a whole ICMPv6 message says, if it is of neighbour discovery.
pub fn discovery(
    source: IpAddr,
    (protocol, hop_limit): (u8, u8),
    message: &[u8],
) -> Option<Result<Claims, Reason>> {
    if (protocol, hop_limit) != (ICMPV6, 255) {
        return None;
    }
    let (fixed, option) = match message[0] {
        133 => (8, Some(1)),
        134 => (16, Some(1)),
        135 => (24, Some(1)),
        136 => (24, Some(2)),
        137 => (8, None),
        _ => return None,
    };
    Some(read(source, message, fixed, option))
}

fn read(
    source: IpAddr,
    message: &[u8],
    fixed: usize,
    option: Option<u8>,
) -> Result<Claims, Reason> {
    const BAD: Reason = "bad-transport-header";
    let mut claims = Claims {
        source,
        is_probe: source.is_unspecified() && matches!(message[0], 133 | 135),
        macs: Vec::new(),
        target: None,
        sought: None,
    };
    let Some(wanted) = option else {
        return Ok(claims);
    };
    let mut rest = message.get(fixed..).ok_or(BAD)?;
    if message[0] == 136 {
        claims.target = Some(Ipv6Addr::from(array::<16>(&message[8..24])).into());
    }
    let mut count = 0;
    while !rest.is_empty() {
        let length = usize::from(*rest.get(1).ok_or(BAD)?) * 8;
        count += 1;
        if length == 0 || length > rest.len() || count > 32 {
            return Err(BAD);
        }
        if rest[0] == wanted {
            claims.macs.push(array(&rest[2..8]));
        }
        rest = &rest[length..];
    }
    Ok(claims)
}

impl Router<'_> {
    /// The drop of what nobody is to believe, if it is that: what comes in.
    pub(super) fn unbelieved(
        &self,
        (way, link): (Way, Link<'_>),
        source: IpAddr,
        claims: &Result<Claims, Reason>,
    ) -> Option<Expected> {
        if matches!(way, Way::Out(..)) {
            return None;
        }
        let sender = source_zone(self.policy, self.world, link, source);
        let from = match sender {
            Ok(zone) => zone,
            Err(refused) => refused.zone,
        };
        let claims = match claims {
            Ok(claims) => claims,
            Err(reason) => return Some(self.dropped(reason, from, None)),
        };
        if claims.macs.iter().any(|mac| Some(*mac) != link.mac) {
            return Some(self.dropped("spoofed-source", from, None));
        }
        let target = claims
            .target
            .map(|target| source_zone(self.policy, self.world, link, target));
        let sender = (!claims.is_probe).then_some(sender);
        let refused = [sender, target]
            .into_iter()
            .flatten()
            .find_map(Result::err)?;
        Some(self.dropped(refused.reason, refused.zone, None))
    }
}
