//! YAML as a small tree in which every node knows its place.
//!
//! A policy needs scalars, lists and mappings. Everything else that YAML
//! offers (anchors, tags, several documents) is refused here, so that what a
//! reader sees is what the policy says, and no file unfolds into more than its
//! own size.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::kind::YamlFeature;
use super::seen::FirstSeen;
use super::source::Span;

/// How deep lists and mappings may be nested.
const MAX_DEPTH: usize = 32;

/// One value and its place.
#[derive(Debug)]
pub struct Node<'a> {
    pub span: Span,
    pub value: Value<'a>,
}

/// What a node holds.
#[derive(Debug)]
pub enum Value<'a> {
    /// Text as written, whatever type YAML might see in it.
    Scalar(Cow<'a, str>),
    /// A key without a value, `~` or `null`.
    Null,
    Sequence(Vec<Node<'a>>),
    /// Keys are unique, in the order of the file.
    Mapping(Vec<(Key<'a>, Node<'a>)>),
    /// Refused, and reported; nothing more is to be said about it.
    Refused,
}

impl Node<'_> {
    /// Whether there is no value, or a mapping without keys.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Mapping(pairs) => pairs.is_empty(),
            _ => false,
        }
    }
}

/// The key of a mapping.
#[derive(Debug)]
pub struct Key<'a> {
    pub text: Cow<'a, str>,
    pub span: Span,
}

/// Reads the one document of `text`.
///
/// Returns `None` when there is no tree to go on with; `findings` then says
/// why.
pub fn parse<'a>(text: &'a str, findings: &mut Vec<Diagnostic>) -> Option<Node<'a>> {
    // The scanner takes NUL for the end of its input.
    if let Some(at) = text.find('\0') {
        let problem = "it holds a NUL byte".to_owned();
        findings.push(Diagnostic::new(
            DiagnosticKind::InvalidYaml { problem },
            Span::new(at, at),
        ));
        return None;
    }
    let parser = Parser::new_from_str(text);
    let mut builder = Builder {
        text,
        parser,
        offsets: Offsets::new(text),
        findings,
    };
    builder.document().ok()
}

/// The events of one text on their way into a tree.
struct Builder<'a, 'f> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    offsets: Offsets,
    findings: &'f mut Vec<Diagnostic>,
}

/// Reading cannot go on; the reason is among the findings.
struct Abort;

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Result<Node<'a>, Abort> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    self.refuse(YamlFeature::Documents, span);
                    return Err(Abort);
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Nothing => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        root.filter(|node| !matches!(node.value, Value::Null))
            .ok_or_else(|| {
                self.findings
                    .push(Diagnostic::new(DiagnosticKind::NoPolicy, Span::default()));
                Abort
            })
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node<'a>, Abort> {
        if depth > MAX_DEPTH {
            let kind = DiagnosticKind::TooDeep { limit: MAX_DEPTH };
            self.findings.push(Diagnostic::new(kind, span));
            return Err(Abort);
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                let value = match style {
                    ScalarStyle::Plain if is_null(&text) => Value::Null,
                    _ => Value::Scalar(text),
                };
                Ok(Node { span, value })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.sequence(span, depth)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.mapping(span, depth)
            }
            _ => {
                self.refuse(YamlFeature::Aliases, span);
                Ok(Node {
                    span,
                    value: Value::Refused,
                })
            }
        }
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Result<Node<'a>, Abort> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let last = items.last().map_or(start, |item: &Node<'_>| item.span);
                let span = self.whole(start, last, span);
                return Ok(Node {
                    span,
                    value: Value::Sequence(items),
                });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Node<'a>, Abort> {
        let mut pairs = Vec::new();
        let mut last = start;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let span = self.whole(start, last, span);
                self.drop_duplicates(&mut pairs);
                return Ok(Node {
                    span,
                    value: Value::Mapping(pairs),
                });
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let mut value = self.node(event, span, depth + 1)?;
            if matches!(value.value, Value::Null) {
                // An absent value has no place of its own.
                value.span = key.span;
            }
            last = value.span;
            match key.value {
                Value::Scalar(text) => pairs.push((
                    Key {
                        text,
                        span: key.span,
                    },
                    value,
                )),
                Value::Refused => {}
                _ => self.refuse(YamlFeature::Keys, key.span),
            }
        }
    }

    /// The span of a list or mapping, from its start to its closing bracket
    /// or, in block style, to its last value.
    fn whole(&self, start: Span, last: Span, end: Span) -> Span {
        // A closing bracket; the parser counts blanks after it as its own.
        let closed = end.start < end.end && self.text[end.start..].starts_with([']', '}']);
        let end = if closed { end.start + 1 } else { last.end };
        Span::new(start.start, end.max(start.end))
    }

    /// Keeps the first of equal keys.
    fn drop_duplicates(&mut self, pairs: &mut Vec<(Key<'a>, Node<'a>)>) {
        let mut seen = FirstSeen::new();
        pairs.retain(|(key, _)| {
            let Some(first) = seen.insert(key.text.clone(), key.span) else {
                return true;
            };
            let kind = DiagnosticKind::DuplicateKey {
                key: key.text.to_string(),
            };
            self.findings
                .push(Diagnostic::new(kind, key.span).with_related(first));
            false
        });
    }

    fn refuse_properties(&mut self, anchor: usize, tagged: bool, span: Span) {
        if anchor != 0 {
            self.refuse(YamlFeature::Anchors, span);
        }
        if tagged {
            self.refuse(YamlFeature::Tags, span);
        }
    }

    fn refuse(&mut self, feature: YamlFeature, span: Span) {
        self.findings
            .push(Diagnostic::new(DiagnosticKind::YamlFeature(feature), span));
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Abort> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let start = self.offsets.byte(self.text, span.start);
                let end = self.offsets.byte(self.text, span.end).max(start);
                Ok((event, Span::new(start, end)))
            }
            Some(Err(error)) => {
                let at = self.offsets.byte(self.text, *error.marker());
                let problem = error.info().to_owned();
                let kind = DiagnosticKind::InvalidYaml { problem };
                self.findings.push(Diagnostic::new(kind, Span::new(at, at)));
                Err(Abort)
            }
            None => Err(Abort),
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Turns the parser's offsets, which count characters, into bytes.
struct Offsets {
    /// Byte offset of every [`STEP`]th character; empty when all are ASCII.
    steps: Vec<usize>,
}

const STEP: usize = 64;

impl Offsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self { steps: Vec::new() };
        }
        Self {
            steps: text
                .char_indices()
                .step_by(STEP)
                .map(|(at, _)| at)
                .collect(),
        }
    }

    fn byte(&self, text: &str, marker: Marker) -> usize {
        let index = marker.index();
        if self.steps.is_empty() {
            return index.min(text.len());
        }
        let Some(&start) = self.steps.get(index / STEP) else {
            return text.len();
        };
        let mut rest = text[start..].char_indices();
        rest.nth(index % STEP)
            .map_or(text.len(), |(at, _)| start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_bytes_of_the_text() {
        let text = "# Grüße, 世界: ½ ✓\r\nа: [ß1, 'q',\t\"x\"] # ä\nb:\n  - c: d\u{e9}\n    e: ü # é\n\
                    # ö\n  - f\ng: { h: fd00::/8, i: [] }\nj:\n- ä\n";
        let mut findings = Vec::new();
        let root = parse(text, &mut findings).unwrap();
        assert_eq!(findings, []);
        let mut spans = Vec::new();
        collect(&root, &mut spans);
        let got: Vec<&str> = spans
            .iter()
            .map(|span| &text[span.start..span.end])
            .collect();
        let want = [
            &text[text.find('а').unwrap()..text.len() - 1],
            "а",
            "[ß1, 'q',\t\"x\"]",
            "ß1",
            "'q'",
            "\"x\"",
            "b",
            "- c: dé\n    e: ü # é\n# ö\n  - f",
            "c: dé\n    e: ü",
            "c",
            "dé",
            "e",
            "ü",
            "f",
            "g",
            "{ h: fd00::/8, i: [] }",
            "h",
            "fd00::/8",
            "i",
            "[]",
            "j",
            "ä",
            "ä",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn what_a_policy_does_not_need_is_refused() {
        let deep = "[".repeat(100);
        let cases = [
            ("a: &x 1\nb: *x\n", "YAML anchors;YAML aliases"),
            ("a: !!str 1\n", "YAML tags"),
            ("a: 1\n---\nb: 2\n", "YAML documents after the first"),
            ("? [a]\n: 1\n", "YAML keys that are not plain words"),
            ("a: 1\nb: 2\na: 3\n", "key `a` appears twice"),
            (&deep, "lists and mappings are nested more than 32 deep"),
            ("", "the file holds no policy"),
            ("# only a comment\n", "the file holds no policy"),
            ("~\n", "the file holds no policy"),
            ("a: [1\n", "this is not valid YAML"),
            (
                "a: 1\n\0b: 2\n",
                "this is not valid YAML: it holds a NUL byte",
            ),
        ];
        for (text, want) in cases {
            let mut findings = Vec::new();
            parse(text, &mut findings);
            let got: Vec<String> = findings
                .iter()
                .map(|found| found.kind.to_string())
                .collect();
            let want: Vec<&str> = want.split(';').collect();
            assert_eq!(got.len(), want.len(), "{text:?}: {got:?}");
            for (got, want) in got.iter().zip(want) {
                assert!(got.starts_with(want), "{text:?}: {got}");
            }
        }
    }

    fn collect(node: &Node<'_>, spans: &mut Vec<Span>) {
        spans.push(node.span);
        match &node.value {
            Value::Sequence(items) => items.iter().for_each(|item| collect(item, spans)),
            Value::Mapping(pairs) => pairs.iter().for_each(|(key, value)| {
                spans.push(key.span);
                collect(value, spans);
            }),
            _ => {}
        }
    }
}
