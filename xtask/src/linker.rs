//! The linker for kernel programs, built for this project.
//!
//! `bpf-linker` reads the bitcode that rustc writes, so both must have the same major
//! version of LLVM. It is therefore linked against the very `libLLVM` that rustc loads,
//! which also spares installing LLVM.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, run};
use crate::toolchain::{self, Toolchain};

const VERSION: &str = "0.13.0";

/// LLVM versions that `bpf-linker` has a feature for.
const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// Builds the linker for `toolchain` unless it is there.
pub fn ensure(tools: &Path, toolchain: &Toolchain) -> Result<()> {
    let linker = toolchain::linker(tools);
    let version = toolchain::ask(&linker, &["--version"]);
    if let Some(path) = env::var_os("BPF_LINKER") {
        let version =
            version.with_context(|| format!("BPF_LINKER={} does not run", path.display()))?;
        eprintln!("linker: {version}, from BPF_LINKER");
        return Ok(());
    }
    let stamp = toolchain::stamp(tools);
    let wanted = stamp_of(toolchain);
    if let Some(version) = version
        && fs::read_to_string(&stamp).is_ok_and(|text| text == wanted)
    {
        eprintln!("linker: {version}");
        return Ok(());
    }
    eprintln!("linker: building bpf-linker {VERSION} for this toolchain, about a minute");
    build(tools, toolchain)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// LLVM major version in what `rustc -vV` prints, if `bpf-linker` can work with it.
pub fn llvm_major(version: &str) -> Result<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let major = llvm.and_then(|llvm| llvm.split('.').next()?.parse().ok());
    let major = major.context("rustc does not tell its version of LLVM")?;
    if !LLVM_MAJORS.contains(&major) {
        bail!("bpf-linker {VERSION} does not know LLVM {major}");
    }
    Ok(major)
}

fn build(tools: &Path, toolchain: &Toolchain) -> Result<()> {
    let major = llvm_major(&toolchain.version)?;
    let library = loaded_llvm(toolchain)?;
    let prefix = link_prefix(tools, &library)?;
    let folder = library.parent().expect("a library lies in a folder");
    let feature = format!("llvm-{major}");
    let mut install = cargo(&["install", "bpf-linker", "--version", VERSION]);
    install
        .args(["--locked", "--force", "--quiet"])
        .args(["--no-default-features", "--features", &feature])
        .arg("--root")
        .arg(tools);
    toolchain::clean(&mut install)
        .env("LLVM_PREFIX", prefix)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("-Clink-arg=-Wl,-rpath,{}", folder.display()),
        )
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    run(&mut install).context("cannot build bpf-linker, which links the kernel programs")
}

/// The `libLLVM` that the compiler itself loads.
fn loaded_llvm(toolchain: &Toolchain) -> Result<PathBuf> {
    let sysroot = toolchain
        .rustc
        .ancestors()
        .nth(2)
        .expect("rustc lies in a `bin` folder");
    for folder in ["lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"] {
        let entries = fs::read_dir(sysroot.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        let mut drivers = entries.filter(|file| is_driver(&file.file_name().to_string_lossy()));
        let Some(driver) = drivers.next() else {
            continue;
        };
        let listing = toolchain::ask("ldd", &[&driver.path().to_string_lossy()]);
        if let Some(path) = listing.as_deref().and_then(llvm_in) {
            return path
                .canonicalize()
                .with_context(|| format!("no {}", path.display()));
        }
    }
    bail!(
        "{} has no libLLVM that bpf-linker could share",
        toolchain.rustc.display()
    )
}

fn is_driver(name: &str) -> bool {
    name.starts_with("librustc_driver") && name.ends_with(".so")
}

/// Path of `libLLVM` in what `ldd` prints.
fn llvm_in(listing: &str) -> Option<PathBuf> {
    let line = listing
        .lines()
        .find(|line| line.trim_start().starts_with("libLLVM"))?;
    line.split_whitespace()
        .find(|word| word.starts_with('/'))
        .map(PathBuf::from)
}

/// Makes a folder that looks like an installed LLVM: `lib/libLLVM.so`.
fn link_prefix(tools: &Path, library: &Path) -> Result<PathBuf> {
    let prefix = tools.join("llvm");
    let link = prefix.join("lib/libLLVM.so");
    if prefix.exists() {
        fs::remove_dir_all(&prefix)
            .with_context(|| format!("cannot clear {}", prefix.display()))?;
    }
    fs::create_dir_all(prefix.join("lib"))
        .and_then(|()| symlink(library, &link))
        .with_context(|| format!("cannot make {}", link.display()))?;
    Ok(prefix)
}

/// Text that changes with the toolchain; its first line is the path of `rustc`.
fn stamp_of(toolchain: &Toolchain) -> String {
    format!(
        "{}\n{}\nbpf-linker {VERSION}\n",
        toolchain.rustc.display(),
        toolchain.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_version_is_read_from_rustc() {
        let cases = [
            (
                "rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2",
                Some(22),
            ),
            ("LLVM version: 21", Some(21)),
            ("LLVM version: 9.0.1", None),
            ("rustc 1.95.0", None),
            ("LLVM version: unknown", None),
        ];
        for (version, want) in cases {
            assert_eq!(llvm_major(version).ok(), want, "{version:?}");
        }
    }

    #[test]
    fn llvm_is_found_among_loaded_libraries() {
        let listing =
            "\tlinux-vdso.so.1 (0x0)\n\tlibLLVM.so.22.1 => /r/lib/libLLVM.so.22.1 (0x1)\n";
        let cases = [
            (listing, Some("/r/lib/libLLVM.so.22.1")),
            ("\tlibLLVM.so.22.1 => not found\n", None),
            ("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n", None),
        ];
        for (listing, want) in cases {
            assert_eq!(llvm_in(listing), want.map(PathBuf::from), "{listing:?}");
        }
    }
}
