//! Numbers, durations, rates and limits of the policy language.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostic::DiagnosticKind;
use super::duration;
use super::limits::{self, Idle, Limits};
use super::model::Action;
use super::rate::{self, MAX_RATE, Rate, RatePer, RateUnit};
use super::read::{Choice, Fields, Reader, Section, shown};
use super::service;
use super::yaml::{Node, Value};

const LIMITS: Section = Section {
    name: "`limits`",
    expected: "a mapping such as `{ flows: 65536 }`",
    keys: &["flows", "flows_new", "idle"],
    may_be_null: true,
};
const IDLE: Section = Section {
    name: "`idle`",
    expected: "a mapping such as `{ tcp: 5d, udp: 5min }`",
    keys: &[
        "tcp",
        "tcp-opening",
        "tcp-closing",
        "tcp-closed",
        "udp",
        "icmp",
        "other",
        "unanswered",
    ],
    may_be_null: true,
};
const RATE: Section = Section {
    name: "a rate",
    expected: "a rate such as `100/s`, or a mapping such as `{ limit: 100/s, of: flows }`",
    keys: &["limit", "burst", "of", "per"],
    may_be_null: false,
};
const OF: Choice = Choice {
    key: "of",
    expected: "`packets` or `flows`",
    allowed: &["packets", "flows"],
    later: &[],
};
const PER: Choice = Choice {
    key: "per",
    expected: "`conduit` or `source`",
    allowed: &["conduit", "source"],
    later: &[],
};

impl Reader {
    /// The `limits` of a policy.
    pub(super) fn limits(&mut self, node: &Node<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(fields) = self.fields(node, &LIMITS) else {
            return limits;
        };
        let mut number = |key, place: &mut u32| {
            if let Some(node) = fields.get(key) {
                *place = self.number(node, limits::FLOWS).unwrap_or(*place);
            }
        };
        number("flows", &mut limits.flows);
        number("flows_new", &mut limits.flows_new);
        if let Some(node) = fields.get("idle") {
            self.idle(node, &mut limits.idle);
        }
        limits
    }

    fn idle(&mut self, node: &Node<'_>, idle: &mut Idle) {
        let Some(fields) = self.fields(node, &IDLE) else {
            return;
        };
        let places = [
            ("tcp", &mut idle.tcp),
            ("tcp-opening", &mut idle.tcp_opening),
            ("tcp-closing", &mut idle.tcp_closing),
            ("tcp-closed", &mut idle.tcp_closed),
            ("udp", &mut idle.udp),
            ("icmp", &mut idle.icmp),
            ("other", &mut idle.other),
            ("unanswered", &mut idle.unanswered),
        ];
        for (key, place) in places {
            if let Some(node) = fields.get(key) {
                *place = self.duration(node, limits::IDLE).unwrap_or(*place);
            }
        }
    }

    /// The `rate` of a conduit, which must allow.
    pub(super) fn rate(&mut self, fields: &Fields<'_>, action: Option<Action>) -> Option<Rate> {
        let node = fields.get("rate")?;
        if let Some(action @ (Action::Drop | Action::Reject)) = action {
            self.report(DiagnosticKind::RateOfNothing { action }, node.span);
        }
        if let Value::Scalar(_) = node.value {
            return self.simple_rate(node);
        }
        let fields = self.fields(node, &RATE)?;
        let limit = self.required(&fields, "limit", fields.span);
        let rate = limit.and_then(|node| self.simple_rate(node));
        let burst = fields.get("burst");
        let burst = burst.map(|node| self.number(node, 1..=MAX_RATE));
        let of = fields.get("of").map(|node| self.choice(node, OF));
        let per = fields.get("per").map(|node| self.choice(node, PER));
        let rate = rate?;
        Some(Rate {
            burst: burst.unwrap_or(Some(rate.burst))?,
            of: match of.unwrap_or(Some("packets"))? {
                "flows" => RateUnit::Flows,
                _ => RateUnit::Packets,
            },
            per: match per.unwrap_or(Some("conduit"))? {
                "source" => RatePer::Source,
                _ => RatePer::Conduit,
            },
            ..rate
        })
    }

    fn simple_rate(&mut self, node: &Node<'_>) -> Option<Rate> {
        let text = self.scalar(node, "a rate such as `100/s`")?;
        let rate = rate::parse(text);
        if rate.is_none() {
            self.report(DiagnosticKind::InvalidRate { text: shown(text) }, node.span);
        }
        rate.map(|(limit, period)| Rate::new(limit, period))
    }

    /// A whole number without sign.
    fn number(&mut self, node: &Node<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.scalar(node, "a whole number")?;
        let number = service::decimal(text).filter(|number| range.contains(number));
        if number.is_none() {
            let (min, max) = ((*range.start()).into(), (*range.end()).into());
            let value = shown(text);
            self.report(DiagnosticKind::BadNumber { value, min, max }, node.span);
        }
        number
    }

    fn duration(&mut self, node: &Node<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.scalar(node, "a duration such as `60s`")?;
        let found = duration::parse(text).ok();
        let found = found.filter(|duration| range.contains(duration));
        if found.is_none() {
            let (text, (min, max)) = (shown(text), range.into_inner());
            self.report(
                DiagnosticKind::InvalidDuration { text, min, max },
                node.span,
            );
        }
        found
    }
}
