//! `enforcer check`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compile::memory::{MapMemory, Memory};
use crate::compile::size::{SizeClass, Sizes};
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
  {} of kernel memory, in maps of fixed size:
{}",
        source.path().display(),
        counted(needs.zones, "zone"),
        match needs.devices {
            0 => String::new(),
            devices => format!(", {}", counted(devices, "device")),
        },
        counted(needs.conduits, "conduit"),
        sizes.blocks.div_ceil(2),
        mib(memory.total()),
        maps(memory),
    )
}

/// A line for each map.
fn maps(memory: &Memory) -> String {
    let line = |map: &MapMemory| {
        let bound = match (map.map, map.copies) {
            ("events", _) => format!("{} bytes", map.entries),
            ("control", _) => "1 entry".to_owned(),
            (_, 1) => format!("{} entries", map.entries),
            (_, cpus) => format!("{} on each of {cpus} CPUs", map.entries),
        };
        format!("    {:<17} {:>9}  {bound}\n", map.map, kib(map.bytes))
    };
    memory.maps.iter().map(line).collect()
}

fn record(findings: &Findings, source: &Source, needs: Option<&Needs>) -> Value {
    let mut record = json!({
        "policy": source.path(),
        "valid": needs.is_some(),
        "findings": findings.to_json(source),
    });
    if let Some(needs) = needs {
        record["sizes"] = json!(needs.sizes);
        let maps = needs.memory.maps.iter();
        let bytes = maps.map(|map| (map.map.to_owned(), json!(map.bytes)));
        record["memory_bytes"] = Value::Object(bytes.collect());
        record["memory_bytes"]["total"] = needs.memory.total().into();
        record["maps"] = json!(needs.memory.maps);
        record["for_this_machine"] = needs.is_for_this_machine.into();
    }
    record
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1 << 10))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
