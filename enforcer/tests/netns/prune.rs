//! `counters --prune` forgets what no policy has any more.

use serde_json::Value;
use xtask::lab::{Service, succeeded};

use Service::{Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, policy, with_conduits};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const ASKED: &str = "id: asked, from: office, to: plant, services: udp/1000";
const DENY: &str = "id: deny, from: guests, to: plant, services: tcp/23, action: drop";

/// The zones `office` and `plant` alone.
fn narrow(conduits: &[&str]) -> String {
    let head: String = policy(&[])
        .lines()
        .filter(|line| !line.contains("guests"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    with_conduits(&head, conduits)
}

#[test]
fn what_the_policy_lacks_is_forgotten_and_its_numbers_are_free() {
    let net = Net::under(&policy(&[WEB, ASKED, DENY]));
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Udp(1000), PASSES),
        ("guests", "plant", Tcp(23), DROPPED),
        ("guests", "plant", Tcp(80), DROPPED),
        ("plant", "office", Tcp(80), DROPPED),
    ]);
    net.apply(&narrow(&[WEB]));
    assert!(
        net.passed("deny") > 0 && net.passed("asked") > 0,
        "until it is pruned"
    );
    let (web, dropped) = (
        net.passed("web"),
        net.drops("plant", "office", "no-conduit"),
    );
    let freed = slot_of(&net, "deny").unwrap();

    let pruned = prune(&net);
    assert_eq!(pruned["zones"], serde_json::json!(["guests"]));
    let removed = pruned["conduits"].as_array().unwrap().iter();
    let removed: Vec<_> = removed.map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(removed, ["asked", "deny"]);
    let drops = pruned["drops"].as_array().unwrap();
    assert!(drops.iter().any(|it| it["from"] == "guests"), "{pruned}");
    assert!(drops.iter().all(|it| it["from"] != "plant"), "{pruned}");
    // A flow that is not over was allowed by it.
    assert_eq!(pruned["numbers_kept"], serde_json::json!(["asked"]));

    assert_eq!((net.passed("asked"), net.passed("deny")), (0, 0));
    assert_eq!(net.drops("guests", "plant", "no-conduit"), 0);
    assert_eq!(net.passed("web"), web);
    assert_eq!(net.drops("plant", "office", "no-conduit"), dropped);

    net.apply(&narrow(&[
        WEB,
        "id: fresh, from: office, to: plant, services: tcp/22",
    ]));
    assert_eq!(slot_of(&net, "fresh"), Some(freed));
    assert_eq!(net.passed("fresh"), 0);
    net.expect(&[("office", "plant", Tcp(22), PASSES)]);
    assert!(net.passed("fresh") > 0);
    let again = net.enforcer.output(&["counters", "--prune"]).unwrap();
    let again = succeeded(&again).unwrap();
    assert!(
        again.contains("nothing to remove") && again.contains("asked"),
        "{again}"
    );
}

#[test]
fn nothing_is_forgotten_while_the_policy_before_may_come_back() {
    let net = Net::under(&policy(&[WEB, DENY]));
    net.expect(&[("guests", "plant", Tcp(23), DROPPED)]);
    let file = net.enforcer.policy_file("next", &policy(&[WEB])).unwrap();
    let args = ["apply", "--confirm", "10min", &file.display().to_string()];
    succeeded(&net.enforcer.output(&args).unwrap()).unwrap();

    let refused = net.enforcer.output(&["counters", "--prune"]).unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("enforcer confirm"), "{complaint}");
    assert!(net.passed("deny") > 0);

    succeeded(&net.enforcer.output(&["confirm"]).unwrap()).unwrap();
    assert_eq!(prune(&net)["conduits"][0]["id"], "deny");
}

fn prune(net: &Net) -> Value {
    let output = net.enforcer.output(&["counters", "--prune", "--json"]);
    serde_json::from_str(&succeeded(&output.unwrap()).unwrap()).unwrap()
}

/// Where the counter of a conduit lies.
fn slot_of(net: &Net, id: &str) -> Option<u64> {
    let pin = net.enforcer.root().join("bpf/conduit_counters");
    let cells = net.bpftool(&["map", "dump", "pinned", &pin.to_string_lossy()]);
    let mut cells = cells.as_array().unwrap().iter();
    let cell = cells.find(|it| it["formatted"]["values"][0]["value"]["conduit"] == id);
    cell.and_then(|it| it["formatted"]["key"].as_u64())
}
