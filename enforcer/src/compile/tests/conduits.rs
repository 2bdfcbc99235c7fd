//! What decides between two zones.

use super::*;

/// Zones `a`, `b` and `c`, and the conduits in `text`.
fn joined(text: &str) -> Compiled {
    compiled(&format!(
        "zones:
           a: {{ match: {{ interface: eth0 }} }}
           b: {{ match: {{ interface: eth1 }}, intra_zone: drop }}
           c: {{ match: {{ interface: eth2 }} }}
conduits:\n{text}"
    ))
}

#[test]
fn defaults_decide_where_no_conduit_does() {
    let compiled = joined("");
    let cases = [
        ("a", "b", "!(no-conduit)"),
        ("a", "self", "!(no-conduit)"),
        ("a", "unknown", "!(no-conduit)"),
        ("unknown", "a", "!(no-conduit)"),
        ("unknown", "unknown", "!(no-conduit)"),
        ("unknown", "self", "!(no-conduit)"),
        ("a", "a", "(intra-zone)"),
        ("b", "b", "!(intra-zone)"),
        ("self", "a", "(self-out)"),
        ("self", "self", "(self-out)"),
        ("self", "unknown", "(self-out)"),
    ];
    for (from, to, want) in cases {
        for service in ["tcp/443", "icmp/3", "proto/0", "proto/255"] {
            let got = compiled.verdict(from, to, service);
            assert_eq!(got, want, "{from} {to} {service}");
        }
    }
    let compiled = super::compiled(
        "defaults: { self_out: drop, intra_zone: drop }
zones: { a: { match: { interface: eth0 } } }",
    );
    assert_eq!(compiled.verdict("self", "a", "tcp/1"), "!(self-out)");
    assert_eq!(compiled.verdict("a", "a", "tcp/1"), "!(intra-zone)");
}

#[test]
fn drops_carry_their_reason() {
    use enforcer_common::verdict::DropReason;
    let compiled = super::compiled(
        "defaults: { self_out: drop, intra_zone: drop }
zones: { a: { match: { interface: eth0 } }, b: { match: { interface: eth1 } } }
conduits: [{ id: C, from: a, to: b, services: tcp/80, action: drop }]",
    );
    let cases = [
        ("a", "b", "tcp/80", DropReason::CONDUIT),
        ("a", "b", "tcp/81", DropReason::NO_CONDUIT),
        ("a", "a", "tcp/80", DropReason::INTRA_ZONE),
        ("self", "a", "tcp/80", DropReason::SELF_OUT),
    ];
    for (from, to, service, want) in cases {
        let pair = lookup::pair(&compiled.0, compiled.zone(from), compiled.zone(to));
        let cell = lookup::cell(&compiled.0, pair, compiled.port_class(service));
        assert_eq!(cell.reason(), want, "{from} {to} {service}");
    }
}

#[test]
fn priority_decides_then_drop_then_the_first_in_the_file() {
    let compiled = joined(
        "  - { id: low, from: a, to: b, services: any, action: drop, priority: -5 }
  - { id: first, from: a, to: b, services: tcp/1-100 }
  - { id: second, from: a, to: b, services: tcp/1-200 }
  - { id: deny, from: a, to: b, services: tcp/50, action: drop }
  - { id: deny2, from: a, to: b, services: tcp/50-60, action: drop }
  - { id: high, from: a, to: b, services: tcp/60-70, priority: 9 }
  - { id: highest, from: a, to: b, services: tcp/70, action: drop, priority: 10 }",
    );
    let cases = [
        ("tcp/1", "first"),
        ("tcp/150", "second"),
        ("tcp/201", "!low"),
        ("udp/1", "!low"),
        ("tcp/50", "!deny"),
        ("tcp/55", "!deny2"),
        ("tcp/60", "high"),
        ("tcp/70", "!highest"),
        ("icmp/3", "!(no-conduit)"),
    ];
    for (service, want) in cases {
        assert_eq!(compiled.verdict("a", "b", service), want, "{service}");
    }
    assert_eq!(compiled.verdict("b", "a", "tcp/1"), "!(no-conduit)");
}

#[test]
fn any_is_every_zone_of_the_policy_but_the_same() {
    let compiled = joined(
        "  - { id: out, from: any, to: a, services: tcp/1 }
  - { id: in, from: c, to: [any, self], services: tcp/2 }
  - { id: mesh, from: any, to: any, services: tcp/3 }
  - { id: inside, from: [a, b], to: [a, b], services: tcp/4 }
  - { id: mixed, from: [any, unknown], to: [any, b], services: tcp/5 }
  - { id: router, from: self, to: any, services: tcp/6, action: drop }
  - { id: stranger, from: unknown, to: unknown, services: tcp/7 }",
    );
    let cases = [
        ("b", "a", "tcp/1", "out"),
        ("c", "a", "tcp/1", "out"),
        ("a", "a", "tcp/1", "(intra-zone)"),
        ("unknown", "a", "tcp/1", "!(no-conduit)"),
        ("self", "a", "tcp/1", "(self-out)"),
        ("c", "b", "tcp/2", "in"),
        ("c", "self", "tcp/2", "in"),
        ("c", "c", "tcp/2", "(intra-zone)"),
        ("c", "unknown", "tcp/2", "!(no-conduit)"),
        ("a", "c", "tcp/3", "mesh"),
        ("a", "self", "tcp/3", "!(no-conduit)"),
        ("unknown", "c", "tcp/3", "!(no-conduit)"),
        ("b", "b", "tcp/3", "!(intra-zone)"),
        ("a", "b", "tcp/4", "inside"),
        ("b", "b", "tcp/4", "inside"),
        ("a", "c", "tcp/4", "!(no-conduit)"),
        ("a", "c", "tcp/5", "mixed"),
        ("unknown", "b", "tcp/5", "mixed"),
        ("unknown", "a", "tcp/5", "mixed"),
        ("b", "b", "tcp/5", "!(intra-zone)"),
        ("self", "a", "tcp/6", "!router"),
        ("self", "unknown", "tcp/6", "(self-out)"),
        ("unknown", "unknown", "tcp/7", "stranger"),
    ];
    for (from, to, service, want) in cases {
        let got = compiled.verdict(from, to, service);
        assert_eq!(got, want, "{from} {to} {service}");
    }
}

#[test]
fn services_mean_what_they_say() {
    let compiled = joined(
        "  - { id: any, from: a, to: b, services: any }
  - { id: icmp, from: b, to: c, services: [icmp, icmpv6] }
  - { id: errors, from: a, to: [c, self], services: [icmp/3, icmp/5/1, icmpv6/2, ping] }
  - { id: numbers, from: c, to: a, services: [proto/1, proto/47, proto/6] }
  - { id: ports, from: c, to: b, services: [udp/53, tcp/65535, sctp/1-65535] }",
    );
    let cases = [
        ("a", "b", "tcp/443", "any"),
        ("a", "b", "proto/0", "any"),
        ("a", "b", "proto/255", "any"),
        ("a", "b", "icmp/8", "any"),
        ("a", "b", "icmp/3/4", "!(no-conduit)"),
        ("a", "b", "icmp/4", "!(no-conduit)"),
        ("a", "b", "icmp/5", "!(no-conduit)"),
        ("a", "b", "icmp/11/255", "!(no-conduit)"),
        ("a", "b", "icmp/12", "!(no-conduit)"),
        ("a", "b", "icmp/13", "any"),
        ("a", "b", "icmp/255/255", "any"),
        ("a", "b", "icmpv6/128", "any"),
        ("a", "b", "icmpv6/127/255", "!(no-conduit)"),
        ("a", "b", "icmpv6/1", "!(no-conduit)"),
        ("b", "c", "icmp/0", "icmp"),
        ("b", "c", "icmp/3", "!(no-conduit)"),
        ("b", "c", "icmpv6/129", "icmp"),
        ("b", "c", "icmpv6/2", "!(no-conduit)"),
        ("b", "c", "tcp/1", "!(no-conduit)"),
        ("a", "c", "icmp/3", "errors"),
        ("a", "c", "icmp/3/255", "errors"),
        ("a", "c", "icmp/4", "!(no-conduit)"),
        // Redirects pass from no zone to another.
        ("a", "c", "icmp/5/1", "!(no-conduit)"),
        ("a", "self", "icmp/5/1", "errors"),
        ("a", "c", "icmp/5/2", "!(no-conduit)"),
        ("a", "c", "icmpv6/2", "errors"),
        ("a", "c", "icmp/8", "errors"),
        ("a", "c", "icmpv6/128", "errors"),
        ("a", "c", "icmp/0", "!(no-conduit)"),
        ("c", "a", "icmp/8", "numbers"),
        ("c", "a", "icmp/3", "!(no-conduit)"),
        ("c", "a", "proto/47", "numbers"),
        ("c", "a", "proto/46", "!(no-conduit)"),
        ("c", "a", "tcp/1", "numbers"),
        ("c", "b", "udp/53", "ports"),
        ("c", "b", "udp/52", "!(no-conduit)"),
        ("c", "b", "udp/54", "!(no-conduit)"),
        ("c", "b", "tcp/65535", "ports"),
        ("c", "b", "tcp/65534", "!(no-conduit)"),
        ("c", "b", "sctp/1", "ports"),
        ("c", "b", "sctp/65535", "ports"),
        // Port 0 of SCTP: no literal means it.
        ("c", "b", "proto/132", "!(no-conduit)"),
    ];
    for (from, to, service, want) in cases {
        let got = compiled.verdict(from, to, service);
        assert_eq!(got, want, "{from} {to} {service}");
    }
}

#[test]
fn services_that_nothing_tells_apart_share_a_class() {
    let compiled = joined(
        "  - { id: one, from: a, to: b, services: [tcp/80, udp/443, tcp/9000-9999] }
  - { id: two, from: b, to: a, services: [tcp/80, tcp/22, udp/443, tcp/9000-9999] }",
    );
    let class = |service| compiled.port_class(service);
    assert_eq!(class("tcp/80"), class("udp/443"));
    assert_eq!(class("tcp/80"), class("tcp/9500"));
    assert_eq!(class("tcp/1"), class("proto/50"));
    assert_ne!(class("tcp/80"), class("tcp/22"));
    // Three more: ICMP errors, redirects, and errors that are redirects.
    assert_eq!(compiled.0.layout.port_classes, 6);
}

#[test]
fn pairs_hold_state_where_either_side_may_speak() {
    let compiled = joined(
        "  - { id: C1, from: a, to: b, services: tcp/80 }
  - { id: C2, from: a, to: self, services: any, action: drop }
  - { id: C3, from: b, to: c, services: any, action: drop }",
    );
    let cases = [
        ("a", "b", false),
        ("b", "a", false),
        ("a", "c", true),
        ("b", "c", true),
        ("c", "b", true),
        ("a", "a", false),
        ("b", "b", true),
        // The router may speak, so answers to it need state.
        ("a", "self", false),
        ("unknown", "a", true),
    ];
    for (from, to, want) in cases {
        assert_eq!(compiled.is_stateless(from, to), want, "{from} {to}");
    }
}

/// An answer is addressed to the zone of the prefix, even if its initiator was
/// seen on a link that belongs to another zone.
#[test]
fn pairs_hold_state_where_the_initiator_may_be_seen_elsewhere() {
    let compiled = super::compiled(
        "zones:
  a: { match: { vlan: 30, prefix: 10.1.0.0/16 } }
  b: { match: { interface: eth0 } }
  c: { match: { interface: eth1, prefix: 10.3.0.0/16 } }
  d: { match: { interface: eth2, prefix: 10.4.0.0/16 } }
conduits:
  - { id: C1, from: b, to: c, services: tcp/80 }
  - { id: C2, from: unknown, to: d, services: tcp/80 }",
    );
    assert_eq!(compiled.source(10, "", "10.1.0.9"), "b");
    assert_eq!(compiled.destination("10.1.0.9"), "a");
    let cases = [
        // Answers of C1 to `b`, as far as the addresses are those of `a`.
        ("c", "a", false),
        ("c", "b", false),
        ("a", "c", true),
        ("c", "d", true),
        // Answers of C2: addresses of any zone may be seen where no program is.
        ("d", "a", false),
        ("d", "c", false),
        ("a", "d", true),
        ("c", "d", true),
    ];
    for (from, to, want) in cases {
        assert_eq!(compiled.is_stateless(from, to), want, "{from} {to}");
    }
}
