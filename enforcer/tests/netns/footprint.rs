//! What an installation takes of the kernel.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::Net;

/// Objects in the kernel, and their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    pub programs: usize,
    pub maps: usize,
    pub links: usize,
    /// Of programs and maps.
    pub bytes: u64,
}

impl Footprint {
    /// Everything that has to do with the flow table of an installation, pinned
    /// or not: its programs, their maps and links.
    pub fn of(net: &Net) -> Self {
        let pin = net.enforcer.root().join("bpf/flows").display().to_string();
        let flows = net.bpftool(&["map", "show", "pinned", &pin])["id"].clone();
        let all = |kind| list(net.bpftool(&[kind, "show"]));
        let uses_flows = |it: &Value| {
            it["map_ids"]
                .as_array()
                .is_some_and(|ids| ids.contains(&flows))
        };
        let programs: Vec<_> = all("prog").into_iter().filter(uses_flows).collect();
        let ids = |it: &Value| it.as_array().cloned().unwrap_or_default();
        let map_ids = programs.iter().flat_map(|it| ids(&it["map_ids"]));
        let map_ids: BTreeSet<_> = map_ids.filter_map(|id| id.as_u64()).collect();
        let maps = all("map").into_iter();
        let maps: Vec<_> = maps.filter(|it| is_in(&map_ids, &it["id"])).collect();
        let program_ids: BTreeSet<_> = programs.iter().filter_map(|it| it["id"].as_u64()).collect();
        let links = all("link").into_iter();
        let bytes = programs.iter().chain(&maps);
        Self {
            programs: programs.len(),
            maps: maps.len(),
            links: links
                .filter(|it| is_in(&program_ids, &it["prog_id"]))
                .count(),
            bytes: bytes.filter_map(|it| it["bytes_memlock"].as_u64()).sum(),
        }
    }

    /// Fails unless an installation takes as much; the kernel frees what nothing
    /// refers to a moment later.
    pub fn expect(self, net: &Net) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Self::of(net) != self {
            assert!(
                Instant::now() < deadline,
                "{:?}, not {self:?}",
                Self::of(net)
            );
        }
    }
}

fn is_in(ids: &BTreeSet<u64>, id: &Value) -> bool {
    id.as_u64().is_some_and(|id| ids.contains(&id))
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        other => panic!("not a list: {other}"),
    }
}
