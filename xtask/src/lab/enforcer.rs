//! The `enforcer` program, run on the router as its user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::command;
use crate::lab::host::Host;
use crate::lab::namespace::{Namespace, mount_new};

/// Pins, state and lock; only the router sees it.
const ROOT: &str = "/run/enforcer";

/// An `enforcer` installed on a router.
#[derive(Clone)]
pub struct Enforcer {
    router: Arc<Namespace>,
    program: PathBuf,
}

impl Enforcer {
    /// Prepares `router` for `program`; nothing is enforced yet.
    pub fn install(router: &Host, program: &Path) -> Result<Self> {
        let program = program
            .canonicalize()
            .with_context(|| format!("no program {}", program.display()))?;
        let router = Arc::clone(router.namespace());
        router.run(|| {
            mount_new("tmpfs", "/run")?;
            fs::create_dir_all(format!("{ROOT}/bpf"))?;
            mount_new("bpf", &format!("{ROOT}/bpf"))
        })?;
        Ok(Self { router, program })
    }

    /// What `--root` is set to.
    pub fn root(&self) -> &'static Path {
        Path::new(ROOT)
    }

    /// Applies the policy file at `path`.
    pub fn apply_file(&self, path: &Path) -> Result<Output> {
        self.output(&["apply", &path.to_string_lossy()])
    }

    /// Applies `policy`, the text of a policy file.
    pub fn apply(&self, policy: &str) -> Result<Output> {
        self.apply_file(&self.policy_file("policy", policy)?)
    }

    /// Writes `policy` to a file on the router, for [`Enforcer::start`].
    pub fn policy_file(&self, name: &str, policy: &str) -> Result<PathBuf> {
        let path = self.root().join(name).with_extension("yaml");
        let (file, text) = (path.clone(), policy.to_owned());
        self.router.run(move || fs::write(file, text))?;
        Ok(path)
    }

    /// Opens the network again.
    pub fn detach(&self) -> Result<Output> {
        self.output(&["detach"])
    }

    /// What `status --json` prints.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status", "--json"])
    }

    /// What `counters --json` prints.
    pub fn counters(&self) -> Result<Value> {
        self.json(&["counters", "--json"])
    }

    /// Packets dropped between two zones for one reason.
    pub fn drops(&self, from: &str, to: &str, reason: &str) -> Result<u64> {
        let counters = self.counters()?;
        let drops = list(&counters, "drops")?;
        let cells = drops
            .iter()
            .filter(|cell| cell["from"] == from && cell["to"] == to && cell["reason"] == reason);
        Ok(cells.filter_map(|cell| cell["packets"].as_u64()).sum())
    }

    /// Packets that the conduit `id`, or a built-in rule, decided.
    pub fn conduit(&self, id: &str) -> Result<u64> {
        let counters = self.counters()?;
        let conduits = list(&counters, "conduits")?;
        let cells = conduits.iter().filter(|cell| cell["id"] == id);
        Ok(cells.filter_map(|cell| cell["packets"].as_u64()).sum())
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.output(args)?;
        let text = succeeded(&output)?;
        serde_json::from_str(&text).with_context(|| format!("{args:?} does not print JSON: {text}"))
    }

    /// Runs a subcommand to its end.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        Ok(self.start(args)?.wait_with_output()?)
    }

    /// Runs a subcommand to its end under another program, such as `strace` and its
    /// options.
    pub fn output_under(&self, tool: &[&str], args: &[&str]) -> Result<Output> {
        let program = self.program.to_string_lossy();
        let words = [tool, &[&program, "--root", ROOT], args].concat();
        let child = self.start_program(words[0], &words[1..])?;
        Ok(child.wait_with_output()?)
    }

    /// Starts a subcommand; its output is kept.
    pub fn start(&self, args: &[&str]) -> Result<Child> {
        let root = ["--root", ROOT];
        self.start_program(&self.program.to_string_lossy(), &[&root, args].concat())
    }

    /// Starts a subcommand with variables in its environment; its output is kept.
    pub fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Result<Child> {
        let set = variables.iter();
        let set = set.map(|(name, value)| format!("{name}={value}"));
        self.start_by("env", &set.collect::<Vec<_>>(), args)
    }

    /// Lets `program`, after its own arguments, start a subcommand; its output is kept.
    pub fn start_by(&self, program: &str, its: &[String], args: &[&str]) -> Result<Child> {
        let mut command = Command::new(program);
        command.args(its).arg(&self.program);
        command.args(["--root", ROOT]).args(args);
        self.spawn(command)
    }

    /// Runs another program, such as `bpftool`, on the router and returns what it prints.
    pub fn run_program(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self.start_program(program, args)?.wait_with_output()?;
        succeeded(&output).with_context(|| format!("{program} {}", args.join(" ")))
    }

    fn start_program(&self, program: &str, args: &[&str]) -> Result<Child> {
        let mut command = Command::new(program);
        command.args(args);
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        command.env("PATH", command::path());
        let program = command.get_program().to_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.router.run(move || command.spawn());
        child.with_context(|| format!("cannot run {}", program.display()))
    }
}

/// What a program printed, when it ended well; else an error with its complaint.
pub fn succeeded(output: &Output) -> Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        complaint.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn list<'a>(counters: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    match counters[name].as_array() {
        Some(list) => Ok(list),
        None => bail!("the counters have no {name}: {counters}"),
    }
}
