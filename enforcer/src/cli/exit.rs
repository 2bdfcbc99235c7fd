//! How a command ends.

use std::process::ExitCode;

use super::output;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Failed, and it has been said why.
    Failure,
    /// The policy is rejected, and it has been said why.
    PolicyRejected,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::from(1),
            Exit::PolicyRejected => Self::from(2),
        }
    }
}

/// The exit code of a command; says why it failed.
pub fn code(done: anyhow::Result<Exit>) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&format!("error: {error:#}\n"));
            Exit::Failure.into()
        }
    }
}

/// Shows help, or what is wrong with the arguments.
///
/// The exit code 2 that `clap` would choose means that a policy is rejected.
pub fn usage(shown: &clap::Error) -> ExitCode {
    // Nobody is left to be told when this fails.
    let _ = shown.print();
    match shown.use_stderr() {
        true => Exit::Failure.into(),
        false => Exit::Success.into(),
    }
}
