//! `enforcer explain`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use enforcer_common::verdict::DropReason;
use serde_json::{Value, json};

use crate::compile::{Numbering, compile};
use crate::controller::explain::Subject;
use crate::controller::{self, Explanation, Instance, Query};
use crate::kernel::routes::KernelRoutes;
use crate::policy::{self, Findings, Source};

use super::exit::Exit;
use super::output;

/// Say what happens to a packet, and which lines of the policy decide.
///
/// Asks the active policy, or POLICY, by the same code that judges packets in
/// the kernel, about the first packet of a flow: answers pass where it does.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer explain --from 10.0.30.7 --to 10.0.40.2:502/tcp
  enforcer explain --from 10.0.30.7 --to 10.0.40.2/ping --in eth1 policy.yaml
  enforcer explain --from fd00:30::7 --to '[fd00:40::2]:443/tcp' policy.yaml

PROTO is tcp, udp, sctp, icmp[/TYPE[/CODE]], icmpv6[/TYPE[/CODE]], ping, or the
number of an IP protocol.")]
pub struct Explain {
    /// Source address; with a port, if that matters.
    #[arg(long, value_name = "A[:PORT]")]
    from: String,
    /// Destination address, port and protocol.
    #[arg(long, value_name = "B[:PORT]/PROTO")]
    to: String,
    /// Interface that the packet comes in on; by default the one that the route
    /// back to A uses.
    #[arg(long = "in", value_name = "IFACE")]
    ingress: Option<String>,
    /// Policy file; by default the active policy.
    policy: Option<PathBuf>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let query = Query::parse(&self.from, &self.to)?;
        let subject = match &self.policy {
            None => controller::explain::active_subject(instance)?,
            Some(path) => {
                let source = Source::read(path)?;
                match compiled(source.clone())? {
                    Ok(subject) => subject,
                    Err(findings) => {
                        output::complain(&findings.render(&source));
                        return Ok(Exit::PolicyRejected);
                    }
                }
            }
        };
        let explanation = controller::explain(&subject, &query, self.ingress.as_deref())?;
        if self.json {
            output::print_json(&record(&subject, &explanation))?;
        } else {
            output::print(&self.told(&subject, &explanation))?;
        }
        Ok(Exit::Success)
    }

    fn told(&self, subject: &Subject, explanation: &Explanation) -> String {
        let Explanation { from, to, .. } = explanation;
        let to = to.as_deref().unwrap_or("(not asked)");
        let way = if explanation.comes_in {
            "in by"
        } else {
            "out by"
        };
        let mut text = format!(
            "{}\n  from  {:<16} {}, {way} {}\n  to    {:<16} {}\n",
            verdict(explanation),
            from,
            self.from,
            explanation.interface,
            to,
            self.to,
        );
        let file = subject.source.path().display();
        for line in &explanation.lines {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{file}:{}: {}", line.number, line.text.trim_end());
        }
        if !explanation.lines.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// A policy, compiled for this machine where its interfaces exist.
fn compiled(source: Source) -> anyhow::Result<Result<Subject, Findings>> {
    let (policy, _) = match policy::parse(&source) {
        Ok(parsed) => parsed,
        Err(findings) => return Ok(Err(findings)),
    };
    let (machine, is_real) = controller::machine_for(&policy);
    let image = match compile(&policy, &machine, &mut Numbering::default()) {
        Ok(image) => image,
        Err(findings) => return Ok(Err(findings)),
    };
    let routes = is_real.then(KernelRoutes::connect).transpose();
    Ok(Ok(Subject {
        source,
        policy,
        image,
        machine,
        routes: routes.context("cannot ask for routes")?,
    }))
}

fn verdict(explanation: &Explanation) -> String {
    let by = match &explanation.rule {
        Some(rule) => format!(" by {rule}"),
        None => String::new(),
    };
    match explanation.reason {
        None => format!("allow{by}"),
        Some(reason) if explanation.is_audited => format!(
            "allow{by}, but only because this is an audit; enforced, it is a drop: {}",
            reason.name()
        ),
        Some(DropReason::REJECT) => format!("reject{by}: its sender is told"),
        Some(reason) => format!("drop{by}: {}", reason.name()),
    }
}

fn record(subject: &Subject, explanation: &Explanation) -> Value {
    let lines = explanation.lines.iter();
    let lines = lines.map(|line| json!({ "line": line.number, "text": line.text }));
    json!({
        "verdict": match explanation.reason {
            None => "allow",
            Some(_) if explanation.is_audited => "audit",
            Some(DropReason::REJECT) => "reject",
            Some(_) => "drop",
        },
        "reason": explanation.reason.map(|reason| reason.name()),
        "from": explanation.from,
        "to": explanation.to,
        "rule": explanation.rule,
        "interface": explanation.interface,
        "direction": if explanation.comes_in { "in" } else { "out" },
        "policy": subject.source.path(),
        "lines": lines.collect::<Vec<_>>(),
    })
}
