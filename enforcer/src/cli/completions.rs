//! `enforcer completions`

use clap::{CommandFactory, ValueEnum};
use clap_complete::aot;

use super::exit::Exit;
use super::{Cli, output};

/// Print a script that lets a shell complete commands and options.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  enforcer completions bash | sudo tee /usr/share/bash-completion/completions/enforcer
  enforcer completions zsh | sudo tee /usr/share/zsh/site-functions/_enforcer
  enforcer completions fish | sudo tee /usr/share/fish/vendor_completions.d/enforcer.fish")]
pub struct Completions {
    /// Which shell.
    shell: Shell,
}

/// The shells that there is a script for.
#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<Exit> {
        let shell = match self.shell {
            Shell::Bash => aot::Shell::Bash,
            Shell::Zsh => aot::Shell::Zsh,
            Shell::Fish => aot::Shell::Fish,
        };
        let mut script = Vec::new();
        aot::generate(shell, &mut Cli::command(), "enforcer", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
