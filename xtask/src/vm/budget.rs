//! How many instructions the verifier of each kernel may have to follow.
//!
//! The kernel gives up at 1,000,000. Far below that a program that suddenly
//! takes much longer is a mistake: see `docs/verifier.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::report::{Counts, Outcome};
use crate::command::workspace;

const FILE: &str = "xtask/vm-budget.json";

/// A kernel's major and minor version.
type Series = (u32, u32);

/// The budget of each program on each kernel.
pub struct Budget(BTreeMap<Series, BTreeMap<String, u32>>);

impl Budget {
    /// Reads the committed file.
    pub fn read() -> Result<Self> {
        let text = match fs::read_to_string(file()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => return Err(error).context(FILE),
        };
        let value: Value = serde_json::from_str(&text).context(FILE)?;
        let all = value
            .as_object()
            .with_context(|| format!("{FILE} is no object"))?;
        let mut budget = BTreeMap::new();
        for (series, programs) in all {
            let key = parsed(series).with_context(|| format!("{FILE}: {series}?"))?;
            let programs = programs.as_object().into_iter().flatten();
            let programs = programs.filter_map(|(name, most)| {
                Some((name.clone(), u32::try_from(most.as_u64()?).ok()?))
            });
            budget.insert(key, programs.collect());
        }
        Ok(Self(budget))
    }

    /// Takes what was counted as the measure from now on.
    pub fn update(&mut self, series: Series, counts: &Counts) {
        let counted = counts.iter();
        let counted =
            counted.filter_map(|(name, count)| Some((name.clone(), with_room((*count)?))));
        self.0.insert(series, counted.collect());
    }

    /// Writes the file.
    pub fn write(&self) -> Result<()> {
        let all = self.0.iter();
        let all =
            all.map(|((major, minor), programs)| (format!("{major}.{minor}"), json!(programs)));
        let value = Value::Object(all.collect());
        let text = serde_json::to_string_pretty(&value)? + "\n";
        fs::write(file(), text).context(FILE)
    }

    /// Compares what was counted with the budget; a kernel that has none is
    /// held to that of the newest older one.
    pub fn judge(&self, series: Series, counts: &Counts) -> Vec<Outcome> {
        let known = self.0.range(..=series).next_back();
        let programs = known.map(|(_, programs)| programs);
        let judged = counts.iter().map(|(name, count)| {
            let most = programs.and_then(|programs| programs.get(name));
            let (text, is_passed) = match (count, most) {
                (None, _) => ("not counted before Linux 5.16".to_owned(), true),
                (Some(count), Some(most)) => (format!("{count} of {most}"), count <= most),
                (Some(count), None) => (format!("{count}, without a budget"), false),
            };
            Outcome {
                name: format!("verified instructions of {name}: {text}"),
                is_passed,
            }
        });
        judged.collect()
    }
}

fn file() -> PathBuf {
    workspace().join(FILE)
}

fn parsed(series: &str) -> Option<Series> {
    let (major, minor) = series.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A sixth more, in two digits: room for a small change, not for a mistake.
fn with_room(count: u32) -> u32 {
    let most = count + count / 6 + 1;
    let step = 10_u32.pow(most.ilog10().saturating_sub(1));
    most.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_room_for_a_sixth() {
        let cases = [(2, 3), (20, 24), (54_321, 64_000), (857_142, 1_000_000)];
        for (count, most) in cases {
            assert_eq!(with_room(count), most, "{count}");
        }
    }

    #[test]
    fn a_new_kernel_is_held_to_the_budget_of_the_last() {
        let mut budget = Budget(BTreeMap::new());
        let counts = |count| Counts::from([("xdp".to_owned(), count)]);
        budget.update((6, 1), &counts(Some(100)));
        budget.update((6, 12), &counts(Some(1_000)));
        let cases = [
            ((6, 1), Some(120), true),
            ((6, 1), Some(121), false),
            ((6, 6), Some(121), false),
            ((7, 2), Some(1_000), true),
            ((7, 2), None, true),
            ((5, 15), Some(1), false),
        ];
        for (series, count, is_passed) in cases {
            let outcomes = budget.judge(series, &counts(count));
            assert_eq!(outcomes[0].is_passed, is_passed, "{series:?} {count:?}");
        }
    }
}
