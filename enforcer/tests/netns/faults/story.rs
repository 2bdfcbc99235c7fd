//! A command that goes wrong, and what must be true after it.

use std::process::Output;

use xtask::lab::{Family, succeeded};

use super::remains::{Remains, nameless, remains};
use super::seam::{self, Calls, Fault};
use crate::either::{Force, apply, in_force};
use crate::network::Net;

/// A state of the installation that commands lead from and to.
pub struct State {
    force: Force,
    /// The file to apply; none to detach.
    file: Option<String>,
    /// Whether only a first apply leads there.
    is_first: bool,
}

impl State {
    /// Nothing is enforced.
    pub fn open() -> Self {
        Self {
            force: Force::Open,
            file: None,
            is_first: false,
        }
    }

    /// A policy is active.
    pub fn under(force: Force, file: &str) -> Self {
        Self {
            force,
            file: Some(file.to_owned()),
            is_first: false,
        }
    }

    /// The policy that is active was the first one.
    pub fn when_first(self) -> Self {
        Self {
            is_first: true,
            ..self
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
            let force = in_force(self.net, family);
            let is_before = force == Ok(self.before.force);
            note(force.and_then(|force| self.check(&output, force)));
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
    fn check(&self, output: &Output, force: Force) -> Result<(), String> {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complains = complaint.lines().any(|line| line.starts_with("error: "));
        let is_after = force == self.after.force;
        if !is_after && force != self.before.force {
            return Err(format!("{force:?} is in force"));
        }
        match output.status.code() {
            Some(0) if !is_after || complains => Err(format!("success, but {force:?}")),
            Some(1) if !complains => Err("no error is told".to_owned()),
            Some(1) => match complaint.contains("is active") || complaint.contains("is open") {
                says_so if says_so == is_after => Ok(()),
                _ => Err(format!(
                    "{force:?} is in force, and that is not what is told"
                )),
            },
            Some(0) | None => Ok(()),
            Some(_) => Err("no code of this kind of failure".to_owned()),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        if self.after.force == Force::Open {
            return Ok(());
        }
        match nameless(self.net) {
            none if none.is_empty() => Ok(()),
            nameless => Err(format!("without names: {nameless:?}")),
        }
    }

    /// The same command, undisturbed, does what it should have done, and clears up.
    fn repeat(&self, family: Family) -> Result<(), String> {
        let again = self.net.enforcer.output(self.args).unwrap();
        succeeded(&again).map_err(|error| error.to_string())?;
        let force = in_force(self.net, family)?;
        if force != self.after.force {
            return Err(format!("{force:?} is in force"));
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
    if state.file.is_none() || state.is_first {
        succeeded(&net.enforcer.detach().unwrap()).unwrap();
    }
    if let Some(file) = &state.file {
        apply(net, file);
    }
}
