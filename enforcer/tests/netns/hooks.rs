//! Where ingress programs are attached: XDP, TC, and devices without Ethernet.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use xtask::lab::{Family, ROUTER, Service};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, Row, policy};
use crate::stream::Stream;

const CONDUITS: [&str; 3] = [
    "id: office-in, from: office, to: [plant, guests], services: [tcp/443, ping]",
    "id: guests-in, from: guests, to: plant, services: udp/53",
    "id: guests-ask, from: guests, to: self, services: udp/53",
];

const ROWS: [Row; 8] = [
    ("office", "guests", Tcp(443), PASSES),
    ("office", "guests", Ping, PASSES),
    ("office", "plant", Tcp(443), PASSES),
    ("guests", "plant", Udp(53), PASSES),
    ("guests", ROUTER, Udp(53), PASSES),
    ("guests", "plant", Tcp(443), DROPPED),
    ("guests", ROUTER, Tcp(22), DROPPED),
    ("plant", "guests", Udp(53), DROPPED),
];

fn with_hook(hook: &str) -> String {
    let all = ["off0", "plc0", "gst0"].map(|name| format!("{name}: {{ hook: {hook} }}"));
    format!(
        "{}interfaces: {{ {} }}\n",
        policy(&CONDUITS),
        all.join(", ")
    )
}

fn hooks(net: &Net) -> Vec<String> {
    let status = net.enforcer.status().unwrap();
    let interfaces = status["interfaces"].as_array().unwrap();
    let hook = |it: &serde_json::Value| it["hook"].as_str().unwrap().to_owned();
    interfaces.iter().map(hook).collect()
}

#[test]
fn tc_ingress_judges_as_xdp_does() {
    let net = Net::under(&with_hook("tc"));

    net.expect(&ROWS);
    assert_eq!(hooks(&net), ["tc"; 3]);
    assert!(net.xdp_programs().is_empty());
    assert!(net.drops("guests", "plant", "no-conduit") >= 2);
    assert!(net.drops("guests", "self", "no-conduit") >= 2);
}

#[test]
fn a_device_without_ethernet_is_judged_too() {
    let net = Net::with_tunnel();
    net.apply(&policy(&CONDUITS));

    net.expect(&ROWS);
    let mut hooks = hooks(&net);
    hooks.sort();
    assert_eq!(hooks, ["tc", "xdp", "xdp"]);
    assert!(net.drops("guests", "plant", "no-conduit") >= 2);
    for family in Family::BOTH {
        let claimed = net.lab.address("plant", "office", family);
        let seen = net.lab.spoof("guests", claimed, "plant", 53).unwrap();
        assert_eq!(seen, xtask::lab::Outcome::Silent, "{family:?}");
    }
}

#[test]
fn xdp_is_refused_on_a_device_without_ethernet() {
    let net = Net::with_tunnel();
    for hook in ["xdp", "xdp-generic"] {
        let output = net.enforcer.apply(&with_hook(hook)).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("no-ethernet"), "{complaint}");
    }
}

/// Whatever an interface changes from and to, no denied packet comes through and
/// no allowed byte is lost.
#[test]
fn a_change_of_hook_lets_nothing_through() {
    const DENIED: u16 = 9_999;
    let net = Net::under(&with_hook("xdp"));
    let connection = net.lab.connect("office", "plant", 443, Family::V4);
    let stream = Stream::start(connection.unwrap());
    let (from, to) = (
        net.lab.address("guests", "guests", Family::V4),
        net.lab.address("guests", "plant", Family::V4),
    );
    let plant = net.lab.host("plant").namespace();
    let inside = plant.run(move || UdpSocket::bind((to, DENIED))).unwrap();
    let guests = net.lab.host("guests").namespace();
    let outside = guests.run(move || UdpSocket::bind((from, 0))).unwrap();
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A full queue is no failure.
                let _ = outside.send_to(b"?", (to, DENIED));
            }
        });
        for hook in ["tc", "xdp-generic", "xdp", "xdp-generic", "tc", "xdp"] {
            net.apply(&with_hook(hook));
            assert_eq!(hooks(&net), [hook; 3]);
            stream.wait_exchange();
        }
        stop.store(true, Ordering::Relaxed);
    });

    stream.finish();
    inside.set_nonblocking(true).unwrap();
    let came = inside.recv(&mut [0; 8]);
    assert_eq!(came.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(net.drops("guests", "plant", "no-conduit") > 0);
}
