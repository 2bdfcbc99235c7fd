//! Arguments, output and exit codes, as far as they need no root.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_enforcer");

/// Interfaces that no machine has.
const POLICY: &str = "\
version: 1
name: test
zones:
  office: { match: [{ interface: testoff0, prefix: 192.0.2.0/25 }] }
  plant:
    match: [{ interface: testplc0, prefix: 192.0.2.128/25 }]
    intra_zone: drop
failsafe:
  - { from: 192.0.2.5/32, service: tcp/22, interface: testoff0 }
conduits:
  - { id: web, from: office, to: plant,
      services: [tcp/443, ping] }
";

#[test]
fn every_command_explains_itself_with_examples() {
    let help = succeeded(&run(&["--help"]));
    let commands = [
        "check", "apply", "confirm", "rollback", "status", "counters", "explain", "detach",
        "doctor",
    ];
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let help = succeeded(&run(&[command, "--help"]));
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(help.contains("--json"), "{command}: {help}");
    }
    for part in ["Exit codes", "--root", "sudo enforcer apply"] {
        assert!(help.contains(part), "{part}");
    }
    assert!(succeeded(&run(&["--version"])).starts_with("enforcer "));
}

#[test]
fn wrong_arguments_are_no_rejected_policy() {
    let cases: [&[&str]; 9] = [
        &[],
        &["aply"],
        &["apply"],
        &["check"],
        &["check", "--strict", "p.yaml"],
        &["explain", "--from", "192.0.2.1"],
        &["explain", "--from", "office", "--to", "192.0.2.1/ping"],
        &["counters", "extra"],
        &["counters", "--watch", "0"],
    ];
    for arguments in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_valid_policy_is_summed_up() {
    let (_folder, policy) = written(POLICY);
    let text = succeeded(&run(&["check", &policy]));
    for part in [
        ": valid",
        "2 zones",
        "1 conduit",
        "MiB",
        "interfaces it names",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let record = json(&run(&["check", "--json", &policy]));
    assert_eq!(record["valid"], true);
    assert_eq!(record["findings"].as_array().map(Vec::len), Some(0));
    assert_eq!(record["for_this_machine"], false);
    assert!(
        record["memory_bytes"]["total"].as_u64() > Some(1 << 20),
        "{record}"
    );
    assert!(record["sizes"]["blocks"].as_u64() > Some(0), "{record}");
}

#[test]
fn a_rejected_policy_shows_all_that_is_wrong() {
    let (_folder, policy) = written(
        &POLICY
            .replace("to: plant", "to: plnat")
            .replace("25 }", "24 }"),
    );
    let output = run(&["check", &policy]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [
        "plnat",
        "did you mean",
        "192.0.2.128/24",
        "^^^",
        "policy.yaml:11",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }

    let output = run(&["check", "--json", &policy]);
    assert_eq!(output.status.code(), Some(2));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["valid"], false);
    let findings = record["findings"].as_array().unwrap();
    assert!(findings.len() >= 2, "{record}");
    assert!(
        findings.iter().all(|finding| finding["line"].is_u64()),
        "{record}"
    );
}

#[test]
fn what_is_no_policy_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty"), "").unwrap();
    fs::write(path("latin1"), b"version: 1\nname: f\xfcr\n").unwrap();
    fs::copy(PROGRAM, path("binary")).unwrap();
    File::create(path("sparse"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let cases = [
        ("missing", "does not exist"),
        (".", "is a directory"),
        ("empty", "is empty"),
        ("latin1", "not UTF-8"),
        ("binary", "not a text file"),
        ("sparse", "larger than 64 MiB"),
    ];
    for (name, complaint) in cases {
        let file = path(name).display().to_string();
        let explain = [
            "explain",
            "--from",
            "192.0.2.1",
            "--to",
            "192.0.2.2/ping",
            &file,
        ];
        for arguments in [&["check", &file][..], &["apply", &file], &explain] {
            let output = run(arguments);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
            assert!(text.starts_with("error: "), "{arguments:?}: {text}");
            assert!(text.contains(complaint), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn a_policy_full_of_mistakes_is_no_crash() {
    let (_folder, policy) = written(&"- [{".repeat(100_000));
    assert_eq!(run(&["check", &policy]).status.code(), Some(2));
    let (_folder, policy) = written("version: 1\nzones: &a [*a]\n");
    assert_eq!(run(&["check", &policy]).status.code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let mut child = Command::new(PROGRAM)
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn explain_answers_without_a_router() {
    let (_folder, policy) = written(POLICY);
    let cases = [
        (
            "192.0.2.7",
            "192.0.2.200:443/tcp",
            "testoff0",
            "allow by web",
            ":11: ",
        ),
        (
            "192.0.2.7",
            "192.0.2.200/ping",
            "testoff0",
            "allow by web",
            ":12: ",
        ),
        (
            "192.0.2.7",
            "192.0.2.200:22/tcp",
            "testoff0",
            "no-conduit",
            "",
        ),
        (
            "192.0.2.200",
            "192.0.2.7:443/tcp",
            "testplc0",
            "no-conduit",
            "",
        ),
        (
            "192.0.2.200",
            "192.0.2.201:1/udp",
            "testplc0",
            "intra-zone",
            ":5: ",
        ),
        (
            "192.0.2.200",
            "192.0.2.7/ping",
            "testoff0",
            "spoofed-source",
            "",
        ),
    ];
    for (from, to, interface, verdict, line) in cases {
        let arguments = [
            "explain", "--from", from, "--to", to, "--in", interface, &policy,
        ];
        let text = succeeded(&run(&arguments));
        for part in [verdict, line] {
            assert!(text.contains(part), "{from} {to}: no {part:?} in {text}");
        }
    }
}

#[test]
fn explain_gives_json() {
    let (_folder, policy) = written(POLICY);
    let question = ["--from", "192.0.2.7", "--to", "192.0.2.200:443/tcp"];
    let arguments = [
        &["explain", "--json", "--in", "testoff0", &policy],
        &question[..],
    ];
    let record = json(&run(&arguments.concat()));
    assert_eq!(record["verdict"], "allow");
    assert_eq!(record["from"], "office");
    assert_eq!(record["to"], "plant");
    assert_eq!(record["rule"], "web");
    assert_eq!(record["reason"], Value::Null);
    assert_eq!(record["lines"][0]["line"], 11);
    assert_eq!(
        record["lines"][1]["text"],
        "      services: [tcp/443, ping] }"
    );
}

#[test]
fn explain_says_what_it_cannot_know() {
    let (_folder, policy) = written(POLICY);
    let question = ["--from", "192.0.2.7", "--to", "192.0.2.200:443/tcp"];
    let cases: [(&[&str], &str); 2] = [
        (&["explain", &policy], "--in"),
        (
            &["explain", "--in", "nosuch0", &policy],
            "no interface `nosuch0`",
        ),
    ];
    for (arguments, complaint) in cases {
        let output = run(&[arguments, &question[..]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}

#[test]
fn without_root_sudo_is_the_remedy() {
    let (folder, policy) = written(POLICY);
    let program = unprivileged(folder.path());
    for arguments in [&["apply", &policy][..], &["detach"]] {
        let output = nobody(&program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("sudo"), "{arguments:?}: {text}");
    }
    let checked = nobody(&program).args(["check", &policy]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let findings = nobody(&program)
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    assert_eq!(findings.status.code(), Some(1), "{findings:?}");
    let findings: Value = serde_json::from_slice(&findings.stdout).unwrap();
    assert_eq!(findings[0]["level"], "fail", "{findings}");
    assert!(findings[0]["remedy"].as_str().unwrap().contains("sudo"));
}

#[test]
fn a_folder_without_a_bpf_file_system_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    for command in ["status", "counters"] {
        let output = run(&["--root", &root, command]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        let remedy = format!("mount -t bpf bpf {root}/bpf");
        assert!(text.contains(&remedy), "{command}: {text}");
    }
}

/// A command that nobody in particular runs, whoever runs the tests.
fn nobody(program: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    let mut command = Command::new(program);
    // Fails unless the tests run as root; then they are unprivileged already.
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The program where everybody may run it.
///
/// Another process copies it: a child that a test beside this one starts would
/// inherit the open file, and nobody can run what is open for writing.
fn unprivileged(folder: &Path) -> PathBuf {
    let program = folder.join("enforcer");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut install = Command::new("install");
    let done = install.args(["-m", "755", PROGRAM]).arg(&program).status();
    assert!(done.unwrap().success());
    program
}

fn written(policy: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, policy).unwrap();
    (folder, path.display().to_string())
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&succeeded(output)).unwrap()
}
