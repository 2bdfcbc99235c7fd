//! What becomes of would-be drops: whether they are dropped, or only counted.

use enforcer_common::cell::{Cell, Slot};
use enforcer_common::terms::Terms;
use enforcer_common::verdict::DropReason;

use super::numbering::Numbering;
use crate::policy::model::{Action, Conduit, Mode, Rate, RatePer, RateUnit, ZoneRef};
use crate::policy::{Diagnostic, DiagnosticKind, Findings, Policy};

/// What the zones of a pair say of their mode; the stricter one of both.
pub(super) type PairMode = Option<Mode>;

/// Of two zones `enforce` wins, then `audit`.
pub(super) fn of_pair(policy: &Policy, from: ZoneRef, to: ZoneRef) -> PairMode {
    let says = |zone| match zone {
        ZoneRef::Zone(index) => policy.zones[index].mode,
        ZoneRef::SelfZone | ZoneRef::Unknown => None,
    };
    let said = [says(from), says(to)];
    let first = |mode| said.contains(&Some(mode)).then_some(mode);
    first(Mode::Enforce).or(first(Mode::Audit))
}

/// What decides of traffic that no conduit covers.
pub(super) fn default_cell(policy: &Policy, from: ZoneRef, to: ZoneRef) -> Cell {
    let everywhere = policy.defaults.mode;
    let of_zones = of_pair(policy, from, to);
    let mode = of_zones.unwrap_or(everywhere);
    let (action, slot, reason, mode, audit_slot) = match (from, to) {
        (ZoneRef::SelfZone, _) => {
            let action = policy.defaults.self_out;
            // The audit of a zone is not about what the router starts.
            let mode = match of_zones {
                Some(Mode::Enforce) => Mode::Enforce,
                _ => everywhere,
            };
            let (slot, audit_slot) = (Slot::SELF_OUT, Slot::SELF_OUT_AUDIT);
            (action, slot, DropReason::SELF_OUT, mode, audit_slot)
        }
        (ZoneRef::Zone(zone), _) if policy.home(from) == policy.home(to) => {
            let action = policy.zones[zone].intra_zone;
            let (slot, audit_slot) = (Slot::INTRA_ZONE, Slot::INTRA_ZONE_AUDIT);
            (action, slot, DropReason::INTRA_ZONE, mode, audit_slot)
        }
        _ => {
            let (slot, audit_slot) = (Slot::NO_CONDUIT, Slot::NO_CONDUIT_AUDIT);
            (Action::Drop, slot, DropReason::NO_CONDUIT, mode, audit_slot)
        }
    };
    match (action, mode) {
        (Action::Allow, _) => Cell::allow(slot),
        (_, Mode::Enforce) => Cell::drop(slot, reason),
        (_, Mode::Audit) => Cell::drop(slot, reason).audited(audit_slot),
    }
}

/// What a conduit says of traffic between zones of some mode.
pub(super) fn cell(
    policy: &Policy,
    conduit: &Conduit,
    of_zones: PairMode,
    numbering: &Numbering,
) -> Cell {
    let mode = conduit.mode.or(of_zones).unwrap_or(policy.defaults.mode);
    let is_audited = mode == Mode::Audit;
    let slot = numbering.slot(conduit);
    let reason = match conduit.action {
        Action::Allow if !has_terms(conduit) => return Cell::allow(slot),
        Action::Allow => return Cell::on_terms(slot, is_audited),
        Action::Reject => DropReason::REJECT,
        Action::Drop => DropReason::CONDUIT,
    };
    let drop = Cell::drop(slot, reason);
    let drop = if conduit.logs() { drop } else { drop.quiet() };
    if is_audited {
        drop.audited(numbering.audit_slot(conduit))
    } else {
        drop
    }
}

/// Whether an audit can let pass what the conduit decides, under a policy.
pub(super) fn can_be_audited(policy: &Policy, conduit: &Conduit) -> bool {
    let drops = conduit.action != Action::Allow || conduit.rate.is_some();
    let audits = |mode: Option<Mode>| mode == Some(Mode::Audit);
    drops
        && conduit.mode.map_or_else(
            || {
                policy.defaults.mode == Mode::Audit
                    || policy.zones.iter().any(|zone| audits(zone.mode))
            },
            |mode| mode == Mode::Audit,
        )
}

/// Whether an allow conduit asks for more than zones and services.
fn has_terms(conduit: &Conduit) -> bool {
    conduit.action == Action::Allow && (conduit.rate.is_some() || conduit.logs())
}

/// The table of terms: those of each conduit that has some, by slot.
pub(super) fn terms(policy: &Policy, numbering: &Numbering) -> Result<Vec<u16>, Findings> {
    let mut table = Vec::new();
    let mut findings: Vec<Diagnostic> = Vec::new();
    for conduit in policy.conduits.iter().filter(|conduit| has_terms(conduit)) {
        let Some(terms) = terms_of(conduit, numbering) else {
            let kind = DiagnosticKind::BurstTooLarge {
                years: Terms::MOST_TOLERANCE_S / (365 * 86_400),
            };
            findings.push(Diagnostic::new(kind, conduit.span));
            continue;
        };
        let start = (numbering.slot(conduit).0 * Terms::HALF_WORDS) as usize;
        let end = start + Terms::HALF_WORDS as usize;
        table.resize(end.max(table.len()), 0);
        table[start..end].copy_from_slice(&half_words(&terms));
    }
    match findings.is_empty() {
        true => Ok(table),
        false => Err(findings.into_iter().collect()),
    }
}

/// `None` when the burst takes too long to save up for.
fn terms_of(conduit: &Conduit, numbering: &Numbering) -> Option<Terms> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let mut terms = match conduit.rate {
        Some(rate) => paced(&rate)?,
        None => Terms::default(),
    };
    terms.audit_slot = numbering.audit_slot(conduit);
    terms.flags |=
        flag(conduit.logs(), Terms::LOG) | flag(conduit.log == Some(false), Terms::QUIET);
    Some(terms)
}

fn paced(rate: &Rate) -> Option<Terms> {
    let mut terms = Terms::paced((rate.limit, rate.period.seconds()), rate.burst)?;
    if rate.of == RateUnit::Flows {
        terms.flags |= Terms::FLOWS;
    }
    if rate.per == RatePer::Source {
        terms.flags |= Terms::PER_SOURCE;
    }
    Some(terms)
}

/// As [`enforcer_common::lookup::terms`] reads them: the low half-words first.
fn half_words(terms: &Terms) -> [u16; Terms::HALF_WORDS as usize] {
    let quad = |value: u64| [0, 16, 32, 48].map(|shift| (value >> shift) as u16);
    let last = u64::from(terms.flags) << 32 | u64::from(terms.audit_slot.0);
    let [a, b, c] = [terms.interval, terms.tolerance, last].map(quad);
    let mut all = [0; Terms::HALF_WORDS as usize];
    all[..4].copy_from_slice(&a);
    all[4..8].copy_from_slice(&b);
    all[8..].copy_from_slice(&c);
    all
}
