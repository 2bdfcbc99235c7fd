//! Packets that leave with an address of the router, though they come from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer::policy::Policy;

use super::zones::is_enforced;
use crate::crossing::Way;
use crate::world::World;

/// What becomes of a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It was judged where it came in.
    Judged,
    /// So it was, and has got another source since.
    Translated,
    /// Nobody has judged it.
    Unjudged,
}

/// What becomes of a frame, if it leaves.
pub fn leaving(policy: &Policy, world: &World, frame: &[u8], way: Way) -> Leaving {
    match way {
        Way::Out(_, Some(ingress)) if is_enforced(policy, world, ingress) => {
            match source(frame).is_some_and(|source| world.addresses().contains(&source)) {
                true => Leaving::Translated,
                false => Leaving::Judged,
            }
        }
        _ => Leaving::Unjudged,
    }
}

/// The source address of a frame with at most two VLAN tags, if it has one.
fn source(frame: &[u8]) -> Option<IpAddr> {
    let mut at = 12;
    for _ in 0..=2 {
        let kind = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        let packet = frame.get(at + 2..)?;
        match kind {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            0x0800 => {
                let header: &[u8; 20] = packet.first_chunk()?;
                let source: &[u8; 4] = header[12..].first_chunk()?;
                return Some(Ipv4Addr::from(*source).into());
            }
            0x86dd => {
                let header: &[u8; 40] = packet.first_chunk()?;
                let source: &[u8; 16] = header[8..].first_chunk()?;
                // The kernel programs keep both families in one type.
                return Some(Ipv6Addr::from(*source).to_canonical());
            }
            _ => return None,
        }
    }
    None
}
