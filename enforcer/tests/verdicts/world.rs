//! The router that the tests pretend to be: its interfaces, addresses, routes.

use std::net::IpAddr;

use ipnet::IpNet;

/// A router.
#[derive(Clone, Debug)]
pub struct World {
    pub interfaces: Vec<Interface>,
    /// Routes beside those that addresses bring.
    pub routes: Vec<(IpNet, Route)>,
    /// Indices of the interfaces that are ports of a bridge.
    pub ports: Vec<u32>,
}

/// One interface of a router.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: &'static str,
    pub index: u32,
    /// Each with the length of its prefix.
    pub addresses: Vec<IpNet>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the router itself.
    Local,
    /// Out of the interface with this index.
    Out(u32),
    /// Nowhere.
    Nowhere,
}

/// Index of an interface that no policy names.
pub const SPARE: u32 = 15;

impl World {
    /// Four interfaces that policies name, and one that none does.
    pub fn new() -> Self {
        let interface = |name, index, addresses: &[&str]| Interface {
            name,
            index,
            addresses: addresses.iter().map(|text| net(text)).collect(),
        };
        let interfaces = vec![
            interface("lo", 1, &["10.255.0.1/32"]),
            interface(
                "lan0",
                11,
                &["10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fe80::1/64"],
            ),
            interface("lan1", 12, &["10.0.1.1/24", "fd00:0:0:1::1/64"]),
            interface("lan2", 13, &["192.168.7.1/28", "fd00:0:0:2::1/127"]),
            interface("wan0", 14, &["203.0.113.2/30", "2001:db8::2/64"]),
            interface("spare0", SPARE, &["172.16.0.1/31"]),
        ];
        let routes = vec![
            (net("0.0.0.0/0"), Route::Out(14)),
            (net("::/0"), Route::Out(14)),
            (net("10.0.0.0/8"), Route::Out(13)),
            (net("10.0.1.128/26"), Route::Out(11)),
            (net("fd00::/32"), Route::Out(12)),
            (net("198.51.100.0/24"), Route::Nowhere),
            (net("2001:db8:dead::/48"), Route::Nowhere),
        ];
        Self {
            interfaces,
            routes,
            ports: Vec::new(),
        }
    }

    /// The same router, whose inner networks are ports of one bridge.
    pub fn bridged() -> Self {
        let ports = vec![11, 12, 13];
        Self {
            ports,
            ..Self::new()
        }
    }

    /// Name of an interface.
    pub fn name(&self, index: u32) -> Option<&'static str> {
        let found = self.interfaces.iter().find(|found| found.index == index);
        found.map(|found| found.name)
    }

    /// Every unicast address of the router.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.nets().map(|net| net.addr()).collect()
    }

    /// The broadcast address of every IPv4 prefix that has one (RFC 3021:
    /// prefixes of 31 and 32 bits have none).
    pub fn broadcasts(&self) -> Vec<IpAddr> {
        self.nets()
            .filter(|net| matches!(net, IpNet::V4(net) if net.prefix_len() <= 30))
            .map(|net| net.broadcast())
            .collect()
    }

    /// The subnet-router anycast address of every IPv6 prefix (RFC 4291,
    /// 2.6.1), which a Linux router joins by itself for lengths up to 126.
    pub fn anycasts(&self) -> Vec<IpAddr> {
        self.nets()
            .filter(|net| matches!(net, IpNet::V6(net) if net.prefix_len() <= 126))
            .map(|net| net.network())
            .collect()
    }

    /// Whether `address` is the router's own, or the broadcast of its prefix.
    pub fn is_router(&self, address: IpAddr) -> bool {
        self.addresses().contains(&address) || self.broadcasts().contains(&address)
    }

    /// Where a packet goes: the longest prefix around the destination decides.
    ///
    /// What must not be forwarded (RFC 4291, 2.5.6) stays with the router.
    pub fn route(&self, source: IpAddr, destination: IpAddr) -> Route {
        let stays = |address| match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => {
                address.is_unicast_link_local() || address.is_multicast() || address.is_loopback()
            }
        };
        let is_local = self.is_router(destination)
            || self.anycasts().contains(&destination)
            || destination.is_loopback();
        if is_local || stays(source) || stays(destination) {
            return Route::Local;
        }
        let subnets = self.interfaces.iter().flat_map(|interface| {
            let addresses = interface.addresses.iter();
            addresses.map(|address| (*address, Route::Out(interface.index)))
        });
        subnets
            .chain(self.routes.iter().copied())
            .filter(|(prefix, _)| prefix.contains(&destination))
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .map_or(Route::Nowhere, |(_, route)| route)
    }

    fn nets(&self) -> impl Iterator<Item = IpNet> {
        self.interfaces
            .iter()
            .flat_map(|interface| interface.addresses.iter().copied())
    }
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a valid prefix")
}
