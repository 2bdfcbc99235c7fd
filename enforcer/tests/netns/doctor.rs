//! `doctor` finds what is in the way on a real router, and names its owner.

use serde_json::Value;

use crate::foreign::{self, Order};
use crate::network::{Net, policy};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";

/// Level, what was found, and remedy.
type Found = (String, String, String);

#[test]
fn another_xdp_program_is_named_with_its_process() {
    let net = Net::open();
    let router = net.lab.router().namespace();
    let held = router.run(|| foreign::attach("plc0"));
    let pid = format!("process {}", std::process::id());

    let (level, found, remedy) = only(&net, &[], "plc0", foreign::NAME);
    assert_eq!(level, "fail");
    for part in ["not ours", "link ", &pid] {
        assert!(found.contains(part), "no {part} in {found}");
    }
    assert!(
        remedy.contains("stop process") && remedy.contains("bpftool link detach id"),
        "{remedy}"
    );

    let refused = net.enforcer.apply(&policy(&[WEB])).unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    for part in ["plc0", foreign::NAME, &pid, "bpftool link detach id"] {
        assert!(complaint.contains(part), "no {part} in {complaint}");
    }

    // What it says helps.
    let id = link_in(&remedy);
    net.enforcer
        .run_program("bpftool", &["link", "detach", "id", &id])
        .unwrap();
    net.apply(&policy(&[WEB]));
    drop(held);
}

#[test]
fn a_pinned_program_is_named_with_its_pin() {
    let net = Net::open();
    let router = net.lab.router().namespace();
    let held = router.run(|| foreign::attach("plc0"));
    let (.., remedy) = only(&net, &[], "plc0", foreign::NAME);
    let id = link_in(&remedy);
    let pin = net
        .enforcer
        .root()
        .join("bpf/somebodys-link")
        .display()
        .to_string();
    net.enforcer
        .run_program("bpftool", &["link", "pin", "id", &id, &pin])
        .unwrap();
    drop(held);

    let (level, found, remedy) = only(&net, &[], "plc0", foreign::NAME);
    assert_eq!(level, "fail");
    assert!(found.contains(&format!("pinned at {pin}")), "{found}");
    assert!(remedy.contains(&format!("rm {pin}")), "{remedy}");
}

#[test]
fn our_program_goes_out_first_unless_somebody_comes_later() {
    let net = Net::open();
    let router = net.lab.router().namespace();
    let early = [Order::First, Order::Last]
        .map(|order| router.run(move || foreign::attach_egress("off0", order)));
    net.apply(&policy(&[WEB]));
    let after = found(&net, &[], "off0", "runs after ours");
    assert_eq!(after.len(), early.len(), "{after:?}");
    assert!(after.iter().all(|(level, ..)| level == "ok"), "{after:?}");
    let status = net.enforcer.status().unwrap();
    assert!(!status.to_string().contains(foreign::NAME), "{status}");

    let late = router.run(|| foreign::attach_egress("off0", Order::First));
    let (level, found, remedy) = only(&net, &[], "off0", "runs before ours");
    assert_eq!(level, "warn");
    assert!(
        found.contains(foreign::NAME) && remedy.contains("BPF_F_AFTER"),
        "{found} {remedy}"
    );
    let status = net.enforcer.output(&["status"]).unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("WARNING: on off0") && status.contains(foreign::NAME),
        "{status}"
    );
    drop((early, late));
}

#[test]
fn a_policy_is_judged_before_it_is_applied() {
    let net = Net::open();
    let good = file(&net, "good", &policy(&[WEB]));
    let (level, ..) = only(&net, &[&good], "off0", "no XDP program");
    assert_eq!(level, "ok");
    let missing = file(&net, "missing", &policy(&[]).replace("gst0", "gst7"));
    let (level, ..) = only(&net, &[&missing], "policy `test`", "gst7");
    assert_eq!(level, "fail");
    let rejected = file(&net, "rejected", "version: 1\nzonse: {}\n");
    let output = net.enforcer.output(&["doctor", &rejected]).unwrap();
    assert_eq!(output.status.code(), Some(2));
    // Another program is in the way only where the policy wants one.
    let router = net.lab.router().namespace();
    let held = router.run(|| foreign::attach("plc0"));
    let elsewhere = "version: 1\nname: test\nzones: { office: { match: [{ interface: off0 }] } }\n";
    let elsewhere = file(&net, "elsewhere", elsewhere);
    assert_eq!(only(&net, &[&elsewhere], "plc0", foreign::NAME).0, "ok");
    assert_eq!(only(&net, &[&good], "plc0", foreign::NAME).0, "fail");
    drop(held);
}

#[test]
fn obstacles_of_interfaces_are_found() {
    let net = Net::under(&policy(&[WEB]));
    let ip = |args: &str| {
        let args: Vec<_> = args.split(' ').collect();
        net.enforcer.run_program("ip", &args).unwrap();
    };
    ip("link add br7 type bridge");
    ip("link set br7 up");
    let (level, found_bridge, _) = only(&net, &[], "br7", "bridge without programs");
    assert_eq!(level, "ok", "{found_bridge}");
    ip("link set gst0 down");
    assert_eq!(only(&net, &[], "gst0", "is down").0, "warn");
    assert!(only(&net, &[], "off0", "driver veth").1.contains("veth"));

    let other = Net::open();
    let args = ["link", "set", "off0", "mtu", "9000"];
    other.enforcer.run_program("ip", &args).unwrap();
    let (level, _, remedy) = only(&other, &[], "off0", "MTU 9000");
    assert_eq!(level, "warn");
    assert!(remedy.contains("mtu 3498"), "{remedy}");
}

#[test]
fn other_firewalls_are_listed() {
    let net = Net::open();
    assert_eq!(only(&net, &[], "other firewalls", "none").0, "ok");
    let rules = "add table inet own; \
        add chain inet own forwards { type filter hook forward priority 0; }";
    net.enforcer.run_program("nft", &[rules]).unwrap();
    let (level, found, _) = only(&net, &[], "other firewalls", "nftables table inet own");
    assert_eq!(level, "ok");
    assert!(found.contains("at forward"), "{found}");
}

/// The link that a remedy speaks of.
fn link_in(remedy: &str) -> String {
    let (_, id) = remedy.split_once("link detach id ").unwrap();
    id.trim_end_matches(')').to_owned()
}

fn file(net: &Net, name: &str, policy: &str) -> String {
    net.enforcer
        .policy_file(name, policy)
        .unwrap()
        .display()
        .to_string()
}

/// The one finding about something in which these words are.
fn only(net: &Net, args: &[&str], about: &str, words: &str) -> Found {
    let mut found = found(net, args, about, words);
    assert_eq!(found.len(), 1, "{about}: {words}: {found:?}");
    found.remove(0)
}

fn found(net: &Net, args: &[&str], about: &str, words: &str) -> Vec<Found> {
    let output = net
        .enforcer
        .output(&[&["doctor", "--json"], args].concat())
        .unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let has_failure = findings
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it["level"] == "fail");
    assert_eq!(output.status.success(), !has_failure, "{findings}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().unwrap().iter();
    findings
        .filter(|it| it["about"] == about && text(it, "found").contains(words))
        .map(|it| (text(it, "level"), text(it, "found"), text(it, "remedy")))
        .collect()
}
