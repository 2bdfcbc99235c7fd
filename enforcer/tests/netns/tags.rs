//! Zones by VLAN tag, where the tag is in the frame and where the kernel has taken
//! it off: at XDP, and at TC.

use std::net::IpAddr;

use xtask::lab::{Port, ether_type, frame};

use crate::network::Net;
use crate::packets::{UDP, packet, udp};

const POLICY: &str = "\
version: 1
zones:
  single: { match: [{ interface: tap0, vlan: 10 }] }
  double: { match: [{ interface: tap0, vlan: 100.30 }] }
  plain: { match: [{ interface: tap0 }] }
  plant: { match: [{ interface: plc0, prefix: [10.2.0.0/24, \"fd02::/64\"] }] }
conduits:
  - { id: by-one, from: single, to: plant, services: udp/53 }
  - { id: by-two, from: double, to: plant, services: udp/53 }
";

#[test]
fn tags_tell_zones_apart_at_xdp_and_at_tc() {
    let hooks = ["xdp", "xdp-generic", "tc"];
    for hook in hooks {
        let net = Net::open();
        let mut port = net
            .lab
            .port("tap0", &["10.9.0.1/24", "fd09::1/64"])
            .unwrap();
        net.apply(&format!(
            "{POLICY}interfaces: {{ tap0: {{ hook: {hook} }} }}\n"
        ));
        // Tags, and zone, where the conduit of that zone lets it pass.
        let cases: [(&[u16], &str, Option<&str>); 7] = [
            (&[], "plain", None),
            (&[10], "single", Some("by-one")),
            (&[100, 30], "double", Some("by-two")),
            (&[100], "plain", None),
            (&[30, 100], "plain", None),
            (&[10, 10], "plain", None),
            (&[11], "plain", None),
        ];
        let mut source_port = 40_000;
        for (tags, zone, conduit) in cases {
            for ends in [["10.9.0.2", "10.2.0.2"], ["fd09::2", "fd02::2"]] {
                source_port += 1;
                let before = (conduit.map(|id| net.passed(id)), dropped(&net, zone));
                send(&mut port, tags, ends, source_port);
                let after = (conduit.map(|id| net.passed(id)), dropped(&net, zone));
                let more = u64::from(conduit.is_none());
                let want = (before.0.map(|passed| passed + 1), before.1 + more);
                assert_eq!(after, want, "{hook} {tags:?} {ends:?}");
            }
        }
        let before = net.drops("unknown", "-", "too-many-tags");
        send(&mut port, &[10, 10, 10], ["10.9.0.2", "10.2.0.2"], 40_000);
        assert_eq!(net.drops("unknown", "-", "too-many-tags"), before + 1);
    }
}

fn dropped(net: &Net, zone: &str) -> u64 {
    net.drops(zone, "plant", "no-conduit")
}

fn send(port: &mut Port, tags: &[u16], ends: [&str; 2], source_port: u16) {
    let [source, destination]: [IpAddr; 2] = ends.map(|text| text.parse().unwrap());
    let mut packet = packet(source, destination, UDP, &udp(source_port, 53, 12, 12));
    if source.is_ipv4() {
        // No socket of the kernel fills it in.
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
    }
    let frame = frame(port.mac(), tags, ether_type(source), &packet);
    port.send(&frame).unwrap();
}
