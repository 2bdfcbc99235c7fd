//! The policy language: from the text of a file to a [`Policy`], or to
//! findings that tell its author what to change.
//!
//! [`yaml`] gives every value its place, [`parse`](mod@parse) knows which keys
//! exist and what their values look like, [`resolve`] knows what names mean,
//! [`overlap`] and [`lint`] look at the whole. Each pass leaves out what is
//! wrong, reports it and goes on, so that one run reports everything. Nothing
//! here does I/O, except [`Source::read`].

mod ast;
mod bound;
mod device;
pub mod diagnostic;
pub mod duration;
mod ether_type;
mod help;
pub mod kind;
pub mod limits;
mod lint;
pub mod mac;
mod measures;
mod members;
pub mod model;
pub mod names;
pub mod overlap;
mod parse;
pub mod rate;
mod reach;
mod read;
mod render;
mod resolve;
mod seen;
pub mod service;
pub mod source;
pub(crate) mod suggest;
mod values;
mod yaml;

pub use diagnostic::{Diagnostic, DiagnosticKind, Findings, Severity};
pub use model::Policy;
pub use overlap::overlaps;
pub use source::{Source, Span};

/// Reads a policy.
///
/// A valid one comes with its warnings. Otherwise the findings hold every
/// error that was found, and the warnings that hold whatever the errors are.
pub fn parse(source: &Source) -> Result<(Policy, Findings), Findings> {
    let mut findings = Vec::new();
    let policy = read(source, &mut findings);
    let findings: Findings = findings.into_iter().collect();
    match policy {
        Some(policy) if !findings.has_errors() => Ok((policy, findings)),
        _ => Err(findings),
    }
}

fn read(source: &Source, findings: &mut Vec<Diagnostic>) -> Option<Policy> {
    let root = yaml::parse(source.text(), findings)?;
    let ast = parse::parse(&root, findings)?;
    let mut policy = resolve::resolve(&ast, findings);
    if ast.name.is_none() {
        policy.name = source
            .path()
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
    }
    let valid = findings
        .iter()
        .all(|finding| finding.severity() == Severity::Warning);
    findings.extend(overlaps(&policy.zones));
    findings.extend(reach::unreachable(&policy));
    findings.extend(lint::failsafe(&ast));
    findings.extend(lint::redirects(&policy));
    findings.extend(bound::kept(&policy.zones));
    if valid {
        findings.extend(lint::unused(&ast, &policy.zones));
    }
    Some(policy)
}
