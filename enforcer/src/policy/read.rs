//! Reading typed values out of YAML nodes, with a finding for each that does
//! not fit.

use std::hash::Hash;

use super::ast::Spanned;
use super::diagnostic::{Diagnostic, DiagnosticKind};
use super::kind::Shape;
use super::seen::FirstSeen;
use super::source::Span;
use super::suggest::nearest_word;
use super::yaml::{Key, Node, Value};

/// Keys of the language that this build would not act on.
const LATER: &[&str] = &[
    "anti_spoof",
    "dns",
    "expires",
    "fastpath",
    "forwards",
    "include",
    "tests",
    "when",
];

/// Longer values are cut in messages; the source line shows them in full.
const MAX_SHOWN: usize = 60;

/// One kind of mapping and the keys that it may have.
pub struct Section {
    /// As a noun with its article.
    pub name: &'static str,
    /// What to write in its place when it is no mapping.
    pub expected: &'static str,
    pub keys: &'static [&'static str],
    /// Whether a key without a value stands for an empty mapping.
    pub may_be_null: bool,
}

/// A key whose value is one of a few words.
#[derive(Clone, Copy)]
pub struct Choice {
    pub key: &'static str,
    /// The words as prose.
    pub expected: &'static str,
    pub allowed: &'static [&'static str],
    /// Words of the language that this build would not act on.
    pub later: &'static [&'static str],
}

/// The known keys of one mapping.
#[derive(Clone, Copy)]
pub struct Fields<'n> {
    section: &'static Section,
    pairs: &'n [(Key<'n>, Node<'n>)],
    pub span: Span,
}

/// Collects what is wrong while values are read.
#[derive(Default)]
pub struct Reader {
    pub findings: Vec<Diagnostic>,
}

impl<'n> Fields<'n> {
    /// The value of `key`, if it is there.
    pub fn get(&self, key: &str) -> Option<&'n Node<'n>> {
        self.pairs
            .iter()
            .find(|(found, _)| found.text == key)
            .map(|(_, node)| node)
    }

    /// Whether an unknown key was reported as a misspelling of `key`.
    fn misspells(&self, key: &str) -> bool {
        let keys = self.section.keys;
        let unknown = self
            .pairs
            .iter()
            .filter(|(found, _)| !keys.contains(&&*found.text));
        unknown
            .into_iter()
            .any(|(found, _)| nearest_word(&found.text, keys) == Some(key))
    }
}

impl Reader {
    /// Records a finding.
    pub fn report(&mut self, kind: DiagnosticKind, span: Span) {
        self.findings.push(Diagnostic::new(kind, span));
    }

    /// Opens a mapping and reports the keys that it may not have.
    pub fn fields<'n>(
        &mut self,
        node: &'n Node<'n>,
        section: &'static Section,
    ) -> Option<Fields<'n>> {
        let pairs: &[_] = match &node.value {
            Value::Mapping(pairs) => pairs,
            Value::Null if section.may_be_null => &[],
            _ => {
                self.wrong_type(node, section.expected);
                return None;
            }
        };
        for (key, _) in pairs {
            if section.keys.contains(&&*key.text) {
                continue;
            }
            let kind = if LATER.contains(&&*key.text) {
                DiagnosticKind::NotSupported {
                    what: key.text.to_string(),
                }
            } else {
                let (section, allowed) = (section.name, section.keys);
                DiagnosticKind::UnknownKey {
                    key: shown(&key.text),
                    section,
                    allowed,
                }
            };
            self.report(kind, key.span);
        }
        Some(Fields {
            section,
            pairs,
            span: node.span,
        })
    }

    /// The value of a key that must be there; `place` is where it is missed.
    pub fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &'static str,
        place: Span,
    ) -> Option<&'n Node<'n>> {
        let found = fields.get(key);
        if found.is_none() && !fields.misspells(key) {
            let section = fields.section.name;
            self.report(DiagnosticKind::MissingKey { key, section }, place);
        }
        found
    }

    /// The pairs of a mapping whose keys the operator chooses; none if it has
    /// no value.
    pub fn named<'n>(
        &mut self,
        node: Option<&'n Node<'n>>,
        expected: &'static str,
    ) -> &'n [(Key<'n>, Node<'n>)] {
        match node.map(|node| (&node.value, node)) {
            Some((Value::Mapping(pairs), _)) => pairs,
            None | Some((Value::Null, _)) => &[],
            Some((_, node)) => {
                self.wrong_type(node, expected);
                &[]
            }
        }
    }

    /// The items of a list that may be empty or have no value.
    pub fn sequence<'n>(
        &mut self,
        node: Option<&'n Node<'n>>,
        expected: &'static str,
    ) -> &'n [Node<'n>] {
        match node.map(|node| (&node.value, node)) {
            Some((Value::Sequence(items), _)) => items,
            None | Some((Value::Null, _)) => &[],
            Some((_, node)) => {
                self.wrong_type(node, expected);
                &[]
            }
        }
    }

    /// One value, or a list of at least one.
    pub fn one_or_more<'n>(&mut self, node: &'n Node<'n>, key: &'static str) -> &'n [Node<'n>] {
        match &node.value {
            Value::Sequence(items) => {
                if items.is_empty() {
                    self.report(DiagnosticKind::EmptyList { key }, node.span);
                }
                items
            }
            _ => std::slice::from_ref(node),
        }
    }

    /// One value or a list, each item read by `read` and none twice.
    pub fn values<'n, T: Clone + Eq + Hash>(
        &mut self,
        node: &'n Node<'n>,
        key: &'static str,
        read: impl Fn(&mut Self, &'n Node<'n>) -> Option<T>,
    ) -> Vec<Spanned<T>> {
        let items = self.one_or_more(node, key);
        let mut seen = FirstSeen::new();
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let Some(value) = read(self, item) else {
                continue;
            };
            let span = item.span;
            match (seen.insert(value.clone(), span), &item.value) {
                (Some(first), Value::Scalar(text)) => {
                    let kind = DiagnosticKind::Repeated { value: shown(text) };
                    self.findings
                        .push(Diagnostic::new(kind, span).with_related(first));
                }
                _ => values.push(Spanned { value, span }),
            }
        }
        values
    }

    /// The text of a scalar.
    pub fn scalar<'n>(&mut self, node: &'n Node<'n>, expected: &'static str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text) => Some(text),
            _ => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// Text for humans, of at most `limit` characters.
    pub fn text<'n>(&mut self, node: &'n Node<'n>, limit: usize) -> Option<&'n str> {
        let text = self.scalar(node, "text")?;
        if let Some(c) = text
            .chars()
            .find(|&c| c.is_control() && c != '\n' && c != '\t')
        {
            self.report(DiagnosticKind::ControlCharacter(c), node.span);
            return None;
        }
        if text.chars().count() > limit {
            self.report(DiagnosticKind::TextTooLong { limit }, node.span);
            return None;
        }
        Some(text)
    }

    /// The word that a scalar holds, if it is one of the choice.
    pub fn choice(&mut self, node: &Node<'_>, choice: Choice) -> Option<&'static str> {
        let Value::Scalar(text) = &node.value else {
            self.wrong_type(node, choice.expected);
            return None;
        };
        let Choice {
            key,
            allowed,
            later,
            ..
        } = choice;
        let found = allowed.iter().find(|&word| word == text);
        if found.is_none() {
            let kind = if later.contains(&&**text) {
                DiagnosticKind::NotSupported {
                    what: format!("{key}: {text}"),
                }
            } else {
                DiagnosticKind::UnknownValue {
                    key,
                    value: shown(text),
                    allowed,
                }
            };
            self.report(kind, node.span);
        }
        found.copied()
    }

    /// Reports a node of the wrong shape, unless it was refused before.
    pub fn wrong_type(&mut self, node: &Node<'_>, expected: &'static str) {
        let found = match node.value {
            Value::Refused => return,
            Value::Null => Shape::Nothing,
            Value::Scalar(_) => Shape::Single,
            Value::Sequence(_) => Shape::List,
            Value::Mapping(_) => Shape::Mapping,
        };
        self.report(DiagnosticKind::WrongType { expected, found }, node.span);
    }
}

/// A value as messages show it.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
