//! Packets that answer others, and the tags of their frames.

use super::Rng;
use super::frames::{self, Packet};
use crate::oracle::packet::{ICMP, ICMPV6, SCTP, TCP, UDP, Vlan};

/// The packet that answers another.
pub fn answer(mut packet: Packet) -> Packet {
    (packet.source, packet.destination) = (packet.destination, packet.source);
    let segment = &mut packet.segment;
    match packet.protocol {
        TCP | UDP | SCTP => {
            segment[..4].rotate_left(2);
            if packet.protocol == TCP {
                segment[13] = frames::SYN_ACK;
            }
        }
        ICMP | ICMPV6 => {
            segment[0] = match segment[0] {
                8 => 0,
                0 => 8,
                128 => 129,
                129 => 128,
                other => other,
            };
        }
        _ => {}
    }
    packet
}

/// The tags that put a frame into a VLAN, sometimes with a priority tag more.
pub fn tags(rng: &mut Rng, vlan: Vlan) -> Vec<(u16, u16)> {
    let ids = [vlan.outer, vlan.inner];
    let mut ids: Vec<u16> = ids.into_iter().filter(|id| *id != 0).collect();
    if rng.percent(4) {
        ids.insert(rng.below(ids.len() + 1), 0);
    }
    if rng.percent(1) {
        ids.push(10);
    }
    ids.into_iter()
        .map(|id| {
            let kind = rng.pick(&[0x8100, 0x8100, 0x88a8, 0x9100]);
            (kind, id | rng.pick(&[0, 0, 0x2000, 0xe000, 0x1000]))
        })
        .collect()
}
