//! What a guest does, in order.

use std::fmt;

/// Random policies, and packets under each: a hundred times as slow as here.
const VERDICTS: &str = "VERDICT_POLICIES=20 VERDICT_PACKETS=150";

/// Tests with real traffic: what depends on the kernel, and no long transfers.
const TRAFFIC: [&str; 14] = [
    "apply::a_second_apply_breaks_no_permitted_connection",
    "apply::a_withdrawn_permission_stops_an_open_connection",
    "apply::counters_survive_an_apply",
    "apply::a_policy_that_outgrows_its_maps_keeps_connections_and_counters",
    "crash::after_a_killed_first_apply_the_next_one_works",
    "detach::bpftool_tells_who_was_dropped_and_why",
    "detach::detach_of_nothing_is_no_mistake",
    "detach::detach_opens_the_network_and_leaves_nothing",
    "detach::status_names_policy_and_interfaces",
    "failing_apply::an_interface_with_a_program_of_another_owner_is_refused",
    "flows::answers_pass_but_new_flows_do_not",
    "flows::spoofed_sources_are_dropped",
    "plain::without_a_policy_everything_passes",
    "router::the_router_starts_flows_and_gets_answers",
];

const TOO_OLD: &str = "enforcer needs 5.15 or later";

/// One step: a command of the guest's shell.
pub struct Step {
    /// What it is called in the report.
    pub name: &'static str,
    command: String,
}

impl Step {
    fn new(name: &'static str, command: String) -> Self {
        Self { name, command }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} {}", self.name, self.command)
    }
}

/// The steps for a kernel that the programs are made for, or for one that is
/// too old and must be refused.
pub fn steps(is_supported: bool) -> Vec<Step> {
    if !is_supported {
        return vec![
            Step::new(
                "doctor-refuses",
                "refused 'is too old' enforcer doctor".into(),
            ),
            Step::new(
                "apply-refuses",
                format!("refused '{TOO_OLD}' enforcer apply /policy.yaml"),
            ),
        ];
    }
    let tests = "--test-threads=1 --show-output";
    vec![
        Step::new("doctor", "enforcer doctor".into()),
        Step::new("verdicts", format!("env {VERDICTS} verdicts {tests}")),
        Step::new("vlans", format!("vlans {tests}")),
        Step::new(
            "netns",
            format!("netns {tests} --exact {}", TRAFFIC.join(" ")),
        ),
    ]
}
