//! The code, the severity and the advice of every kind of finding.

use std::net::IpAddr;

use super::diagnostic::Severity;
use super::kind::DiagnosticKind;
use super::service::{self, ServiceError};

impl DiagnosticKind {
    /// A short name that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidYaml { .. } => "invalid-yaml",
            Self::YamlFeature(_) => "yaml-feature",
            Self::TooDeep { .. } => "too-deep",
            Self::NoPolicy => "no-policy",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::UnknownKey { .. } => "unknown-key",
            Self::MissingKey { .. } => "missing-key",
            Self::WrongType { .. } => "wrong-type",
            Self::EmptyList { .. } => "empty-list",
            Self::Repeated { .. } => "repeated",
            Self::UnknownValue { .. } => "unknown-value",
            Self::BadNumber { .. } => "bad-number",
            Self::BadText { .. } => "bad-text",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::NotSupported { .. } => "not-supported",
            Self::TooMany { .. } => "too-many",
            Self::InvalidName { .. } => "invalid-name",
            Self::ReservedZone { .. } => "reserved-zone",
            Self::ReservedService { .. } => "reserved-service",
            Self::DuplicateConduit { .. } => "duplicate-conduit",
            Self::UnknownZone { .. } => "unknown-zone",
            Self::UnknownService { .. } => "unknown-service",
            Self::NestedService { .. } => "nested-service",
            Self::InvalidPrefix { .. } => "invalid-prefix",
            Self::HostBits { .. } => "host-bits",
            Self::BareAddress { .. } => "bare-address",
            Self::MappedPrefix { .. } => "mapped-prefix",
            Self::InvalidVlan { .. } => "invalid-vlan",
            Self::InvalidService { .. } => "invalid-service",
            Self::NoZones => "no-zones",
            Self::EmptyEntry => "empty-entry",
            Self::SelfToSelf => "self-to-self",
            Self::ZoneOverlap { .. } => "zone-overlap",
            Self::DuplicateClaim { .. } => "duplicate-claim",
            Self::UnusedZone { .. } => "unused-zone",
            Self::UnusedService { .. } => "unused-service",
            Self::FailsafeEverywhere => "failsafe-everywhere",
        }
    }

    /// Whether the policy is refused because of it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::DuplicateClaim { .. }
            | Self::UnusedZone { .. }
            | Self::UnusedService { .. }
            | Self::FailsafeEverywhere => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::InvalidYaml { problem } => return yaml(problem).map(str::to_owned),
            Self::UnknownKey { key, allowed, .. } => return Some(one_of(key, allowed)),
            Self::UnknownValue { value, allowed, .. } => return Some(one_of(value, allowed)),
            Self::MissingKey { key, .. } => return Some(missing(key)),
            Self::UnknownZone { name, nearest } => return Some(zone(name, nearest.as_deref())),
            Self::UnknownService { name, nearest } => {
                return Some(unknown_service(name, nearest.as_deref()));
            }
            Self::InvalidService { text, error } => return Some(literal(text, error)),
            Self::InvalidPrefix { text } => return Some(prefix(text)),
            Self::HostBits { network, .. } => {
                return Some(format!(
                    "the network is `{network}`; one address ends in `/{}`",
                    network.max_prefix_len()
                ));
            }
            Self::BareAddress { address } => {
                let length = if address.is_ipv4() { 32 } else { 128 };
                return Some(format!("for this one address write `{address}/{length}`"));
            }
            Self::MappedPrefix {
                plain: Some(plain), ..
            } => {
                return Some(format!("write the IPv4 prefix itself: `{plain}`"));
            }
            Self::YamlFeature("anchors" | "aliases") => "write the value out where it is needed",
            Self::YamlFeature("tags") => "remove the tag; the key decides the type",
            Self::YamlFeature("directives") => "remove the lines that start with `%`",
            Self::YamlFeature("documents after the first") => "keep one policy in a file",
            Self::YamlFeature(_) => "a key is one word, followed by a colon",
            Self::TooDeep { .. } => "no policy needs that; look for a bracket too many",
            Self::NoPolicy => "a policy starts with `version: 1` and has `zones` and `conduits`",
            Self::DuplicateKey { .. } => "keep one of them, or merge them",
            Self::WrongType {
                found: "nothing", ..
            } => "give a value, or remove the key",
            Self::WrongType { .. } => return None,
            Self::EmptyList { .. } => "list at least one value, or remove the key",
            Self::Repeated { .. } => "remove one of them",
            Self::BadNumber { .. } => "write it in decimal digits",
            Self::BadText { .. } => "shorten it to one plain line",
            Self::UnknownVersion { .. } => "this build reads `version: 1`",
            Self::NotSupported { .. } => {
                "the policy language has it, but this build would not act on it; \
                 remove it, or install a build that does"
            }
            Self::TooMany { .. } => "merge some of them",
            Self::InvalidName {
                what: "an interface name",
                ..
            } => "use the name that `ip link` shows, at most 15 bytes",
            Self::InvalidName { .. } => {
                "a name is a letter, then up to 30 letters, digits, `_`, `.` or `-`"
            }
            Self::ReservedZone { .. } => {
                "choose another name; `self`, `unknown` and `any` exist already"
            }
            Self::ReservedService { .. } => {
                "choose another name, such as one that ends in `-service`"
            }
            Self::DuplicateConduit { .. } => {
                "counters and logs tell conduits apart by id: choose another"
            }
            Self::NestedService { .. } => {
                "list literals such as `tcp/443`; a conduit may name several services"
            }
            Self::MappedPrefix { plain: None, .. } => "write IPv4 prefixes as `10.0.0.0/8`",
            Self::InvalidVlan { .. } => "write `30`, or `100.30` for an outer and an inner tag",
            Self::NoZones => {
                "add `zones:` with at least one, such as `office: { match: { interface: eth1 } }`"
            }
            Self::EmptyEntry => "give it `interface`, `vlan` or `prefix`, or several of them",
            Self::SelfToSelf => "remove `self` from one side",
            Self::ZoneOverlap { .. } => {
                "a packet has one zone: remove the claim from one of them, or tell them apart \
                 by `interface`, `vlan` or a longer `prefix`"
            }
            Self::DuplicateClaim { .. } => "remove one of them",
            Self::UnusedZone { .. } => {
                "only traffic inside the zone and from the router reaches it; add a conduit if that is not meant"
            }
            Self::UnusedService { .. } => "remove it, or name it in a conduit",
            Self::FailsafeEverywhere => "a forged source address can use it too; add `interface`",
        };
        Some(fixed.to_owned())
    }
}

/// The candidate closest to `name`, if it is close enough to be meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The distance is quadratic in the length: no name is this long.
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_lowercase();
    let limit = (name.chars().count() / 3).max(1);
    let distance = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let ranked = candidates.into_iter().map(|other| (distance(other), other));
    ranked
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, other)| other)
}

fn one_of(written: &str, allowed: &[&str]) -> String {
    let list = allowed.join(", ");
    match nearest(written, allowed.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`? allowed: {list}"),
        None => format!("allowed: {list}"),
    }
}

fn missing(key: &str) -> String {
    let example = match key {
        "version" => "version: 1",
        "match" => "match: [{ interface: eth1, prefix: 10.0.10.0/24 }]",
        "id" => "id: C-010",
        "from" => "from: office",
        "to" => "to: plant",
        "services" => "services: [tcp/443]",
        "service" => "service: tcp/22",
        _ => return format!("add `{key}`"),
    };
    format!("add it, for example `{example}`")
}

fn zone(name: &str, nearest: Option<&str>) -> String {
    let address = name.split('/').next().unwrap_or(name);
    if address.parse::<IpAddr>().is_ok() {
        return "`from` and `to` take zone names; put the prefix into the `match` of a zone".into();
    }
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "define it under `zones`, or use `self`, `unknown` or `any`".into(),
    }
}

fn unknown_service(name: &str, nearest: Option<&str>) -> String {
    if let Some(nearest) = nearest {
        return format!("did you mean `{nearest}`?");
    }
    if let Some(literal) = rewritten(name) {
        return format!("did you mean `{literal}`?");
    }
    if service::decimal::<u16>(name).is_some() {
        return format!("name the protocol too: `tcp/{name}` or `udp/{name}`");
    }
    match well_known(name) {
        Some(literal) => format!("did you mean `{literal}`? names are defined under `services`"),
        None => "define it under `services`, or write a literal such as `tcp/443`".into(),
    }
}

fn literal(text: &str, error: &ServiceError) -> String {
    if let Some(literal) = rewritten(text) {
        return format!("did you mean `{literal}`?");
    }
    let protocol = text.split('/').next().unwrap_or(text);
    match error {
        ServiceError::EmptyRange { start, end } => {
            format!("did you mean `{protocol}/{end}-{start}`?")
        }
        ServiceError::Incomplete("proto") => "write its number, such as `proto/47`".into(),
        ServiceError::Incomplete(name) => {
            let number = match *name {
                "tcp" => 6,
                "udp" => 17,
                _ => 132,
            };
            format!("write `{name}/443` or `{name}/5000-5100`; every port is `proto/{number}`")
        }
        ServiceError::UnknownProtocol(_) => {
            let known = ["tcp", "udp", "sctp", "icmp", "icmpv6", "proto"];
            one_of(protocol, &known)
        }
        ServiceError::TooManyParts(_) => "remove it".into(),
        ServiceError::NotAPort(port) if port.contains(',') => {
            format!("list each port by itself: `{protocol}/80`, `{protocol}/443`")
        }
        ServiceError::NotAPort(_) => format!("write `{protocol}/443` or `{protocol}/5000-5100`"),
        ServiceError::PortZero => format!("the lowest range is `{protocol}/1-1023`"),
        ServiceError::NotAByte { .. } => "write it in decimal digits".into(),
    }
}

/// `443/tcp`, `tcp:443`, `TCP/443` and `tcp/80:90` as a literal.
fn rewritten(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (left, right) = lower.split_once(['/', ':', ' '])?;
    let candidates = [
        format!("{left}/{right}"),
        format!("{right}/{left}"),
        format!("{left}/{}", right.replacen(':', "-", 1)),
    ];
    candidates
        .into_iter()
        .find(|candidate| service::parse_literal(candidate).is_ok())
}

fn well_known(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "ssh" => "tcp/22",
        "dns" => "udp/53",
        "http" => "tcp/80",
        "https" => "tcp/443",
        "ntp" => "udp/123",
        "snmp" => "udp/161",
        "modbus" => "tcp/502",
        "rtsp" => "tcp/554",
        "mqtt" => "tcp/1883",
        "opcua" | "opc-ua" => "tcp/4840",
        _ => return None,
    })
}

fn prefix(text: &str) -> String {
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.parse::<IpAddr>(), mask.parse::<IpAddr>())
        && let Ok(net) = ipnet::IpNet::with_netmask(address, mask)
    {
        return format!("write the length instead of the mask: `{}`", net.trunc());
    }
    match text {
        "any" | "all" | "*" | "default" => "everything is `0.0.0.0/0` and `::/0`".into(),
        _ => "write `10.0.10.0/24` or `\"fd00:10::/64\"`".into(),
    }
}

/// Advice for the syntax errors that people meet most.
fn yaml(problem: &str) -> Option<&'static str> {
    let advice = [
        ("tab", "indent with spaces; YAML allows no tabs"),
        ("quoted scalar", "close the quote, or quote the whole value"),
        (
            "flow mapping",
            "close the `{` with `}` and put `,` between its entries",
        ),
        (
            "flow sequence",
            "close the `[` with `]` and put `,` between its values",
        ),
        (
            "flow construct",
            "close the `[` or `{` that is still open here",
        ),
        (
            "mapping values are not allowed",
            "check the indentation above; quote text that contains `: `",
        ),
        (
            "simple key expect",
            "a key is followed by a colon and a space",
        ),
        (
            "expected key",
            "check that this line is indented like its neighbours",
        ),
        (
            "'-' indicator",
            "check that this line is indented like its neighbours",
        ),
        (
            "indentation",
            "check that this line is indented like its neighbours",
        ),
        ("NUL", "save the policy as plain UTF-8 text"),
    ];
    advice
        .iter()
        .find(|(part, _)| problem.contains(part))
        .map(|&(_, help)| help)
}
