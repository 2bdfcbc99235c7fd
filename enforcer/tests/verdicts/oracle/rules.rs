//! What the conduits of a policy say: every one is asked, in the order of the
//! file.

use enforcer::policy::Policy;
use enforcer::policy::model::{Action, Conduit, Endpoints, Mode, Rate, ZoneRef};
use enforcer::policy::service::{IcmpFamily, Service, Transport as PortProtocol};

use super::devices::{are_between_zones, home};
use super::modes::mode;
use super::packet::{ICMP, ICMPV6, SCTP, TCP, Transport, UDP};

/// What the policy says of a packet between two zones.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub passes: bool,
    /// It passes only because this is an audit.
    pub is_audited: bool,
    /// Why not, if it does not pass, or would not but for an audit.
    pub reason: &'static str,
    /// Id of the conduit or built-in rule that decides.
    pub counted: String,
    /// What an allow conduit asks besides.
    pub terms: Option<Terms>,
}

/// A rate, a log, or both.
#[derive(Clone, Debug)]
pub struct Terms {
    pub id: String,
    pub rate: Option<Rate>,
    /// What exceeds the rate is only counted.
    pub is_audited: bool,
}

/// What a packet wants: all that services can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub protocol: u8,
    pub transport: Transport,
}

impl Verdict {
    /// Asks every conduit; of equals the first in the file decides.
    pub fn of(policy: &Policy, content: &Content, from: ZoneRef, to: ZoneRef) -> Self {
        // `min_by_key` keeps the first of equals.
        let deciding = policy
            .conduits
            .iter()
            .filter(|conduit| joins(policy, conduit, from, to))
            .filter(|conduit| {
                // Redirects never pass from one zone to another.
                let is_between = are_between_zones(policy, from, to);
                !(is_between && is_redirect(content) && conduit.action == Action::Allow)
            })
            .filter(|conduit| {
                conduit
                    .services
                    .iter()
                    .any(|service| covers_service(service, content))
            })
            .min_by_key(|conduit| (-i32::from(conduit.priority), strength(conduit.action)));
        let (action, reason, id) = match deciding {
            Some(conduit) if conduit.action == Action::Reject => {
                (conduit.action, "reject", conduit.id.to_string())
            }
            Some(conduit) => (conduit.action, "conduit", conduit.id.to_string()),
            None => {
                let (action, rule) = default_action(policy, from, to);
                let reason = match is_icmp_error(content) {
                    true => "icmp-unrelated",
                    false => rule,
                };
                (action, reason, format!("({rule})"))
            }
        };
        let audits = mode(policy, deciding, from, to) == Mode::Audit;
        let is_audited = action != Action::Allow && audits;
        Self {
            passes: action == Action::Allow || is_audited,
            is_audited,
            reason,
            counted: if is_audited {
                format!("{id}!audit")
            } else {
                id
            },
            terms: deciding.and_then(|conduit| terms(conduit, audits)),
        }
    }
}

/// Drop before reject before allow.
fn strength(action: Action) -> u8 {
    match action {
        Action::Drop => 0,
        Action::Reject => 1,
        Action::Allow => 2,
    }
}

fn terms(conduit: &Conduit, is_audited: bool) -> Option<Terms> {
    let asks = conduit.rate.is_some() || conduit.log == Some(true);
    (conduit.action == Action::Allow && asks).then(|| Terms {
        id: conduit.id.to_string(),
        rate: conduit.rate,
        is_audited,
    })
}

/// What happens between two zones where no conduit decides, and its name.
fn default_action(policy: &Policy, from: ZoneRef, to: ZoneRef) -> (Action, &'static str) {
    match home(policy, from) {
        ZoneRef::Zone(index) if home(policy, from) == home(policy, to) => {
            (policy.zones[index].intra_zone, "intra-zone")
        }
        ZoneRef::SelfZone => (policy.defaults.self_out, "self-out"),
        _ => (Action::Drop, "no-conduit"),
    }
}

/// Whether a conduit speaks of traffic from one zone to another. `any` stands
/// for the zones of the policy with their devices, and never joins a zone to itself;
/// who names a zone names its devices.
fn joins(policy: &Policy, conduit: &Conduit, from: ZoneRef, to: ZoneRef) -> bool {
    let by_name = |side: &Endpoints, zone| {
        side.zones.contains(&zone) || side.zones.contains(&home(policy, zone))
    };
    let by_any = |side: &Endpoints, zone| side.any && matches!(zone, ZoneRef::Zone(_));
    if home(policy, from) == home(policy, to) {
        return by_name(&conduit.from, from) && by_name(&conduit.to, to);
    }
    (by_name(&conduit.from, from) || by_any(&conduit.from, from))
        && (by_name(&conduit.to, to) || by_any(&conduit.to, to))
}

pub fn covers_service(service: &Service, content: &Content) -> bool {
    let protocol = content.protocol;
    match *service {
        Service::Any => !is_icmp_error(content),
        Service::Ports(kind, range) => {
            let ports = match content.transport {
                Transport::Tcp { ports, .. } | Transport::Ports(ports) => ports,
                _ => return false,
            };
            let number = match kind {
                PortProtocol::Tcp => TCP,
                PortProtocol::Udp => UDP,
                PortProtocol::Sctp => SCTP,
            };
            protocol == number && (range.start()..=range.end()).contains(&ports.destination)
        }
        Service::Icmp(family, wanted_kind, wanted_code) => {
            let number = match family {
                IcmpFamily::V4 => ICMP,
                IcmpFamily::V6 => ICMPV6,
            };
            let Transport::Icmp { kind, code, .. } = content.transport else {
                return false;
            };
            let named = match wanted_kind {
                None => !is_icmp_error(content),
                Some(wanted) => wanted == kind && wanted_code.is_none_or(|wanted| wanted == code),
            };
            protocol == number && named
        }
        Service::Protocol(number) => protocol == number && !is_icmp_error(content),
        Service::Ethernet(_) => false,
    }
}

/// Errors pass as answers, or when a conduit names their type.
fn is_icmp_error(content: &Content) -> bool {
    match (content.protocol, content.transport) {
        (ICMP, Transport::Icmp { kind, .. }) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (ICMPV6, Transport::Icmp { kind, .. }) => kind < 128,
        _ => false,
    }
}

fn is_redirect(content: &Content) -> bool {
    match (content.protocol, content.transport) {
        (ICMP, Transport::Icmp { kind, .. }) => kind == 5,
        (ICMPV6, Transport::Icmp { kind, .. }) => kind == 137,
        _ => false,
    }
}
