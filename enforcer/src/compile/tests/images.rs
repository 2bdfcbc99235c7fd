//! Whole images: the same for the same meaning, within their limits.

use enforcer_common::cell::Slot;
use enforcer_common::lookup::Tables;

use super::*;

const ZONES: &str = "
  a: { match: { interface: eth0, prefix: [10.0.0.0/8, \"fd00::/8\"] } }
  b: { match: { interface: eth1, vlan: [5, 6.7] } }
  c: { match: [{ interface: eth2 }, { vlan: 9 }] }
";
const CONDUITS: &str = "
  - { id: C1, from: a, to: [b, c], services: [tcp/443, udp/53] }
  - { id: C2, from: any, to: a, services: any, action: drop, priority: 3 }
  - { id: C3, from: c, to: self, services: ping }
";

fn reversed(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().collect();
    lines.join("\n")
}

#[test]
fn equal_policies_have_equal_images() {
    let text = |zones: &str, conduits: &str| format!("zones:\n{zones}\nconduits:\n{conduits}\n");
    let first = compiled(&text(ZONES, CONDUITS));
    assert_eq!(first.0, compiled(&text(ZONES, CONDUITS)).0);
    // Zones and conduits that never tie have no order.
    assert_eq!(first.0, compiled(&text(&reversed(ZONES), CONDUITS)).0);
    assert_eq!(first.0, compiled(&text(ZONES, &reversed(CONDUITS))).0);
    let mut shuffled = machine();
    shuffled.interfaces.reverse();
    let again = compiled_for(&text(&reversed(ZONES), &reversed(CONDUITS)), &shuffled);
    assert_eq!(first.0, again.0);
}

#[test]
fn names_keep_their_numbers() {
    let text = |zone: &str, conduit: &str| {
        policy(&format!(
            "zones: {{ {zone}: {{ match: {{ interface: eth0 }} }}, plc: {{ match: {{ interface: eth1 }} }} }}
conduits: [{{ id: {conduit}, from: {zone}, to: plc, services: any }}, {{ id: C-9, from: plc, to: {zone}, services: any }}]"
        ))
    };
    let mut numbering = Numbering::default();
    let first = compile(&text("office", "C-1"), &machine(), &mut numbering).unwrap();
    let second = compile(&text("cameras", "B-1"), &machine(), &mut numbering).unwrap();
    let zones = |image: &Image| {
        let names = image.zones.iter().map(|(id, name)| (*id, name.clone()));
        names.collect::<Vec<_>>()
    };
    let named = |names: &[(u16, &str)]| {
        let names = names.iter().map(|(id, name)| (*id, (*name).to_owned()));
        names.collect::<Vec<_>>()
    };
    let before = [(0, "unknown"), (1, "self"), (2, "office"), (3, "plc")];
    assert_eq!(zones(&first), named(&before));
    let after = [&before[..], &[(4, "cameras")]].concat();
    assert_eq!(zones(&second), named(&after));
    let slots = |image: &Image| {
        let conduits = image.slots.range(Slot::FIRST..);
        conduits.map(|(_, id)| id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(slots(&first), ["C-1", "C-9"]);
    assert_eq!(slots(&second), ["C-1", "C-9", "B-1"]);

    // The zone that is gone keeps its number, and nothing reaches it.
    let second = Compiled(second);
    assert_eq!(second.verdict("plc", "office", "tcp/1"), "!(no-conduit)");
    assert_eq!(second.verdict("office", "office", "tcp/1"), "!(no-conduit)");
    assert_eq!(second.verdict("self", "office", "tcp/1"), "!(no-conduit)");
    assert_eq!(second.verdict("plc", "cameras", "tcp/1"), "C-9");

    // Numbers survive a file, and a policy that is refused takes none.
    let stored = serde_json::to_string(&numbering).unwrap();
    assert_eq!(
        serde_json::from_str::<Numbering>(&stored).unwrap(),
        numbering
    );
    // So they do where only the names in the kernel are left.
    let second = second.0;
    let recovered = Numbering::recovered(&second.zones, &second.slots);
    assert_eq!(recovered, numbering);
    let before = numbering.clone();
    let refused = policy("zones: { new: { match: { interface: nowhere } } }");
    compile(&refused, &machine(), &mut numbering).unwrap_err();
    assert_eq!(numbering, before);
}

#[test]
fn built_in_slots_have_names() {
    let compiled = compiled(
        "zones: { a: { match: { interface: eth0 } } }
failsafe: [{ from: 10.0.0.0/8, service: tcp/22 }, { from: 10.0.0.0/9, service: tcp/23 }]",
    );
    let slots: Vec<_> = compiled.0.slots.iter().collect();
    let names: Vec<_> = slots.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        names[..5],
        [
            "(no-conduit)",
            "(intra-zone)",
            "(self-out)",
            "(essential:arp)",
            "(essential:nd)"
        ]
    );
    assert_eq!(
        names[11..],
        [
            "(failsafe:0)",
            "(failsafe:1)",
            "(related)",
            "(no-conduit)!audit",
            "(intra-zone)!audit",
            "(self-out)!audit"
        ]
    );
    assert_eq!(*slots[12].0, Slot::FAILSAFE.0 + 1);
}

#[test]
fn every_table_can_be_indexed() {
    let compiled = compiled("zones: { a: { match: { interface: eth0 } } }");
    let image = &compiled.0;
    let layout = image.layout();
    let first = [
        layout.links,
        layout.vlans,
        layout.link_classes,
        layout.sources,
        layout.classes,
        layout.v4,
        layout.v6,
        layout.services,
        layout.port_class_info,
        layout.pairs,
        layout.rows,
        layout.terms,
    ];
    assert!(first.is_sorted_by(|a, b| a < b), "{layout:?}");
    let end = image.blocks.as_flattened().len() as u32;
    assert!(first.iter().all(|first| *first < end));
    assert_eq!(layout.generation, 0);
    let sizes = image.sizes();
    assert_eq!(sizes.blocks as usize, image.blocks.len());
    assert_eq!(
        (sizes.zone_ids, sizes.slots),
        (3, Slot::SELF_OUT_AUDIT.0 + 1)
    );
}

#[test]
fn numbers_run_out() {
    let policy = policy("zones: { a: { match: { interface: eth0 } } }");
    let cases = [
        (r#"{"zones":{"old":2047},"conduits":{}}"#, true),
        (r#"{"zones":{"old":2048},"conduits":{}}"#, false),
        (r#"{"zones":{"old":4294967295},"conduits":{}}"#, false),
        (r#"{"zones":{},"conduits":{"old":131071}}"#, true),
        (r#"{"zones":{},"conduits":{"old":131072}}"#, false),
    ];
    for (stored, fits) in cases {
        let mut numbering: Numbering = serde_json::from_str(stored).unwrap();
        match compile(&policy, &machine(), &mut numbering) {
            Ok(image) => {
                assert!(fits, "{stored}");
                // The lowest number that is free.
                assert_eq!(image.zones[&2], "a", "{stored}");
            }
            Err(findings) => {
                assert!(!fits, "{stored}");
                assert_eq!(codes(&findings), ["no-room"], "{stored}");
            }
        }
    }
}
