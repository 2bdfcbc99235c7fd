//! `enforcer events`

use std::fmt::Write;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use enforcer_common::verdict::DropReason;
use enforcer_common::wire::protocol;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use serde_json::{Value, json};

use crate::controller::Instance;
use crate::controller::events::{Done, Follower, Packet, Told};

use super::exit::Exit;
use super::output;
use super::time::rfc3339_ms;
use super::watch::{stop_signals, written};

/// Follow what happens to single packets, as it happens.
///
/// Events are samples: drops, rejects, what an audit let pass, and flows of
/// conduits with `log: true`, up to 1,000 a second for each CPU. How many were
/// not told is said; `enforcer counters` counts all. It begins with what has
/// happened since somebody last looked, as far as that was kept.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer events
  sudo enforcer events --drops --from cameras
  sudo enforcer events --reason spoofed-source --json | jq -c '[.interface, .source]'")]
pub struct Events {
    /// Only packets that were dropped or rejected.
    #[arg(long)]
    drops: bool,
    /// Only packets from this zone.
    #[arg(long, value_name = "ZONE")]
    from: Option<String>,
    /// Only packets to this zone.
    #[arg(long, value_name = "ZONE")]
    to: Option<String>,
    /// Only packets that were, or would have been, dropped for this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Print a JSON object for each event.
    #[arg(long)]
    json: bool,
}

/// How often it is looked whether events were lost.
const LOOK: Duration = Duration::from_secs(1);

impl Events {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        self.check_reason()?;
        let stop = stop_signals().context("cannot wait for signals")?;
        let mut follower = Follower::new(instance)?;
        self.check_zones(&follower)?;
        let mut looked_at = Instant::now();
        loop {
            while let Some(event) = follower.next_event()? {
                if self.wants(&event) && !written(&self.text(&event)?)? {
                    return Ok(Exit::Success);
                }
                if looked_at.elapsed() >= LOOK {
                    break;
                }
            }
            if looked_at.elapsed() >= LOOK {
                looked_at = Instant::now();
                let lost = follower.lost()?;
                if lost != 0 && !written(&self.loss(lost))? {
                    return Ok(Exit::Success);
                }
                if !follower.goes_on()? {
                    output::complain("no policy is active any more; nothing is enforced\n");
                    return Ok(Exit::Success);
                }
            }
            if ends(&stop, &follower, LOOK.saturating_sub(looked_at.elapsed()))? {
                return Ok(Exit::Success);
            }
        }
    }

    fn check_reason(&self) -> anyhow::Result<()> {
        let Some(wanted) = &self.reason else {
            return Ok(());
        };
        let names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        if !names.contains(&wanted.as_str()) {
            bail!(
                "`{wanted}` is no drop reason; they are {}",
                names.join(", ")
            );
        }
        Ok(())
    }

    fn check_zones(&self, follower: &Follower<'_>) -> anyhow::Result<()> {
        for wanted in self.from.iter().chain(&self.to) {
            if !follower.zones().any(|zone| zone == wanted) {
                let zones: Vec<_> = follower.zones().collect();
                bail!(
                    "there is no zone `{wanted}`; there are {}",
                    zones.join(", ")
                );
            }
        }
        Ok(())
    }

    fn wants(&self, event: &Told) -> bool {
        let is_drop = matches!(event.verdict, Done::Drop | Done::Reject);
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        (is_drop || !self.drops)
            && is(&self.from, Some(&event.from))
            && is(&self.to, event.to.as_deref())
            && is(&self.reason, event.reason.map(DropReason::name))
    }

    fn text(&self, event: &Told) -> anyhow::Result<String> {
        match self.json {
            true => Ok(serde_json::to_string(&record(event))? + "\n"),
            false => Ok(line(event)),
        }
    }

    fn loss(&self, lost: u64) -> String {
        match self.json {
            true => format!("{}\n", json!({ "lost": lost })),
            false => format!("{lost} more events were not told of; the counters have them\n"),
        }
    }
}

/// Waits for events; whether a signal came instead, or the reader of standard
/// output went away.
fn ends(stop: &SignalFd, follower: &Follower<'_>, wait: Duration) -> anyhow::Result<bool> {
    let stdout = io::stdout();
    // A part of a millisecond is waited for too.
    let wait = wait + Duration::from_micros(999);
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    let mut waited = [
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        // Only what needs no asking for: that the other end is closed.
        PollFd::new(stdout.as_fd(), PollFlags::empty()),
        PollFd::new(follower.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut waited, timeout) {
        Ok(_) => Ok(waited[..2].iter().any(|one| one.any().unwrap_or(false))),
        Err(nix::Error::EINTR) => Ok(false),
        Err(error) => Err(error).context("cannot wait for events"),
    }
}

fn line(event: &Told) -> String {
    let mut text = format!(
        "{} {:<6} {} -> {}",
        rfc3339_ms(event.at),
        event.verdict.name(),
        event.from,
        event.to.as_deref().unwrap_or("-"),
    );
    // Writing to a string cannot fail.
    if let Some(reason) = event.reason {
        let _ = write!(text, " {}", reason.name());
    }
    if let Some(rule) = &event.rule {
        let _ = write!(text, " by {rule}");
    }
    if let Some(packet) = &event.packet {
        let _ = write!(text, ": {}", described(packet));
    }
    let way = if event.comes_in { "in by" } else { "out by" };
    let _ = write!(text, ", {way} {}", event.interface);
    match (event.tags.outer, event.tags.inner) {
        (0, _) => {}
        (outer, 0) => {
            let _ = write!(text, " vlan {outer}");
        }
        (outer, inner) => {
            let _ = write!(text, " vlan {outer}.{inner}");
        }
    }
    let _ = writeln!(text, ", {} bytes", event.bytes);
    text
}

fn described(packet: &Packet) -> String {
    let Packet {
        source,
        destination,
        service,
        source_port,
        ..
    } = *packet;
    match packet.protocol {
        Some(protocol::ICMP | protocol::ICMPV6) => {
            let [kind, code] = service.to_be_bytes();
            format!("{source} -> {destination} {}/{kind}/{code}", name(packet))
        }
        Some(protocol::TCP | protocol::UDP | protocol::SCTP) => {
            let (from, to) = (end(source, source_port), end(destination, service));
            format!("{from} -> {to}/{}", name(packet))
        }
        _ => format!("{source} -> {destination} {}", name(packet)),
    }
}

fn end(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn name(packet: &Packet) -> String {
    let Some(protocol) = packet.protocol else {
        return "arp".to_owned();
    };
    match protocol {
        protocol::ICMP => "icmp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::SCTP => "sctp".to_owned(),
        number => format!("proto/{number}"),
    }
}

fn record(event: &Told) -> Value {
    let mut record = json!({
        "time": rfc3339_ms(event.at),
        "verdict": event.verdict.name(),
        "reason": event.reason.map(DropReason::name),
        "from": event.from,
        "to": event.to,
        "rule": event.rule,
        "interface": event.interface,
        "direction": if event.comes_in { "in" } else { "out" },
        "vlan": [event.tags.outer, event.tags.inner],
        "bytes": event.bytes,
    });
    if let Some(packet) = &event.packet {
        record["source"] = packet.source.to_string().into();
        record["destination"] = packet.destination.to_string().into();
        record["protocol"] = json!(packet.protocol);
        record["source_port"] = packet.source_port.into();
        record["service"] = packet.service.into();
    }
    record
}

#[cfg(test)]
mod tests {
    use enforcer_common::question::Tags;

    use super::*;

    #[test]
    fn a_line_tells_all_that_is_known() {
        let packet = Packet {
            source: "10.0.20.5".parse().unwrap(),
            destination: "10.0.10.5".parse().unwrap(),
            protocol: Some(protocol::TCP),
            source_port: 40_000,
            service: 443,
        };
        let mut event = Told {
            at: Duration::from_millis(1_700_000_000_042),
            verdict: Done::Drop,
            reason: Some(DropReason::NO_CONDUIT),
            from: "cameras".into(),
            to: Some("office".into()),
            rule: Some("(no-conduit)".into()),
            interface: "eth1".into(),
            comes_in: true,
            tags: Tags::default(),
            packet: Some(packet),
            bytes: 74,
        };
        assert_eq!(
            line(&event),
            "2023-11-14T22:13:20.042Z drop   cameras -> office no-conduit by (no-conduit): \
             10.0.20.5:40000 -> 10.0.10.5:443/tcp, in by eth1, 74 bytes\n"
        );
        event.packet = Some(Packet {
            protocol: Some(protocol::ICMPV6),
            service: 128 << 8,
            source: "fd00::5".parse().unwrap(),
            destination: "fd00::6".parse().unwrap(),
            ..packet
        });
        let arp = Packet {
            protocol: None,
            ..packet
        };
        assert_eq!(described(&arp), "10.0.20.5 -> 10.0.10.5 arp");
        event.tags = Tags { outer: 7, inner: 8 };
        event.comes_in = false;
        assert!(
            line(&event)
                .ends_with(": fd00::5 -> fd00::6 icmpv6/128/0, out by eth1 vlan 7.8, 74 bytes\n"),
            "{}",
            line(&event)
        );
        (event.packet, event.to, event.rule) = (None, None, None);
        event.reason = Some(DropReason::TRUNCATED);
        assert!(
            line(&event).contains("drop   cameras -> - truncated, out by"),
            "{}",
            line(&event)
        );
    }
}
