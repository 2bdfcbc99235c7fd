//! A machine boots: the kernel has forgotten everything, the state files have not.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::Instant;

use xtask::lab::{Expectation, ROUTER, Service, succeeded};

use Service::{Ping, Tcp, Udp};

use crate::daemon::Daemon;
use crate::faults::{FILE_CALLS, FILES, KERNEL, faults, seam};
use crate::foreign;
use crate::network::{DROPPED, Net, PASSES, Row, policy};

const WEB: &str = "id: web, from: office, to: plant, services: [tcp/443, ping]";

/// What [`WEB`] alone lets pass.
const WEB_ONLY: [Row; 4] = [
    ("office", "plant", Tcp(443), PASSES),
    ("office", "plant", Ping, PASSES),
    ("office", "plant", Udp(53), DROPPED),
    ("plant", "office", Tcp(443), DROPPED),
];
/// What passes where nothing is forwarded.
const CLOSED: [Row; 3] = [
    ("office", "plant", Tcp(443), DROPPED),
    ("plant", "guests", Ping, DROPPED),
    ("office", ROUTER, Ping, PASSES),
];

const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

#[test]
fn after_a_reboot_the_policy_returns() {
    let net = Net::under(&policy(&[WEB]));
    net.apply(&policy(&[WEB]));
    let special = [
        ("net/ipv4/conf/gst0/forwarding", "0"),
        ("net/ipv6/conf/gst0/forwarding", "0"),
        ("net/ipv4/conf/all/accept_redirects", "1"),
    ];
    for (name, value) in special {
        write(&net, setting(name), value);
    }
    net.forget();
    net.expect(&[("plant", "office", Tcp(443), PASSES)]);

    let said = succeeded(&boot(&net)).unwrap();

    assert!(
        said.contains("policy `test` is active again on off0, plc0, gst0 (generation 3)"),
        "{said}"
    );
    net.expect(&WEB_ONLY);
    assert_eq!(forwarding(&net), ["1", "1"]);
    for (name, value) in special {
        assert_eq!(read(&net, setting(name)), value, "{name}");
    }
    // Once more, there is nothing to do.
    let again = succeeded(&boot(&net)).unwrap();
    assert!(
        again.contains("is active already") && again.contains("generation 3"),
        "{again}"
    );
    net.expect(&WEB_ONLY);
    net.apply(&policy(&[WEB]));
    assert_eq!(net.enforcer.status().unwrap()["generation"], 4);
}

#[test]
fn a_reboot_while_a_policy_waits_returns_to_the_one_before() {
    let net = Net::under(&policy(&[WEB]));
    let other = policy(&["id: names, from: office, to: plant, services: udp/53"]);
    let file = net.enforcer.policy_file("other", &other).unwrap();
    let file = file.display().to_string();
    let waits = ["apply", "--confirm", "10min", &file];
    succeeded(&net.enforcer.output(&waits).unwrap()).unwrap();
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
    net.forget();

    succeeded(&boot(&net)).unwrap();

    net.expect(&WEB_ONLY);
    let late = net.enforcer.output(&["confirm"]).unwrap();
    assert_eq!(late.status.code(), Some(1));
    net.expect(&WEB_ONLY);
}

#[test]
fn a_machine_without_a_policy_boots_as_it_is() {
    let net = Net::open();
    let said = succeeded(&boot(&net)).unwrap();
    assert!(said.contains("no policy was ever applied"), "{said}");
    assert_eq!(forwarding(&net), ["1", "1"]);
    net.expect(&[("plant", "office", Tcp(443), PASSES)]);
}

#[test]
fn a_damaged_journal_keeps_the_machine_from_forwarding() {
    let net = Net::under(&policy(&[WEB]));
    net.forget();
    write(&net, state_file(&net), "{");

    for _ in 0..2 {
        let output = boot(&net);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        for part in ["forwarding stays off", "policy-1.state", "enforcer boot"] {
            assert!(complaint.contains(part), "no {part} in {complaint}");
        }
        assert_eq!(forwarding(&net), ["0", "0"]);
        net.expect(&CLOSED);
    }

    // Another policy, and it forwards again.
    net.apply(&policy(&[WEB]));
    assert_eq!(forwarding(&net), ["0", "0"]);
    succeeded(&boot(&net)).unwrap();
    assert_eq!(forwarding(&net), ["1", "1"]);
    net.expect(&WEB_ONLY);
}

#[test]
fn detach_opens_a_machine_whose_boot_has_failed() {
    let net = Net::under(&policy(&[WEB]));
    net.forget();
    write(&net, state_file(&net), "");
    assert!(!boot(&net).status.success());
    assert_eq!(forwarding(&net), ["0", "0"]);

    succeeded(&net.enforcer.detach().unwrap()).unwrap();

    assert_eq!(forwarding(&net), ["1", "1"]);
    net.expect(&[("plant", "office", Tcp(443), PASSES)]);
}

#[test]
fn an_interface_that_refuses_the_program_keeps_the_machine_from_forwarding() {
    let net = Net::under(&policy(&[WEB]));
    net.forget();
    let foreign = net.lab.router().namespace().run(|| foreign::attach("plc0"));

    let output = boot(&net);

    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("plc0") && complaint.contains(foreign::NAME),
        "{complaint}"
    );
    assert_eq!(forwarding(&net), ["0", "0"]);
    net.expect(&CLOSED);

    drop(foreign);
    let said = succeeded(&boot(&net)).unwrap();
    assert!(said.contains("forwarding is as it was"), "{said}");
    assert_eq!(forwarding(&net), ["1", "1"]);
    net.expect(&WEB_ONLY);
}

#[test]
fn interfaces_that_come_after_the_boot_are_left_to_the_daemon() {
    let net = Net::under(&policy(&[WEB]));
    net.forget();
    net.lab.unplug("plant").unwrap();
    let said = succeeded(&boot(&net)).unwrap();
    assert!(
        said.contains("not there yet, left to `enforcer run`: plc0"),
        "{said}"
    );
    assert_eq!(forwarding(&net), ["1", "1"]);

    let mut daemon = Daemon::start(&net);
    net.lab.plug("plant", 200).unwrap();
    daemon.wait_line("programs attached to plc0");
    net.expect(&WEB_ONLY);
}

#[test]
fn a_boot_that_is_killed_leaves_nothing_open_and_can_be_repeated() {
    let net = Net::under(&policy(&[WEB]));
    net.forget();
    let started = Instant::now();
    succeeded(&boot(&net)).unwrap();
    let usual = started.elapsed();
    let mut closed = 0;
    let rounds = 6;
    for round in 0..rounds {
        net.forget();
        let mut child = net.enforcer.start(&["boot"]).unwrap();
        thread::sleep(usual * round / rounds);
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();

        let is_forwarding = forwarding(&net) == ["1", "1"];
        let has_begun = net
            .enforcer
            .status()
            .is_ok_and(|status| status["active"] == true)
            || exists(&net, net.enforcer.root().join("forwarding"));
        if has_begun {
            closed += u32::from(!is_forwarding);
            let seen = net.lab.observe(&[Expectation {
                from: "plant",
                to: "office",
                service: Udp(53),
                want: DROPPED,
            }]);
            assert_eq!(seen.unwrap(), [DROPPED], "round {round}");
        }
        succeeded(&boot(&net)).unwrap();
        assert_eq!(forwarding(&net), ["1", "1"], "round {round}");
        net.expect(&WEB_ONLY[..1]);
    }
    assert!(
        closed > 0,
        "every kill came too early or too late: {usual:?}"
    );
}

#[test]
fn failing_bpf_calls_of_a_boot() {
    let net = Net::under(&policy(&[WEB]));
    boot_with_faults(&net, (&["bpf"], &KERNEL), 11);
}

#[test]
fn failing_file_calls_of_a_boot() {
    let net = Net::under(&policy(&[WEB]));
    boot_with_faults(&net, (&FILE_CALLS, &FILES), 17);
}

/// A boot that meets an error has the policy in force, or forwards nothing.
fn boot_with_faults(net: &Net, (calls, errors): (&[&'static str], &[&'static str]), stride: usize) {
    net.forget();
    let calls = seam::count(net, calls, &["boot"]);
    for fault in faults(&calls, errors, stride) {
        net.forget();
        let output = seam::run(net, fault, &["boot"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let is_forwarding = forwarding(net) == ["1", "1"];
        let is_off = complaint.contains("forwarding stays off");
        match output.status.success() {
            true => assert!(is_forwarding && !is_off, "{fault:?}: {complaint}"),
            false => assert!(complaint.contains("error: "), "{fault:?}: {complaint}"),
        }
        assert!(!(is_forwarding && is_off), "{fault:?}: {complaint}");
        let seen = net.lab.observe(&[Expectation {
            from: "plant",
            to: "office",
            service: Udp(53),
            want: DROPPED,
        }]);
        assert_eq!(seen.unwrap(), [DROPPED], "{fault:?}: {complaint}");
        succeeded(&boot(net)).unwrap();
        assert_eq!(forwarding(net), ["1", "1"], "{fault:?}");
        net.expect(&WEB_ONLY[..1]);
    }
}

fn boot(net: &Net) -> Output {
    net.enforcer.output(&["boot"]).unwrap()
}

fn forwarding(net: &Net) -> [String; 2] {
    FORWARDING.map(|name| read(net, setting(name)))
}

fn setting(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

fn state_file(net: &Net) -> PathBuf {
    net.enforcer.root().join("state/policy-1.state")
}

fn read(net: &Net, path: PathBuf) -> String {
    let router = net.lab.router().namespace();
    router.run(move || fs::read_to_string(path).unwrap().trim().to_owned())
}

fn write(net: &Net, path: PathBuf, text: &'static str) {
    let router = net.lab.router().namespace();
    router.run(move || fs::write(path, text).unwrap());
}

fn exists(net: &Net, path: PathBuf) -> bool {
    net.lab.router().namespace().run(move || path.exists())
}
