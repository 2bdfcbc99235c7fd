//! What a conduit says beside its zones and services.

use enforcer::policy::model::Essential;

use super::Rng;

/// Action, rate, log, mode and priority.
///
/// Equals that differ in more than their action contradict each other: where
/// there is more, the priority is one that hardly another conduit has.
pub fn keys(rng: &mut Rng) -> String {
    let action = match rng.below(10) {
        0..3 => ", action: drop".to_owned(),
        3 => ", action: reject".to_owned(),
        4 | 5 => rate(rng),
        _ => String::new(),
    };
    let log = rng.pick(&["", "", "", "", ", log: true", ", log: false"]);
    let mode = mode(rng);
    let is_special = action.contains("rate") || !log.is_empty() || !mode.is_empty();
    let priority = match is_special {
        true => format!(", priority: {}", rng.below(60_000) as i32 - 30_000),
        false if rng.percent(25) => {
            format!(", priority: {}", rng.pick(&[-32768, -1, 1, 10, 32767]))
        }
        false => String::new(),
    };
    [&action, log, mode, &priority].concat()
}

/// The mode of a zone or conduit.
pub fn mode(rng: &mut Rng) -> &'static str {
    rng.pick(&["", "", "", "", "", ", mode: audit", ", mode: enforce"])
}

/// So slow that no test sees a bucket fill up; hours divide by all of them.
fn rate(rng: &mut Rng) -> String {
    let (limit, burst) = (rng.pick(&[1, 2, 3, 4, 6]), 1 + rng.below(6));
    let of = rng.pick(&["packets", "flows"]);
    let per = rng.pick(&["conduit", "source"]);
    match rng.percent(20) {
        true => format!(", rate: {limit}/h"),
        false => format!(", rate: {{ limit: {limit}/h, burst: {burst}, of: {of}, per: {per} }}"),
    }
}

/// The essential protocols that a zone turns off: most of them, so that zones of
/// one link often agree.
pub fn essential_off(rng: &mut Rng) -> String {
    let names = Essential::NAMES.into_iter();
    let off: Vec<&str> = names.filter(|_| rng.percent(70)).collect();
    match off.is_empty() {
        true => String::new(),
        false => format!(", essential_off: [{}]", off.join(", ")),
    }
}
