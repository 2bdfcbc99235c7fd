//! What an installation keeps in file systems: pins and state files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::network::Net;

/// Paths below the root, without the numbers of sets and generations, and where
/// symbolic links lead.
pub type Remains = BTreeSet<String>;

/// Lists what there is.
pub fn remains(net: &Net) -> Remains {
    let root = net.enforcer.root();
    let router = net.lab.router().namespace();
    router.run(move || {
        let mut found = Remains::new();
        for part in ["bpf", "state"] {
            walk(&root.join(part), &mut found);
        }
        // The active one and the one to go back to, from that one too.
        let policies = fs::read_dir(root.join("state")).map_or(0, Iterator::count);
        if policies > 3 {
            found.insert(format!("{policies} state files"));
        }
        found
    })
}

/// Maps and programs that `bpftool` cannot show by their names and fields.
pub fn nameless(net: &Net) -> Vec<String> {
    let pins = net.enforcer.root().join("bpf");
    let mut nameless = Vec::new();
    for map in [
        "drop_counters",
        "conduit_counters",
        "flows",
        "flows_new",
        "control",
    ] {
        let pin = pins.join(map).display().to_string();
        let shown = net.bpftool(&["map", "show", "pinned", &pin]);
        if shown["btf_id"].is_null() || !map.starts_with(shown["name"].as_str().unwrap_or("?")) {
            nameless.push(shown.to_string());
        }
    }
    for id in net.xdp_programs() {
        let shown = net.bpftool(&["prog", "show", "id", &id.to_string()]);
        if shown["btf_id"].is_null() || shown["name"] != "enforcer_xdp" {
            nameless.push(shown.to_string());
        }
    }
    nameless
}

fn walk(folder: &Path, found: &mut Remains) {
    // The state folder is not there while nothing is applied.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            walk(&path, found);
        }
        let target = fs::read_link(&path);
        let target = target.map_or_else(|_| String::new(), |to| format!(" -> {}", to.display()));
        found.insert(plain(&format!("{}{target}", path.display())));
    }
}

/// The text without numbers that grow from apply to apply.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    for before in ["/v3-", " -> v3-", "/policy-", "/since -> "] {
        let Some(at) = plain.find(before) else {
            continue;
        };
        let start = at + before.len();
        let digits = plain[start..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        plain.replace_range(start..start + digits, "N");
    }
    plain
}
