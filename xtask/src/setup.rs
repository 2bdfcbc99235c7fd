//! `cargo xtask setup`: everything that building and testing need.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{find, run, workspace};
use crate::toolchain::{self, Toolchain};
use crate::{linker, packages};

/// Debian's Rust, and its `core` for the BPF target.
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// Provides programs, a Rust for kernel programs and their linker; returns that Rust.
pub fn setup() -> Result<Toolchain> {
    packages::ensure()?;
    let tools = toolchain::tools(workspace());
    let toolchain = provide_toolchain(&tools)?;
    eprintln!("kernel programs: {toolchain}");
    linker::ensure(&tools, &toolchain)?;
    Ok(toolchain)
}

/// Takes what is installed, else adds `rust-src`, else installs Debian's Rust.
fn provide_toolchain(tools: &Path) -> Result<Toolchain> {
    if let Some(toolchain) = installed(tools) {
        return Ok(toolchain);
    }
    let choice = env::var(toolchain::CHOICE).unwrap_or_default();
    if matches!(choice.as_str(), "" | "rustup") && add_rust_src() {
        return installed(tools)
            .context("rust-src was added, and yet no Rust here compiles kernel programs");
    }
    if matches!(choice.as_str(), "" | "debian") && find("apt-get").is_some() {
        packages::install(&DEBIAN_PACKAGES, "compiling the kernel programs")?;
    }
    installed(tools).context(
        "no Rust here can compile kernel programs: that takes rustup's rust-src, \
         or Debian's rustc-web with libstd-rust-web-dev-bpf",
    )
}

/// The first toolchain that can compile kernel programs and whose LLVM the linker knows.
fn installed(tools: &Path) -> Option<Toolchain> {
    let candidates = toolchain::candidates(tools);
    let mut usable = candidates
        .iter()
        .filter_map(|rustc| Toolchain::examine(rustc));
    usable.find(|toolchain| match linker::llvm_major(&toolchain.version) {
        Ok(_) => true,
        Err(reason) => {
            eprintln!("not used for kernel programs: {toolchain}: {reason}");
            false
        }
    })
}

/// Adds the source of `core` to the active toolchain of rustup.
fn add_rust_src() -> bool {
    let Some(rustup) = find("rustup") else {
        return false;
    };
    let version = toolchain::ask("rustc", &["-vV"]).unwrap_or_default();
    if let Err(reason) = linker::llvm_major(&version) {
        eprintln!("rust-src of the active toolchain would not help: {reason}");
        return false;
    }
    eprintln!("adding rust-src, from which `core` is compiled for kernel programs");
    let added = run(Command::new(rustup).args(["component", "add", "rust-src"]));
    if let Err(error) = &added {
        eprintln!("{error}; going on without");
    }
    added.is_ok()
}
