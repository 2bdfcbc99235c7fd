//! A command that goes wrong, and what must be true after it.

use std::process::Output;

use xtask::lab::{Family, succeeded};

use super::remains::{Remains, nameless, remains};
use super::seam::{self, Calls, Fault};
use crate::either::{Force, in_force};
use crate::network::Net;

/// A state of the installation that commands lead from and to.
pub struct State {
    truth: Truth,
    /// What leads there, from wherever.
    commands: Vec<Vec<String>>,
}

/// What is in force, and whether it waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Truth {
    force: Force,
    is_waiting: bool,
}

impl State {
    /// Nothing is enforced.
    pub fn open() -> Self {
        Self::after(Force::Open, &["detach"])
    }

    /// A policy is active.
    pub fn under(force: Force, file: &str) -> Self {
        Self::after(force, &["apply", file])
    }

    /// The policy that is active was the first one.
    pub fn when_first(mut self) -> Self {
        self.commands.insert(0, vec!["detach".to_owned()]);
        self
    }

    /// The next policy is active, and waits to be confirmed.
    pub fn then_waiting(mut self, force: Force, file: &str) -> Self {
        let is_waiting = true;
        self.truth = Truth { force, is_waiting };
        let command = ["apply", "--confirm", "1h", file].map(str::to_owned);
        self.commands.push(command.into());
        self
    }

    /// The same, also from states in which a policy waits to be confirmed.
    pub fn also_when_waiting(mut self) -> Self {
        self.commands.insert(0, vec!["confirm".to_owned()]);
        self
    }

    fn after(force: Force, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned());
        Self {
            truth: Truth {
                force,
                is_waiting: false,
            },
            commands: vec![command.collect()],
        }
    }
}

/// A command that leads from one state to another, unless it fails.
pub struct Story<'a> {
    net: &'a Net,
    before: &'a State,
    args: &'a [&'a str],
    after: &'a State,
    /// What is there in either state.
    remains: [Remains; 2],
}

impl<'a> Story<'a> {
    pub fn new(net: &'a Net, before: &'a State, args: &'a [&'a str], after: &'a State) -> Self {
        let remains = [before, after].map(|state| {
            bring(net, state);
            remains(net)
        });
        Self {
            net,
            before,
            args,
            after,
            remains,
        }
    }

    /// Counts the calls that the command makes.
    pub fn count(&self, names: &[&'static str]) -> Vec<Calls> {
        bring(self.net, self.before);
        seam::count(self.net, names, self.args)
    }

    /// Lets the command meet one fault after the other; fails with all that went
    /// wrong.
    pub fn tell(&self, faults: &[Fault]) {
        let mut wrong = String::new();
        bring(self.net, self.before);
        for (round, fault) in faults.iter().enumerate() {
            let family = Family::BOTH[round % 2];
            let output = seam::run(self.net, *fault, self.args);
            let mut note = |what: Result<(), String>| {
                if let Err(what) = what {
                    let (code, said) = (output.status, String::from_utf8_lossy(&output.stderr));
                    wrong += &format!("\n{fault:?}: {what}\n  {code}: {}", said.trim_end());
                }
            };
            let truth = self.look(family);
            let is_before = truth == Ok(self.before.truth);
            note(truth.and_then(|truth| self.check(&output, truth)));
            let remains = remains(self.net);
            if output.status.success() {
                note(same(&self.remains[1], &remains));
                note(self.check_names());
            }
            // A command after one that left no trace is as good as the first.
            if !is_before || remains != self.remains[0] || round % 8 == 0 {
                note(self.repeat(family).map_err(|what| format!("again: {what}")));
                bring(self.net, self.before);
            }
        }
        assert!(wrong.is_empty(), "{:?}:{wrong}", self.args);
    }

    /// What the command said must be what is true.
    fn check(&self, output: &Output, truth: Truth) -> Result<(), String> {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complains = complaint.lines().any(|line| line.starts_with("error: "));
        let is_after = truth == self.after.truth;
        if !is_after && truth != self.before.truth {
            return Err(format!("{truth:?}"));
        }
        match output.status.code() {
            Some(0) if !is_after || complains => Err(format!("success, but {truth:?}")),
            Some(1) if !complains => Err("no error is told".to_owned()),
            Some(1) => match complaint.contains("is active") || complaint.contains("is open") {
                says_so if says_so == is_after => Ok(()),
                _ => Err(format!("{truth:?}, and that is not what is told")),
            },
            Some(0) | None => Ok(()),
            Some(_) => Err("no code of this kind of failure".to_owned()),
        }
    }

    fn look(&self, family: Family) -> Result<Truth, String> {
        let mut truth = Truth {
            force: in_force(self.net, family)?,
            is_waiting: false,
        };
        if self.before.truth.is_waiting || self.after.truth.is_waiting {
            let status = self.net.enforcer.status();
            let status = status.map_err(|error| error.to_string())?;
            truth.is_waiting = !status["confirm"].is_null();
        }
        Ok(truth)
    }

    fn check_names(&self) -> Result<(), String> {
        if self.after.truth.force == Force::Open {
            return Ok(());
        }
        match nameless(self.net) {
            none if none.is_empty() => Ok(()),
            nameless => Err(format!("without names: {nameless:?}")),
        }
    }

    /// The same command, undisturbed, does what it should have done, and clears up.
    fn repeat(&self, family: Family) -> Result<(), String> {
        if self.before.truth.is_waiting || self.after.truth.is_waiting {
            // The same command may have nothing to do any more.
            bring(self.net, self.before);
        }
        let again = self.net.enforcer.output(self.args).unwrap();
        succeeded(&again).map_err(|error| error.to_string())?;
        match self.look(family)? {
            truth if truth != self.after.truth => return Err(format!("{truth:?}")),
            _ => {}
        }
        same(&self.remains[1], &remains(self.net))
    }
}

fn same(want: &Remains, found: &Remains) -> Result<(), String> {
    let missing: Vec<_> = want.difference(found).collect();
    let more: Vec<_> = found.difference(want).collect();
    match missing.is_empty() && more.is_empty() {
        true => Ok(()),
        false => Err(format!("missing {missing:?}, left {more:?}")),
    }
}

/// Leads to a state, from wherever.
fn bring(net: &Net, state: &State) {
    for command in &state.commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = net.enforcer.output(&words).unwrap();
        // There may be nothing to confirm.
        if words != ["confirm"] {
            succeeded(&output).unwrap();
        }
    }
}
