//! `enforcer check`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compile::size::{Memory, SizeClass, Sizes};
use crate::compile::{Machine, Numbering, compile};
use crate::controller;
use crate::kernel::probe;
use crate::policy::{self, Findings, Policy, Source};

use super::exit::Exit;
use super::output;

/// Compile a policy and report what is wrong with it; change nothing.
///
/// Needs no root, and no kernel that could enforce the policy. When every
/// interface that the policy names exists here, it is compiled for this machine.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  enforcer check policy.yaml
  enforcer check --json policy.yaml | jq .findings")]
pub struct Check {
    /// Policy file.
    policy: PathBuf,
    /// Print findings and sizes as JSON.
    #[arg(long)]
    json: bool,
}

/// What a valid policy needs.
struct Needs {
    zones: usize,
    devices: usize,
    conduits: usize,
    sizes: Sizes,
    memory: Memory,
    is_for_this_machine: bool,
}

impl Check {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<Exit> {
        let source = Source::read(&self.policy)?;
        let (findings, needs) = match policy::parse(&source) {
            Err(findings) => (findings, None),
            Ok((policy, warnings)) => match needs(&policy) {
                Ok(needs) => (warnings, Some(needs)),
                Err(errors) => (warnings.into_iter().chain(errors).collect(), None),
            },
        };
        if self.json {
            output::print_json(&record(&findings, &source, needs.as_ref()))?;
        } else {
            output::complain(&findings.render(&source));
            if let Some(needs) = &needs {
                output::print(&summary(&source, &findings, needs))?;
            }
        }
        match needs {
            Some(_) => Ok(Exit::Success),
            None => Ok(Exit::PolicyRejected),
        }
    }
}

fn needs(policy: &Policy) -> Result<Needs, Findings> {
    let imagined = Machine::imagined(policy);
    let (machine, is_for_this_machine) = match imagined.interfaces.is_empty() {
        // Every machine has all of no interfaces.
        true => (imagined, false),
        false => controller::machine_for(policy),
    };
    let image = compile(policy, &machine, &mut Numbering::default())?;
    let sizes = image.sizes();
    let class = SizeClass::for_sizes(sizes).expect("the compiler keeps to the largest class");
    let devices = policy.zones.iter().filter(|zone| zone.device.is_some());
    let devices = devices.count();
    Ok(Needs {
        zones: policy.zones.len() - devices,
        devices,
        conduits: policy.conduits.len(),
        sizes,
        memory: class.memory(probe::possible_cpus()),
        is_for_this_machine,
    })
}

fn summary(source: &Source, findings: &Findings, needs: &Needs) -> String {
    let Needs { sizes, memory, .. } = needs;
    let place = match needs.is_for_this_machine {
        true => "compiled for this machine",
        false => "compiled for a machine with the interfaces it names",
    };
    format!(
        "\
{}: valid, {findings}; {place}
  {}{}, {}, {} KiB of tables
  {} of kernel memory: {} tables, {} counters, {} flows, {} fragments, {} rates and events
",
        source.path().display(),
        counted(needs.zones, "zone"),
        match needs.devices {
            0 => String::new(),
            devices => format!(", {}", counted(devices, "device")),
        },
        counted(needs.conduits, "conduit"),
        sizes.blocks.div_ceil(2),
        mib(memory.total()),
        mib(memory.tables),
        mib(memory.conduit_counters + memory.drop_counters),
        mib(memory.flows + memory.flows_new),
        mib(memory.fragments),
        mib(memory.rates + memory.events),
    )
}

fn record(findings: &Findings, source: &Source, needs: Option<&Needs>) -> Value {
    let mut record = json!({
        "policy": source.path(),
        "valid": needs.is_some(),
        "findings": findings.to_json(source),
    });
    if let Some(needs) = needs {
        record["sizes"] = json!(needs.sizes);
        record["memory_bytes"] = json!(needs.memory);
        record["memory_bytes"]["total"] = needs.memory.total().into();
        record["for_this_machine"] = needs.is_for_this_machine.into();
    }
    record
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
