//! What the policy language has and this build does not act on yet: refused,
//! never ignored.

use crate::policy::model::Limits;
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy, Span};

/// Refuses a policy that asks for more than tables and programs can do.
pub(super) fn refuse(policy: &Policy) -> Result<(), Findings> {
    let mut findings: Vec<Diagnostic> = Vec::new();
    let mut missing = |is_missing: bool, what: &str, span: Span| {
        if is_missing {
            let what = what.to_owned();
            findings.push(Diagnostic::new(DiagnosticKind::NotSupported { what }, span));
        }
    };
    let Limits {
        flows, flows_new, ..
    } = Limits::default();
    let is_of_another_size = (policy.limits.flows, policy.limits.flows_new) != (flows, flows_new);
    missing(is_of_another_size, "limits.flows", Span::default());
    match findings.is_empty() {
        true => Ok(()),
        false => Err(findings.into_iter().collect()),
    }
}
