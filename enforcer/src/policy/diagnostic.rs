//! Findings: what is wrong with a policy, where, and how bad it is.

use std::fmt;

pub use super::kind::DiagnosticKind;
use super::source::Span;

/// One finding in a policy file, addressed to the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub kind: DiagnosticKind,
    /// Bytes of the source the finding is about.
    pub span: Span,
    /// A second place that explains the first, such as the earlier definition.
    pub related: Option<Span>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is accepted.
    Warning,
}

/// All findings of one run, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    list: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A finding about one place.
    pub fn new(kind: DiagnosticKind, span: Span) -> Self {
        Self {
            kind,
            span,
            related: None,
        }
    }

    /// Adds the place that explains the first.
    pub fn with_related(self, related: Span) -> Self {
        Self {
            related: Some(related),
            ..self
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        self.kind.help()
    }
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Findings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many refuse the policy.
    pub fn errors(&self) -> usize {
        self.iter()
            .filter(|finding| finding.severity() == Severity::Error)
            .count()
    }

    /// How many do not.
    pub fn warnings(&self) -> usize {
        self.len() - self.errors()
    }

    /// Whether the policy is refused.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }
}

impl From<Diagnostic> for Findings {
    fn from(finding: Diagnostic) -> Self {
        Self {
            list: vec![finding],
        }
    }
}

impl FromIterator<Diagnostic> for Findings {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(findings: I) -> Self {
        let mut all = Self::default();
        all.extend(findings);
        all
    }
}

impl Extend<Diagnostic> for Findings {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, findings: I) {
        self.list.extend(findings);
        self.list
            .sort_by_key(|finding| (finding.span, finding.severity()));
    }
}

impl IntoIterator for Findings {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Findings {}

impl fmt::Display for Findings {
    /// Counts them: `2 errors, 1 warning`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, severity: Severity| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {}{plural}", severity.as_str())
        };
        match (self.errors(), self.warnings()) {
            (0, 0) => f.write_str("no findings"),
            (0, warnings) => f.write_str(&counted(warnings, Severity::Warning)),
            (errors, 0) => f.write_str(&counted(errors, Severity::Error)),
            (errors, warnings) => {
                let errors = counted(errors, Severity::Error);
                write!(f, "{errors}, {}", counted(warnings, Severity::Warning))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_and_counted() {
        let error = |at| Diagnostic::new(DiagnosticKind::NoZones, Span::new(at, at));
        let warning = |at| Diagnostic::new(DiagnosticKind::FailsafeEverywhere, Span::new(at, at));
        let cases: [(Vec<Diagnostic>, &str); 4] = [
            (vec![], "no findings"),
            (vec![error(1)], "1 error"),
            (vec![warning(1), warning(2)], "2 warnings"),
            (vec![error(9), warning(3), error(3)], "2 errors, 1 warning"),
        ];
        for (list, want) in cases {
            let findings: Findings = list.into_iter().collect();
            assert_eq!(findings.to_string(), want);
            assert!(
                findings.iter().is_sorted_by_key(|finding| finding.span),
                "{want}"
            );
        }
    }
}
