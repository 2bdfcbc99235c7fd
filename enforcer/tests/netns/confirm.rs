//! A policy that nobody confirms gives way to what was before, by the kernel alone.

use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::lab::{Family, ROUTER, Service, succeeded};

use Service::{Ping, Tcp, Udp};

use crate::network::{DROPPED, Net, PASSES, Row, large, policy, with_conduits};
use crate::stream::Stream;

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const SHELL: &str = "id: shell, from: office, to: plant, services: tcp/22";
const DNS: &str = "id: dns, from: office, to: plant, services: udp/53";
const ASK: &str = "id: ask, from: office, to: self, services: ping";

#[test]
fn who_locks_himself_out_gets_back_in_by_himself() {
    let net = Net::under(&policy(&[WEB, SHELL, ASK]));
    let mut shell = Family::BOTH.map(|it| net.lab.connect("office", "plant", 22, it).unwrap());
    let began = Instant::now();
    let applied = apply_for(&net, "4s", &policy(&[WEB]));
    let text = succeeded(&applied).unwrap();
    assert!(text.contains("enforcer confirm"), "{text}");
    // From here on no process of ours is alive.
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Tcp(22), DROPPED),
        ("office", ROUTER, Ping, DROPPED),
    ]);
    for session in &mut shell {
        session.set_patience(Duration::from_secs(30)).unwrap();
    }
    let sessions = shell.map(|mut session| {
        // What is sent now is lost, and sent again by TCP until it gets through.
        thread::spawn(move || session.exchange(b"still there?"))
    });

    net.expect(&[("office", "plant", Tcp(443), PASSES)]);
    let is_over = began.elapsed() >= Duration::from_secs(4);
    let lives = sessions.iter().any(|session| session.is_finished());
    assert!(is_over || !lives, "a withdrawn permission stops at once");

    wait_for(&net, &[("office", "plant", Tcp(22), PASSES)]);

    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4), "too early: {took:?}");
    assert!(took < Duration::from_secs(8), "too late: {took:?}");
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("office", ROUTER, Ping, PASSES),
        ("plant", "office", Tcp(443), DROPPED),
    ]);
    for session in sessions {
        session.join().unwrap().expect("the session lives on");
    }
    // What is told is what is so, also before anything is tidied.
    let status = net.enforcer.status().unwrap();
    assert_eq!(
        (&status["generation"], &status["confirm"]),
        (&json!(1), &Value::Null)
    );
    let complaint = failed(&net, &["confirm"]);
    assert!(complaint.contains("too late"), "{complaint}");
    assert_eq!(net.enforcer.status().unwrap()["generation"], 1);
    assert_eq!(state_files(&net), ["policy-1.state"]);
}

#[test]
fn a_first_apply_that_nobody_confirms_leaves_all_as_before() {
    let net = Net::open();
    succeeded(&apply_for(&net, "2s", &policy(&[WEB]))).unwrap();
    let waiting = net.enforcer.status().unwrap();
    assert_eq!(
        waiting["confirm"]["then_generation"],
        Value::Null,
        "{waiting}"
    );
    net.expect(&[
        ("office", ROUTER, Ping, DROPPED),
        ("guests", "plant", Udp(53), DROPPED),
    ]);

    wait_for(&net, &[("office", ROUTER, Ping, PASSES)]);

    let hosts = ["office", "plant", "guests", ROUTER];
    let pairs = hosts
        .iter()
        .flat_map(|from| hosts.iter().map(move |to| (*from, *to)));
    let rows: Vec<Row> = pairs
        .filter(|(from, to)| from != to)
        .flat_map(|(from, to)| [Tcp(443), Udp(53), Ping].map(|it| (from, to, it, PASSES)))
        .collect();
    net.expect(&rows);
    let claimed = net.lab.address("plant", "office", Family::V4);
    let seen = net.lab.spoof("plant", claimed, "guests", 53).unwrap();
    assert_eq!(
        seen,
        xtask::lab::Outcome::Answered,
        "as if there were no program"
    );
    assert_eq!(net.xdp_programs().len(), 3, "nobody has removed them yet");

    assert_eq!(net.enforcer.status().unwrap()["active"], false);
    let complaint = failed(&net, &["confirm"]);
    assert!(complaint.contains("too late"), "{complaint}");
    assert_eq!(net.xdp_programs(), Vec::<u64>::new());
    assert_eq!(state_files(&net), Vec::<String>::new());
    net.apply(&policy(&[WEB]));
    net.expect(&[("office", ROUTER, Ping, DROPPED)]);
}

#[test]
fn what_is_confirmed_stays() {
    let net = Net::under(&policy(&[SHELL]));
    let complaint = failed(&net, &["confirm"]);
    assert!(complaint.contains("no policy waits"), "{complaint}");
    for confirm_before in [Duration::from_secs(2), Duration::from_secs(1)] {
        let time = format!("{}s", confirm_before.as_secs());
        let began = Instant::now();
        succeeded(&apply_for(&net, &time, &policy(&[WEB]))).unwrap();
        let status = net.enforcer.status().unwrap();
        assert_eq!(status["confirm"]["then_policy"], "test", "{status}");
        assert!(status["confirm"]["left_s"].as_u64() <= Some(2), "{status}");
        succeeded(&net.enforcer.output(&["confirm"]).unwrap()).unwrap();
        assert_eq!(net.enforcer.status().unwrap()["confirm"], Value::Null);
        thread::sleep((began + 2 * confirm_before).saturating_duration_since(Instant::now()));
        net.expect(&[
            ("office", "plant", Tcp(443), PASSES),
            ("office", "plant", Tcp(22), DROPPED),
        ]);
    }
}

#[test]
fn a_rollback_returns_to_the_policy_before() {
    let net = Net::under(&policy(&[WEB]));
    let complaint = failed(&net, &["rollback"]);
    assert!(complaint.contains("before"), "{complaint}");
    let web: [Row; 2] = [
        ("office", "plant", Tcp(443), PASSES),
        ("office", "plant", Udp(53), DROPPED),
    ];
    let dns: [Row; 2] = [
        ("office", "plant", Tcp(443), DROPPED),
        ("office", "plant", Udp(53), PASSES),
    ];
    // At once, while it waits.
    succeeded(&apply_for(&net, "1h", &policy(&[DNS]))).unwrap();
    net.expect(&dns);
    let text = succeeded(&net.enforcer.output(&["rollback"]).unwrap()).unwrap();
    assert!(text.contains("generation 1"), "{text}");
    net.expect(&web);
    // By applying it again, and back.
    net.apply(&policy(&[DNS]));
    net.apply(&policy(&[DNS]));
    for rows in [&web, &dns, &web] {
        succeeded(&net.enforcer.output(&["rollback"]).unwrap()).unwrap();
        net.expect(rows);
    }
    // Before the first policy there was none.
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    succeeded(&apply_for(&net, "1h", &policy(&[DNS]))).unwrap();
    let text = succeeded(&net.enforcer.output(&["rollback"]).unwrap()).unwrap();
    assert!(text.contains("open"), "{text}");
    assert_eq!(net.xdp_programs(), Vec::<u64>::new());
    net.expect(&[("plant", "office", Tcp(443), PASSES)]);
}

#[test]
fn while_one_policy_waits_there_is_no_other() {
    let net = Net::under(&policy(&[WEB]));
    succeeded(&apply_for(&net, "1h", &policy(&[SHELL]))).unwrap();
    for options in [&[] as &[&str], &["--confirm", "5s"]] {
        let file = net.enforcer.policy_file("next", &policy(&[DNS])).unwrap();
        let file = file.display().to_string();
        let complaint = failed(&net, &[&["apply", &file], options].concat());
        for part in ["enforcer confirm", "enforcer rollback"] {
            assert!(complaint.contains(part), "{complaint}");
        }
    }
    net.expect(&[
        ("office", "plant", Tcp(22), PASSES),
        ("office", "plant", Udp(53), DROPPED),
    ]);
    succeeded(&net.enforcer.output(&["confirm"]).unwrap()).unwrap();
    net.apply(&policy(&[DNS]));
}

/// The policy that waits needs larger maps; both policies move there.
#[test]
fn a_policy_that_outgrows_its_maps_can_wait_too() {
    let net = Net::under(&policy(&[WEB]));
    let stream = Stream::start(net.lab.connect("office", "plant", 443, Family::V4).unwrap());
    succeeded(&apply_for(&net, "2s", &large(&[WEB, DNS]))).unwrap();
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
    wait_for(&net, &[("office", "plant", Udp(53), DROPPED)]);
    succeeded(&apply_for(&net, "1h", &large(&[WEB, DNS]))).unwrap();
    succeeded(&net.enforcer.output(&["confirm"]).unwrap()).unwrap();
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
    // And back to the small ones.
    succeeded(&apply_for(&net, "1h", &policy(&[WEB]))).unwrap();
    net.expect(&[("office", "plant", Udp(53), DROPPED)]);
    succeeded(&net.enforcer.output(&["rollback"]).unwrap()).unwrap();
    net.expect(&[("office", "plant", Udp(53), PASSES)]);
    stream.wait_exchange();
    stream.finish();
    assert_eq!(net.drops("office", "plant", "tcp-no-flow"), 0);
}

#[test]
fn an_interface_that_only_the_new_policy_has_is_free_again() {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: plc0 }] }
";
    let net = Net::under(&with_conduits(head, &[WEB]));
    let before: [Row; 4] = [
        ("guests", ROUTER, Ping, PASSES),
        (ROUTER, "guests", Udp(53), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
        ("office", "plant", Tcp(443), PASSES),
    ];
    net.expect(&before);
    succeeded(&apply_for(&net, "2s", &policy(&[WEB]))).unwrap();
    net.expect(&[("guests", ROUTER, Ping, DROPPED)]);

    wait_for(&net, &[("guests", ROUTER, Ping, PASSES)]);

    net.expect(&before);
    assert_eq!(net.xdp_programs().len(), 3, "nobody has tidied yet");
    failed(&net, &["confirm"]);
    assert_eq!(net.xdp_programs().len(), 2);
    net.expect(&before);
}

#[test]
fn an_interface_that_the_new_policy_lacks_keeps_its_programs_until_confirmed() {
    let head = "\
version: 1
name: test
zones:
  office: { match: [{ interface: off0 }] }
  plant: { match: [{ interface: plc0 }] }
";
    let net = Net::under(&policy(&[WEB]));
    for (end, programs) in [("rollback", 3), ("confirm", 2)] {
        let applied = apply_for(&net, "1h", &with_conduits(head, &[WEB]));
        succeeded(&applied).unwrap();
        assert_eq!(net.xdp_programs().len(), 3, "{end}");
        succeeded(&net.enforcer.output(&[end]).unwrap()).unwrap();
        assert_eq!(net.xdp_programs().len(), programs, "{end}");
    }
    net.expect(&[("guests", ROUTER, Ping, PASSES)]);
}

#[test]
fn a_permitted_connection_loses_nothing_by_any_of_it() {
    let net = Net::under(&policy(&[WEB]));
    let streams = Family::BOTH.map(|it| {
        let connection = net.lab.connect("office", "plant", 443, it).unwrap();
        Stream::start(connection)
    });
    let exchange = || streams.iter().for_each(Stream::wait_exchange);
    for end in ["confirm", "rollback", "wait"] {
        let time = if end == "wait" { "1s" } else { "1h" };
        succeeded(&apply_for(&net, time, &policy(&[DNS, WEB]))).unwrap();
        exchange();
        if end != "wait" {
            succeeded(&net.enforcer.output(&[end]).unwrap()).unwrap();
        }
        // Asking changes nothing.
        while net.enforcer.status().unwrap()["confirm"] != Value::Null {
            exchange();
        }
        exchange();
    }
    streams.into_iter().for_each(Stream::finish);
    let drops = net.enforcer.counters().unwrap()["drops"].clone();
    assert_eq!(
        drops,
        json!([]),
        "TCP has repaired what should not have been dropped"
    );
}

/// Applies `policy`, which is to be confirmed within some time.
fn apply_for(net: &Net, time: &str, policy: &str) -> Output {
    let file = net.enforcer.policy_file("policy", policy).unwrap();
    let file = file.display().to_string();
    net.enforcer
        .output(&["apply", "--confirm", time, &file])
        .unwrap()
}

/// Runs a command that must fail, and returns its complaint.
fn failed(net: &Net, args: &[&str]) -> String {
    let output = net.enforcer.output(args).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {complaint}");
    complaint
}

/// Sends the traffic of the rows again and again, until what is wanted is seen.
fn wait_for(net: &Net, rows: &[Row]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let wanted: Vec<_> = rows.iter().map(|(.., want)| *want).collect();
    while net.see(&impatient(rows)) != wanted {
        assert!(Instant::now() < deadline, "{rows:?} is not so");
    }
}

/// The same rows, expecting silence, for which nobody waits long.
fn impatient(rows: &[Row]) -> Vec<Row> {
    let impatient = |&(from, to, service, _): &Row| (from, to, service, DROPPED);
    rows.iter().map(impatient).collect()
}

fn state_files(net: &Net) -> Vec<String> {
    let folder = net.enforcer.root().join("state");
    let router = net.lab.router().namespace();
    let mut names: Vec<String> = router.run(move || match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(_) => Vec::new(),
    });
    names.sort();
    names
}
