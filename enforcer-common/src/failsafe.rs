//! Failsafe: what reaches the router, and its answers, whatever the conduits say.

use crate::lookup::{self, LinkClass, Tables};
use crate::parse::Facts;
use crate::question::echo_request;
use crate::wire::protocol;

/// Failsafe entries that let a packet pass between the router and a peer, of an
/// address class and seen on a link; one bit each.
#[inline(always)]
pub fn matching(
    tables: &impl Tables,
    facts: &Facts,
    (peer, link): (u16, LinkClass),
    is_answer: bool,
) -> u16 {
    let by_peer = lookup::address_class(tables, peer).failsafes;
    if by_peer == 0 {
        return 0;
    }
    let service = service_of(facts, is_answer);
    let class = lookup::port_class(tables, facts.question.protocol, service);
    by_peer & lookup::link_facts(tables, link).failsafes & lookup::port_failsafes(tables, class)
}

/// The service a failsafe packet belongs to: answers of the router carry it on
/// their source side.
#[inline(always)]
fn service_of(facts: &Facts, is_answer: bool) -> u16 {
    match (is_answer, facts.question.protocol()) {
        (false, _) => facts.question.service,
        (true, protocol::ICMP | protocol::ICMPV6) => {
            asked_by_echo(facts.question.service, facts.question.protocol())
        }
        (true, _) => facts.source_port,
    }
}

/// The service of an echo request for its reply; for what else the router says by
/// ICMP, which answers nobody, an error that no service but its own name covers.
///
/// By arithmetic: a branch more here doubles what the verifier follows.
#[inline(always)]
fn asked_by_echo(reply: u16, protocol: u8) -> u16 {
    // Source quench in ICMP, parameter problem in ICMPv6, of no code there is.
    const ERROR: u16 = 4 << 8 | 0xff;
    let request = u16::from(echo_request(protocol));
    // 0 for 8, and 129 for 128.
    let wanted = request & 0x80 | request >> 7;
    // 0 or 1.
    let is_other = ((reply >> 8 ^ wanted) + 0xff) >> 8;
    (request << 8) ^ (is_other * ((request << 8) ^ ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::echo_reply;

    #[test]
    fn only_echo_replies_answer_echo_requests() {
        for protocol in [protocol::ICMP, protocol::ICMPV6] {
            for kind in 0..=255_u8 {
                let asked = asked_by_echo(u16::from(kind) << 8, protocol);
                let is_reply = kind == echo_reply(protocol);
                let want = u16::from(echo_request(protocol)) << 8;
                assert_eq!(asked == want, is_reply, "{protocol} {kind}");
                assert!(is_reply || asked == 0x04ff, "{protocol} {kind}");
            }
        }
    }
}
