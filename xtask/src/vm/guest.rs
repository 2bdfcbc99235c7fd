//! What runs in the virtual machine: its first file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cpio::Archive;
use super::kernel::Kernel;
use super::steps::Step;
use super::tools::Tools;
use crate::command::{cargo, workspace};

const INIT: &str = include_str!("init.sh");

/// What the tests call.
const PROGRAMS: [&str; 5] = ["bpftool", "ethtool", "ip", "jq", "nft"];

/// What the verdict tests read.
const DATA: &str = "enforcer/tests/data/pcap";

/// The files that are the same for every kernel.
pub struct Guest {
    /// Path in the guest, and content.
    files: Vec<(String, Vec<u8>)>,
}

impl Guest {
    /// Builds `enforcer` and the tests, and collects what they call.
    pub fn build(tools: &Tools) -> Result<Self> {
        let built = build()?;
        let mut guest = Self { files: Vec::new() };
        let busybox = tools.program("busybox")?;
        guest.program("/bin/busybox", &busybox, tools)?;
        for (name, file) in &built {
            guest.program(&format!("/usr/bin/{name}"), file, tools)?;
            if name == "enforcer" {
                // Where the tests look for it.
                guest.add(&file.to_string_lossy(), file)?;
            }
        }
        for name in PROGRAMS {
            let file = tools.program(name)?;
            guest.program(&format!("/usr/bin/{name}"), &file, tools)?;
        }
        guest.add("/policy.yaml", &workspace().join("policies/iot.yaml"))?;
        for entry in fs::read_dir(workspace().join(DATA))? {
            let file = entry?.path();
            guest.add(&file.to_string_lossy(), &file)?;
        }
        Ok(guest)
    }

    /// The file system in which a kernel takes `steps`.
    pub fn archive(&self, kernel: &Kernel, steps: &[Step]) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.file("/init", INIT.as_bytes());
        archive.link("/bin/sh", "busybox");
        archive.folder("/tmp");
        let lines: String = steps.iter().map(|step| format!("{step}\n")).collect();
        archive.file("/steps", lines.as_bytes());
        for (number, (name, module)) in kernel.modules()?.iter().enumerate() {
            archive.file(&format!("/modules/{number:03}-{name}.ko"), module);
        }
        for (path, content) in &self.files {
            archive.file(path, content);
        }
        Ok(archive.finish())
    }

    /// Adds a program and the libraries that it is linked with.
    fn program(&mut self, path: &str, file: &Path, tools: &Tools) -> Result<()> {
        self.add(path, file)?;
        for library in libraries(file, tools)? {
            let place = tools.installed_place(&library);
            if !self.files.iter().any(|(known, _)| *known == place) {
                self.add(&place, Path::new(&library))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, file: &Path) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.files.push((path.to_owned(), content));
        Ok(())
    }
}

/// Builds the programs of the guest; tells name and file of each.
fn build() -> Result<Vec<(String, PathBuf)>> {
    let mut args = vec!["test", "--no-run", "--message-format=json"];
    args.extend(["--package=enforcer", "--features=enforcer/root-tests"]);
    args.extend(["--bin=enforcer", "--test=verdicts", "--test=netns"]);
    args.extend(["--test=vlans", "--test=machine"]);
    let mut tests = cargo(&args);
    let output = tests.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests do not build");
    let mut built = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line)?;
        let is_test = message["profile"]["test"] == true;
        let kind = &message["target"]["kind"][0];
        let (Some(name), Some(file)) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) else {
            continue;
        };
        // The binary itself, not the tests inside it.
        if kind == "test" && is_test || kind == "bin" && !is_test {
            built.push((name.to_owned(), PathBuf::from(file)));
        }
    }
    for name in ["enforcer", "verdicts", "netns", "vlans", "machine"] {
        if !built.iter().any(|(found, _)| found == name) {
            bail!("cargo did not say where {name} is");
        }
    }
    Ok(built)
}

/// Paths of the shared libraries of a program, the loader among them.
fn libraries(program: &Path, tools: &Tools) -> Result<Vec<String>> {
    let mut ldd = Command::new("ldd");
    let output = tools.prepare(&mut ldd).arg(program).output();
    let output = output.context("cannot run `ldd`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split_whitespace();
    Ok(words
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect())
}
