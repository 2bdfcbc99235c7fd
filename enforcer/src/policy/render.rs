//! Findings as text for a terminal, and as JSON for a program.

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
};
use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, DiagnosticKind, Findings, Severity};
use super::source::{Source, Span};

/// More findings than these are only counted.
pub const MAX_RENDERED: usize = 100;
/// Two places at most this many lines apart share one excerpt.
const SHARED_LINES: usize = 20;

impl Findings {
    /// The findings as plain text, each with its line of the source.
    pub fn render(&self, source: &Source) -> String {
        self.render_with(source, &Renderer::plain())
    }

    /// The findings as text with terminal colours.
    pub fn render_colored(&self, source: &Source) -> String {
        self.render_with(source, &Renderer::styled())
    }

    /// All findings as a JSON array of objects.
    pub fn to_json(&self, source: &Source) -> Value {
        self.iter().map(|finding| record(finding, source)).collect()
    }

    fn render_with(&self, source: &Source, renderer: &Renderer) -> String {
        let mut text = String::new();
        for finding in self.iter().take(MAX_RENDERED) {
            text.push_str(&renderer.render(&[group(finding, source)]));
            text.push_str("\n\n");
        }
        if let Some(more) = self
            .len()
            .checked_sub(MAX_RENDERED)
            .filter(|&more| more > 0)
        {
            text.push_str(&format!("… and {more} more\n\n"));
        }
        if !self.is_empty() {
            text.push_str(&format!("{}: {self}\n", source.path().display()));
        }
        text
    }
}

fn group<'a>(finding: &Diagnostic, source: &'a Source) -> Group<'a> {
    let level = match finding.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(finding.kind.to_string())
        .id(finding.kind.code());
    let primary = Mark {
        kind: AnnotationKind::Primary,
        label: None,
        span: finding.span,
    };
    let related = finding.related.map(|span| {
        let label = Some(related_label(&finding.kind));
        Mark {
            kind: AnnotationKind::Context,
            label,
            span,
        }
    });
    let line = |mark: &Mark| source.position(mark.span.start).line;
    let mut group = Group::with_title(title);
    group = match related {
        None => group.element(excerpt(source, &[primary])),
        Some(related) if line(&primary).abs_diff(line(&related)) <= SHARED_LINES => {
            group.element(excerpt(source, &[primary, related]))
        }
        Some(related) => group
            .element(excerpt(source, &[primary]))
            .element(excerpt(source, &[related])),
    };
    match finding.help() {
        Some(help) => group.element(Level::HELP.message(normalize_untrusted_str(&help))),
        None => group,
    }
}

/// A place to be underlined.
struct Mark {
    kind: AnnotationKind,
    label: Option<&'static str>,
    span: Span,
}

/// The lines that hold `marks`; a mark ends with its first line.
fn excerpt<'a>(source: &'a Source, marks: &[Mark]) -> Snippet<'a, Annotation<'a>> {
    let lines = marks
        .iter()
        .map(|mark| source.position(mark.span.start).line);
    let (first, last) = lines.fold((usize::MAX, 0), |(a, b), line| (a.min(line), b.max(line)));
    let window = source.lines(first, last);
    let annotations = marks.iter().map(|mark| {
        let line = source.position(mark.span.start).line;
        let start = mark.span.start.min(window.end);
        let end = mark.span.end.min(source.lines(line, line).end).max(start);
        let range = start - window.start..end - window.start;
        mark.kind.span(range).label(mark.label)
    });
    Snippet::source(&source.text()[window.start..window.end])
        .path(source.path().to_string_lossy())
        .line_start(first)
        .annotations(annotations)
}

fn related_label(kind: &DiagnosticKind) -> &'static str {
    match kind {
        DiagnosticKind::SelfToSelf => "the other side",
        _ => "first here",
    }
}

fn record(finding: &Diagnostic, source: &Source) -> Value {
    let place = |span: Span| {
        let (start, end) = (source.position(span.start), source.position(span.end));
        json!({
            "line": start.line,
            "column": start.column,
            "end_line": end.line,
            "end_column": end.column,
        })
    };
    let mut record = place(finding.span);
    record["code"] = finding.kind.code().into();
    record["severity"] = finding.severity().as_str().into();
    record["message"] = finding.kind.to_string().into();
    record["help"] = finding.help().into();
    record["related"] = finding.related.map(place).into();
    record
}

#[cfg(test)]
mod tests {
    use super::super::names::ConduitId;
    use super::*;

    #[test]
    fn distant_places_get_an_excerpt_each() {
        let source = Source::from_text("p.yaml", format!("a: C-1\n{}b: C-1\n", "#\n".repeat(50)));
        let kind = DiagnosticKind::DuplicateConduit {
            id: ConduitId::new("C-1").unwrap(),
        };
        let finding = Diagnostic::new(kind, Span::new(110, 113)).with_related(Span::new(3, 6));
        let text = Findings::from(finding).render(&source);
        let want = "\
error[duplicate-conduit]: conduit id `C-1` is used twice
  --> p.yaml:52:4
   |
52 | b: C-1
   |    ^^^
   |
  ::: p.yaml:1:4
   |
 1 | a: C-1
   |    --- first here
   |
   = help: counters and logs tell conduits apart by id: choose another

p.yaml: 1 error
";
        assert_eq!(text, want);
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        let source = Source::from_text("p.yaml", "version: 1\n");
        let findings = Findings::from(Diagnostic::new(DiagnosticKind::NoZones, Span::new(0, 7)));
        assert!(!findings.render(&source).contains('\x1b'));
        assert!(findings.render_colored(&source).contains('\x1b'));
    }

    #[test]
    fn json_has_every_part() {
        let source = Source::from_text("p.yaml", "version: 1\nzonen: {}\n");
        let found = super::super::parse(&source).unwrap_err();
        let want = json!([
            {
                "code": "unknown-key", "severity": "error", "line": 2, "column": 1,
                "end_line": 2, "end_column": 6, "related": null,
                "message": "`zonen` is not a key of the policy",
                "help": "did you mean `zones`? allowed: version, name, defaults, interfaces, \
                         zones, devices, services, failsafe, conduits, limits",
            },
        ]);
        assert_eq!(found.to_json(&source), want);
    }
}
