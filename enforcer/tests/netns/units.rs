//! The units for systemd, and what the programs tell it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use xtask::lab::{Service, succeeded};

use Service::Tcp;

use crate::daemon::Daemon;
use crate::network::{DROPPED, Net, PASSES, Row, policy};

const WEB: &str = "id: web, from: office, to: plant, services: tcp/443";
const WEB_ONLY: [Row; 2] = [
    ("office", "plant", Tcp(443), PASSES),
    ("plant", "office", Tcp(443), DROPPED),
];

const BOOT: &str = "enforcer-boot.service";
const RUN: &str = "enforcer.service";

#[test]
fn systemd_understands_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let copies = [BOOT, RUN].map(|name| {
        let text = unit(name).replace("=/usr/local/sbin/enforcer", "=/bin/true");
        let copy = folder.path().join(name);
        fs::write(&copy, text).unwrap();
        copy
    });
    let output = analyze(&["verify", "--man=no"], &copies);
    assert_eq!(said(&output), "", "it says nothing when all is well");
    assert!(output.status.success());
}

#[test]
fn the_units_expose_little() {
    for (name, worst) in [(BOOT, "50"), (RUN, "20")] {
        let path = folder().join(name);
        let threshold = format!("--threshold={worst}");
        let output = analyze(&["security", "--offline=true", &threshold], &[path]);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

#[test]
fn the_capabilities_of_the_units_suffice() {
    let net = Net::under(&policy(&[WEB]));
    let run = net.enforcer.start_by("setpriv", &limits(RUN), &["run"]);
    let mut daemon = Daemon::of(run.unwrap());
    daemon.wait_line("is enforced on");
    net.lab.unplug("office").unwrap();
    net.lab.plug("office", 200).unwrap();
    daemon.wait_line("programs attached to off0");
    net.expect(&WEB_ONLY);
    drop(daemon);

    net.forget();
    let boot = net.enforcer.start_by("setpriv", &limits(BOOT), &["boot"]);
    let output = boot.unwrap().wait_with_output().unwrap();
    succeeded(&output).unwrap();
    net.expect(&WEB_ONLY);
}

#[test]
fn the_daemon_tells_systemd_how_it_is() {
    let net = Net::under(&policy(&[WEB]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let daemon = Daemon::of(net.enforcer.start_with(&["run"], &variables).unwrap());

    let status = "STATUS=policy `test` (generation 1) is enforced on off0, plc0, gst0";
    hear(&systemd, &format!("READY=1\n{status}"));
    for _ in 0..3 {
        hear(&systemd, "WATCHDOG=1");
    }
    net.lab.unplug("office").unwrap();
    hear(&systemd, "missing: off0");
    daemon.signal(Signal::SIGTERM);
    hear(&systemd, "STOPPING=1");
    assert!(daemon.ended().0.success());
}

/// Waits for a message that contains `text`.
fn hear(systemd: &UnixDatagram, text: &str) {
    let mut message = [0; 4096];
    let mut heard = Vec::new();
    loop {
        let len = systemd
            .recv(&mut message)
            .unwrap_or_else(|error| panic!("no `{text}` in {heard:#?}: {error}"));
        let said = String::from_utf8_lossy(&message[..len]).into_owned();
        if said.contains(text) {
            return;
        }
        heard.push(said);
    }
}

/// Arguments of `setpriv` that grant what a unit grants.
fn limits(name: &str) -> Vec<String> {
    let unit = unit(name);
    let granted = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let granted = granted.unwrap().split_whitespace().map(|capability| {
        let name = capability.strip_prefix("CAP_").unwrap().to_lowercase();
        format!(",+{name}")
    });
    let set = format!("-all{}", granted.collect::<String>());
    vec![
        "--no-new-privs".to_owned(),
        "--bounding-set".to_owned(),
        set,
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn unit(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn analyze(args: &[&str], units: &[PathBuf]) -> Output {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(args).args(units).output().unwrap()
}

fn said(output: &Output) -> String {
    let [said, complaint] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{said}{complaint}")
}
