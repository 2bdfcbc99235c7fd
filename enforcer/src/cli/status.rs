//! `enforcer status`

use serde_json::{Value, json};

use crate::controller::status::{
    IngressMode, InterfaceStatus, PolicyStatus, Status as Found, WaitingStatus,
};
use crate::controller::{self, Instance};
use crate::kernel::links::Side;

use super::exit::Exit;
use super::output::{self, Table};

/// Show which policy is active, and on which interfaces.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer status
  sudo enforcer status --json | jq .generation")]
pub struct Status {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let status = controller::status(instance)?;
        if self.json {
            let inactive = json!({ "active": false });
            output::print_json(&status.as_ref().map_or(inactive, record))?;
        } else {
            let inactive = || "no policy is active; nothing is enforced\n".to_owned();
            output::print(&status.as_ref().map_or_else(inactive, summary))?;
        }
        Ok(Exit::Success)
    }
}

fn summary(status: &Found) -> String {
    let place = if status.interfaces.iter().all(is_whole) {
        "on all its interfaces"
    } else {
        "NOT on all its interfaces: apply it again"
    };
    let mut text = match &status.policy {
        Some(policy) => format!(
            "policy     {} (generation {}, {place})\nfile       {}\napplied    {} ago\nmode       {}\n",
            policy.name,
            status.generation,
            policy.path.display(),
            duration(policy.age_s),
            policy_mode(policy),
        ),
        None => format!(
            "policy     UNKNOWN (generation {}, {place})\n",
            status.generation
        ),
    };
    if let Some(damage) = &status.damage {
        text.push_str(&format!("damage     {damage}\n"));
    }
    if let Some(waiting) = &status.waiting {
        text.push_str(&format!("waits      {}\n", countdown(waiting)));
    }
    text.push('\n');
    let mut table = Table::new(&["interface", "hook", "ingress program", "egress program"]);
    for interface in &status.interfaces {
        let mode = mode(interface.ingress).to_owned();
        let [ingress, egress] = [Side::Ingress, Side::Egress].map(|side| program(interface, side));
        table.row([interface.name.clone(), mode, ingress, egress]);
    }
    text.push_str(&table.render());
    for interface in &status.interfaces {
        for owner in &interface.before_ours {
            text.push_str(&format!(
                "\nWARNING: on {} the TC program {owner} runs before ours, and may let packets by: see `enforcer doctor`\n",
                interface.name
            ));
        }
    }
    if !status.without_programs.is_empty() {
        let names = status.without_programs.join(", ");
        text.push_str(&format!("\ninterfaces without programs: {names}\n"));
    }
    let missing = status.policy.iter().flat_map(|policy| &policy.missing);
    let missing: Vec<_> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        text.push_str(&format!(
            "\nnot there yet, followed by `enforcer run`: {names}\n"
        ));
    }
    text
}

fn countdown(waiting: &WaitingStatus) -> String {
    let then = match (waiting.then, &waiting.then_policy) {
        (None, _) => "no enforcement, as before".to_owned(),
        (Some(_), Some(name)) => name.clone(),
        (Some(generation), None) => format!("generation {generation}"),
    };
    format!(
        "for confirmation, {} left; then {then}",
        duration(waiting.left_s)
    )
}

fn policy_mode(policy: &PolicyStatus) -> String {
    match (policy.audit, policy.exceptions.join(", ")) {
        (true, others) if others.is_empty() => "audit: NOTHING IS DROPPED".to_owned(),
        (true, others) => format!("audit: only enforced is {others}"),
        (false, others) if others.is_empty() => "enforce".to_owned(),
        (false, others) => format!("enforce; only counted is what {others} would drop"),
    }
}

fn is_whole(interface: &InterfaceStatus) -> bool {
    interface.programs.len() == 2
}

fn program(interface: &InterfaceStatus, side: Side) -> String {
    let mut programs = interface.programs.iter();
    match programs.find(|(found, _)| *found == side) {
        Some((_, program)) => format!("{} (id {})", program.name, program.id),
        None => "missing".to_owned(),
    }
}

fn record(status: &Found) -> Value {
    json!({
        "active": true,
        "mode": status.policy.as_ref().map(|it| if it.audit { "audit" } else { "enforce" }),
        "mode_exceptions": status.policy.as_ref().map(|it| &it.exceptions),
        "generation": status.generation,
        "policy": status.policy.as_ref().map(|it| json!({ "name": it.name, "path": it.path })),
        "applied_at": status.policy.as_ref().map(|it| it.applied_at),
        "age_s": status.policy.as_ref().map(|it| it.age_s),
        "damage": status.damage,
        "confirm": status.waiting.as_ref().map(|it| json!({
            "left_s": it.left_s,
            "then_generation": it.then,
            "then_policy": it.then_policy,
        })),
        "sizes": {
            "blocks": status.capacity.blocks,
            "slots": status.capacity.slots,
            "zone_ids": status.capacity.zones,
        },
        "interfaces": status.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "interfaces_without_programs": status.without_programs,
        "interfaces_missing": status.policy.as_ref().map(|it| &it.missing),
    })
}

fn interface(interface: &InterfaceStatus) -> Value {
    let programs = interface.programs.iter().map(|(side, program)| {
        let side = match side {
            Side::Ingress => "ingress",
            Side::Between => "handover",
            Side::Egress => "egress",
        };
        json!({ "side": side, "id": program.id, "name": program.name, "tag": program.tag })
    });
    json!({
        "name": interface.name,
        "ifindex": interface.ifindex,
        "hook": mode(interface.ingress),
        "programs": programs.collect::<Vec<_>>(),
        "before_ours": interface.before_ours.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn mode(mode: IngressMode) -> &'static str {
    match mode {
        IngressMode::Driver => "xdp",
        IngressMode::Generic => "xdp-generic",
        IngressMode::Tc => "tc",
        IngressMode::Missing => "missing",
    }
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, want) in cases {
            assert_eq!(duration(seconds), want, "{seconds}");
        }
    }
}
