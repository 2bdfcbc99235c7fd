//! Addresses at the edges of prefixes, and those that always mean something.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Rng;

/// Prefixes that mean something to routing, and some that nest.
const PREFIXES: [&str; 40] = [
    "0.0.0.0/0",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.128/25",
    "10.0.0.77/32",
    "10.0.1.0/24",
    "10.0.1.128/26",
    "10.0.1.0/31",
    "10.255.0.0/16",
    "192.168.0.0/16",
    "192.168.7.0/28",
    "203.0.113.0/30",
    "198.51.100.0/24",
    "172.16.0.0/12",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "0.0.0.0/8",
    "224.0.0.0/3",
    "224.0.0.0/4",
    "239.1.0.0/16",
    "239.1.2.3/32",
    "255.255.255.255/32",
    "::/0",
    "fc00::/7",
    "fd00::/32",
    "fd00::/64",
    "fd00:0:0:1::/64",
    "fd00:0:0:1:8000::/65",
    "fd00:0:0:1::77/128",
    "2001:db8::/32",
    "2001:db8::/33",
    "2001:db8:dead::/48",
    "fe80::/10",
    "fe80::/64",
    "ff00::/8",
    "ff05::/16",
    "ff02::fb/128",
    "::1/128",
];

/// Addresses that mean something whatever the policy says.
const SPECIAL: [&str; 42] = [
    "0.0.0.0",
    "0.0.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.254.0.0",
    "169.254.7.7",
    "169.255.0.0",
    "223.255.255.255",
    "224.0.0.1",
    "239.1.2.3",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    "10.0.0.3",
    "10.0.1.130",
    "10.9.9.9",
    "198.51.100.9",
    "172.16.0.0",
    "8.8.8.8",
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "fe80::1",
    "fe80::2",
    "febf:ffff::1",
    "fec0::1",
    "fe7f:ffff::1",
    "feff:ffff::1",
    "ff00::",
    "ff02::1",
    "ff02::fb",
    "ff02::1:2",
    "ff05::1:3",
    "ffff::",
    "fd00::2",
    "fd00:0:0:1::77",
    "2001:db8:dead::1",
    "2606:4700::1111",
];

/// One of the addresses that mean something whatever the policy says.
pub fn special(rng: &mut Rng) -> IpAddr {
    rng.pick(&SPECIAL).parse().expect("a valid address")
}

/// The first or last address of a prefix, one beyond, or one inside.
pub fn near(rng: &mut Rng, prefix: IpNet) -> IpAddr {
    let (first, last) = (prefix.network(), prefix.broadcast());
    match rng.below(8) {
        0 => first,
        1 => last,
        2 => moved(first, -1),
        3 => moved(last, 1),
        4 => moved(first, 1),
        5 => moved(last, -1),
        _ => inside(rng, first, last),
    }
}

fn moved(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from(u32::from(address).wrapping_add_signed(by.into())).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from(u128::from(address).wrapping_add_signed(by.into())).into()
        }
    }
}

fn inside(rng: &mut Rng, first: IpAddr, last: IpAddr) -> IpAddr {
    let noise = u128::from(rng.next()) << 64 | u128::from(rng.next());
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u32::from(first), u32::from(last));
            Ipv4Addr::from(first | noise as u32 & (last - first)).into()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (u128::from(first), u128::from(last));
            Ipv6Addr::from(first | noise & (last - first)).into()
        }
        _ => first,
    }
}

/// A known prefix, or a random one near a known one.
pub fn prefix(rng: &mut Rng) -> IpNet {
    let known: IpNet = rng.pick(&PREFIXES).parse().expect("a valid prefix");
    if rng.percent(60) {
        return known;
    }
    let near = match known {
        IpNet::V4(known) => {
            let length = known.prefix_len() + rng.below(33 - usize::from(known.prefix_len())) as u8;
            let noise = rng.next() as u32 & !u32::from(known.netmask());
            IpNet::new(
                Ipv4Addr::from(u32::from(known.addr()) | noise).into(),
                length,
            )
        }
        IpNet::V6(known) => {
            let length =
                known.prefix_len() + rng.below(129 - usize::from(known.prefix_len())) as u8;
            let noise = u128::from(rng.next()) << 64 | u128::from(rng.next());
            let noise = noise & !u128::from(known.netmask());
            IpNet::new(
                Ipv6Addr::from(u128::from(known.addr()) | noise).into(),
                length,
            )
        }
    };
    near.expect("the length fits the family").trunc()
}
