//! Completion scripts for shells.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::process::{Command, Output};

#[test]
fn shells_complete_every_command() {
    let help = printed(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for part in commands.iter().chain(&["drops", "no-conduit"]) {
            assert!(script.contains(part), "{shell}: no {part}");
        }
        match syntax_check(shell, &script) {
            Some(complaint) => assert_eq!(complaint, "", "{shell}"),
            None => assert_ne!(shell, "bash", "every Debian has bash"),
        }
    }
    assert_eq!(run(&["completions", "csh"]).status.code(), Some(1));
}

/// What a shell says against a script; `None` where there is no such shell.
fn syntax_check(shell: &str, script: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    fs::write(&path, script).unwrap();
    let option = if shell == "fish" {
        "--no-execute"
    } else {
        "-n"
    };
    let output = Command::new(shell).arg(option).arg(&path).output().ok()?;
    Some(String::from_utf8(output.stderr).unwrap())
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_enforcer");
    Command::new(program).args(arguments).output().unwrap()
}
