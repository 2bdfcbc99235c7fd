//! Doing as root what only root may do, and nothing else.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::command;

/// Set for the copy of this program that runs as root.
const PREPARED: &str = "ENFORCER_XTASK_PREPARED";

/// Whether this process may do everything.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `program`, to be run as root: through `sudo` when this process is not.
pub fn command(program: &str) -> Command {
    let words = prefix(is_root());
    let mut command = Command::new(words.first().map_or(program, String::as_str));
    if let Some((_, rest)) = words.split_first() {
        command.args(rest).arg(program);
    }
    command.env("PATH", command::path());
    command
}

/// Words before a command that make it run as root, with this environment and `PATH`.
pub fn prefix(is_root: bool) -> Vec<String> {
    if is_root {
        return Vec::new();
    }
    // `sudo` sets a `PATH` of its own, even with `-E`.
    let path = format!("PATH={}", command::path().to_string_lossy());
    ["sudo", "-E", "env", &path].map(str::to_owned).into()
}

/// Goes on as root, after `prepare` has run as the user who called.
///
/// What `prepare` builds belongs to that user. When he is not root, this program is
/// started again through `sudo` with the same arguments, and does not prepare again.
pub fn as_root(prepare: impl FnOnce() -> Result<()>) -> Result<()> {
    if env::var_os(PREPARED).is_some() {
        return Ok(());
    }
    // Before `prepare`, which may replace the file.
    let program = env::current_exe().context("cannot find this program's file")?;
    prepare()?;
    if is_root() {
        return Ok(());
    }
    let mut sudo = command(&program.to_string_lossy());
    Err(sudo.args(env::args_os().skip(1)).env(PREPARED, "1").exec())
        .context("cannot become root: `sudo` is missing")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use anyhow::bail;

    use super::*;

    #[test]
    fn root_needs_no_sudo() {
        assert!(prefix(true).is_empty());
        let words = prefix(false);
        assert_eq!(words[..3], ["sudo", "-E", "env"]);
        assert!(
            words[3].starts_with("PATH=") && words[3].contains("/usr/sbin"),
            "{words:?}"
        );
    }

    #[test]
    fn a_command_searches_the_folders_of_administrators() {
        let command = super::command("bpftool");
        let path = command.get_envs().find(|(name, _)| *name == "PATH");
        assert_eq!(
            path,
            Some((OsStr::new("PATH"), Some(command::path().as_os_str())))
        );
    }

    #[test]
    fn a_failed_preparation_goes_no_further() {
        let error = as_root(|| bail!("no compiler")).expect_err("the preparation fails");
        assert_eq!(error.to_string(), "no compiler");
    }
}
