//! What this machine can do for a policy, and what is in the way.
//!
//! [`gather`](mod@gather) looks, [`judge`] thinks: what is found depends on
//! [`Facts`] alone.

mod driver;
mod facts;
mod firewall;
mod gather;
mod interface;
mod settings;
mod slots;
mod system;

pub use facts::{Facts, InterfaceFacts, PolicyFacts};
pub use gather::gather;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was looked at: an interface or a part of the system.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; a policy can be applied.
    Warning,
    /// In the way of applying a policy.
    Bad,
}

/// What follows from the facts.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = system::findings(facts);
    findings.extend(settings::findings(facts));
    findings.extend(firewall::findings(facts));
    findings.extend(interface::findings(facts));
    findings
}

fn good(about: &str, found: impl Into<String>) -> Finding {
    Finding {
        level: Level::Good,
        about: about.to_owned(),
        found: found.into(),
        remedy: None,
    }
}

fn warning(about: &str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        level: Level::Warning,
        about: about.to_owned(),
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

fn bad(about: &str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        level: Level::Bad,
        about: about.to_owned(),
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels and texts of what is found about one thing.
    pub fn about(facts: &Facts, about: &str) -> Vec<(Level, String)> {
        let findings = judge(facts).into_iter();
        let findings = findings.filter(|finding| finding.about == about);
        findings
            .map(|finding| {
                let remedy = finding.remedy.unwrap_or_default();
                (finding.level, format!("{} | {remedy}", finding.found))
            })
            .collect()
    }

    /// Fails unless exactly one finding about something is not good, of this
    /// level and with these words in it.
    pub fn expect(facts: &Facts, topic: &str, level: Level, words: &[&str]) {
        let found = about(facts, topic);
        let wrong: Vec<_> = found
            .iter()
            .filter(|(level, _)| *level != Level::Good)
            .collect();
        let [(seen, text)] = wrong.as_slice() else {
            panic!("{topic}: {found:#?}");
        };
        assert_eq!(*seen, level, "{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text:?}");
        }
    }

    /// A machine on which nothing is in the way.
    pub fn fine() -> Facts {
        Facts::example()
    }

    #[test]
    fn a_good_machine_has_nothing_in_the_way() {
        let facts = fine();
        let findings = judge(&facts);
        assert!(findings.len() > 10, "{findings:#?}");
        for finding in findings {
            assert_eq!(finding.level, Level::Good, "{finding:?}");
        }
    }
}
