//! What has been counted.

use crate::kernel::counters::{ConduitCount, DropCount};
use crate::kernel::set::Set;

use super::error::ControllerError;
use super::instance::Instance;

/// What has been counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// When counting began, in seconds since 1970; `None` where that is not
    /// known.
    pub since: Option<u64>,
    /// By conduit, sorted by id.
    pub conduits: Vec<ConduitCount>,
    /// By zones and reason, sorted.
    pub drops: Vec<DropCount>,
}

/// Which counts are asked for; an empty list means all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ids of conduits or built-in rules.
    pub conduits: Vec<String>,
    /// Source zones of drops.
    pub from: Vec<String>,
    /// Destination zones of drops.
    pub to: Vec<String>,
    /// Reasons of drops.
    pub reasons: Vec<String>,
}

/// What has been counted since the first apply, without zeroes.
pub fn counters(instance: &Instance, filter: &Filter) -> Result<Counters, ControllerError> {
    instance.pins.check()?;
    let number = instance
        .pins
        .current()?
        .ok_or(ControllerError::NothingActive)?;
    let set = Set::open(&instance.pins, number)?;
    let mut conduits = set.maps.conduits.read()?;
    conduits.retain(|count| filter.wants_conduit(count));
    conduits.sort_by(|a, b| a.id.cmp(&b.id));
    let mut drops = set.maps.drops.read()?;
    drops.retain(|count| filter.wants_drop(count));
    drops.sort_by(|a, b| (&a.from, &a.to, &a.reason).cmp(&(&b.from, &b.to, &b.reason)));
    Ok(Counters {
        since: set.since(),
        conduits,
        drops,
    })
}

impl Filter {
    fn wants_conduit(&self, count: &ConduitCount) -> bool {
        wants(&self.conduits, &count.id)
    }

    fn wants_drop(&self, count: &DropCount) -> bool {
        wants(&self.from, &count.from)
            && wants(&self.to, &count.to)
            && wants(&self.reasons, &count.reason)
    }
}

fn wants(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_keep_what_matches_all_of_them() {
        let drop = |from: &str, to: &str, reason: &str| DropCount {
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.to_owned(),
            packets: 1,
            bytes: 60,
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let filter = Filter {
            from: names(&["office", "guests"]),
            reasons: names(&["no-conduit"]),
            ..Filter::default()
        };
        let cases = [
            (drop("office", "plant", "no-conduit"), true),
            (drop("guests", "office", "no-conduit"), true),
            (drop("plant", "office", "no-conduit"), false),
            (drop("office", "plant", "conduit"), false),
        ];
        for (count, want) in cases {
            assert_eq!(filter.wants_drop(&count), want, "{count:?}");
            assert!(Filter::default().wants_drop(&count), "{count:?}");
        }
    }
}
