//! Builds the kernel programs and leaves their object at `$OUT_DIR/enforcer.o`.
//!
//! `EBPF_OBJECT=path` takes a ready object instead. Otherwise `../enforcer-ebpf` is
//! compiled by a Rust that `toolchain` finds and linked by `bpf-linker`;
//! `cargo xtask setup` provides both.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use toolchain::Toolchain;

/// Why there is no object.
enum Failure {
    /// One sentence for the person who builds.
    Reported(String),
    /// The compiler has said it on standard error, which cargo shows on failure only.
    Compiler,
}

fn main() -> ExitCode {
    for name in ["EBPF_OBJECT", "BPF_LINKER", toolchain::CHOICE] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    rerun_if_changed(Path::new("build.rs"));
    let object = PathBuf::from(variable("OUT_DIR")).join("enforcer.o");
    match provide(&object) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported(sentence)) => {
            println!("cargo::error={sentence}");
            ExitCode::SUCCESS
        }
        Err(Failure::Compiler) => {
            println!("cargo::error=the kernel programs in enforcer-ebpf do not build");
            ExitCode::FAILURE
        }
    }
}

fn provide(object: &Path) -> Result<(), Failure> {
    let Some(ready) = env::var_os("EBPF_OBJECT").map(PathBuf::from) else {
        return copy(&build()?, object);
    };
    rerun_if_changed(&ready);
    copy(&ready, object)
}

/// Compiles the kernel programs; the result lies in the folder that all profiles share.
fn build() -> Result<PathBuf, Failure> {
    let workspace = workspace()?;
    let tools = toolchain::tools(&workspace);
    let toolchain = find_toolchain(&tools)?;
    let linker = toolchain::linker(&tools);
    rerun_if_changed(Path::new(&linker));
    if toolchain::ask(&linker, &["--version"]).is_none() {
        let linker = linker.display();
        return missing(&format!(
            "the linker for kernel programs does not run ({linker})"
        ));
    }
    let source = workspace.join("enforcer-ebpf");
    watch(&source);
    let target_dir = target_dir();
    let mut cargo = Command::new(toolchain.cargo());
    toolchain
        .prepare(&mut cargo)
        .args([
            "build",
            "--locked",
            "--release",
            "--bin",
            "enforcer",
            "--target-dir",
        ])
        .arg(&target_dir)
        .args(toolchain.target_args())
        .current_dir(&source)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&workspace, &toolchain));
    run(&mut cargo)?;
    Ok(target_dir.join(toolchain::TARGET).join("release/enforcer"))
}

fn find_toolchain(tools: &Path) -> Result<Toolchain, Failure> {
    let candidates = toolchain::candidates(tools);
    match candidates
        .iter()
        .find_map(|rustc| Toolchain::examine(rustc))
    {
        Some(found) => Ok(found),
        None => missing("no Rust here can compile kernel programs"),
    }
}

/// Compiler flags, joined as cargo wants them.
///
/// The line tables are what BTF is made from; paths are mapped to fixed names, so
/// that the object does not depend on the folder it is built in.
fn flags(workspace: &Path, toolchain: &Toolchain) -> String {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let sysroot = toolchain.rustc.ancestors().nth(2).map(Path::to_path_buf);
    // Instruction set v3 (Linux 5.1) has 32-bit arithmetic and comparisons.
    let mut flags = vec![
        "-Ctarget-cpu=v3".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // It lets loops close by falling into their start, which Linux 6.1
        // refuses (`src/kernel/accepted.rs`).
        "-Clink-arg=--llvm-args=-disable-block-placement".to_owned(),
    ];
    let remapped = [
        (Some(workspace.into()), "/src"),
        (cargo_home, "/cargo"),
        (sysroot, "/rust"),
    ];
    for (path, name) in remapped {
        if let Some(path) = path {
            flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        }
    }
    flags.join("\x1f")
}

fn watch(source: &Path) {
    let files = ["src", "Cargo.toml", "Cargo.lock", "build.rs"];
    let common = ["../enforcer-common/src", "../enforcer-common/Cargo.toml"];
    for file in files.iter().chain(&common) {
        rerun_if_changed(&source.join(file));
    }
    rerun_if_changed(Path::new("../xtask/src/toolchain.rs"));
}

/// Watches `path`; a missing one would make cargo run this script every time.
fn rerun_if_changed(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn run(cargo: &mut Command) -> Result<(), Failure> {
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::Compiler),
        Err(error) => missing(&format!(
            "cannot run {}: {error}",
            cargo.get_program().display()
        )),
    }
}

fn missing<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::Reported(format!(
        "{what}; run `cargo xtask setup`"
    )))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = fs::copy(from, to);
    copied
        .map_err(|error| Failure::Reported(format!("cannot copy {}: {error}", from.display())))?;
    Ok(())
}

fn workspace() -> Result<PathBuf, Failure> {
    let parent = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let outside = "the source of the kernel programs is not beside this crate: set EBPF_OBJECT";
    match parent.canonicalize() {
        Ok(workspace) if workspace.join("enforcer-ebpf/Cargo.toml").exists() => Ok(workspace),
        _ => Err(Failure::Reported(outside.to_owned())),
    }
}

/// Beside the folders of the profiles, so that all of them share one build.
fn target_dir() -> PathBuf {
    let out_dir = PathBuf::from(variable("OUT_DIR"));
    // OUT_DIR is `<target>/<profile>/build/<package>/out`.
    out_dir.ancestors().nth(4).unwrap_or(&out_dir).join("ebpf")
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for build scripts")
}
