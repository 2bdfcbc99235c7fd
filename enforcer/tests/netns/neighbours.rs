//! Stations that claim addresses of others in ARP and neighbour discovery: the
//! router's table of neighbours stays right.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::lab::{Family, Service};

use crate::events::Follower;
use crate::network::{Net, PASSES};
use crate::packets::{ICMPV6, packet};

/// The hardware address of a station that nobody knows.
const EVIL: [u8; 6] = [2, 0, 0, 0, 0x66, 0x66];

/// What a station says: `claimed` is where `mac` is, in a frame from `from`.
struct Claim {
    from: [u8; 6],
    mac: [u8; 6],
    claimed: IpAddr,
}

impl Claim {
    /// An answer that nobody asked for, to all.
    fn frame(&self) -> Vec<u8> {
        let Self { from, mac, claimed } = self;
        match claimed {
            IpAddr::V4(claimed) => {
                let ends = [&mac[..], &claimed.octets(), &[0xff; 6], &claimed.octets()].concat();
                let arp = [&[0, 1, 8, 0, 6, 4, 0, 2], &ends[..]].concat();
                ethernet([0xff; 6], *from, 0x0806, &arp)
            }
            IpAddr::V6(v6) => {
                let all_nodes = "ff02::1".parse().unwrap();
                // Override, and the hardware address of the target.
                let head = [136, 0, 0, 0, 0x20, 0, 0, 0];
                let message = [&head, &v6.octets()[..], &[2, 1], mac].concat();
                let message = with_checksum(*claimed, all_nodes, message);
                let mut datagram = packet(*claimed, all_nodes, ICMPV6, &message);
                datagram[7] = 255;
                ethernet([0x33, 0x33, 0, 0, 0, 1], *from, 0x86dd, &datagram)
            }
        }
    }
}

fn ethernet(to: [u8; 6], from: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), payload].concat()
}

/// RFC 4443, 2.3.
fn with_checksum(source: IpAddr, destination: IpAddr, mut message: Vec<u8>) -> Vec<u8> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) else {
        panic!("not IPv6")
    };
    let length = (message.len() as u32).to_be_bytes();
    let pseudo_header = [
        &source.octets()[..],
        &destination.octets(),
        &length,
        &[0, 0, 0, 58],
    ];
    let bytes = [&pseudo_header.concat()[..], &message].concat();
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn mac_of(text: &str) -> [u8; 6] {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// What the router believes: the hardware address of a neighbour.
fn neighbour(net: &Net, address: IpAddr) -> Option<String> {
    let args = [
        "-json",
        "neigh",
        "show",
        "dev",
        "gst0",
        "to",
        &address.to_string(),
    ];
    let shown = net.enforcer.run_program("ip", &args).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown[0]["lladdr"].as_str().map(str::to_owned)
}

/// The guests' host is the meter, by what `keys` say.
fn policy(keys: &str) -> String {
    format!(
        "\
version: 1
zones:
  office: {{ match: [{{ interface: off0, prefix: [10.1.0.0/24, \"fd01::/64\"] }}] }}
  guests: {{ match: [{{ interface: gst0 }}] }}
devices:
  meter: {{ zone: guests, {keys} }}
conduits:
  - {{ id: report, from: guests, to: [self, office], services: udp/53 }}
  - {{ id: read, from: office, to: guests, services: udp/53 }}
"
    )
}

#[test]
fn nobody_takes_the_address_of_a_device() {
    let net = Net::open();
    // Otherwise the kernel believes nobody within a second of the last word.
    net.lab
        .router()
        .set("net/ipv4/neigh/gst0/locktime", "0")
        .unwrap();
    let text = net.lab.mac("guests").unwrap();
    let host = net.lab.host("guests");
    let asked = [("office", "guests", Service::Udp(53), PASSES)];

    // Nothing is enforced: the attack works.
    net.expect(&asked);
    for family in Family::BOTH {
        let claimed = net.lab.address("office", "guests", family);
        assert_eq!(neighbour(&net, claimed).as_deref(), Some(&*text));
        let claim = Claim {
            from: EVIL,
            mac: EVIL,
            claimed,
        };
        host.send_frame(claim.frame()).unwrap();
        let patience = Instant::now() + Duration::from_secs(5);
        while neighbour(&net, claimed).as_deref() == Some(&*text) {
            assert!(Instant::now() < patience, "the attack fails: {claimed}");
            thread::yield_now();
        }
    }
    net.lab.router().ip("neigh flush dev gst0").unwrap();

    let ip = Family::BOTH.map(|family| net.lab.address("office", "guests", family));
    let keys = format!("mac: \"{text}\", ip: [{}, \"{}\"]", ip[0], ip[1]);
    net.apply(&policy(&keys));
    net.expect(&asked);
    for (count, claimed) in (1..).zip(ip) {
        let claim = Claim {
            from: EVIL,
            mac: EVIL,
            claimed,
        };
        host.send_frame(claim.frame()).unwrap();
        // What comes next on the same wire is judged after it.
        net.expect(&asked);
        assert_eq!(net.drops("guests", "-", "binding-violated"), count);
        assert_eq!(neighbour(&net, claimed).as_deref(), Some(&*text));
    }
    // The device itself may say so.
    for claimed in ip {
        let own = mac_of(&text);
        let claim = Claim {
            from: own,
            mac: own,
            claimed,
        };
        host.send_frame(claim.frame()).unwrap();
    }
    net.expect(&asked);
    assert_eq!(net.drops("meter", "-", "binding-violated"), 0);
    assert_eq!(net.drops("meter", "-", "spoofed-source"), 0);
}

#[test]
fn nobody_speaks_for_the_router_or_for_others() {
    let net = Net::open();
    let own = mac_of(&net.lab.mac("guests").unwrap());
    let host = net.lab.host("guests");
    net.apply(&policy("ip: 10.3.0.99"));
    let mut follower = Follower::start(&net, &["--reason", "spoofed-source"]);
    let asked = [("office", "guests", Service::Udp(53), PASSES)];
    net.expect(&asked);
    let mut dropped = 0;
    for family in Family::BOTH {
        let router = net.lab.address("guests", xtask::lab::ROUTER, family);
        let elsewhere = net.lab.address("guests", "office", family);
        let guest = net.lab.address("office", "guests", family);
        let claims = [
            Claim {
                from: own,
                mac: own,
                claimed: router,
            },
            Claim {
                from: own,
                mac: own,
                claimed: elsewhere,
            },
            // The frame comes from another than it says.
            Claim {
                from: own,
                mac: EVIL,
                claimed: guest,
            },
        ];
        for claim in claims {
            host.send_frame(claim.frame()).unwrap();
            net.expect(&asked);
            dropped += 1;
            assert_eq!(
                net.drops("guests", "-", "spoofed-source"),
                dropped,
                "{}",
                claim.claimed
            );
        }
        let event = follower.wait(&[("source", &elsewhere.to_string())]);
        let protocol = match family {
            Family::V4 => Value::Null,
            Family::V6 => ICMPV6.into(),
        };
        assert_eq!(
            (&event["protocol"], &event["from"]),
            (&protocol, &"guests".into())
        );
        let believed = neighbour(&net, guest).unwrap();
        assert_eq!(mac_of(&believed), own);
    }
}
