//! State files that are damaged, missing or find no room open nothing: they are
//! told, and what is in force stays so.

use std::fs;
use std::path::{Path, PathBuf};

use enforcer::controller::store::{Standing, Store};
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use xtask::lab::{Family, Service, succeeded};

use Service::{Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, Row, large, policy};
use crate::stream::Stream;

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const DNS: &str = "id: dns, from: office, to: plant, services: udp/53";
const WEB_ONLY: [Row; 3] = [
    ("office", "plant", Tcp(443), PASSES),
    ("office", "plant", Udp(53), DROPPED),
    ("plant", "office", Tcp(443), DROPPED),
];

/// What can happen to the state file of the active policy.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 8] = [
    ("empty", |file| fs::write(file, "").unwrap()),
    ("garbage", |file| fs::write(file, [0xff; 4096]).unwrap()),
    ("cut off", |file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("a bit", |file| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }),
    ("checksum", |file| {
        let text = fs::read_to_string(file).unwrap();
        let (head, content) = text.split_once('\n').unwrap();
        let (head, _) = head.split_once("crc32 ").unwrap();
        fs::write(file, format!("{head}crc32 00000000\n{content}")).unwrap();
    }),
    ("missing", |file| fs::remove_file(file).unwrap()),
    ("a folder", |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    }),
    ("the file of a loop", |file| {
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink(file, file).unwrap();
    }),
];

#[test]
fn a_damaged_state_file_costs_only_what_it_alone_knew() {
    let net = Net::open();
    for (name, damage) in DAMAGES {
        net.apply(&policy(&[WEB]));
        net.expect(&WEB_ONLY);
        let passed = net.passed("web");
        let number = net.enforcer.status().unwrap()["generation"]
            .as_u64()
            .unwrap();
        let file = state(&net).join(format!("policy-{number}.state"));
        at(&net, move || damage(&file));

        net.expect(&WEB_ONLY);
        let status = net.enforcer.status().unwrap();
        assert_eq!(status["generation"], number, "{name}");
        let told = status["damage"].as_str().unwrap_or_default();
        assert!(
            told.contains(&format!("policy-{number}")),
            "{name}: {status}"
        );
        assert_eq!(
            status["interfaces"].as_array().map(Vec::len),
            Some(3),
            "{name}"
        );
        let asked = ["explain", "--from", "10.1.0.2", "--to", "10.2.0.2:443/tcp"];
        let complaint = failed(&net, &asked);
        assert!(complaint.contains("enforcer apply"), "{name}: {complaint}");
        let complaint = failed(&net, &["rollback"]);
        assert!(
            complaint.contains(&format!("policy-{number}")),
            "{name}: {complaint}"
        );

        let output = net.enforcer.apply(&policy(&[DNS, WEB])).unwrap();
        succeeded(&output).unwrap();
        let note = String::from_utf8_lossy(&output.stderr);
        assert!(note.contains(&format!("policy-{number}")), "{name}: {note}");
        assert!(
            net.passed("web") >= passed,
            "{name}: the counters are kept by name"
        );
        assert_eq!(
            net.enforcer.status().unwrap()["damage"],
            Value::Null,
            "{name}"
        );
        net.expect(&[
            ("office", "plant", Tcp(443), PASSES),
            ("office", "plant", Udp(53), PASSES),
        ]);
        assert!(net.passed("dns") > 0);
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
}

#[test]
fn a_policy_that_waits_can_be_confirmed_or_taken_back_without_its_state_file() {
    let net = Net::open();
    for (name, damage) in DAMAGES {
        for end in ["confirm", "rollback"] {
            net.apply(&policy(&[WEB]));
            apply_for(&net, &policy(&[DNS]));
            let number = net.enforcer.status().unwrap()["generation"]
                .as_u64()
                .unwrap();
            let file = state(&net).join(format!("policy-{number}.pending"));
            at(&net, move || damage(&file));
            let status = net.enforcer.status().unwrap();
            assert!(
                status["confirm"]["left_s"].as_u64().is_some(),
                "{name}: {status}"
            );
            // A file that cannot be removed is told, and the kernel has done it.
            let output = net.enforcer.output(&[end]).unwrap();
            let tolerated = name == "a folder";
            assert!(
                output.status.success() || tolerated,
                "{name} {end}: {output:?}"
            );
            match end {
                "confirm" => net.expect(&[("office", "plant", Udp(53), PASSES)]),
                _ => net.expect(&WEB_ONLY),
            }
            assert_eq!(
                net.enforcer.status().unwrap()["confirm"],
                Value::Null,
                "{name}"
            );
            succeeded(&net.enforcer.detach().unwrap()).unwrap();
        }
    }
}

/// As after an upgrade: the tables in the kernel are good, and the text that they
/// were made from is not accepted any more.
#[test]
fn a_policy_that_does_not_compile_any_more_can_be_replaced() {
    let net = Net::under(&policy(&[WEB]));
    let stream = Stream::start(net.lab.connect("office", "plant", 443, Family::V4).unwrap());
    let folder = state(&net);
    at(&net, move || {
        let store = Store::new(folder);
        let mut record = store.read(1).unwrap();
        record.policy.text = "version: 0\n".to_owned();
        store.write(&record, Standing::Confirmed).unwrap();
    });
    assert_eq!(net.enforcer.status().unwrap()["damage"], Value::Null);
    let asked = ["explain", "--from", "10.1.0.2", "--to", "10.2.0.2:443/tcp"];
    let complaint = failed(&net, &asked);
    assert!(complaint.contains("stays in force"), "{complaint}");

    // It needs other maps, and both policies move there.
    net.apply(&large(&[WEB, DNS]));
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
    stream.wait_exchange();
    stream.finish();
    assert_eq!(net.drops("office", "plant", "tcp-no-flow"), 0);
}

#[test]
fn a_folder_that_is_none_is_told_and_nothing_changes() {
    let net = Net::under(&policy(&[WEB]));
    let (folder, aside) = (state(&net), state(&net).with_extension("aside"));
    at(&net, move || {
        fs::rename(&folder, aside).unwrap();
        fs::write(folder, "somebody else's").unwrap();
    });
    let complaint = failed_apply(&net, &policy(&[DNS]));
    for part in ["/run/enforcer/state", "remove what is in its place"] {
        assert!(complaint.contains(part), "no {part} in {complaint}");
    }
    net.expect(&WEB_ONLY);
    assert!(net.enforcer.status().unwrap()["damage"].is_string());

    let (folder, aside) = (state(&net), state(&net).with_extension("aside"));
    at(&net, move || {
        fs::remove_file(&folder).unwrap();
        fs::rename(aside, folder).unwrap();
    });
    assert_eq!(net.enforcer.status().unwrap()["damage"], Value::Null);
    net.apply(&policy(&[DNS]));
}

#[test]
fn a_full_disk_is_told_and_nothing_changes() {
    let net = Net::open();
    let folder = state(&net);
    at(&net, move || {
        fs::create_dir_all(&folder).unwrap();
        let (flags, size) = (MsFlags::empty(), Some("size=256k"));
        mount(Some("tmpfs"), &folder, Some("tmpfs"), flags, size).unwrap();
    });
    fill(&net);
    // A first policy: the network stays open.
    let complaint = failed_apply(&net, &policy(&[WEB]));
    assert!(complaint.contains("make room"), "{complaint}");
    assert_eq!(net.xdp_programs(), Vec::<u64>::new());
    net.expect(&[("plant", "office", Tcp(443), PASSES)]);

    empty(&net);
    net.apply(&policy(&[WEB]));
    fill(&net);
    for options in [&[] as &[&str], &["--confirm", "1h"]] {
        let file = net.enforcer.policy_file("policy", &policy(&[DNS])).unwrap();
        let file = file.display().to_string();
        let complaint = failed(&net, &[&["apply", &file], options].concat());
        for part in ["make room", "/run/enforcer/state/policy-"] {
            assert!(complaint.contains(part), "no {part} in {complaint}");
        }
        net.expect(&WEB_ONLY);
    }

    // What is in force needs no room to be confirmed, or to be taken back.
    for end in ["confirm", "rollback"] {
        empty(&net);
        net.apply(&policy(&[WEB]));
        apply_for(&net, &policy(&[DNS]));
        fill(&net);
        succeeded(&net.enforcer.output(&[end]).unwrap()).unwrap();
        match end {
            "confirm" => net.expect(&[("office", "plant", Udp(53), PASSES)]),
            _ => net.expect(&WEB_ONLY),
        }
    }
}

fn fill(net: &Net) {
    let file = state(net).join("filling");
    at(net, move || {
        let error = fs::write(file, vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    });
}

fn empty(net: &Net) {
    let file = state(net).join("filling");
    at(net, move || fs::remove_file(file).unwrap());
}

fn state(net: &Net) -> PathBuf {
    net.enforcer.root().join("state")
}

/// Does something where the router has its files.
fn at(net: &Net, act: impl FnOnce() + Send + 'static) {
    net.lab.router().namespace().run(act);
}

fn apply_for(net: &Net, policy: &str) {
    let file = net.enforcer.policy_file("policy", policy).unwrap();
    let file = file.display().to_string();
    let output = net.enforcer.output(&["apply", "--confirm", "1h", &file]);
    succeeded(&output.unwrap()).unwrap();
}

fn failed_apply(net: &Net, policy: &str) -> String {
    let file = net.enforcer.policy_file("policy", policy).unwrap();
    failed(net, &["apply", &file.display().to_string()])
}

/// Runs a command that must fail, and returns its complaint.
fn failed(net: &Net, args: &[&str]) -> String {
    let output = net.enforcer.output(args).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {complaint}");
    complaint
}
