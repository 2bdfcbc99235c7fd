//! A new version meets what an older one has put in force.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use xtask::lab::{Family, Service, succeeded};

use Service::Tcp;

use crate::asker::Asker;
use crate::network::{DROPPED, Net, PASSES, policy};
use crate::stream::Stream;

const CONDUITS: [&str; 2] = [
    "id: web, from: office, to: plant, services: tcp/443",
    "id: always, from: office, to: plant, services: udp/1000",
];

#[test]
fn an_older_layout_is_moved_out_of_while_every_packet_is_judged() {
    let net = Net::under(&policy(&CONDUITS));
    let forbidden = forbidden(&net);
    let streams: Vec<_> = Family::BOTH
        .map(|it| net.lab.connect("office", "plant", 443, it).unwrap())
        .map(Stream::start)
        .into();
    let asker = Asker::start(&net);
    asker.wait_exchange();
    let before = net.xdp_programs();
    pretend(&net, 1);

    let status = net.enforcer.output(&["status"]).unwrap();
    complains(
        &status,
        &["map layout 1", "enforcer apply", "without a gap"],
    );
    let file = net
        .enforcer
        .policy_file("policy", &policy(&CONDUITS))
        .unwrap();
    let applied = net.enforcer.apply_file(&file).unwrap();
    succeeded(&applied).unwrap();
    let told = String::from_utf8_lossy(&applied.stderr);
    assert!(told.contains("moved out of map layout 1"), "{told}");

    asker.wait_exchange();
    streams.iter().for_each(Stream::wait_exchange);
    asker.finish();
    streams.into_iter().for_each(Stream::finish);
    let arrived = forbidden.recv_from(&mut [0; 8]);
    assert!(arrived.is_err(), "{arrived:?}");
    assert!(before.iter().all(|old| !net.xdp_programs().contains(old)));
    assert_eq!(sets(&net), ["v3-1"]);
    assert_eq!(net.enforcer.status().unwrap()["generation"], 2);
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
    ]);
}

#[test]
fn a_move_that_cannot_be_made_leaves_the_old_programs_in_force() {
    let net = Net::under(&policy(&CONDUITS));
    pretend(&net, 1);
    let state = net.enforcer.root().join("state");
    let away = net.enforcer.root().join("away");
    let router = net.lab.router().namespace();
    let (from, to) = (state.clone(), away.clone());
    router.run(move || fs::rename(from, to).unwrap());

    complains(
        &net.enforcer.apply(&policy(&CONDUITS)).unwrap(),
        &["map layout 1", "no state file", "enforcer detach"],
    );
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
    ]);

    router.run(move || fs::rename(away, state).unwrap());
    net.apply(&policy(&CONDUITS));
    assert_eq!(sets(&net), ["v3-1"]);
}

#[test]
fn a_newer_layout_is_left_alone() {
    let net = Net::under(&policy(&CONDUITS));
    pretend(&net, 77);
    for args in [&["status"][..], &["counters"]] {
        complains(
            &net.enforcer.output(args).unwrap(),
            &["map layout 77", "newer enforcer"],
        );
    }
    complains(
        &net.enforcer.apply(&policy(&[])).unwrap(),
        &["map layout 77"],
    );
    net.expect(&[
        ("office", "plant", Tcp(443), PASSES),
        ("guests", "plant", Tcp(443), DROPPED),
    ]);
    succeeded(&net.enforcer.detach().unwrap()).unwrap();
    assert!(sets(&net).is_empty());
}

/// Makes what is in force look as if a version with another layout had made it.
fn pretend(net: &Net, layout: u32) {
    let folder = net.enforcer.root().join("bpf");
    let router = net.lab.router().namespace();
    router.run(move || {
        let target = fs::read_link(folder.join("control")).unwrap();
        let own = target.parent().unwrap().to_str().unwrap().to_owned();
        let (_, number) = own.split_once('-').unwrap();
        let other = format!("v{layout}-{number}");
        fs::rename(folder.join(&own), folder.join(&other)).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let Ok(target) = fs::read_link(&path) else {
                continue;
            };
            if target.starts_with(&own) {
                fs::remove_file(&path).unwrap();
                let name = target.file_name().unwrap();
                symlink(Path::new(&other).join(name), &path).unwrap();
            }
        }
    });
}

/// Names of the folders of sets.
fn sets(net: &Net) -> Vec<String> {
    let folder = net.enforcer.root().join("bpf");
    let router = net.lab.router().namespace();
    let mut names: Vec<String> = router.run(move || {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    });
    names.retain(|name| name.starts_with('v') && name.contains('-'));
    names
}

/// Where packets arrive that must not.
fn forbidden(net: &Net) -> UdpSocket {
    let address = SocketAddr::new(
        net.lab.address("office", "plant", Family::V4),
        Asker::FORBIDDEN,
    );
    let plant = net.lab.host("plant").namespace();
    let socket = plant.run(move || UdpSocket::bind(address)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    socket
}

fn complains(output: &Output, words: &[&str]) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "no {word:?} in {complaint}");
    }
}
