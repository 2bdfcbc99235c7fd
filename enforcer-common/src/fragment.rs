//! Fragments: what is known of a datagram between its first and its last one.
//!
//! The first fragment has the transport header, so it is judged like a whole
//! packet. If it passes, it lends its header to the later ones, which are judged
//! as if they had it too.

use crate::address::Addr;
use crate::limits::FRAGMENT_S;
use crate::parse::Facts;
use crate::question::Place;

/// Where a fragment lies in its datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// What the fragments of one datagram have in common.
    pub id: u32,
    /// Its first byte in the payload of the datagram: a multiple of 8.
    pub start: u32,
    /// The byte after its last one; at most 65,535.
    pub end: u32,
    /// IPv4: the protocol in the header. IPv6: 0, because there only the first
    /// fragment says what the datagram carries (RFC 8200, 4.5).
    pub protocol: u16,
    /// 1 in the last fragment of the datagram, else 0.
    pub is_last: u16,
}

impl Piece {
    /// Whether any fragment of a datagram may lie like this (RFC 8200, 4.5).
    #[inline(always)]
    pub fn is_valid(&self) -> bool {
        self.end > self.start && (self.is_last != 0 || self.end & 7 == 0)
    }
}

/// What fragments of one datagram have in common.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramKey {
    /// Source.
    pub source: Addr,
    /// Destination.
    pub destination: Addr,
    /// Where the fragments are seen.
    pub place: Place,
    /// [`Piece::id`].
    pub id: u32,
    /// [`Piece::protocol`].
    pub protocol: u32,
}

impl DatagramKey {
    /// The key of the datagram that a fragment belongs to.
    #[inline(always)]
    pub fn of(facts: &Facts) -> Self {
        Self {
            source: facts.question.source,
            destination: facts.question.destination,
            place: facts.question.place,
            id: facts.piece.id,
            protocol: facts.piece.protocol.into(),
        }
    }
}

const _: () = assert!(size_of::<DatagramKey>() == 64);

/// Fragments begin at multiples of this many bytes.
const UNIT: u32 = 8;

/// How many ticks one CPU may be ahead of another.
const SKEW_TICKS: u32 = 2;

/// Words of one bit for each unit of the longest datagram.
const WORDS: usize = 65_536 / (UNIT as usize * 64);

/// A datagram whose first fragment has passed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When the first fragment came, in timer ticks (low 32 bits).
    pub begun: u32,
    /// How many bytes have come.
    received: u32,
    /// The end of the piece that lies highest.
    highest: u32,
    /// How long the datagram is; 0 before the last fragment has come.
    total: u32,
    /// IP protocol number.
    protocol: u16,
    /// [`crate::question::Question::service`].
    service: u16,
    /// [`Facts::source_port`].
    source_port: u16,
    /// [`Facts::destination_port`].
    destination_port: u16,
    /// [`Facts::flags`].
    flags: u16,
    /// [`Facts::tcp_flags`].
    tcp_flags: u8,
    /// 1 when fragments have contradicted each other.
    is_void: u8,
    /// For later use; zero.
    reserved: u32,
    /// Which units have come: one bit each, from the lowest.
    units: [u64; WORDS],
}

const _: () = assert!(size_of::<Datagram>() == 32 + 1024);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Datagram {}

/// What another piece does to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Pieces are still missing.
    Incomplete,
    /// It was the last piece that was missing.
    Complete,
    /// It contradicts what came before: the whole datagram is void.
    Void,
}

impl Datagram {
    /// Starts over with the header that the first fragment has. No piece is
    /// taken, the units stay as they are: none.
    #[inline(always)]
    pub fn begin(&mut self, facts: &Facts, now: u32) {
        self.begun = now;
        self.received = 0;
        self.highest = 0;
        self.total = 0;
        self.protocol = facts.question.protocol;
        self.service = facts.question.service;
        self.source_port = facts.source_port;
        self.destination_port = facts.destination_port;
        self.flags = facts.flags;
        self.tcp_flags = facts.tcp_flags;
        self.is_void = 0;
        self.reserved = 0;
    }

    /// Whether what has not come yet is no longer awaited.
    ///
    /// `now` is in ticks (low 32 bits), of which a second has `per_second`.
    #[inline(always)]
    pub fn is_over(&self, now: u32, per_second: u32) -> bool {
        // Another CPU may have been ahead of this one.
        let since = now.wrapping_add(SKEW_TICKS).wrapping_sub(self.begun);
        since > FRAGMENT_S.wrapping_mul(per_second) + SKEW_TICKS
    }

    /// Whether fragments have contradicted each other.
    #[inline(always)]
    pub fn is_void(&self) -> bool {
        self.is_void != 0
    }

    /// Lets no more of it pass.
    #[inline(always)]
    pub fn make_void(&mut self) {
        self.is_void = 1;
    }

    /// Lends the header of the first fragment to a later one.
    #[inline(always)]
    pub fn lend(&self, facts: &mut Facts) {
        facts.question.protocol = self.protocol;
        facts.question.service = self.service;
        facts.source_port = self.source_port;
        facts.destination_port = self.destination_port;
        facts.tcp_flags = self.tcp_flags;
        facts.flags = self.flags & !Facts::FIRST | Facts::LATER;
    }

    /// Takes another piece.
    ///
    /// `opaque` returns what it is given, in such a way that the verifier forgets
    /// what it knows of it.
    #[inline(always)]
    pub fn take(&mut self, piece: &Piece, opaque: impl Fn(u32) -> u32) -> Progress {
        let is_beyond = self.total != 0 && piece.end > self.total;
        let is_short = piece.is_last != 0 && self.highest > piece.start;
        if self.is_void() || is_beyond || is_short || self.mark(piece, opaque) {
            self.make_void();
            return Progress::Void;
        }
        self.received += piece.end - piece.start;
        self.highest = self.highest.max(piece.end);
        if piece.is_last != 0 {
            self.total = piece.end;
        }
        if self.total != 0 && self.received == self.total {
            return Progress::Complete;
        }
        Progress::Incomplete
    }

    /// Marks the units of a piece; whether one of them had come before.
    ///
    /// Two CPUs that take pieces of one datagram at the same moment may miss
    /// that. Network cards give all fragments between two hosts to one CPU.
    #[inline(always)]
    fn mark(&mut self, piece: &Piece, opaque: impl Fn(u32) -> u32) -> bool {
        let (first, end) = (piece.start / UNIT, piece.end.div_ceil(UNIT));
        // Of the word at hand: the units from the first one on, and how many are
        // left up to the end. One branch each turn: the verifier follows it all.
        let mut wanted = u64::MAX << (first % 64);
        let mut left = opaque(end.wrapping_sub(first / 64 * 64));
        let mut twice = 0;
        for step in 0..WORDS as u32 {
            let is_last = left < 64;
            if is_last {
                wanted &= (1 << (left & 63)) - 1;
            }
            let units = &mut self.units[(first / 64 + step) as usize % WORDS];
            let common = *units & wanted;
            *units |= wanted;
            twice = opaque(twice | (common >> 32 | common) as u32);
            if is_last {
                break;
            }
            wanted = u64::MAX;
            left -= 64;
        }
        twice != 0
    }
}

#[cfg(test)]
mod tests {
    use super::Progress::{Complete, Incomplete, Void};
    use super::*;

    #[test]
    fn pieces_make_a_datagram_or_contradict_each_other() {
        type Case<'a> = (&'a str, &'a [(u32, u32, u16)], Progress);
        let cases: [Case<'_>; 16] = [
            (
                "in order",
                &[(0, 1480, 0), (1480, 2960, 0), (2960, 4000, 1)],
                Complete,
            ),
            (
                "last before",
                &[(0, 1480, 0), (2960, 4000, 1), (1480, 2960, 0)],
                Complete,
            ),
            ("one missing", &[(0, 1480, 0), (2960, 4000, 1)], Incomplete),
            ("no last", &[(0, 8, 0), (8, 16, 0)], Incomplete),
            ("one byte more", &[(0, 8, 0), (8, 9, 1)], Complete),
            ("longest", &[(0, 65_528, 0), (65_528, 65_535, 1)], Complete),
            (
                "by one word",
                &[(0, 512, 0), (512, 1024, 0), (1024, 1032, 1)],
                Complete,
            ),
            (
                "twice",
                &[(0, 1480, 0), (1480, 2960, 0), (1480, 2960, 0)],
                Void,
            ),
            ("one unit twice", &[(0, 1480, 0), (1472, 2960, 0)], Void),
            ("inside", &[(0, 1480, 0), (8, 16, 0)], Void),
            ("around", &[(0, 8, 0), (64, 72, 0), (8, 4096, 0)], Void),
            (
                "last inside",
                &[(0, 1480, 0), (1480, 2960, 0), (2000, 2500, 1)],
                Void,
            ),
            (
                "last before highest",
                &[(0, 8, 0), (80, 160, 0), (8, 16, 1)],
                Void,
            ),
            (
                "beyond the last",
                &[(0, 8, 0), (16, 24, 1), (24, 32, 0)],
                Void,
            ),
            ("two lasts", &[(0, 8, 0), (16, 24, 1), (24, 32, 1)], Void),
            ("void stays void", &[(0, 8, 0), (0, 8, 0), (8, 16, 1)], Void),
        ];
        for (name, pieces, want) in cases {
            let mut datagram = empty();
            let mut got = Incomplete;
            for &(start, end, is_last) in pieces {
                let piece = Piece {
                    id: 7,
                    start,
                    end,
                    protocol: 17,
                    is_last,
                };
                got = datagram.take(&piece, |value| value);
            }
            assert_eq!(got, want, "{name}");
            assert_eq!(datagram.is_void(), want == Void, "{name}");
        }
    }

    #[test]
    fn every_order_of_pieces_makes_the_same_datagram() {
        let pieces: Vec<Piece> = (0..6)
            .map(|index| Piece {
                id: 1,
                start: index * 504,
                end: index * 504 + if index == 5 { 33 } else { 504 },
                protocol: 17,
                is_last: u16::from(index == 5),
            })
            .collect();
        for order in 0..720 {
            let (mut rest, mut order, mut datagram) = (pieces.clone(), order, empty());
            while !rest.is_empty() {
                let piece = rest.remove(order % rest.len());
                order /= rest.len() + 1;
                let want = if rest.is_empty() {
                    Complete
                } else {
                    Incomplete
                };
                assert_eq!(datagram.take(&piece, |value| value), want);
            }
        }
    }

    #[test]
    fn pieces_are_awaited_for_five_seconds() {
        let mut datagram = empty();
        datagram.begun = u32::MAX - 100;
        for (now, want) in [(u32::MAX - 100, false), (1_149, false), (1_150, true)] {
            assert_eq!(datagram.is_over(now, 250), want, "{now}");
        }
    }

    #[test]
    fn lengths_that_no_fragment_has_are_not_valid() {
        let cases = [
            ((0, 8, 0), true),
            ((0, 0, 0), false),
            ((8, 8, 1), false),
            ((0, 12, 0), false),
            ((8, 12, 1), true),
        ];
        for ((start, end, is_last), want) in cases {
            let piece = Piece {
                id: 0,
                start,
                end,
                protocol: 0,
                is_last,
            };
            assert_eq!(piece.is_valid(), want, "{piece:?}");
        }
    }

    fn empty() -> Datagram {
        Datagram {
            begun: 0,
            received: 0,
            highest: 0,
            total: 0,
            protocol: 17,
            service: 53,
            source_port: 1,
            destination_port: 53,
            flags: Facts::TRACKED | Facts::FIRST,
            tcp_flags: 0,
            is_void: 0,
            reserved: 0,
            units: [0; WORDS],
        }
    }
}
