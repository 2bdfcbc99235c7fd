//! Keeps an operator from cutting the SSH session that he works in.
//!
//! `sshd` tells a session its addresses and ports by `SSH_CONNECTION`. `sudo` takes
//! that away, so it is looked for in all processes above this one too.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use enforcer_common::wire::protocol;

use super::explain::{Explanation, Subject, explain};
use super::query::Query;

const VARIABLE: &str = "SSH_CONNECTION";

/// The SSH session that a command runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the operator is.
    client: SocketAddr,
    /// This machine, as he has reached it.
    server: SocketAddr,
    /// The interface of a link-local address.
    interface: Option<String>,
}

/// A session that a policy would cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    session: Session,
    explanation: Explanation,
}

/// The session that `subject` would cut, if this process runs in one.
///
/// What no program would judge is not cut.
pub fn cut(subject: impl FnOnce() -> Option<Subject>) -> Option<Cut> {
    let session = Session::current()?;
    session.cut_by(&subject()?)
}

impl Session {
    /// The session of this process, or of the nearest process above it.
    fn current() -> Option<Self> {
        if let Ok(value) = std::env::var(VARIABLE) {
            return Self::parse(&value);
        }
        let mut process = std::os::unix::process::parent_id();
        while process > 1 {
            if let Some(value) = environment(process) {
                return Self::parse(&value);
            }
            process = parent(process)?;
        }
        None
    }

    /// Reads `CLIENT PORT SERVER PORT`.
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let mut end = || {
            let address = words.next()?;
            let (address, scope) = match address.split_once('%') {
                Some((address, scope)) => (address, Some(scope.to_owned())),
                None => (address, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let port = words.next()?.parse().ok()?;
            Some((SocketAddr::new(address.to_canonical(), port), scope))
        };
        let ((client, scope), (server, server_scope)) = (end()?, end()?);
        Some(Self {
            client,
            server,
            interface: scope.or(server_scope),
        })
    }

    fn cut_by(&self, subject: &Subject) -> Option<Cut> {
        let mut addresses = subject.machine.addresses.iter();
        // Another namespace, or a translated address.
        addresses.find(|own| own.address == self.server.ip())?;
        let query = Query {
            source: self.client.ip(),
            source_port: self.client.port(),
            destination: self.server.ip(),
            protocol: protocol::TCP,
            service: self.server.port(),
        };
        let explanation = explain(subject, &query, self.interface.as_deref()).ok()?;
        let is_cut = explanation.reason.is_some() && !explanation.is_audited;
        is_cut.then(|| Cut {
            session: self.clone(),
            explanation,
        })
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Session { client, server, .. } = &self.session;
        let Explanation {
            reason,
            from,
            rule,
            interface,
            lines,
            ..
        } = &self.explanation;
        let reason = reason.map_or("?", |reason| reason.name());
        write!(
            f,
            "this policy would cut the SSH session that you work in, from {client} to {server}, in by {interface}: it would be dropped (zone {from}, reason {reason}"
        )?;
        match rule {
            // A built-in rule says no more than the reason.
            Some(rule) if !rule.starts_with('(') => writeln!(f, ", conduit {rule})")?,
            _ => writeln!(f, ")")?,
        }
        for line in lines {
            writeln!(f, "{:>6}: {}", line.number, line.text)?;
        }
        let length = if client.is_ipv4() { 32 } else { 128 };
        let (address, port) = (client.ip(), server.port());
        write!(
            f,
            "let it in by a failsafe entry:

failsafe:
  - {{ from: \"{address}/{length}\", service: tcp/{port}, interface: {interface} }}

or apply with `--confirm 60s`: the kernel takes the policy back unless you confirm it"
        )
    }
}

/// The variable in the environment that a process was started with.
fn environment(process: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let variables = environment.split(|byte| *byte == 0);
    let mut values = variables.filter_map(|variable| {
        let value = str::from_utf8(variable).ok()?.strip_prefix(VARIABLE)?;
        value.strip_prefix('=')
    });
    values.next().map(str::to_owned)
}

fn parent(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::machine::Address;
    use crate::compile::{Machine, Numbering, compile};
    use crate::policy::{self, Source};

    fn session(value: &str) -> Session {
        Session::parse(value).unwrap()
    }

    #[test]
    fn sessions_are_read_as_sshd_writes_them() {
        let cases = [
            (
                "10.0.0.5 50000 10.0.0.1 22",
                "10.0.0.5:50000",
                "10.0.0.1:22",
                None,
            ),
            (
                "::ffff:10.0.0.5 50000 ::ffff:10.0.0.1 22",
                "10.0.0.5:50000",
                "10.0.0.1:22",
                None,
            ),
            (
                "2001:db8::5 50000 2001:db8::1 2222",
                "[2001:db8::5]:50000",
                "[2001:db8::1]:2222",
                None,
            ),
            (
                "fe80::5%eth1 50000 fe80::1%eth1 22",
                "[fe80::5]:50000",
                "[fe80::1]:22",
                Some("eth1"),
            ),
        ];
        for (value, client, server, interface) in cases {
            let want = Session {
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                interface: interface.map(str::to_owned),
            };
            assert_eq!(session(value), want, "{value}");
        }
        for value in [
            "",
            "10.0.0.5",
            "10.0.0.5 50000 10.0.0.1",
            "a 1 b 2",
            "UNKNOWN 65535 UNKNOWN 65535",
        ] {
            assert_eq!(Session::parse(value), None, "{value}");
        }
    }

    /// A router with one address on each of two interfaces, of which the policy
    /// names the first.
    fn subject(rules: &str) -> Subject {
        let text = format!(
            "version: 1\nzones:\n  office: {{ match: [{{ interface: eth0, prefix: 10.0.0.0/24 }}] }}\n{rules}"
        );
        let source = Source::from_text("policy.yaml", text.as_str());
        let (policy, _) = policy::parse(&source).unwrap();
        let mut machine = Machine::imagined(&policy);
        let other = crate::compile::machine::Interface {
            name: "eth9".to_owned(),
            ifindex: 99,
            ..machine.interfaces[0].clone()
        };
        machine.interfaces.push(other);
        machine.addresses = [(1, "10.0.0.1"), (99, "10.9.0.1")]
            .map(|(ifindex, address)| Address {
                ifindex,
                address: address.parse().unwrap(),
                prefix_len: 24,
                broadcast: None,
            })
            .into();
        let image = compile(&policy, &machine, &mut Numbering::default()).unwrap();
        Subject {
            source,
            policy,
            image,
            machine,
            routes: None,
        }
    }

    /// A session by a given interface: without a routing table nobody finds it.
    fn is_cut(rules: &str, value: &str, interface: &str) -> bool {
        let session = Session {
            interface: Some(interface.to_owned()),
            ..session(value)
        };
        session.cut_by(&subject(rules)).is_some()
    }

    #[test]
    fn what_the_policy_lets_in_is_not_cut() {
        let own = "10.0.0.5 50000 10.0.0.1 22";
        let conduit = "conduits:\n  - { id: ssh, from: office, to: self, services: tcp/22 }\n";
        let failsafe = "failsafe:\n  - { from: 10.0.0.5/32, service: tcp/22, interface: eth0 }\n";
        let cases = [
            ("", own, "eth0", true),
            (conduit, own, "eth0", false),
            (failsafe, own, "eth0", false),
            ("defaults: { mode: audit }\n", own, "eth0", false),
            (conduit, "10.0.0.5 50000 10.0.0.1 2222", "eth0", true),
            (failsafe, "10.0.0.6 50000 10.0.0.1 22", "eth0", true),
            // No program looks there.
            ("", "10.9.0.5 50000 10.9.0.1 22", "eth9", false),
            // Not this machine.
            ("", "10.0.0.5 50000 10.0.0.77 22", "eth0", false),
            // To itself.
            ("", "10.0.0.1 50000 10.0.0.1 22", "eth0", false),
        ];
        for (rules, value, interface, want) in cases {
            assert_eq!(is_cut(rules, value, interface), want, "{rules} {value}");
        }
    }

    #[test]
    fn the_entry_that_is_proposed_lets_the_session_in() {
        let session = Session {
            interface: Some("eth0".to_owned()),
            ..session("10.0.0.5 50000 10.0.0.1 2222")
        };
        let cut = session.cut_by(&subject("")).unwrap().to_string();
        let (_, entry) = cut.split_once("\n\n").unwrap();
        let (entry, _) = entry.split_once("\n\n").unwrap();
        assert_eq!(session.cut_by(&subject(entry)), None, "{entry}");
    }
}
