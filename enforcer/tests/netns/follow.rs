//! Interfaces and addresses change, and the daemon follows.

use std::net::UdpSocket;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::json;
use xtask::lab::{Family, Outcome, ROUTER, Service, succeeded};

use Service::{Ping, Tcp, Udp};

use crate::daemon::Daemon;
use crate::network::{DROPPED, Net, PASSES, Row, policy};

const WEB: &str = "id: web, from: office, to: plant, services: [tcp/443, ping]";

/// What [`WEB`] alone lets pass.
const WEB_ONLY: [Row; 5] = [
    ("office", "plant", Tcp(443), PASSES),
    ("office", "plant", Ping, PASSES),
    ("office", "plant", Udp(53), DROPPED),
    ("plant", "office", Tcp(443), DROPPED),
    ("office", ROUTER, Tcp(22), DROPPED),
];

#[test]
fn an_interface_that_is_made_anew_is_enforced_again() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    for (round, name, interface) in [
        (0, "office", "off0"),
        (1, "plant", "plc0"),
        (2, "office", "off0"),
    ] {
        net.lab.unplug(name).unwrap();
        daemon.wait_line(&format!("missing: {interface}"));
        net.lab.plug(name, 200 + round).unwrap();
        daemon.wait_line(&format!("programs attached to {interface}"));
        net.expect(&WEB_ONLY);
    }
    assert_eq!(net.xdp_programs().len(), 3);
}

/// Whoever speaks first afterwards, and from either side of the router.
#[test]
fn a_flow_that_is_still_allowed_outlives_its_interface() {
    let net = Net::under(&policy(&[
        "id: all, from: office, to: plant, services: any",
    ]));
    let mut daemon = Daemon::start(&net);
    let mut index = 200;
    for family in Family::BOTH {
        for (lost, interface) in [("office", "off0"), ("plant", "plc0")] {
            let mut connection = net.lab.connect("office", "plant", 443, family).unwrap();
            connection.exchange(b"before").unwrap();
            let talks = ["office", ROUTER].map(|from| Talk::begin(&net, from, family));

            net.lab.unplug(lost).unwrap();
            daemon.wait_line(&format!("missing: {interface}"));
            net.lab.plug(lost, index).unwrap();
            index += 1;
            daemon.wait_line(&format!("programs attached to {interface}"));

            for talk in &talks {
                talk.answer();
                talk.ask();
            }
            connection.exchange(b"after").unwrap();
        }
    }
    assert_eq!(net.drops("office", "plant", "tcp-no-flow"), 0);
}

/// Datagrams that a host has exchanged with the plant.
struct Talk {
    client: UdpSocket,
    server: UdpSocket,
}

impl Talk {
    fn begin(net: &Net, from: &'static str, family: Family) -> Self {
        let bind = |host: &'static str, known_to: &str| {
            let address = net.lab.address(known_to, host, family);
            let namespace = net.lab.host(host).namespace();
            let socket = namespace.run(move || UdpSocket::bind((address, 0)));
            let socket = socket.unwrap();
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
            socket
        };
        let talk = Self {
            client: bind(from, "plant"),
            server: bind("plant", "office"),
        };
        for _ in 0..2 {
            talk.ask();
            talk.answer();
        }
        talk
    }

    fn ask(&self) {
        pass(&self.client, &self.server);
    }

    fn answer(&self) {
        pass(&self.server, &self.client);
    }
}

fn pass(from: &UdpSocket, to: &UdpSocket) {
    let (sender, target) = (from.local_addr().unwrap(), to.local_addr().unwrap());
    from.send_to(b"?", target).unwrap();
    let received = to.recv_from(&mut [0; 8]);
    let (_, seen) = received.unwrap_or_else(|error| panic!("{sender} to {target}: {error}"));
    assert_eq!(seen, sender);
}

/// Nobody looks in between, and the kernel gives the same index again.
#[test]
fn an_interface_that_is_made_anew_with_its_old_index_is_enforced_again() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    daemon.signal(Signal::SIGSTOP);
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 100).unwrap();
    daemon.signal(Signal::SIGCONT);
    daemon.wait_line("programs attached to off0");
    net.expect(&WEB_ONLY);
}

#[test]
fn a_renamed_interface_stays_closed_until_it_has_its_name_again() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    let rename = |from: &str, to: &str| {
        ip(&net, &["link", "set", "dev", from, "down"]);
        ip(&net, &["link", "set", "dev", from, "name", to]);
        ip(&net, &["link", "set", "dev", to, "up"]);
        // Which the kernel forgets when the link goes down.
        ip(&net, &["address", "add", "fd02::1/64", "dev", to]);
    };

    rename("plc0", "field0");

    daemon.wait_line("missing: plc0; programs stay on field0");
    net.expect(&[
        ("office", "plant", Tcp(443), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
        ("plant", ROUTER, Tcp(22), DROPPED),
    ]);
    assert!(net.drops("unknown", "-", "spoofed-source") > 0);

    rename("field0", "plc0");

    daemon.wait_line("every interface of the policy is there");
    net.expect(&WEB_ONLY);
}

#[test]
fn a_link_that_goes_down_and_up_is_never_open() {
    let net = Net::under(&policy(&[WEB]));
    let _daemon = Daemon::start(&net);
    for _ in 0..3 {
        ip(&net, &["link", "set", "dev", "off0", "down"]);
        ip(&net, &["link", "set", "dev", "off0", "up"]);
        ip(&net, &["address", "add", "fd01::1/64", "dev", "off0"]);
        net.expect(&WEB_ONLY);
    }
    assert_eq!(net.xdp_programs().len(), 3);
}

#[test]
fn a_new_address_of_the_router_is_the_router() {
    let net = Net::under(&policy(&[
        "id: all, from: office, to: plant, services: any",
    ]));
    let mut daemon = Daemon::start(&net);
    for (address, family) in [("10.1.0.77/24", Family::V4), ("fd01::77/64", Family::V6)] {
        let claimed = address.split_once('/').unwrap().0.parse().unwrap();
        let pretend = || net.lab.spoof("office", claimed, "plant", 53).unwrap();
        assert_eq!(pretend(), Outcome::Answered, "{family:?}: it is anybody's");

        ip(&net, &["address", "add", address, "dev", "off0", "nodad"]);
        daemon.wait_line("addresses have changed");
        assert_eq!(pretend(), Outcome::Silent, "{family:?}: it is the router's");

        ip(&net, &["address", "delete", address, "dev", "off0"]);
        daemon.wait_line("addresses have changed");
        assert_eq!(pretend(), Outcome::Answered, "{family:?}: again anybody's");
    }
}

#[test]
fn an_interface_that_becomes_a_port_of_a_bridge_is_judged_as_one() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    ip(&net, &["link", "add", "br0", "type", "bridge"]);
    ip(&net, &["link", "set", "dev", "gst0", "master", "br0"]);

    daemon.wait_line("programs attached to br0");

    // Not at XDP, where nobody knows yet where a frame goes.
    assert_eq!(net.xdp_programs().len(), 2);
    net.expect(&WEB_ONLY);

    ip(&net, &["link", "set", "dev", "gst0", "nomaster"]);
    daemon.wait_line("programs stay on br0, gst0");
    net.expect(&WEB_ONLY);
    net.expect(&[("guests", "plant", Tcp(443), DROPPED)]);
    assert!(net.drops("guests", "plant", "no-conduit") >= 2);
}

/// Then the kernel throws news away.
#[test]
fn more_news_than_a_socket_takes_is_followed_all_the_same() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    daemon.signal(Signal::SIGSTOP);
    let flood: String = (0..3_000)
        .map(|round| {
            let action = ["add", "delete"][round % 2];
            format!("address {action} 192.0.2.1/32 dev lo\n")
        })
        .collect();
    let file = net.enforcer.policy_file("flood", &flood).unwrap();
    ip(&net, &["-batch", &file.to_string_lossy()]);
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 200).unwrap();
    daemon.signal(Signal::SIGCONT);

    daemon.wait_line("programs attached to off0");
    net.expect(&WEB_ONLY);
    assert!(netlink_drops(daemon.pid()) > 0, "the socket took all of it");
}

#[test]
fn a_daemon_that_is_killed_leaves_enforcement_and_the_next_one_catches_up() {
    let net = Net::under(&policy(&[WEB]));
    drop(Daemon::start(&net));
    net.expect(&WEB_ONLY);
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 200).unwrap();
    // Nobody judges what it sends; what leaves elsewhere belongs to no zone.
    net.expect(&[
        ("office", "plant", Tcp(443), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
    ]);

    let mut daemon = Daemon::of(net.enforcer.start(&["run"]).unwrap());

    daemon.wait_line("(generation 2) is enforced on plc0, gst0, off0");
    net.expect(&WEB_ONLY);
}

#[test]
fn it_waits_for_a_policy_and_for_commands() {
    let net = Net::open();
    let mut daemon = Daemon::of(net.enforcer.start(&["run"]).unwrap());
    daemon.wait_line("no policy is active");
    net.apply(&policy(&[WEB]));
    daemon.wait_line("policy `test` (generation 1) is enforced on off0, plc0, gst0");
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    daemon.wait_line("no policy is active");
    net.apply(&policy(&[WEB]));
    daemon.wait_line("policy `test` (generation 1)");

    // Somebody is at work for long.
    let lock = net.enforcer.root().join("lock");
    let router = net.lab.router().namespace();
    let held = router.run(move || {
        let file = std::fs::File::open(lock).unwrap();
        Flock::lock(file, FlockArg::LockExclusive).unwrap()
    });
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 200).unwrap();
    net.expect(&[("office", "plant", Tcp(443), DROPPED)]);
    assert_eq!(daemon.rest(), [""; 0]);
    drop(held);
    daemon.wait_line("programs attached to off0");
    net.expect(&WEB_ONLY);
}

#[test]
fn a_policy_may_name_an_interface_that_comes_later() {
    let net = Net::open();
    net.lab.unplug("plant").unwrap();
    let file = net.enforcer.policy_file("later", &policy(&[WEB])).unwrap();
    let file = file.to_string_lossy();
    let refused = net.enforcer.output(&["apply", &file]).unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("--allow-missing"), "{complaint}");

    let output = net.enforcer.output(&["apply", "--allow-missing", &file]);
    let output = output.unwrap();
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("no interface `plc0` yet"), "{warning}");
    let said = succeeded(&output).unwrap();
    assert!(said.contains("is active on off0, gst0"), "{said}");
    let missing = || net.enforcer.status().unwrap()["interfaces_missing"].clone();
    assert_eq!(missing(), json!(["plc0"]));

    let mut daemon = Daemon::start(&net);
    net.lab.plug("plant", 200).unwrap();
    daemon.wait_line("programs attached to plc0; every interface of the policy is there");
    assert_eq!(missing(), json!([]));
    net.expect(&WEB_ONLY);
}

/// Nothing is followed as long as the policy before may come back.
#[test]
fn a_policy_that_nobody_confirms_is_cleaned_up_and_then_the_daemon_goes_on() {
    let net = Net::under(&policy(&[WEB]));
    let mut daemon = Daemon::start(&net);
    let open = policy(&["id: all, from: any, to: any, services: any"]);
    let file = net.enforcer.policy_file("open", &open).unwrap();
    let args = ["apply", "--confirm", "3s", &file.to_string_lossy()];
    succeeded(&net.enforcer.output(&args).unwrap()).unwrap();
    daemon.wait_line("it waits to be confirmed; until then nothing is followed");
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 200).unwrap();

    daemon.wait_line("programs attached to off0");

    net.expect(&WEB_ONLY);
    assert_eq!(net.xdp_programs().len(), 3);
}

#[test]
fn told_to_end_it_ends_and_enforcement_stays() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let net = Net::under(&policy(&[WEB]));
        let daemon = Daemon::start(&net);
        daemon.signal(signal);
        let (status, printed) = daemon.ended();
        assert!(status.success(), "{status}");
        assert_eq!(printed, "");
        net.expect(&WEB_ONLY);
    }
}

fn ip(net: &Net, args: &[&str]) {
    net.enforcer.run_program("ip", args).unwrap();
}

/// Messages that the kernel threw away because the sockets of a process were full.
fn netlink_drops(pid: nix::unistd::Pid) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/netlink")).unwrap();
    let drops = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // Protocol 0 is routing; the drops come before the inode.
        (fields[1] == "0").then(|| fields[8].parse::<u64>().unwrap())
    });
    drops.sum()
}
