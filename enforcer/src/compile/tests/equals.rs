//! Conduits of equal strength that say different things.

use super::*;

const ZONES: &str = "zones:
  a: { match: { interface: eth0 } }
  b: { match: { interface: eth1 } }
  c: { match: { interface: eth2 } }
";

/// What is said of two conduits, each what stands between its braces.
fn said(first: &str, second: &str) -> Vec<String> {
    let text = format!("{ZONES}conduits:\n  - {{ id: x, {first} }}\n  - {{ id: y, {second} }}\n");
    let findings = match compile(&policy(&text), &machine(), &mut Numbering::default()) {
        Ok(_) => return vec![],
        Err(findings) => findings,
    };
    let contradictions = findings
        .iter()
        .filter(|finding| finding.kind.code() == "contradiction");
    contradictions
        .map(|finding| finding.kind.to_string())
        .collect()
}

#[test]
fn equals_must_say_the_same() {
    let a_to_b = |rest: &str| format!("from: a, to: b, {rest}");
    let cases = [
        ("services: tcp/1, rate: 5/s", "services: tcp/1", "`rate`"),
        ("services: tcp/1, log: true", "services: tcp/1", "`log`"),
        ("services: tcp/1", "services: tcp/1, mode: audit", "`mode`"),
        (
            "services: tcp/1-9, rate: 5/s",
            "services: tcp/9-20, rate: 6/s, log: true",
            "`rate` and `log`",
        ),
        (
            "services: any, rate: { limit: 5/s, per: source }",
            "services: ping, rate: 5/s",
            "`rate`",
        ),
        // Said twice, or what is the default.
        (
            "services: tcp/1, rate: 5/s",
            "services: tcp/1, rate: 5/s",
            "",
        ),
        ("services: tcp/1, log: false", "services: tcp/1", ""),
        (
            "services: tcp/1, action: drop, log: true",
            "services: tcp/1, action: drop",
            "",
        ),
        (
            "services: tcp/1, rate: { limit: 5/s, burst: 5 }",
            "services: tcp/1, rate: 5/s",
            "",
        ),
        // Other services, priorities or verdicts.
        ("services: tcp/1, rate: 5/s", "services: tcp/2", ""),
        ("services: tcp/1, rate: 5/s", "services: udp/1", ""),
        (
            "services: tcp/1, rate: 5/s",
            "services: tcp/1, priority: 1",
            "",
        ),
        (
            "services: tcp/1, rate: 5/s",
            "services: tcp/1, action: drop",
            "",
        ),
        (
            "services: tcp/1, action: reject, log: false",
            "services: tcp/1, action: drop",
            "",
        ),
    ];
    for (first, second, keys) in cases {
        let want =
            format!("`x` and `y` decide the same traffic from `a` to `b`, and differ in {keys}");
        let want: &[String] = if keys.is_empty() { &[] } else { &[want] };
        assert_eq!(
            said(&a_to_b(first), &a_to_b(second)),
            want,
            "{first}; {second}"
        );
    }
}

#[test]
fn equals_meet_in_pairs_of_zones() {
    let cases = [
        ("from: a, to: b", "from: b, to: a", ""),
        ("from: a, to: [b, c]", "from: [b, a], to: c", "`a` to `c`"),
        ("from: any, to: b", "from: c, to: any", "`c` to `b`"),
        ("from: any, to: any", "from: any, to: any", "`a` to `b`"),
        ("from: any, to: any", "from: a, to: a", ""),
        ("from: any, to: any", "from: self, to: a", ""),
        (
            "from: [any, self], to: a",
            "from: self, to: a",
            "`self` to `a`",
        ),
        (
            "from: unknown, to: self",
            "from: unknown, to: self",
            "`unknown` to `self`",
        ),
    ];
    for (first, second, pair) in cases {
        let said = said(
            &format!("{first}, services: any, rate: 5/s"),
            &format!("{second}, services: any"),
        );
        let want = format!("from {pair}, and");
        match pair {
            "" => assert!(said.is_empty(), "{first}; {second}: {said:?}"),
            _ => assert!(
                said.len() == 1 && said[0].contains(&want),
                "{first}; {second}: {said:?}"
            ),
        }
    }
}

/// Of three equals the one between the others is no excuse.
#[test]
fn every_contradiction_is_found() {
    let text = format!(
        "{ZONES}conduits:
  - {{ id: x, from: a, to: b, services: tcp/1-9, log: true }}
  - {{ id: y, from: a, to: b, services: tcp/5 }}
  - {{ id: z, from: a, to: b, services: [tcp/5, udp/1], log: true }}
  - {{ id: n, from: a, to: c, services: udp/1 }}
"
    );
    let findings = refused(&text, &machine());
    let found = findings
        .iter()
        .filter(|finding| finding.kind.code() == "contradiction");
    let found: Vec<String> = found.map(|finding| finding.kind.to_string()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("`x` and `y`"), "{found:?}");
    assert!(found[1].starts_with("`y` and `z`"), "{found:?}");
}

#[test]
fn a_large_policy_takes_no_time_squared() {
    use std::fmt::Write;
    let mut text = String::from("zones:\n");
    for zone in 0..300 {
        writeln!(
            text,
            "  z{zone}: {{ match: {{ prefix: 10.{}.{}.0/24 }} }}",
            zone / 250,
            zone % 250
        )
        .unwrap();
    }
    text.push_str("conduits:\n");
    for conduit in 0..20_000 {
        let (from, to, port) = (conduit % 300, (conduit / 300) % 299, conduit / 300 % 7 + 1);
        let to = if to == from { 299 } else { to };
        let log = if conduit == 7 { ", log: true" } else { "" };
        writeln!(
            text,
            "  - {{ id: c{conduit}, from: z{from}, to: z{to}, services: tcp/{port}{log} }}"
        )
        .unwrap();
    }
    let policy = policy(&text);
    let started = std::time::Instant::now();
    let _ = compile(&policy, &machine(), &mut Numbering::default());
    // Every conduit with every other one takes many seconds.
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
