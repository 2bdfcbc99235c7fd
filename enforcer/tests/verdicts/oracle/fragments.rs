//! Datagrams that came in pieces, remembered piece by piece.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flows::{Opening, Origin};
use super::packet::Vlan;
use super::rules::Content;

/// What a packet is of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The first fragment of several.
    First(Piece),
    /// A fragment behind the first.
    Later(Piece),
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Identification field.
    pub id: u32,
    /// IPv4: protocol field; IPv6: 0.
    pub protocol: u8,
    /// Bytes of the datagram's payload.
    pub start: usize,
    pub end: usize,
    /// No fragment is behind it.
    pub is_last: bool,
}

impl Part {
    /// The part that a piece is, as its place says.
    pub fn of(piece: Piece) -> Self {
        match piece {
            Piece {
                start: 0,
                is_last: true,
                ..
            } => Self::Whole,
            Piece { start: 0, .. } => Self::First(piece),
            _ => Self::Later(piece),
        }
    }
}

/// Interface and origin, VLAN and sender, addresses, protocol field,
/// identification.
type Key = (
    (u32, Option<u32>, Origin),
    (u16, u16, [u8; 6]),
    IpAddr,
    IpAddr,
    u8,
    u32,
);

/// Datagrams of which the first fragment has passed, and the last piece has not.
#[derive(Clone, Debug, Default)]
pub struct Datagrams(BTreeMap<Key, Datagram>);

#[derive(Clone, Debug)]
struct Datagram {
    /// What its transport header says.
    content: Content,
    pieces: Vec<Piece>,
    is_void: bool,
}

impl Datagrams {
    /// Looks at a packet before it is judged: a later fragment carries what the
    /// first one of its datagram does. An error says why it must not pass.
    pub fn follow(&mut self, packet: &mut Opening, part: Part) -> Result<(), &'static str> {
        match part {
            Part::Whole => Ok(()),
            Part::First(piece) => match self.0.get_mut(&key(packet, piece)) {
                None => Ok(()),
                Some(datagram) => {
                    datagram.is_void = true;
                    Err("fragment-overlap")
                }
            },
            Part::Later(piece) => {
                packet.content = self.take(packet, piece)?;
                Ok(())
            }
        }
    }

    /// Remembers a packet that passes, if it is a first fragment.
    pub fn begin(&mut self, packet: &Opening, part: Part) {
        if let Part::First(piece) = part {
            let datagram = Datagram {
                content: packet.content,
                pieces: vec![piece],
                is_void: false,
            };
            self.0.insert(key(packet, piece), datagram);
        }
    }

    fn take(&mut self, packet: &Opening, piece: Piece) -> Result<Content, &'static str> {
        let key = key(packet, piece);
        let datagram = self.0.get_mut(&key).ok_or("fragment-orphan")?;
        let mut pieces = datagram.pieces.iter();
        datagram.is_void |= pieces.any(|other| contradict(other, &piece));
        if datagram.is_void {
            return Err("fragment-overlap");
        }
        datagram.pieces.push(piece);
        let content = datagram.content;
        if datagram.is_complete() {
            self.0.remove(&key);
        }
        Ok(content)
    }
}

impl Datagram {
    fn is_complete(&self) -> bool {
        let received: usize = self
            .pieces
            .iter()
            .map(|piece| piece.end - piece.start)
            .sum();
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| piece.is_last && piece.end == received)
    }
}

/// Whether two pieces cannot be of one datagram: places are in units of eight
/// bytes, and nothing lies behind the last piece.
fn contradict(a: &Piece, b: &Piece) -> bool {
    let overlap = a.start < b.end.next_multiple_of(8) && b.start < a.end.next_multiple_of(8);
    let behind = |last: &Piece, other: &Piece| last.is_last && other.end > last.end;
    overlap || behind(a, b) || behind(b, a)
}

fn key(packet: &Opening, piece: Piece) -> Key {
    let Vlan { outer, inner } = packet.vlan;
    (
        (packet.ifindex, packet.exit, packet.origin),
        (outer, inner, packet.mac),
        packet.source,
        packet.destination,
        piece.protocol,
        piece.id,
    )
}
