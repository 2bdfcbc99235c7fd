//! Which interfaces get programs, and what a machine must have.

use std::collections::BTreeSet;

use super::*;
use crate::compile::hooks;
use crate::compile::machine::Programs;
use crate::policy::model::Hook;

/// A machine with a bridge, a VLAN device, a bond, and an interface that is
/// down.
fn crowded() -> Machine {
    let mut machine = machine();
    let device = |name: &str, ifindex| Interface {
        name: name.into(),
        ifindex,
        is_up: true,
        ..Interface::default()
    };
    machine.interfaces[3].is_up = false;
    machine.interfaces.extend([
        vlan_device("eth0.10", 20, (10, 10, 0)),
        vlan_device("outside", 21, (77, 10, 0)),
        Interface {
            kind: Some("bond".into()),
            ..device("bond0", 30)
        },
        Interface {
            master: Some(30),
            ..device("slave", 31)
        },
    ]);
    machine
}

#[test]
fn programs_go_where_a_match_needs_them() {
    let cases: [(&str, &[u32]); 6] = [
        ("zones: { a: { match: { interface: eth0 } } }", &[10]),
        (
            "zones: { a: { match: { interface: [eth0.10, eth1] } } }",
            &[10, 11],
        ),
        ("zones: { a: { match: { interface: eth3 } } }", &[13]),
        ("zones: { a: { match: { interface: slave } } }", &[31]),
        // Neither lo nor what is down, nor a device whose frames another gets.
        (
            "zones: { a: { match: { prefix: 10.0.0.0/8 } } }",
            &[10, 11, 12, 21, 30],
        ),
        (
            "zones: { a: { match: [{ vlan: 5 }, { interface: [eth3, slave] }] } }",
            &[10, 11, 12, 13, 21, 31],
        ),
    ];
    for (text, want) in cases {
        let got = hooks(&policy(text), &crowded()).unwrap();
        let got: BTreeSet<u32> = got.into_keys().collect();
        assert_eq!(got, BTreeSet::from_iter(want.iter().copied()), "{text}");
    }
}

#[test]
fn judged_links_are_those_whose_frames_pass_a_program() {
    let compiled = compiled_for(
        "zones: { a: { match: { interface: [eth0, bond0] } } }",
        &crowded(),
    );
    for (ifindex, want) in [
        (10, true),
        (20, true),
        (30, true),
        (31, true),
        (11, false),
        (21, false),
        (1, false),
        (0, false),
        (99, false),
    ] {
        assert_eq!(compiled.link(ifindex, "").is_enforced, want, "{ifindex}");
    }
}

#[test]
fn hooks_are_the_policys() {
    let compiled = compiled(
        "interfaces: { eth0: { hook: xdp-generic }, eth3: { hook: xdp-generic } }
zones: { a: { match: { interface: [eth0, eth1] } } }",
    );
    let want = [(10, Hook::XdpGeneric), (11, Hook::Xdp)];
    assert_eq!(compiled.0.hooks, want.into());
}

#[test]
fn what_the_machine_does_not_have_is_a_finding() {
    let cases: [(&str, &[&str]); 7] = [
        (
            "zones: { a: { match: { interface: eht0 } } }",
            &["unknown-interface"],
        ),
        (
            "zones: { a: { match: [{ interface: [x, eth0] }, { interface: y }] } }",
            &["unknown-interface", "unknown-interface"],
        ),
        (
            "zones: { a: { match: { interface: eth0 } } }
failsafe: [{ from: 10.0.0.0/8, service: tcp/22, interface: x }]",
            &["unknown-interface"],
        ),
        (
            "interfaces: { x: { hook: xdp } }
zones: { a: { match: { interface: eth0 } } }",
            &["unknown-interface"],
        ),
        (
            "interfaces: { eth0.10: { hook: xdp-generic } }
zones: { a: { match: { interface: eth0.10 } } }",
            &["unsupported-interface"],
        ),
        (
            "zones: { a: { match: { interface: lo } } }",
            &["unsupported-interface"],
        ),
        // What is wrong with the policy and with the machine, at once.
        (
            "zones: { a: { match: { interface: [x, eth0.10], vlan: 5.6 } } }",
            &["unknown-interface", "too-many-tags"],
        ),
    ];
    for (text, want) in cases {
        assert_eq!(codes(&refused(text, &crowded())), want, "{text}");
    }
    let findings = refused(cases[0].0, &crowded());
    let help = findings.iter().next().unwrap().help();
    assert_eq!(help.as_deref(), Some("did you mean `eth0`?"));
}

#[test]
fn on_an_interface_that_comes_later_nothing_arrives() {
    let text = "zones:
  a: { match: { interface: later, prefix: 10.1.0.0/16 } }
  b: { match: { interface: [later, eth0] } }
  c: { match: [{ interface: later.5, prefix: 10.2.0.0/16 }, { prefix: 10.0.0.0/8 }] }
failsafe: [{ from: 10.0.0.0/8, service: tcp/22, interface: later.6 }]
interfaces: { later.7: { hook: xdp-generic } }";
    let mut machine = machine();
    let warnings = machine.await_missing(&policy(text));

    let names = ["later.7", "later", "later.5", "later.6"];
    assert_eq!(codes(&warnings), ["missing-interface"; 4]);
    assert_eq!(machine.awaited, names.map(str::to_owned).into());
    assert!(
        machine.await_missing(&policy(text)).is_empty(),
        "told twice"
    );
    let compiled = compiled_for(text, &machine);
    for (ifindex, source, want) in [
        (10, "10.1.0.1", "!unknown"),
        (10, "10.2.0.1", "!unknown"),
        (10, "192.0.2.1", "b"),
        (11, "192.0.2.1", "unknown"),
        (11, "10.3.0.1", "c"),
        (0, "192.0.2.1", "unknown"),
    ] {
        let got = compiled.source(ifindex, "", source);
        assert!(
            got == want || got.starts_with('!') && want.starts_with('!'),
            "{ifindex} {source}: {got}"
        );
    }
    for ifindex in [10, 11] {
        let class = compiled.link(ifindex, "").class;
        assert_eq!(
            lookup::link_facts(&compiled.0, class).failsafes,
            0,
            "{ifindex}"
        );
    }
    assert_eq!(compiled.0.enforced(), [10, 11, 12, 13].into());
}

#[test]
fn programs_stay_where_they_are_kept_and_go_nowhere_where_refused() {
    let mut machine = machine();
    machine.interfaces[0].programs = Programs::Refused;
    machine.interfaces[2].programs = Programs::Kept(Hook::XdpGeneric);
    let compiled = compiled_for(
        "zones: { a: { match: { interface: [eth0, eth1] } } }",
        &machine,
    );
    let want = [(11, Hook::Xdp), (12, Hook::XdpGeneric)];
    assert_eq!(compiled.0.hooks, want.into());
    for (ifindex, want) in [(10, false), (11, true), (12, true), (13, false)] {
        assert_eq!(compiled.link(ifindex, "").is_enforced, want, "{ifindex}");
    }
    assert_eq!(compiled.source(12, "", "192.0.2.1"), "unknown");
}

#[test]
fn an_imagined_machine_has_what_the_policy_names() {
    let policy = policy(
        "interfaces: { wan: { hook: xdp-generic } }
zones: { a: { match: [{ interface: [eth7, wan] }, { prefix: 10.0.0.0/8 }] } }
failsafe: [{ from: 10.0.0.0/8, service: tcp/22, interface: eth0.10 }]",
    );
    let machine = Machine::imagined(&policy);
    let names: Vec<_> = machine
        .interfaces
        .iter()
        .map(|interface| (interface.name.as_str(), interface.ifindex))
        .collect();
    assert_eq!(names, [("eth0.10", 1), ("eth7", 2), ("wan", 3)]);
    compile(&policy, &machine, &mut Numbering::default()).unwrap();
}

#[test]
fn a_machine_survives_serialising() {
    let mut machine = crowded();
    machine.interfaces[0].mac = Some([2, 0, 0, 0, 0, 1]);
    machine.addresses = vec![address(10, "10.0.0.1/24"), address(10, "fd00::1/64")];
    machine.awaited = ["later".to_owned()].into();
    let text = serde_json::to_string(&machine).unwrap();
    assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
}
