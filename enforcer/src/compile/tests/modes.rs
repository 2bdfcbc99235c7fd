//! Modes, rejects, rates and logs.

use enforcer_common::cell::Slot;
use enforcer_common::layout::Layout;
use enforcer_common::lookup::{self, Tables};
use enforcer_common::terms::Terms;
use enforcer_common::verdict::DropReason;

use super::*;

const ZONES: &str = "\
zones:
  plain: { match: { interface: eth0 } }
  trial: { match: { interface: eth1 }, mode: audit }
  sure: { match: { interface: eth2 }, mode: enforce }
  cells: { match: { interface: eth3 }, intra_zone: drop }
";

/// A letter for what happens (`d`rop, `a`udit, on `t`erms, on audited terms `T`,
/// `p`ass) and the counter.
fn told(compiled: &Compiled, from: &str, to: &str, service: &str) -> String {
    let cell = compiled.cell(from, to, service);
    let letter = match (cell.allows(), cell.is_audit(), cell.is_plain()) {
        (false, ..) => 'd',
        (true, true, _) => 'a',
        (true, _, true) => 'p',
        _ if cell.has_audited_terms() => 'T',
        _ => 't',
    };
    format!("{letter} {}", compiled.0.slots[&cell.slot().0])
}

#[test]
fn the_conduit_then_the_zones_then_the_default_say_the_mode() {
    let conduits = "\
conduits:
  - { id: no, from: any, to: any, services: tcp/1, action: drop }
  - { id: no-trial, from: any, to: any, services: tcp/2, action: drop, mode: audit }
  - { id: no-sure, from: any, to: any, services: tcp/3, action: reject, mode: enforce }
  - { id: slow, from: any, to: any, services: tcp/4, rate: 5/s }
  - { id: yes, from: any, to: any, services: tcp/5 }
";
    let drop = "defaults: { self_out: drop }\n";
    let audit = "defaults: { mode: audit, self_out: drop }\n";
    let (policy, audited) = (
        compiled(&format!("{drop}{ZONES}{conduits}")),
        compiled(&format!("{audit}{ZONES}{conduits}")),
    );
    let cases = [
        // from, to, service, under `enforce`, under `audit`
        ("plain", "cells", "tcp/1", "d no", "a no!audit"),
        ("plain", "trial", "tcp/1", "a no!audit", "a no!audit"),
        ("trial", "plain", "tcp/1", "a no!audit", "a no!audit"),
        ("trial", "sure", "tcp/1", "d no", "d no"),
        ("sure", "plain", "tcp/1", "d no", "d no"),
        (
            "sure",
            "plain",
            "tcp/2",
            "a no-trial!audit",
            "a no-trial!audit",
        ),
        ("plain", "trial", "tcp/3", "d no-sure", "d no-sure"),
        ("plain", "cells", "tcp/4", "t slow", "T slow"),
        ("trial", "cells", "tcp/4", "T slow", "T slow"),
        ("trial", "sure", "tcp/4", "t slow", "t slow"),
        ("trial", "plain", "tcp/5", "p yes", "p yes"),
        (
            "plain",
            "cells",
            "tcp/9",
            "d (no-conduit)",
            "a (no-conduit)!audit",
        ),
        (
            "trial",
            "cells",
            "tcp/9",
            "a (no-conduit)!audit",
            "a (no-conduit)!audit",
        ),
        (
            "unknown",
            "trial",
            "tcp/9",
            "a (no-conduit)!audit",
            "a (no-conduit)!audit",
        ),
        (
            "trial",
            "self",
            "tcp/9",
            "a (no-conduit)!audit",
            "a (no-conduit)!audit",
        ),
        ("sure", "self", "tcp/9", "d (no-conduit)", "d (no-conduit)"),
        (
            "cells",
            "cells",
            "tcp/9",
            "d (intra-zone)",
            "a (intra-zone)!audit",
        ),
        (
            "plain",
            "plain",
            "tcp/9",
            "p (intra-zone)",
            "p (intra-zone)",
        ),
        (
            "self",
            "plain",
            "tcp/9",
            "d (self-out)",
            "a (self-out)!audit",
        ),
        (
            "self",
            "trial",
            "tcp/9",
            "d (self-out)",
            "a (self-out)!audit",
        ),
        ("self", "sure", "tcp/9", "d (self-out)", "d (self-out)"),
    ];
    for (from, to, service, want, want_audited) in cases {
        let got = told(&policy, from, to, service);
        assert_eq!(got, want, "{from} {to} {service}");
        let got = told(&audited, from, to, service);
        assert_eq!(got, want_audited, "audit: {from} {to} {service}");
    }
    assert_eq!(policy.0.layout().flags, 0);
    assert_eq!(audited.0.layout().flags, Layout::AUDIT);
    for (from, to) in [("sure", "sure"), ("trial", "sure"), ("sure", "unknown")] {
        assert!(audited.pair(from, to).is_enforced(), "{from} {to}");
    }
    for (from, to) in [("trial", "trial"), ("plain", "self"), ("self", "unknown")] {
        assert!(!audited.pair(from, to).is_enforced(), "{from} {to}");
    }
    assert!(!policy.is_stateless("trial", "cells"));
}

#[test]
fn an_audit_by_command_enforces_nothing() {
    let text = format!(
        "{ZONES}conduits: [{{ id: no, from: any, to: any, services: any, action: reject, mode: enforce }}]"
    );
    let image = compile(
        &policy(&text).audited(),
        &machine(),
        &mut Numbering::default(),
    );
    let audited = Compiled(image.unwrap());
    for from in ["plain", "trial", "sure", "cells"] {
        for to in ["plain", "trial", "sure", "cells", "self", "unknown"] {
            assert!(audited.cell(from, to, "tcp/1").allows(), "{from} {to}");
            assert!(!audited.pair(from, to).is_enforced(), "{from} {to}");
        }
    }
    assert_eq!(told(&audited, "sure", "plain", "tcp/1"), "a no!audit");
}

#[test]
fn rejects_and_silence_are_in_the_cell() {
    let compiled = compiled(&format!(
        "{ZONES}conduits:
  - {{ id: a, from: plain, to: cells, services: tcp/1, action: reject }}
  - {{ id: b, from: plain, to: cells, services: tcp/2, action: reject, log: false }}
  - {{ id: c, from: plain, to: cells, services: tcp/3, action: drop, log: true }}
  - {{ id: d, from: plain, to: trial, services: tcp/4, action: drop, log: false }}
"
    ));
    let cases = [
        ("cells", "tcp/1", DropReason::REJECT, false),
        ("cells", "tcp/2", DropReason::REJECT, true),
        ("cells", "tcp/3", DropReason::CONDUIT, false),
        ("trial", "tcp/4", DropReason::CONDUIT, true),
        ("cells", "tcp/5", DropReason::NO_CONDUIT, false),
    ];
    for (to, service, reason, is_quiet) in cases {
        let cell = compiled.cell("plain", to, service);
        assert_eq!(
            (cell.reason(), cell.is_quiet()),
            (reason, is_quiet),
            "{service}"
        );
    }
}

#[test]
fn terms_are_found_by_slot() {
    let compiled = compiled(&format!(
        "{ZONES}conduits:
  - {{ id: a, from: plain, to: cells, services: tcp/1 }}
  - {{ id: b, from: plain, to: cells, services: tcp/2, log: true }}
  - {{ id: c, from: plain, to: cells, services: tcp/3, log: false }}
  - {{ id: d, from: plain, to: trial, services: tcp/4, rate: 100/s, log: false }}
  - {{ id: e, from: plain, to: cells, services: tcp/5, rate: {{ limit: 3/h, burst: 7, of: flows, per: source }} }}
"
    ));
    for (service, slot) in [("tcp/1", 0), ("tcp/3", 2)] {
        let cell = compiled.cell("plain", "cells", service);
        assert!(
            cell.is_plain() && cell.slot().0 == Slot::FIRST + slot,
            "{service}"
        );
    }
    let terms = |to, service| {
        let cell = compiled.cell("plain", to, service);
        assert!(!cell.is_plain(), "{service}");
        lookup::terms(&compiled.0, cell.slot())
    };
    let log = terms("cells", "tcp/2");
    assert_eq!((log.interval, log.flags), (0, Terms::LOG));
    let rate = terms("trial", "tcp/4");
    let want = Terms {
        audit_slot: Slot(Slot::FIRST + 4),
        flags: Terms::QUIET,
        ..Terms::paced((100, 1), 100).unwrap()
    };
    assert_eq!(rate, want);
    assert_eq!(compiled.0.slots[&rate.audit_slot.0], "d!audit");
    let rare = terms("cells", "tcp/5");
    let paced = Terms::paced((3, 3_600), 7).unwrap();
    assert_eq!(
        (rare.interval, rare.tolerance),
        (paced.interval, paced.tolerance)
    );
    assert_eq!(rare.flags, Terms::FLOWS | Terms::PER_SOURCE);
}

#[test]
fn a_burst_that_takes_years_is_refused() {
    let text = format!(
        "{ZONES}conduits: [{{ id: a, from: plain, to: cells, services: any, rate: {{ limit: 1/h, burst: 1000000 }} }}]"
    );
    let findings = compile(&policy(&text), &machine(), &mut Numbering::default()).unwrap_err();
    let found: Vec<_> = findings.iter().map(|one| one.kind.to_string()).collect();
    assert_eq!(
        found,
        ["at this rate it takes more than 8 years to save up for the burst"]
    );
}
