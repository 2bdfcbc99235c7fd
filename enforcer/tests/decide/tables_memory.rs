//! Tables that hold the oracle's memory of fragments to the standards.

use crate::crossing::Way;
use crate::generate::frames;
use crate::oracle::flows::Opening;
use crate::oracle::fragments::{Datagrams, Part, Piece};
use crate::oracle::packet::{Datagram, TCP, Transport, UDP, Vlan};
use crate::oracle::quote::quote;

/// Start, end, whether more follow.
type Place = (usize, usize, bool);

#[test]
fn later_fragments_follow_the_first_or_drop() {
    let first = (0, 1480, true);
    let cases: [(&str, &[Place], &str); 10] = [
        (
            "in order",
            &[first, (1480, 2960, true), (2960, 3000, false)],
            "",
        ),
        (
            "last one before",
            &[first, (2960, 3000, false), (1480, 2960, true)],
            "",
        ),
        ("without first", &[(1480, 2960, true)], "fragment-orphan"),
        (
            "after the last",
            &[first, (1480, 1500, false), (1480, 1500, false)],
            "fragment-orphan",
        ),
        (
            "RFC 1858, 3.2",
            &[(0, 24, true), (8, 16, false)],
            "fragment-overlap",
        ),
        (
            "twice",
            &[first, (1480, 2960, true), (1480, 2960, true)],
            "fragment-overlap",
        ),
        ("two firsts", &[first, (0, 8, true)], "fragment-overlap"),
        (
            "void",
            &[first, (8, 16, true), (1480, 1500, false)],
            "fragment-overlap",
        ),
        (
            "beyond the end",
            &[first, (2960, 3000, false), (3000, 3008, true)],
            "fragment-overlap",
        ),
        (
            "two ends",
            &[first, (2960, 3000, false), (1480, 2000, false)],
            "fragment-overlap",
        ),
    ];
    for (name, places, want) in cases {
        let mut datagrams = Datagrams::default();
        let mut got = "";
        for (start, end, has_more) in places {
            let piece = Piece {
                id: 9,
                protocol: UDP,
                start: *start,
                end: *end,
                is_last: !has_more,
            };
            let part = Part::of(piece);
            got = datagrams
                .follow(&mut opening(), part)
                .err()
                .unwrap_or_default();
            if got.is_empty() {
                datagrams.begin(&opening(), part);
            }
        }
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn errors_quote_as_much_as_their_senders_like() {
    let [from, to] = ["10.0.0.9", "10.0.1.9"].map(|text| text.parse().expect("an address"));
    let tcp = frames::with_ports(TCP, 5, 443, frames::SYN);
    let quoted = frames::Packet::new(from, to, TCP, tcp).datagram();
    for (kind, length, is_quote) in [
        (3, quoted.len(), true),
        (3, 28, true),
        (11, 28, true),
        (12, 28, true),
        (3, 27, false),
        (3, 0, false),
        (4, 28, false),
        (5, 28, false),
        (8, 28, false),
    ] {
        let message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &quoted[..length]].concat();
        let got = quote(1, &message).map(|quote| (quote.source, quote.destination));
        assert_eq!(got, is_quote.then_some((from, to)), "{kind} {length}");
    }
    let error = [&[3, 0, 0, 0, 0, 0, 0, 0], &quoted[..28]].concat();
    let about_error = frames::Packet::new(from, to, 1, error).datagram();
    let message = [&[3, 0, 0, 0, 0, 0, 0, 0], &about_error[..]].concat();
    assert_eq!(quote(1, &message), None);
}

fn opening() -> Opening {
    let [source, destination] = ["10.0.0.9", "10.0.1.9"].map(|text| text.parse().expect("valid"));
    let datagram = Datagram {
        source,
        destination,
        hop_limit: 64,
        protocol: UDP,
        transport: Transport::Other,
        part: Part::Whole,
        quote: None,
        claims: None,
    };
    Opening::new(
        Way::In(11),
        (Vlan::default(), [2, 0, 0, 0, 0, 9]),
        &datagram,
    )
}
