//! Essential protocols, which pass to and from the router without a conduit.

/// One essential protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Essential {
    /// ARP.
    Arp,
    /// Neighbour discovery but router advertisements.
    Nd,
    /// Router advertisements.
    Ra,
    /// DHCP for IPv4.
    Dhcp,
    /// DHCP for IPv6.
    Dhcpv6,
    /// IGMP.
    Igmp,
    /// Multicast listener discovery.
    Mld,
    /// Link protocols, such as LLDP and PPPoE discovery.
    Link,
}

impl Essential {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Arp,
        Self::Nd,
        Self::Ra,
        Self::Dhcp,
        Self::Dhcpv6,
        Self::Igmp,
        Self::Mld,
        Self::Link,
    ];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; 8] =
        ["arp", "nd", "ra", "dhcp", "dhcpv6", "igmp", "mld", "link"];

    /// The name that policies and counters use.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_protocols() {
        for (index, one) in Essential::ALL.iter().enumerate() {
            assert_eq!(one.name(), Essential::NAMES[index]);
            assert_eq!(format!("{one:?}").to_lowercase(), one.name());
        }
    }
}
