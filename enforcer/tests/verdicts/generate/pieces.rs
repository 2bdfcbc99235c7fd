//! Datagrams in pieces: in order, out of order, overlapping, and pieces that
//! contradict each other.

use super::Rng;
use super::frames::{Extension, Packet};
use super::packets::Sent;
use crate::oracle::packet::UDP;

/// Of so many datagrams pieces may still come.
const RECENT: usize = 8;

/// Pieces come among so many packets: on a busy machine, more may take as long
/// as the kernel waits for them.
const WINDOW: u64 = 40;

/// Datagrams that are being sent.
#[derive(Default)]
pub struct Pieces {
    recent: Vec<Datagram>,
    next_id: u32,
    /// How many packets have been made.
    packets: u64,
}

/// A datagram of which a piece has been made.
struct Datagram {
    /// As a whole.
    whole: Sent,
    /// How many packets had been made before.
    begun: u64,
    id: u32,
    /// Where the next piece in order begins.
    next: usize,
}

impl Pieces {
    /// Another packet is made, whatever it is.
    pub fn go_on(&mut self) {
        self.packets += 1;
        let packets = self.packets;
        self.recent
            .retain(|datagram| packets - datagram.begun < WINDOW);
    }

    /// Whether there is a datagram to go on with.
    pub fn has_any(&self) -> bool {
        !self.recent.is_empty()
    }

    /// The first fragment of a datagram that is to be like `whole`, usually long
    /// enough for its header.
    pub fn first(&mut self, rng: &mut Rng, mut whole: Sent) -> Sent {
        self.next_id = self.next_id.wrapping_add(1);
        let used = self.recent.iter().map(|datagram| datagram.id);
        let used: Vec<u32> = used.collect();
        let id = match !used.is_empty() && rng.percent(5) {
            true => rng.pick(&used),
            false => self.next_id | rng.pick(&[0, 0x8000, 0xffff_0000]),
        };
        if whole.packet.protocol == UDP && whole.packet.segment.len() >= 8 {
            let long = rng.pick(&[8, 12, 100, 4_000, 65_000_u16]);
            whole.packet.segment[4..6].copy_from_slice(&long.to_be_bytes());
        }
        let header = whole.packet.segment.len().next_multiple_of(8);
        let length = match rng.below(10) {
            0 => 8,
            1 => 16,
            2 => header + 4,
            _ => header + 8 * rng.pick(&[0, 0, 1, 5, 64, 100]),
        };
        let mut first = whole.clone();
        first.packet.segment.resize(length, 0x5a);
        if !first.packet.source.is_ipv4() && rng.percent(10) {
            first.packet.extensions.push(Extension::new(60, 2));
        }
        place(rng, &mut first.packet, id, (0, true));
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        let behind = match first.packet.extensions.last() {
            Some(last) if last.protocol == 60 => 8,
            _ => 0,
        };
        self.recent.push(Datagram {
            whole,
            begun: self.packets,
            id,
            next: length + behind,
        });
        first
    }

    /// Another piece of a recent datagram: mostly the next in order.
    pub fn later(&mut self, rng: &mut Rng) -> Sent {
        let index = rng.below(self.recent.len());
        let datagram = &mut self.recent[index];
        let mut length = 8 * rng.pick(&[1, 1, 2, 8, 63, 64, 65, 130]);
        let next = datagram.next.next_multiple_of(8);
        let start = match rng.below(12) {
            0 => next.saturating_sub(8),
            1 => next + 8,
            2 => next + 8 * rng.pick(&[64, 500]),
            3 => 8 * (1 + rng.below(next / 8 + 1)),
            4 => rng.pick(&[65_528, 65_520, 64_000]),
            _ => next,
        };
        let is_last = rng.percent(25);
        if is_last {
            length -= rng.below(8);
        }
        if rng.percent(3) {
            length = rng.pick(&[0, 4, 12]);
        }
        if start == next {
            datagram.next = start + length;
        }
        let mut piece = datagram.whole.clone();
        piece.packet.segment = vec![0xa5; length];
        let id = datagram.id;
        place(rng, &mut piece.packet, id, (start, !is_last));
        piece
    }
}

/// Makes a packet a piece that begins at `start`.
fn place(rng: &mut Rng, packet: &mut Packet, id: u32, (start, has_more): (usize, bool)) {
    let start = start as u16;
    packet.id = id as u16;
    if packet.source.is_ipv4() {
        packet.fragment = (start / 8) | if has_more { 0x2000 } else { 0 };
        packet.fragment |= rng.pick(&[0, 0, 0x4000, 0x8000]);
        return;
    }
    let mut header = Extension::new(44, 2);
    header.body[1..3].copy_from_slice(&(start | u16::from(has_more)).to_be_bytes());
    header.body[3..7].copy_from_slice(&id.to_be_bytes());
    // Before an extension header of the payload, behind those of all pieces.
    let of_payload = matches!(packet.extensions.last(), Some(last) if last.protocol == 60);
    let at = packet.extensions.len() - usize::from(of_payload && start == 0);
    packet.extensions.insert(at, header);
    if rng.percent(10) {
        let protocol = rng.pick(&[0, 43, 51, 60]);
        packet.extensions.insert(0, Extension::new(protocol, 2));
    }
}
