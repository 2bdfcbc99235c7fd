//! What is visible of `enforcer` on a router, and that `detach` takes it away.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::lab::{Service, succeeded};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, policy};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";

#[test]
fn detach_opens_the_network_and_leaves_nothing() {
    let net = Net::open();
    let pins_before = pins(&net);
    net.apply(&policy(&[WEB]));
    net.expect(&[("plant", "office", Tcp(443), DROPPED)]);
    let programs = net.xdp_programs();
    assert_eq!(programs.len(), 3, "one on each interface");
    let maps = map_ids(&net, programs[0]);
    assert!(!maps.is_empty());

    succeeded(&net.enforcer.detach().unwrap()).unwrap();

    net.expect(&[
        ("plant", "office", Tcp(443), PASSES),
        ("plant", "office", Udp(53), PASSES),
        ("guests", "plant", Ping, PASSES),
    ]);
    assert_eq!(pins(&net), pins_before);
    assert_eq!(
        files(&net),
        ["bpf", "policy.yaml"],
        "in the folder of the installation"
    );
    assert_eq!(net.xdp_programs(), Vec::<u64>::new());
    programs.iter().for_each(|id| wait_gone("prog", *id));
    maps.iter().for_each(|id| wait_gone("map", *id));
}

#[test]
fn detach_of_nothing_is_no_mistake() {
    let net = Net::open();
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    net.apply(&policy(&[WEB]));
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    net.apply(&policy(&[WEB]));
    net.expect(&[("plant", "office", Tcp(443), DROPPED)]);
}

#[test]
fn bpftool_tells_who_was_dropped_and_why() {
    let net = Net::under(&policy(&[WEB]));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("guests", "plant", Ping, DROPPED),
    ]);

    let drops = dump(&net, "drop_counters");
    for text in ["\"guests\"", "\"plant\"", "\"no-conduit\""] {
        assert!(drops.contains(text), "no {text} in drop_counters");
    }
    assert!(dump(&net, "conduit_counters").contains("\"web\""));
    for map in ["flows", "flows_new", "control"] {
        dump(&net, map);
    }
}

#[test]
fn bpftool_shows_programs_by_their_names() {
    let net = Net::under(&policy(&[WEB]));
    let programs = net.xdp_programs();
    assert_eq!(programs.len(), 3, "one on each interface");
    for id in programs {
        let program = net.bpftool(&["prog", "show", "id", &id.to_string()]);
        let name = program["name"].as_str().unwrap();
        assert!(name.starts_with("enforcer_"), "{name}");
    }
}

#[test]
fn status_names_policy_and_interfaces() {
    let net = Net::under(&policy(&[WEB]));
    let status = net.enforcer.status().unwrap().to_string();
    for text in ["test", "off0", "plc0", "gst0"] {
        assert!(
            status.contains(&format!("\"{text}\"")),
            "no {text}: {status}"
        );
    }
}

fn dump(net: &Net, map: &str) -> String {
    let pin = net.enforcer.root().join("bpf").join(map);
    let pin = pin.to_string_lossy();
    let args = ["map", "dump", "pinned", &pin];
    net.enforcer.run_program("bpftool", &args).unwrap()
}

fn map_ids(net: &Net, program: u64) -> Vec<u64> {
    let program = net.bpftool(&["prog", "show", "id", &program.to_string()]);
    let ids = program["map_ids"].as_array().unwrap();
    ids.iter().filter_map(Value::as_u64).collect()
}

/// The kernel frees what nothing refers to a moment later.
fn wait_gone(kind: &str, id: u64) {
    let id = id.to_string();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut bpftool = Command::new("bpftool");
        let shown = bpftool.args([kind, "show", "id", &id]).output().unwrap();
        if !shown.status.success() {
            return;
        }
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(Instant::now() < deadline, "still there: {text}");
        std::thread::yield_now();
    }
}

/// Names beside the file system for pins: state and lock would be among them.
fn files(net: &Net) -> Vec<OsString> {
    let folder = net.enforcer.root();
    let router = net.lab.router().namespace();
    let mut names: Vec<_> = router.run(move || {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    });
    names.sort();
    names
}

/// Names in the file system for pins; the kernel puts two there itself.
fn pins(net: &Net) -> BTreeSet<OsString> {
    let folder = net.enforcer.root().join("bpf");
    let router = net.lab.router().namespace();
    router.run(move || {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    })
}
