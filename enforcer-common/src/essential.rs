//! Protocols between neighbours without which a network does not work.
//!
//! They pass to and from the router whatever the conduits say, each under a
//! name of its own; they skip conduits, never parsing.

use crate::address::Addr;
use crate::cell::Slot;
use crate::parse::Facts;
use crate::wire::protocol;

/// One essential protocol.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Essential(pub u8);

impl Essential {
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0);
    /// Neighbour discovery but router advertisements (RFC 4861).
    pub const ND: Self = Self(1);
    /// Router advertisements (RFC 4861).
    pub const RA: Self = Self(2);
    /// DHCP (RFC 2131).
    pub const DHCP: Self = Self(3);
    /// DHCPv6 (RFC 8415).
    pub const DHCPV6: Self = Self(4);
    /// IGMP (RFC 3376).
    pub const IGMP: Self = Self(5);
    /// Multicast listener discovery (RFC 3810).
    pub const MLD: Self = Self(6);
    /// Link protocols: 01:80:c2:00:00:00 – 0f, and PPPoE discovery.
    pub const LINK: Self = Self(7);

    /// Every one, in the order of their slots.
    pub const ALL: [Self; 8] = [
        Self::ARP,
        Self::ND,
        Self::RA,
        Self::DHCP,
        Self::DHCPV6,
        Self::IGMP,
        Self::MLD,
        Self::LINK,
    ];

    /// The names that policies and counters use, in the same order.
    pub const NAMES: [&'static str; 8] =
        ["arp", "nd", "ra", "dhcp", "dhcpv6", "igmp", "mld", "link"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.0 as usize]
    }

    /// Its bit in sets of them.
    #[inline(always)]
    pub const fn bit(self) -> u16 {
        1 << (self.0 & 15)
    }

    /// Where it is counted.
    #[inline(always)]
    pub const fn slot(self) -> Slot {
        Slot(Slot::ESSENTIAL.0 + self.0 as u32)
    }
}

/// ff02::1:2, all DHCP relay agents and servers.
const ALL_DHCP_SERVERS: Addr = Addr([0xff02_0000, 0, 0, 0x0001_0002]);

/// The essential protocol that a packet belongs to which goes to the router or to
/// a group, or comes from the router; routed packets are never essential.
#[inline(always)]
pub fn of(facts: &Facts) -> Option<Essential> {
    match facts.question.protocol() {
        protocol::UDP => udp(facts),
        protocol::ICMPV6 => icmpv6(facts),
        protocol::IGMP if facts.hop_limit == 1 && facts.question.source.is_v4() => {
            Some(Essential::IGMP)
        }
        _ => None,
    }
}

#[inline(always)]
fn udp(facts: &Facts) -> Option<Essential> {
    let (source, destination) = (facts.source_port, facts.destination_port);
    let is_dhcp = matches!(destination, 67 | 68) && matches!(source, 67 | 68);
    let is_dhcpv6 = matches!(destination, 546 | 547) && matches!(source, 546 | 547);
    if is_dhcp && facts.question.source.is_v4() {
        return Some(Essential::DHCP);
    }
    let question = &facts.question;
    let stays_on_link = || {
        question.source.is_link_local()
            && (question.destination.is_link_local() || question.destination == ALL_DHCP_SERVERS)
    };
    (is_dhcpv6 && stays_on_link()).then_some(Essential::DHCPV6)
}

#[inline(always)]
fn icmpv6(facts: &Facts) -> Option<Essential> {
    // RFC 6980: neighbour discovery is never fragmented.
    if facts.is_fragment() {
        return None;
    }
    match (facts.question.service >> 8, facts.hop_limit) {
        (133 | 135..=137, 255) => Some(Essential::ND),
        (134, 255) if facts.question.source.is_link_local() => Some(Essential::RA),
        (130..=132 | 143, 1) => Some(Essential::MLD),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_protocols() {
        let named = [
            (Essential::ARP, "arp"),
            (Essential::ND, "nd"),
            (Essential::RA, "ra"),
            (Essential::DHCP, "dhcp"),
            (Essential::DHCPV6, "dhcpv6"),
            (Essential::IGMP, "igmp"),
            (Essential::MLD, "mld"),
            (Essential::LINK, "link"),
        ];
        for (index, (one, name)) in named.into_iter().enumerate() {
            assert_eq!((one, one.name()), (Essential::ALL[index], name));
            assert_eq!(Essential::NAMES[index], name);
        }
    }
}
