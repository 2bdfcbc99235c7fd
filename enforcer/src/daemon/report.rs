//! What the daemon says of each change: one line.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::controller::{ControllerError, Refreshed};
use crate::kernel::in_one_line;

/// What was found the last time.
#[derive(Default)]
pub struct Report {
    last: Option<Result<Option<Refreshed>, String>>,
}

impl Report {
    /// What to say of a look at the machine; `None` when nothing has changed.
    pub fn line(&mut self, found: Result<Option<Refreshed>, ControllerError>) -> Option<String> {
        let found = found.map_err(|error| in_one_line(&error));
        let line = match (&self.last, &found) {
            (Some(Ok(Some(last))), Ok(Some(now))) if *last == timeless(now.clone()) => None,
            (Some(last), found) if last == found => None,
            (_, Err(error)) => Some(error.clone()),
            (_, Ok(None)) => Some("no policy is active: waiting for one".to_owned()),
            (Some(Ok(Some(last))), Ok(Some(now))) if last.policy == now.policy => change(last, now),
            (_, Ok(Some(now))) => Some(summary(now)),
        };
        self.last = Some(found.map(|found| found.map(settled)));
        line
    }

    /// What is in force, for `systemctl status`.
    pub fn status(&self) -> String {
        match &self.last {
            None => "starting".to_owned(),
            Some(Err(error)) => error.clone(),
            Some(Ok(None)) => "no policy is active".to_owned(),
            Some(Ok(Some(found))) => summary(found),
        }
    }

    /// Whether something failed that may succeed later without any news.
    pub fn is_unfinished(&self) -> bool {
        match &self.last {
            Some(Ok(Some(found))) => !found.refused.is_empty(),
            Some(Ok(None)) | None => false,
            Some(Err(_)) => true,
        }
    }
}

/// What the next look at the same machine finds.
fn settled(found: Refreshed) -> Refreshed {
    Refreshed {
        is_new: false,
        attached: Vec::new(),
        ..timeless(found)
    }
}

/// Time that passes is no news.
fn timeless(found: Refreshed) -> Refreshed {
    Refreshed {
        confirm_in: found.confirm_in.map(|_| Duration::ZERO),
        ..found
    }
}

fn summary(found: &Refreshed) -> String {
    let place = match found.interfaces.as_slice() {
        [] => "no interface".to_owned(),
        interfaces => interfaces.join(", "),
    };
    let mut parts = vec![format!(
        "policy `{}` (generation {}) is enforced on {place}",
        found.policy, found.generation
    )];
    parts.extend(shortcomings(found));
    parts.join("; ")
}

/// What differs; nothing where the tables do not tell the difference.
fn change(last: &Refreshed, now: &Refreshed) -> Option<String> {
    let mut parts = Vec::new();
    if !now.attached.is_empty() {
        parts.push(format!("programs attached to {}", now.attached.join(", ")));
    }
    let names = |found: &Refreshed| found.interfaces.iter().cloned().collect::<BTreeSet<_>>();
    let gone = joined(names(last).difference(&names(now)));
    if !gone.is_empty() {
        parts.push(format!("programs are gone from {gone}"));
    }
    let (before, after): (Vec<_>, Vec<_>) =
        (shortcomings(last).collect(), shortcomings(now).collect());
    parts.extend(after.into_iter().filter(|part| !before.contains(part)));
    if last.confirm_in.is_some() && now.confirm_in.is_none() {
        parts.push("it no longer waits to be confirmed".to_owned());
    }
    if last.missing != now.missing && now.missing.is_empty() {
        parts.push("every interface of the policy is there".to_owned());
    }
    if parts.is_empty() {
        if last.generation == now.generation {
            return None;
        }
        parts.push("interfaces or addresses have changed".to_owned());
    }
    Some(format!(
        "generation {}: {}",
        now.generation,
        parts.join("; ")
    ))
}

/// Where a policy is not enforced as it is written.
fn shortcomings(found: &Refreshed) -> impl Iterator<Item = String> {
    let missing = joined(&found.missing);
    let kept = joined(&found.kept);
    let missing = (!missing.is_empty()).then(|| format!("missing: {missing}"));
    let kept = (!kept.is_empty())
        .then(|| format!("programs stay on {kept}, which the policy does not name now"));
    let waits = found.confirm_in.is_some();
    let waits =
        waits.then(|| "it waits to be confirmed; until then nothing is followed".to_owned());
    let refused = found.refused.iter();
    let refused = refused.map(|(name, why)| format!("NOT enforced on {name}: {why}"));
    let parts = waits.into_iter().chain(missing).chain(kept);
    parts.chain(refused)
}

fn joined<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let names: Vec<_> = names.into_iter().map(String::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(generation: u32, interfaces: &[&str]) -> Refreshed {
        Refreshed {
            policy: "p".to_owned(),
            generation,
            is_new: false,
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
            attached: Vec::new(),
            missing: BTreeSet::new(),
            kept: BTreeSet::new(),
            refused: Vec::new(),
            confirm_in: None,
        }
    }

    #[test]
    fn each_change_is_one_line_and_no_change_is_none() {
        let mut report = Report::default();
        let lost = Refreshed {
            missing: BTreeSet::from(["b".to_owned()]),
            ..found(2, &["a"])
        };
        let refused = Refreshed {
            attached: vec!["b".to_owned()],
            refused: vec![("c".to_owned(), "busy".to_owned())],
            ..found(3, &["a", "b"])
        };
        let cases = [
            (Ok(None), Some("no policy is active: waiting for one")),
            (Ok(None), None),
            (
                Ok(Some(found(1, &["a", "b"]))),
                Some("policy `p` (generation 1) is enforced on a, b"),
            ),
            (Ok(Some(found(1, &["a", "b"]))), None),
            (
                Ok(Some(lost)),
                Some("generation 2: programs are gone from b; missing: b"),
            ),
            (
                Ok(Some(refused)),
                Some(
                    "generation 3: programs attached to b; NOT enforced on c: busy; every interface of the policy is there",
                ),
            ),
            (
                Ok(Some(found(4, &["a", "b"]))),
                Some("generation 4: interfaces or addresses have changed"),
            ),
            (
                Err(ControllerError::NothingActive),
                Some("no policy is active: run `enforcer apply POLICY`"),
            ),
            (Err(ControllerError::NothingActive), None),
        ];
        for (index, (next, want)) in cases.into_iter().enumerate() {
            assert_eq!(report.line(next).as_deref(), want, "{index}");
        }
        assert!(report.is_unfinished());
    }
}
