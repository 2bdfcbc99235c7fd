//! `cargo xtask ci`: what must hold before a change is merged.

use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, find, run, workspace};
use crate::setup::setup;
use crate::test;
use crate::toolchain::{self, Toolchain};

/// Lines a file may have: a longer one holds two ideas.
const LINES_MAX: usize = 400;

/// Checks form and lints, then runs every test; their summary is the end of the output.
pub fn ci() -> Result<ExitCode> {
    let toolchain = setup()?;
    component("rustfmt", "fmt")?;
    component("clippy", "clippy")?;
    step("formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    let ebpf = [
        "fmt",
        "--manifest-path",
        "enforcer-ebpf/Cargo.toml",
        "--check",
    ];
    step("formatting of enforcer-ebpf", &mut cargo(&ebpf))?;
    file_sizes()?;
    // This builds the kernel programs too.
    step("clippy", &mut clippy())?;
    step("clippy of enforcer-ebpf", &mut ebpf_clippy(&toolchain))?;
    eprintln!("== tests");
    test::run(&[])
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("== {name}");
    run(command)
}

/// Adds a component of rustup that a minimal installation lacks.
fn component(name: &str, subcommand: &str) -> Result<()> {
    let here = cargo(&[subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if here {
        return Ok(());
    }
    let rustup = find("rustup").with_context(|| format!("`cargo {subcommand}` is missing"))?;
    run(Command::new(rustup).args(["component", "add", name]))
}

fn clippy() -> Command {
    let features = "--features=enforcer/root-tests";
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        // Left out of all targets, because it runs in virtual machines only.
        "--test=vlans",
        features,
        "--",
        "-Dwarnings",
    ])
}

/// Lints the kernel programs: for the BPF target if its Rust has clippy, else for this machine.
fn ebpf_clippy(toolchain: &Toolchain) -> Command {
    let own = toolchain.rustc.with_file_name("cargo-clippy");
    let mut clippy = if own.exists() && toolchain.rustc.with_file_name("cargo").exists() {
        // Called by its path: cargo would take the active toolchain's.
        let mut clippy = Command::new(own);
        toolchain
            .prepare(&mut clippy)
            .env("CARGO", toolchain.cargo());
        clippy.arg("clippy").args(toolchain.target_args());
        clippy
    } else {
        let mut clippy = cargo(&["clippy"]);
        toolchain::clean(&mut clippy).env("RUSTC_BOOTSTRAP", "1");
        clippy
    };
    // Where the build of the kernel programs has left their dependencies.
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = workspace().join(target).join("ebpf");
    clippy
        .args(["--locked", "--release", "--target-dir"])
        .arg(target);
    clippy
        .args(["--", "-Dwarnings"])
        .current_dir(workspace().join("enforcer-ebpf"));
    clippy
}

fn file_sizes() -> Result<()> {
    eprintln!("== file sizes");
    // A checkout may belong to another user, in a container for instance.
    let args = ["-c", "safe.directory=*", "ls-files", "*.rs"];
    let listing = Command::new("git")
        .args(args)
        .current_dir(workspace())
        .output();
    let listing = listing.context("cannot run git")?;
    if !listing.status.success() {
        bail!(
            "`git ls-files` failed: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        );
    }
    let mut too_long = Vec::new();
    for name in String::from_utf8_lossy(&listing.stdout).lines() {
        // A file that is listed but gone is about to be committed as deleted.
        let Ok(text) = fs::read_to_string(workspace().join(name)) else {
            continue;
        };
        too_long.extend(excess(name, &text));
    }
    if !too_long.is_empty() {
        bail!("files above {LINES_MAX} lines: {}", too_long.join(", "));
    }
    Ok(())
}

fn excess(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{name} ({lines})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_reach_the_ceiling() {
        let cases = [
            (0, None),
            (LINES_MAX, None),
            (LINES_MAX + 1, Some("a.rs (401)".to_owned())),
        ];
        for (lines, want) in cases {
            assert_eq!(excess("a.rs", &"x\n".repeat(lines)), want, "{lines} lines");
        }
    }
}
