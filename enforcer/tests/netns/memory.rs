//! What `check` says of memory is what the kernel says.

use serde_json::Value;

use xtask::lab::succeeded;

use crate::network::{Net, policy};

/// Bytes by which a small map may be another size than it is said to be.
const SMALL: u64 = 64 << 10;

#[test]
fn maps_take_the_memory_that_check_states() {
    let net = Net::open();
    for limits in ["", "limits: { flows: 200000, flows_new: 1024 }\n"] {
        let text = policy(&["id: web, from: office, to: plant, services: tcp/443"]);
        let text = format!("{text}{limits}");
        net.apply(&text);
        let file = net.enforcer.policy_file("memory", &text).unwrap();
        let file = file.display().to_string();
        let stated = net.enforcer.output(&["check", "--json", &file]).unwrap();
        let stated: Value = serde_json::from_str(&succeeded(&stated).unwrap()).unwrap();
        let maps = stated["maps"].as_array().unwrap();
        assert_eq!(maps.len(), 12, "{maps:?}");
        let (mut total, mut real_total) = (0, 0);
        for map in maps {
            let name = map["map"].as_str().unwrap();
            let bytes = map["bytes"].as_u64().unwrap();
            let real = of_kernel(&net, name);
            // A tenth for what the kernel adds; less never.
            assert!(
                real <= bytes + bytes / 10 + SMALL && bytes <= real + real / 10 + SMALL,
                "{name}: {bytes} bytes stated, {real} taken"
            );
            (total, real_total) = (total + bytes, real_total + real);
        }
        assert_eq!(stated["memory_bytes"]["total"], total);
        assert!(
            total.abs_diff(real_total) <= real_total / 20,
            "{total} bytes stated, {real_total} taken"
        );
    }
}

/// Bytes of the map with this name that the active programs use.
fn of_kernel(net: &Net, name: &str) -> u64 {
    let root = net.enforcer.root().join("bpf");
    let used = net.bpftool(&[
        "map",
        "show",
        "pinned",
        &root.join("flows").display().to_string(),
    ]);
    let flows = used["id"].clone();
    let programs = net.bpftool(&["prog", "show"]);
    let ids = |it: &Value| it["map_ids"].as_array().cloned().unwrap_or_default();
    let mut programs = programs.as_array().unwrap().iter();
    let ids = programs
        .find(|it| ids(it).contains(&flows))
        .map(ids)
        .unwrap();
    let maps = net.bpftool(&["map", "show"]);
    let mut maps = maps.as_array().unwrap().iter();
    // The kernel keeps fifteen bytes of a name.
    let short = &name[..name.len().min(15)];
    let map = maps.find(|it| ids.contains(&it["id"]) && it["name"] == short);
    map.unwrap_or_else(|| panic!("no map {name}"))["bytes_memlock"]
        .as_u64()
        .unwrap()
}
