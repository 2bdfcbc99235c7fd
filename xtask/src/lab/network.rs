//! The networks a router joins, and the addresses in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, the older one first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// One network: a /24 and a /64 on one interface of the router, and one host.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name of the network and of its host.
    pub name: &'static str,
    /// The router's interface.
    pub interface: &'static str,
    /// The link has no Ethernet, like a tunnel's.
    pub is_bare: bool,
    /// The bridge of the router that the interface is a port of.
    pub bridge: Option<&'static str>,
    /// What the host's addresses end in. Reads as `.10` in one family and as
    /// `::10` in the other.
    host: [u8; 2],
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Network {
    /// A network of two prefixes, given by their first addresses.
    ///
    /// # Panics
    ///
    /// When `v4` or `v6` is not an address.
    pub fn new(name: &'static str, interface: &'static str, v4: &str, v6: &str) -> Self {
        Self {
            name,
            interface,
            is_bare: false,
            bridge: None,
            host: [10, 0x10],
            v4: v4.parse().expect("an IPv4 address"),
            v6: v6.parse().expect("an IPv6 address"),
        }
    }

    /// The same network on a link without Ethernet.
    pub fn bare(self) -> Self {
        Self {
            is_bare: true,
            ..self
        }
    }

    /// A part of the network: a host behind a port of a bridge, which has the
    /// router's addresses. What the host's addresses end in is below 10.
    pub fn port(self, bridge: &'static str, host: u8) -> Self {
        Self {
            bridge: Some(bridge),
            host: [host; 2],
            ..self
        }
    }

    /// The router's address here.
    pub fn router(&self, family: Family) -> IpAddr {
        self.address(family, 1)
    }

    /// The host's address.
    pub fn host(&self, family: Family) -> IpAddr {
        let [v4, v6] = self.host;
        self.address(family, if family == Family::V4 { v4 } else { v6 })
    }

    /// The address that ends in `last`.
    pub fn address(&self, family: Family, last: u8) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::from(self.v4) | u32::from(last))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(u128::from(self.v6) | u128::from(last))),
        }
    }

    /// Length of the prefix.
    pub fn prefix_len(family: Family) -> u8 {
        match family {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }
}
