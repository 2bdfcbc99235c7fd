//! What a guest does, in order.

use std::fmt;

/// Random policies, and packets under each; emulation is slow.
const VERDICTS: &str = "VERDICT_POLICIES=20 VERDICT_PACKETS=100";

/// Tests with real traffic: what depends on the kernel, and no long transfers.
const TRAFFIC: [&str; 22] = [
    "apply::a_policy_that_outgrows_its_maps_keeps_connections_and_counters",
    "apply::a_second_apply_breaks_no_permitted_connection",
    "apply::a_withdrawn_permission_stops_an_open_connection",
    "apply::counters_survive_an_apply",
    "confirm::a_rollback_returns_to_the_policy_before",
    "confirm::what_is_confirmed_stays",
    "crash::a_killed_detach_can_be_repeated",
    "crash::after_a_killed_first_apply_the_next_one_works",
    "detach::bpftool_tells_who_was_dropped_and_why",
    "detach::detach_of_nothing_is_no_mistake",
    "detach::detach_opens_the_network_and_leaves_nothing",
    "detach::status_names_policy_and_interfaces",
    "failing_apply::an_interface_with_a_program_of_another_owner_is_refused",
    "flows::answers_pass_but_new_flows_do_not",
    "flows::spoofed_sources_are_dropped",
    "follow::an_interface_that_is_made_anew_with_its_old_index_is_enforced_again",
    "hooks::a_change_of_hook_lets_nothing_through",
    "hooks::a_device_without_ethernet_is_judged_too",
    "hooks::tc_ingress_judges_as_xdp_does",
    "migrate::an_older_layout_is_moved_out_of_while_every_packet_is_judged",
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
        // The last one, because it sets the clock.
        Step::new(
            "machine",
            format!("env ENFORCER_OWN_MACHINE=1 machine {tests}"),
        ),
    ]
}
