//! Finds the Rust that builds the kernel programs.
//!
//! Stable Rust ships no `core` for the BPF target. It is either compiled along,
//! from rustup's `rust-src`, or precompiled by the distribution. A file of its own,
//! on `std` alone, because `enforcer/build.rs` uses it too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt, fs};

/// The target of the kernel programs.
pub const TARGET: &str = "bpfel-unknown-none";

/// Forces the choice: `rustup`, `debian`, or the path of a `rustc`.
pub const CHOICE: &str = "ENFORCER_EBPF_TOOLCHAIN";

/// Where Debian's `rustc-web` is.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Environment that the cargo around us sets for its own build.
///
/// Not `RUSTUP_TOOLCHAIN`: without it rustup would follow the toolchain file of whatever
/// dependency is being compiled.
const FOREIGN: [&str; 17] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// A Rust that can compile for [`TARGET`].
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The compiler itself, not a proxy of rustup.
    pub rustc: PathBuf,
    /// What `rustc -vV` prints: tells two toolchains at one path apart.
    pub version: String,
    core: Core,
}

/// Where `core` for [`TARGET`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    Precompiled,
    Source,
}

impl Toolchain {
    /// Examines one `rustc`: `None` when it cannot compile for [`TARGET`].
    pub fn examine(rustc: &Path) -> Option<Self> {
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?);
        let core = core_in(&sysroot)?;
        let rustc = sysroot.join("bin/rustc");
        let version = ask(&rustc, &["-vV"])?;
        Some(Self {
            rustc,
            version,
            core,
        })
    }

    /// The cargo of this toolchain, else the one around us.
    pub fn cargo(&self) -> OsString {
        let own = self.rustc.with_file_name("cargo");
        if own.exists() {
            return own.into();
        }
        env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }

    /// Sets `command`, a cargo, up to compile for [`TARGET`] with this toolchain.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // `aya-ebpf` uses unstable features, and so does `build-std`.
        clean(command)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
    }

    /// Arguments of `cargo build` that name the target and where `core` comes from.
    pub fn target_args(&self) -> &'static [&'static str] {
        match self.core {
            Core::Precompiled => &["--target", TARGET],
            Core::Source => &["--target", TARGET, "-Zbuild-std=core"],
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.version.lines().next().unwrap_or("rustc");
        let core = match self.core {
            Core::Precompiled => "with a precompiled core",
            Core::Source => "with rust-src",
        };
        write!(f, "{name} {core} ({})", self.rustc.display())
    }
}

/// Every `rustc` worth examining, the best first.
///
/// The one that `tools` was set up for leads, so that compiler and linker agree.
pub fn candidates(tools: &Path) -> Vec<PathBuf> {
    match env::var(CHOICE).as_deref() {
        Ok("rustup") => rustup(),
        Ok("debian") => vec![DEBIAN_RUSTC.into()],
        Ok(path) if !path.is_empty() => vec![path.into()],
        _ => {
            let mut all: Vec<_> = chosen(tools).into_iter().collect();
            all.extend(rustup());
            all.push(DEBIAN_RUSTC.into());
            all
        }
    }
}

/// The folder for the tools that this project builds for itself.
pub fn tools(workspace: &Path) -> PathBuf {
    workspace.join("target/tools")
}

/// What the linker in `tools` was built for; the first line is the path of that `rustc`.
pub fn stamp(tools: &Path) -> PathBuf {
    tools.join("bpf-linker.stamp")
}

/// The linker for [`TARGET`]: `BPF_LINKER`, else the project's own, else the one in `PATH`.
pub fn linker(tools: &Path) -> OsString {
    if let Some(path) = env::var_os("BPF_LINKER") {
        return path;
    }
    let own = tools.join("bin/bpf-linker");
    if own.exists() {
        own.into()
    } else {
        "bpf-linker".into()
    }
}

/// Removes from `command` what the cargo around us meant for its own build.
pub fn clean(command: &mut Command) -> &mut Command {
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

/// Trimmed standard output of a successful `program`.
pub fn ask(program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    // Only `RUSTUP_TOOLCHAIN` may decide what a proxy of rustup runs.
    let output = Command::new(program.as_ref())
        .env_remove("RUSTC_BOOTSTRAP")
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// The `rustc` that the linker in `tools` was built for.
fn chosen(tools: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(stamp(tools)).ok()?;
    text.lines().next().map(PathBuf::from)
}

/// The active toolchain, then those installed beside it; stable ones first.
fn rustup() -> Vec<PathBuf> {
    let active = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Some(sysroot) = ask(PathBuf::from(active), &["--print", "sysroot"]).map(PathBuf::from)
    else {
        return Vec::new();
    };
    let mut siblings = match sysroot.parent() {
        Some(parent) if parent.ends_with("toolchains") => list(parent),
        _ => Vec::new(),
    };
    // `stable` sorts after `nightly` and after version numbers.
    siblings.sort_by(|a, b| b.cmp(a));
    siblings.retain(|sibling| *sibling != sysroot);
    siblings.insert(0, sysroot);
    siblings.iter().map(|root| root.join("bin/rustc")).collect()
}

fn core_in(sysroot: &Path) -> Option<Core> {
    let rustlib = sysroot.join("lib/rustlib");
    let compiled = list(&rustlib.join(TARGET).join("lib"));
    if compiled
        .iter()
        .any(|file| file_name(file).starts_with("libcore-"))
    {
        return Some(Core::Precompiled);
    }
    let source = rustlib.join("src/rust/library/Cargo.lock");
    source.exists().then_some(Core::Source)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_is_precompiled_or_built_from_source() {
        let source = "lib/rustlib/src/rust/library/Cargo.lock";
        let compiled = "lib/rustlib/bpfel-unknown-none/lib/libcore-0123.rlib";
        let cases: [(&[&str], Option<Core>); 4] = [
            (&[], None),
            (&[source], Some(Core::Source)),
            (&[compiled], Some(Core::Precompiled)),
            (&[source, compiled], Some(Core::Precompiled)),
        ];
        for (files, want) in cases {
            let sysroot = tempfile::tempdir().unwrap();
            for file in files {
                let path = sysroot.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            assert_eq!(core_in(sysroot.path()), want, "{files:?}");
        }
    }

    #[test]
    fn the_toolchain_of_the_linker_leads() {
        let tools = tempfile::tempdir().unwrap();
        assert_eq!(chosen(tools.path()), None);
        fs::write(stamp(tools.path()), "/r/bin/rustc\nrustc 1.95.0\n").unwrap();
        assert_eq!(chosen(tools.path()), Some("/r/bin/rustc".into()));
    }

    #[test]
    fn settings_of_the_outer_build_do_not_leak() {
        let mut command = Command::new("cargo");
        clean(&mut command);
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .collect();
        assert_eq!(removed.len(), FOREIGN.len());
    }
}
