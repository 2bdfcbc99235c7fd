//! An apply that fails changes nothing.

use std::process::Output;

use xtask::lab::Service;

use Service::{Tcp, Udp};

use crate::foreign;
use crate::network::{DROPPED, Net, PASSES, Row, with_conduits};

/// `guests` has no part in it.
const HEAD: &str = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: plc0 }] }
";
const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const DNS: &str = "id: dns, from: office, to: plant, services: udp/53";

#[test]
fn a_policy_with_mistakes_is_rejected_whole() {
    let net = Net::under(&with_conduits(HEAD, &[WEB]));
    let to_nowhere = "id: lost, from: office, to: nowhere, services: tcp/80";
    let wrong = with_conduits(HEAD, &[DNS, to_nowhere]);

    let output = refused(&net, &wrong);

    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    for part in ["nowhere", "policy.yaml", "^"] {
        assert!(complaint.contains(part), "no {part} in:\n{complaint}");
    }
}

#[test]
fn a_policy_for_a_missing_interface_is_refused() {
    let net = Net::under(&with_conduits(HEAD, &[WEB]));
    let head = format!("{HEAD}  lost: {{ match: [{{ interface: nosuch0 }}] }}\n");

    let output = refused(&net, &with_conduits(&head, &[DNS]));

    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("nosuch0"), "{complaint}");
}

#[test]
fn an_interface_with_a_program_of_another_owner_is_refused() {
    let net = Net::under(&with_conduits(HEAD, &[WEB]));
    let router = net.lab.router().namespace();
    let foreign = router.run(|| foreign::attach("gst0"));
    let head = format!("{HEAD}  guests: {{ match: [{{ interface: gst0 }}] }}\n");

    let output = refused(&net, &with_conduits(&head, &[DNS]));

    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("gst0"), "{complaint}");
    assert!(complaint.contains(foreign::NAME), "{complaint}");
    drop(foreign);
    net.apply(&with_conduits(&head, &[DNS]));
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
}

/// The very first apply may fail too: then nothing is enforced.
#[test]
fn a_first_apply_that_fails_leaves_the_network_open() {
    let net = Net::open();
    let router = net.lab.router().namespace();
    let _foreign = router.run(|| foreign::attach("plc0"));

    let output = net.enforcer.apply(&with_conduits(HEAD, &[DNS])).unwrap();

    assert!(!output.status.success());
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("plant", "office", Udp(53), PASSES),
    ]);
    assert_eq!(net.xdp_programs().len(), 1, "the foreign one");
}

/// Applies `policy`, which must fail and leave the one that allows [`WEB`] untouched.
fn refused(net: &Net, policy: &str) -> Output {
    const WEB_ONLY: [Row; 4] = [
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Udp(53), DROPPED),
        ("plant", "office", Tcp(443), DROPPED),
        ("office", "guests", Tcp(443), DROPPED),
    ];
    net.expect(&WEB_ONLY);
    let programs = enforcers(net);
    let passed = net.passed("web");

    let output = net.enforcer.apply(policy).unwrap();

    assert!(!output.status.success(), "it was accepted:\n{policy}");
    assert_eq!(enforcers(net), programs);
    assert!(net.passed("web") >= passed);
    net.expect(&WEB_ONLY);
    output
}

/// The XDP programs on the interfaces of office and plant.
fn enforcers(net: &Net) -> Vec<u64> {
    net.xdp_programs_on(&["off0", "plc0"])
}
