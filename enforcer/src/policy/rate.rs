//! Rates: how much of what a conduit allows may pass.

use std::fmt;

use super::service::decimal;

/// The highest `limit` and `burst` of a rate.
pub const MAX_RATE: u32 = 1_000_000_000;

/// How much of what a conduit allows passes; the rest is dropped.
///
/// Counted is what initiators send, the first packet and later ones; answers
/// are not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// How much passes in a period, 1 to [`MAX_RATE`].
    pub limit: u32,
    /// The period.
    pub period: Period,
    /// How much passes at once after a pause, 1 to [`MAX_RATE`].
    pub burst: u32,
    /// What is counted.
    pub of: RateUnit,
    /// Who shares the rate.
    pub per: RatePer,
}

/// The period of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// `/s`.
    Second,
    /// `/min`.
    Minute,
    /// `/h`.
    Hour,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateUnit {
    /// Every packet of an initiator.
    #[default]
    Packets,
    /// Packets that open a flow.
    Flows,
}

/// Who shares a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RatePer {
    /// All that the conduit allows.
    #[default]
    Conduit,
    /// Each source address has the rate for itself.
    Source,
}

impl Period {
    /// Its length.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
}

impl Rate {
    /// A rate with everything else as it is by default.
    pub fn new(limit: u32, period: Period) -> Self {
        Self {
            limit,
            period,
            burst: limit,
            of: RateUnit::default(),
            per: RatePer::default(),
        }
    }
}

/// Reads `100/s`, `100/min` or `100/h`.
pub(super) fn parse(text: &str) -> Option<(u32, Period)> {
    let (limit, period) = text.split_once('/')?;
    let period = match period {
        "s" => Period::Second,
        "min" => Period::Minute,
        "h" => Period::Hour,
        _ => return None,
    };
    let limit = decimal(limit).filter(|limit| (1..=MAX_RATE).contains(limit))?;
    Some((limit, period))
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_strictly() {
        let cases = [
            ("1/s", Some((1, Period::Second))),
            ("100/min", Some((100, Period::Minute))),
            ("1000000000/h", Some((1_000_000_000, Period::Hour))),
            ("1000000001/s", None),
            ("0/s", None),
            ("010/s", None),
            ("/s", None),
            ("100", None),
            ("100/d", None),
            ("100 / s", None),
            ("-1/s", None),
            ("1.5/s", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text:?}");
        }
    }
}
