//! What a guest printed, read again.

use std::collections::BTreeMap;

/// Verified instructions by program.
pub type Counts = BTreeMap<String, Option<u32>>;

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Step and test.
    pub name: String,
    /// It is as it should be.
    pub is_passed: bool,
}

/// What became of everything that a guest did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every step, or every test of it.
    pub outcomes: Vec<Outcome>,
    /// What the verifier followed.
    pub counts: Counts,
}

impl Report {
    /// Reads a transcript in which `steps` should be.
    pub fn read<'s>(transcript: &[String], steps: impl Iterator<Item = &'s str>) -> Self {
        let mut report = Self::default();
        for step in steps {
            report.add(step, transcript);
        }
        let ended = transcript.iter().any(|line| line == "@@ end");
        if !ended {
            report.push("the guest came to its end".to_owned(), false);
        }
        report
    }

    fn add(&mut self, step: &str, transcript: &[String]) {
        let start = format!("@@ step {step}");
        let done = format!("@@ done {step} ");
        let mut lines = transcript.iter().skip_while(|line| **line != start);
        let mut tests = 0;
        let mut failed = 0;
        let mut code = None;
        for line in lines.by_ref().skip(1) {
            if let Some(rest) = line.strip_prefix(&done) {
                code = Some(rest == "0");
                break;
            }
            if let Some((test, is_passed)) = test_result(line) {
                tests += 1;
                failed += u32::from(!is_passed);
                self.push(format!("{step}: {test}"), is_passed);
            }
            self.counts.extend(count(line));
        }
        let is_passed = code == Some(true);
        if tests == 0 || is_passed == (failed > 0) {
            self.push(step.to_owned(), is_passed && failed == 0);
        }
    }

    fn push(&mut self, name: String, is_passed: bool) {
        self.outcomes.push(Outcome { name, is_passed });
    }
}

/// `test NAME ... ok`, as the test harness prints it.
fn test_result(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, result == "ok"))
}

/// `verified NAME COUNT`, as the test of the programs prints it.
fn count(line: &str) -> Option<(String, Option<u32>)> {
    let (name, count) = line.strip_prefix("verified ")?.split_once(' ')?;
    Some((name.to_owned(), count.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_count_one_by_one_and_other_steps_as_one() {
        let lines = "\
@@ step doctor
ok    kernel
@@ done doctor 0
@@ step netns
test a ... ok
test b ... FAILED
verified enforcer_xdp 54321
verified old unknown
@@ done netns 101
@@ step vlans
test c ... ok
";
        let transcript: Vec<_> = lines.lines().map(str::to_owned).collect();
        let report = Report::read(
            &transcript,
            ["doctor", "netns", "vlans", "more"].into_iter(),
        );
        let outcomes: Vec<_> = report
            .outcomes
            .iter()
            .map(|it| (it.name.as_str(), it.is_passed))
            .collect();
        let want = [
            ("doctor", true),
            ("netns: a", true),
            ("netns: b", false),
            ("vlans: c", true),
            ("vlans", false),
            ("more", false),
            ("the guest came to its end", false),
        ];
        assert_eq!(outcomes, want);
        let counts = [("enforcer_xdp", Some(54_321)), ("old", None)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(report.counts, Counts::from(counts));
    }
}
