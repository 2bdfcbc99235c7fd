//! Answers to what a conduit rejects: a TCP reset, or an ICMP error that says
//! "administratively prohibited". The packet is turned into its answer and goes
//! back where it came from.

use core::hint::black_box;

use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use enforcer_common::address::Addr;
use enforcer_common::event::Budget;
use enforcer_common::packet::{Packet, header};
use enforcer_common::parse::{self, Facts};
use enforcer_common::wire::{
    Ethernet, Ipv4, Ipv6, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Tcp, protocol,
};

use crate::events;
use crate::hooks::Ingress;
use crate::maps::{Active, Scratch};

const HOP_LIMIT: u16 = 64;

/// Most bytes of the packet that an ICMP error quotes: RFC 1812, 4.3.2.3, wants
/// the error to have at most 576 bytes.
const QUOTED_V4: usize = 576 - 20 - 8;
/// The same for ICMPv6: at most the smallest MTU (RFC 4443, 2.4 (c)).
const QUOTED_V6: usize = 1280 - 40 - 8;

/// Bytes of an ICMP header, of both versions.
const ICMP_BYTES: usize = 8;

/// Turns a rejected packet into its answer; false when there must be none, or
/// the budget of this CPU is used up.
#[inline(always)]
pub fn answer(ctx: &XdpContext, active: &Active, scratch: &mut Scratch) -> bool {
    if scratch.ends.is_to_group() || !may_be_told(&scratch.facts) {
        return false;
    }
    let packet = Ingress::new(ctx, Scratch::XDP, scratch.zero);
    let Some(start) = network_start(&packet) else {
        return false;
    };
    let facts = &scratch.facts;
    let is_tcp = facts.question.protocol() == protocol::TCP;
    let Some(shape) = shape(&packet, start, facts) else {
        return false;
    };
    if !events::takes(active, Budget::ANSWERS) {
        return false;
    }
    let told = match (is_tcp, facts.question.source.is_v4()) {
        (true, is_v4) => reset(ctx, (start, is_v4), &shape, facts),
        (false, true) => prohibited_v4(ctx, start, &shape, facts),
        (false, false) => prohibited_v6(ctx, start, &shape, facts),
    };
    told.is_some()
}

/// Whether the sender of a packet may be told of an error (RFC 1122, 3.2.2;
/// RFC 4443, 2.4 (e); RFC 9293, 3.10.7.1).
#[inline(always)]
fn may_be_told(facts: &Facts) -> bool {
    let question = &facts.question;
    let kind = question.service >> 8;
    let is_error = match question.protocol() {
        protocol::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        protocol::ICMPV6 => kind < 128 || kind == 137,
        protocol::TCP => facts.tcp_flags & TCP_RST != 0,
        _ => false,
    };
    !is_error && is_one_station(&question.source)
}

/// Whether an address can be that of one station.
#[inline(always)]
fn is_one_station(address: &Addr) -> bool {
    match address.as_v4() {
        // Not "this" network, loopback, multicast and what lies above.
        Some(v4) => !matches!(v4 >> 24, 0 | 127 | 224..),
        None => address.0[0] >> 24 != 0xff && *address != Addr::UNSPECIFIED,
    }
}

/// Where the network header starts; `None` for what was not sent by one station
/// to one other.
#[inline(always)]
fn network_start(packet: &Ingress) -> Option<usize> {
    if !header::<Ethernet>(packet, 0).ok()?.is_unicast() {
        return None;
    }
    let link = parse::link_layer(packet).ok()?;
    Some((packet.opaque(link.offset as u32) & 31) as usize)
}

/// What the answer needs of the packet.
struct Shape {
    /// Bytes of the network header and all that follows, without padding.
    bytes: usize,
    /// Sequence and acknowledgment number of the answer, and its flags.
    reset: (u32, u32, u8),
}

/// Looks at the packet; `None` for what is no whole datagram with its transport
/// header right behind the network header.
#[inline(always)]
fn shape(packet: &Ingress, start: usize, facts: &Facts) -> Option<Shape> {
    let (bytes, header_bytes, next) = if facts.question.source.is_v4() {
        let ip = header::<Ipv4>(packet, start).ok()?;
        if ip.is_later_fragment() {
            return None;
        }
        (ip.total_bytes(), ip.header_bytes(), ip.protocol())
    } else {
        let ip = header::<Ipv6>(packet, start).ok()?;
        let header_bytes = size_of::<Ipv6>();
        (
            header_bytes + ip.payload_bytes(),
            header_bytes,
            ip.next_header(),
        )
    };
    if next != facts.question.protocol() {
        return None;
    }
    let bytes = packet.opaque(bytes as u32) as usize;
    let mut reset = (0, 0, 0);
    if next == protocol::TCP {
        let at = (packet.opaque((start + header_bytes) as u32) & 127) as usize;
        let tcp = header::<Tcp>(packet, at).ok()?;
        let headers = header_bytes + tcp.header_bytes();
        reset = numbers(tcp, bytes.wrapping_sub(headers) as u32);
    }
    Some(Shape { bytes, reset })
}

/// Numbers and flags of the reset that answers a segment with `data` bytes
/// (RFC 9293, 3.10.7.1).
#[inline(always)]
fn numbers(tcp: &Tcp, data: u32) -> (u32, u32, u8) {
    let flags = tcp.flags();
    if flags & TCP_ACK != 0 {
        return (tcp.acknowledgment(), 0, TCP_RST);
    }
    let length = data + u32::from(flags & TCP_SYN != 0) + u32::from(flags & TCP_FIN != 0);
    (0, tcp.sequence().wrapping_add(length), TCP_RST | TCP_ACK)
}

/// Half-words in network order.
type Words<const N: usize> = [u16; N];

const TCP_WORDS: usize = 10;

#[inline(always)]
fn reset(
    ctx: &XdpContext,
    (start, is_v4): (usize, bool),
    shape: &Shape,
    facts: &Facts,
) -> Option<()> {
    let (sequence, acknowledgment, flags) = shape.reset;
    let mut tcp: Words<TCP_WORDS> = [
        facts.destination_port,
        facts.source_port,
        (sequence >> 16) as u16,
        sequence as u16,
        (acknowledgment >> 16) as u16,
        acknowledgment as u16,
        (TCP_WORDS as u16 / 2) << 12 | u16::from(flags),
        0,
        0,
        0,
    ]
    .map(u16::to_be);
    const BYTES: usize = TCP_WORDS * 2;
    let number = u16::from(protocol::TCP);
    let pseudo = u32::from((BYTES as u16).to_be()) + u32::from(number.to_be());
    if is_v4 {
        let ip = ipv4(facts, number, BYTES);
        tcp[8] = checksum(pseudo + sum(&ip[6..]) + sum(&tcp));
        let at = start + size_of::<Ipv4>();
        cut(ctx, at + BYTES)?;
        swap_stations(ctx)?;
        write(ctx, start, ip)?;
        return write(ctx, at, tcp);
    }
    let ip = ipv6(facts, number, BYTES);
    tcp[8] = checksum(pseudo + sum(&ip[4..]) + sum(&tcp));
    let at = start + size_of::<Ipv6>();
    cut(ctx, at + BYTES)?;
    swap_stations(ctx)?;
    write(ctx, start, ip)?;
    write(ctx, at, tcp)
}

#[inline(always)]
fn prohibited_v4(ctx: &XdpContext, start: usize, shape: &Shape, facts: &Facts) -> Option<()> {
    /// Destination unreachable, communication administratively prohibited.
    const PROHIBITED: u16 = 3 << 8 | 13;
    const HEADERS: usize = size_of::<Ipv4>() + ICMP_BYTES;
    let quoted = shape.bytes.min(QUOTED_V4);
    cut(ctx, start + quoted)?;
    make_room::<HEADERS>(ctx)?;
    let mut icmp: Words<4> = [PROHIBITED.to_be(), 0, 0, 0];
    icmp[1] = checksum(sum(&icmp) + sum_from(ctx, start + HEADERS));
    let ip = ipv4(facts, protocol::ICMP.into(), ICMP_BYTES + quoted);
    write(ctx, start, ip)?;
    write(ctx, start + size_of::<Ipv4>(), icmp)
}

#[inline(always)]
fn prohibited_v6(ctx: &XdpContext, start: usize, shape: &Shape, facts: &Facts) -> Option<()> {
    /// Destination unreachable, communication administratively prohibited.
    const PROHIBITED: u16 = 1 << 8 | 1;
    const HEADERS: usize = size_of::<Ipv6>() + ICMP_BYTES;
    let quoted = shape.bytes.min(QUOTED_V6);
    let payload = ICMP_BYTES + quoted;
    cut(ctx, start + quoted)?;
    make_room::<HEADERS>(ctx)?;
    let number = u16::from(protocol::ICMPV6);
    let ip = ipv6(facts, number, payload);
    let pseudo = u32::from((payload as u16).to_be()) + u32::from(number.to_be()) + sum(&ip[4..]);
    let mut icmp: Words<4> = [PROHIBITED.to_be(), 0, 0, 0];
    icmp[1] = checksum(pseudo + sum(&icmp) + sum_from(ctx, start + HEADERS));
    write(ctx, start, ip)?;
    write(ctx, start + size_of::<Ipv6>(), icmp)
}

/// The IPv4 header of the answer, with `payload` bytes behind it.
#[inline(always)]
fn ipv4(facts: &Facts, protocol: u16, payload: usize) -> Words<10> {
    const DONT_FRAGMENT: u16 = 0x4000;
    let (source, destination) = (facts.question.destination.0[3], facts.question.source.0[3]);
    let mut ip = [
        0x4500,
        (size_of::<Ipv4>() + payload) as u16,
        0,
        DONT_FRAGMENT,
        HOP_LIMIT << 8 | protocol,
        0,
        (source >> 16) as u16,
        source as u16,
        (destination >> 16) as u16,
        destination as u16,
    ]
    .map(u16::to_be);
    ip[5] = checksum(sum(&ip));
    ip
}

/// The IPv6 header of the answer, with `payload` bytes behind it.
#[inline(always)]
fn ipv6(facts: &Facts, protocol: u16, payload: usize) -> Words<20> {
    let [a, b, c, d] = facts.question.destination.0;
    let [e, f, g, h] = facts.question.source.0;
    let mut ip = [0; 20];
    ip[0] = 0x6000u16.to_be();
    ip[2] = (payload as u16).to_be();
    ip[3] = (protocol << 8 | HOP_LIMIT).to_be();
    for (index, word) in [a, b, c, d, e, f, g, h].into_iter().enumerate() {
        ip[4 + 2 * index] = ((word >> 16) as u16).to_be();
        ip[5 + 2 * index] = (word as u16).to_be();
    }
    ip
}

/// Cuts the frame to `bytes`.
#[inline(always)]
fn cut(ctx: &XdpContext, bytes: usize) -> Option<()> {
    let present = ctx.data_end() - ctx.data();
    let change = bytes as i32 - present as i32;
    if change > 0 {
        return None;
    }
    // SAFETY: the context is that of the running program; every look at the
    // packet afterwards asks for its place again.
    let result = unsafe { bpf_xdp_adjust_tail(ctx.ctx, change) };
    (result == 0).then_some(())
}

/// Makes room for `BYTES` more before the network header, and puts the link
/// layer before it. What is moved behind a link layer of less than two tags is
/// overwritten by the network header that is written next.
#[inline(always)]
fn make_room<const BYTES: usize>(ctx: &XdpContext) -> Option<()> {
    const LINK_WORDS: usize = 11;
    // SAFETY: as in `cut`.
    let result = unsafe { bpf_xdp_adjust_head(ctx.ctx, -(BYTES as i32)) };
    if result != 0 {
        return None;
    }
    let data = ctx.data();
    if data + BYTES + 2 * LINK_WORDS > ctx.data_end() {
        return None;
    }
    let link = data as *mut u16;
    for index in 0..LINK_WORDS {
        let from = match index {
            0..3 => index + 3,
            3..6 => index - 3,
            _ => index,
        };
        // SAFETY: both lie before what was compared with the end of the frame,
        // at even addresses.
        unsafe { *link.add(index) = *link.add(BYTES / 2 + from) };
    }
    Some(())
}

/// Sends the frame back to where it came from.
#[inline(always)]
fn swap_stations(ctx: &XdpContext) -> Option<()> {
    let data = ctx.data();
    if data + 12 > ctx.data_end() {
        return None;
    }
    let link = data as *mut u16;
    for index in 0..3 {
        // SAFETY: the twelve bytes were compared with the end of the frame.
        unsafe {
            let (to, from) = (*link.add(index), *link.add(index + 3));
            *link.add(index) = from;
            *link.add(index + 3) = to;
        }
    }
    Some(())
}

/// Writes half-words to a place in the frame.
#[inline(always)]
fn write<const N: usize>(ctx: &XdpContext, offset: usize, words: Words<N>) -> Option<()> {
    let start = ctx.data() + offset;
    if start + 2 * N > ctx.data_end() {
        return None;
    }
    let place = start as *mut u16;
    for (index, word) in words.into_iter().enumerate() {
        // SAFETY: the half-words were compared with the end of the frame.
        unsafe { *place.add(index) = word };
    }
    Some(())
}

#[inline(always)]
fn sum(words: &[u16]) -> u32 {
    let mut sum = 0;
    for word in words {
        sum += u32::from(*word);
    }
    sum
}

/// The sum of all half-words from a place to the end of the frame. A function
/// of its own: after it the verifier knows nothing of the way through its loop.
#[inline(never)]
fn sum_from(ctx: &XdpContext, offset: usize) -> u32 {
    // Hidden, so that the compiler does not pass the places themselves, which
    // it would shorten to 32 bits.
    let ctx = black_box(ctx);
    let (mut at, end) = (ctx.data() + (offset & 127), ctx.data_end());
    let mut sum = 0;
    for _ in 0..QUOTED_V6.div_ceil(2) {
        if at + 2 > end {
            break;
        }
        // SAFETY: the two bytes were compared with the end of the frame.
        sum += u32::from(unsafe { *(at as *const u16) });
        at += 2;
    }
    // The last byte as the second of two: from a comparison for a single one
    // the verifier learns nothing.
    let pair = black_box(at - 1);
    if pair + 2 <= end {
        // SAFETY: the two bytes were compared with the end of the frame.
        sum += u32::from(unsafe { *((pair + 1) as *const u8) });
    }
    sum
}

/// The checksum of the Internet (RFC 1071), in network order like its words.
#[inline(always)]
fn checksum(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}
