//! What the operator probably meant: nearest names, words of other tools,
//! other spellings of services and prefixes.

use std::net::IpAddr;

use ipnet::IpNet;

use super::service::{self, Literal, ServiceError};

/// The candidate closest to `name`, if it is close enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length: no name is this long.
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_lowercase();
    // Of two letters, one says too little.
    let limit = match lower.chars().count() {
        0..3 => 0,
        count => (count / 3).max(1),
    };
    let similar = |other: &&str| other.len().abs_diff(name.len()) <= limit;
    let distance = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let ranked = candidates.into_iter().filter(similar);
    ranked
        .map(|other| (distance(other), other))
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, other)| other)
}

pub fn one_of(written: &str, allowed: &[&str]) -> String {
    let list = allowed.join(", ");
    match nearest_word(written, allowed) {
        Some(nearest) => format!("did you mean `{nearest}`? allowed: {list}"),
        None => format!("allowed: {list}"),
    }
}

/// The word of the language that `written` is likely to stand for.
pub fn nearest_word<'a>(written: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let synonym = || {
        let synonyms = synonyms(written);
        allowed.iter().copied().find(|word| synonyms.contains(word))
    };
    nearest(written, allowed.iter().copied()).or_else(synonym)
}

/// What words of other tools stand for.
fn synonyms(written: &str) -> &'static [&'static str] {
    match written.to_ascii_lowercase().as_str() {
        "accept" | "permit" | "pass" => &["allow"],
        "true" | "yes" | "on" => &["allow", "true"],
        "deny" | "block" | "discard" | "refuse" => &["drop"],
        "false" | "no" | "off" => &["drop", "false"],
        "reset" | "prohibit" => &["reject"],
        "monitor" | "permissive" | "dry-run" | "detect" => &["audit"],
        "iface" | "dev" | "device" | "port" => &["interface"],
        "cidr" | "subnet" | "network" | "address" | "ip" => &["prefix"],
        "comment" => &["description"],
        "source" | "src" => &["from", "source"],
        "destination" | "dest" | "dst" => &["to"],
        "members" => &["match"],
        "rules" | "policies" => &["conduits"],
        "segments" | "groups" => &["zones"],
        "generic" | "skb" => &["xdp-generic"],
        "native" | "driver" => &["xdp"],
        "timeouts" | "time-outs" => &["idle"],
        "count" | "max" | "packets-per-second" => &["limit"],
        _ => &[],
    }
}

pub fn missing(key: &str) -> String {
    let example = match key {
        "version" => "version: 1",
        "zones" => "zones: { office: { match: { interface: eth1 } } }",
        "match" => "match: [{ interface: eth1, prefix: 10.0.10.0/24 }]",
        "id" => "id: C-010",
        "from" => "from: office",
        "to" => "to: plant",
        "services" => "services: [tcp/443]",
        "service" => "service: tcp/22",
        "limit" => "limit: 100/s",
        _ => return format!("add `{key}`"),
    };
    format!("add it, for example `{example}`")
}

/// For what is no address: one that was written as a prefix.
pub fn address(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let full = IpNet::from(address).prefix_len().to_string();
    Some(match length == full {
        true => format!("write the address without its length: `{address}`"),
        false => "a device has single addresses; prefixes belong to the `match` of a zone".into(),
    })
}

pub fn zone(name: &str, nearest: Option<&str>) -> String {
    let address = name.split('/').next().unwrap_or(name);
    if address.parse::<IpAddr>().is_ok() {
        return "`from` and `to` take zone names; put the prefix into the `match` of a zone".into();
    }
    let built_in = match name.to_ascii_lowercase().as_str() {
        "all" | "*" | "everything" => Some("any"),
        "router" | "local" | "localhost" | "host" | "firewall" => Some("self"),
        _ => None,
    };
    match nearest.or(built_in) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "define it under `zones`, or use `self`, `unknown` or `any`".into(),
    }
}

pub fn unknown_service(name: &str, nearest: Option<&str>) -> String {
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

pub fn literal(text: &str, error: &ServiceError) -> String {
    if let Some(literal) = rewritten(text) {
        return format!("did you mean `{literal}`?");
    }
    let protocol = text.split('/').next().unwrap_or(text);
    match error {
        ServiceError::EmptyRange { start, end } => {
            format!("did you mean `{protocol}/{end}-{start}`?")
        }
        ServiceError::Incomplete("proto") => "write its number, such as `proto/47`".into(),
        ServiceError::Incomplete("eth") | ServiceError::NotAnEtherType(_) => {
            "write it in four hexadecimal digits, such as `eth/0x8892`".into()
        }
        ServiceError::KnownEtherType(_) => {
            "name what it carries: ARP needs no conduit, IP is `any` or a protocol".into()
        }
        ServiceError::Incomplete(name) => {
            let number = match *name {
                "tcp" => 6,
                "udp" => 17,
                _ => 132,
            };
            format!("write `{name}/443` or `{name}/5000-5100`; every port is `proto/{number}`")
        }
        ServiceError::UnknownProtocol(_) => {
            let known = ["tcp", "udp", "sctp", "icmp", "icmpv6", "proto", "eth"];
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
        .find(|candidate| candidate.parse::<Literal>().is_ok())
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

pub fn prefix(text: &str) -> String {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    if let Ok(address) = address.parse::<IpAddr>() {
        return match length
            .parse()
            .map(|mask| IpNet::with_netmask(address, mask))
        {
            Ok(Ok(net)) => format!("write the length instead of the mask: `{}`", net.trunc()),
            _ if address.is_ipv4() => "the length of an IPv4 prefix is 0 to 32".into(),
            _ => "the length of an IPv6 prefix is 0 to 128".into(),
        };
    }
    match address {
        "any" | "all" | "*" | "default" => "everything is `0.0.0.0/0` and `::/0`".into(),
        _ => "write `10.0.10.0/24` or `\"fd00:10::/64\"`".into(),
    }
}

pub fn rate(text: &str) -> String {
    let compact = compact(text);
    if let Ok(limit) = compact.parse::<u32>() {
        return format!("name the period too: `{limit}/s`, `{limit}/min` or `{limit}/h`");
    }
    let (limit, period) = compact.split_at(unit_at(&compact));
    let limit = limit.trim_end_matches('/');
    let period = period.trim_start_matches('/');
    let period = match period {
        "pps" | "ps" => "s",
        other => unit(other),
    };
    let rewritten = format!("{limit}/{period}");
    match super::rate::parse(&rewritten) {
        Some(_) => format!("did you mean `{rewritten}`?"),
        None => "write a whole number from 1 to 1000000000 and a period: \
                 `100/s`, `100/min` or `100/h`"
            .into(),
    }
}

pub fn duration(text: &str) -> Option<String> {
    if super::duration::parse(text).is_ok() {
        // It is too short or too long, and the message says so.
        return None;
    }
    let compact = compact(text);
    if let Ok(number) = compact.parse::<u32>() {
        let all = ["s", "min", "h", "d"].map(|unit| format!("`{number}{unit}`"));
        return Some(format!("name the unit too: {}", all.join(", ")));
    }
    let (number, found) = compact.split_at(unit_at(&compact));
    let rewritten = format!("{number}{}", unit(found));
    Some(match super::duration::parse(&rewritten) {
        Ok(_) => format!("did you mean `{rewritten}`?"),
        Err(_) => "write one whole number and one unit, such as `60s`, `5min`, `2h` or `5d`".into(),
    })
}

fn compact(text: &str) -> String {
    let mut compact = text.to_ascii_lowercase();
    compact.retain(|c| !c.is_whitespace() && c != '_' && c != '\'');
    compact
}

/// Where the digits end.
fn unit_at(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}

/// A unit of time as the language writes it.
fn unit(text: &str) -> &str {
    match text {
        "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "mins" | "minute" | "minutes" => "min",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        other => other,
    }
}

/// Advice for the syntax errors that people meet most.
pub fn yaml(problem: &str) -> Option<&'static str> {
    let advice = [
        (
            "misplaced bracket",
            "this bracket closes none; check for a colon without a space after it",
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let cases = [
            ("ofice", Some("office")),
            ("OFFICE", Some("office")),
            ("plnat", Some("plant")),
            ("lab", None),
            ("o", None),
            ("", None),
            ("office-of-the-plant", None),
        ];
        for (name, want) in cases {
            assert_eq!(nearest(name, ["office", "plant", "b"]), want, "{name:?}");
        }
    }

    #[test]
    fn other_spellings_of_rates_and_durations_are_understood() {
        let cases = [
            ("100/sec", "did you mean `100/s`?"),
            ("100 / Minute", "did you mean `100/min`?"),
            ("1_000pps", "did you mean `1000/s`?"),
            ("5", "name the period too: `5/s`, `5/min` or `5/h`"),
        ];
        for (text, want) in cases {
            assert_eq!(rate(text), want, "{text:?}");
        }
        let cases = [
            ("5m", Some("did you mean `5min`?")),
            ("2 Hours", Some("did you mean `2h`?")),
            (
                "30",
                Some("name the unit too: `30s`, `30min`, `30h`, `30d`"),
            ),
            ("30d", None),
        ];
        for (text, want) in cases {
            assert_eq!(duration(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn other_spellings_of_services_are_understood() {
        let cases = [
            ("443/tcp", Some("tcp/443")),
            ("tcp:443", Some("tcp/443")),
            ("tcp 443", Some("tcp/443")),
            ("UDP/53", Some("udp/53")),
            ("tcp/80:90", Some("tcp/80-90")),
            ("5000-5100/udp", Some("udp/5000-5100")),
            ("tcp/90-80", None),
            ("tcp", None),
            ("web/80", None),
        ];
        for (text, want) in cases {
            assert_eq!(rewritten(text).as_deref(), want, "{text:?}");
        }
    }
}
