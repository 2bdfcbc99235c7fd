//! Nobody cuts the SSH session that he works in by mistake.

use xtask::lab::{Family, ROUTER, Seen, Service};

use Service::{Ping, Tcp};

use crate::network::{DROPPED, Net, PASSES, policy};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const PROGRAM: &str = env!("CARGO_BIN_EXE_enforcer");

/// How a command learns of its session.
#[derive(Clone, Copy, Debug)]
enum By {
    /// From its own environment.
    Itself,
    /// From that of its parent only, as under `sudo`.
    Parent,
}

#[test]
fn a_policy_that_would_cut_the_session_is_refused() {
    let net = Net::open();
    for (session, by) in [
        (session(&net, Family::V4, ""), By::Itself),
        (session(&net, Family::V4, "::ffff:"), By::Itself),
        (session(&net, Family::V6, ""), By::Itself),
        (session(&net, Family::V4, ""), By::Parent),
    ] {
        let complaint = apply(&net, &policy(&[WEB]), (&session, by), &[]).unwrap_err();
        for part in [
            "exit status: 1",
            "SSH session",
            "no-conduit",
            "off0",
            "--confirm",
        ] {
            assert!(
                complaint.contains(part),
                "{session} {by:?}: no {part} in {complaint}"
            );
        }
        assert_eq!(net.enforcer.status().unwrap()["active"], false);

        // The entry that is proposed is all that it takes.
        let (_, entry) = complaint.split_once("\n\n").unwrap();
        let (entry, _) = entry.split_once("\n\n").unwrap();
        let open = format!("{}{entry}\n", policy(&[WEB]));
        apply(&net, &open, (&session, by), &[]).unwrap();
        net.expect(&[("office", ROUTER, Tcp(2222), seen_by(&session))]);

        // What is in force stays.
        apply(&net, &policy(&[WEB]), (&session, by), &[]).unwrap_err();
        net.expect(&[("office", ROUTER, Tcp(2222), seen_by(&session))]);
        xtask::lab::succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
}

#[test]
fn who_can_go_back_may_cut_his_session() {
    let net = Net::open();
    let session = session(&net, Family::V4, "");
    let at = (session.as_str(), By::Itself);
    apply(&net, &policy(&[WEB]), at, &["--confirm", "1h"]).unwrap();
    net.expect(&[("office", ROUTER, Ping, DROPPED)]);
    run(&net, &["rollback"], at).unwrap();

    let ssh = "id: ssh, from: office, to: self, services: tcp/2222";
    apply(&net, &policy(&[WEB, ssh]), at, &[]).unwrap();
    net.apply(&policy(&[WEB]));
    // The policy before is another one that would cut it.
    net.apply(&policy(&[WEB, ssh]));
    let complaint = run(&net, &["rollback"], at).unwrap_err();
    assert!(complaint.contains("SSH session"), "{complaint}");
}

/// A session from the office to port 2222 of the router, with a prefix before the
/// addresses.
fn session(net: &Net, family: Family, prefix: &str) -> String {
    let client = net.lab.address("plant", "office", family);
    let server = net.lab.address("office", ROUTER, family);
    format!("{prefix}{client} 50000 {prefix}{server} 2222")
}

/// What the office sees where only the family of the session passes.
fn seen_by(session: &str) -> Seen {
    let (v4, v6) = match session.contains('.') {
        true => (PASSES.v4, DROPPED.v6),
        false => (DROPPED.v4, PASSES.v6),
    };
    Seen { v4, v6 }
}

fn apply(net: &Net, policy: &str, session: (&str, By), options: &[&str]) -> Result<String, String> {
    let file = net.enforcer.policy_file("policy", policy).unwrap();
    let file = file.display().to_string();
    run(net, &[&["apply", &file], options].concat(), session)
}

/// Runs a command in a session; what it prints, or its complaint.
fn run(net: &Net, args: &[&str], (session, by): (&str, By)) -> Result<String, String> {
    let variable = format!("SSH_CONNECTION={session}");
    let root = net.enforcer.root().display().to_string();
    let command = [&[PROGRAM, "--root", &root], args].concat();
    let before: &[&str] = match by {
        By::Itself => &[&variable],
        // The shell waits, so that it is there to be asked.
        By::Parent => &[
            &variable,
            "sh",
            "-c",
            "env -u SSH_CONNECTION \"$@\"; exit $?",
            "sh",
        ],
    };
    let output = net
        .enforcer
        .run_program("env", &[before, &command].concat());
    output.map_err(|error| format!("{error:#}"))
}
