//! Services: what a conduit allows or drops, in terms of protocols and ports.

use std::fmt;
use std::str::FromStr;

pub use super::ether_type::EtherType;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Everything in IP but ICMP errors.
    Any,
    /// Destination ports of TCP, UDP or SCTP.
    Ports(Transport, PortRange),
    /// ICMP of one family: any type but errors, one type (errors too when
    /// named), or one type and code.
    Icmp(IcmpFamily, Option<u8>, Option<u8>),
    /// Any IP protocol number. `proto/1` is `icmp`, `proto/58` is `icmpv6`,
    /// and `proto/6` is every TCP port.
    Protocol(u8),
    /// What frames between ports of a bridge carry instead of IP: an EtherType.
    Ethernet(EtherType),
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
    /// IP protocol 132.
    Sctp,
}

/// Which ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpFamily {
    /// `icmp`: IP protocol 1, in IPv4 only.
    V4,
    /// `icmpv6`: IP protocol 58, in IPv6 only.
    V6,
}

/// Ports `start..=end`; a single port is a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    start: u16,
    end: u16,
}

/// Why a text is not a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The part before the slash.
    #[error("`{0}` is not a protocol of the policy language")]
    UnknownProtocol(String),
    /// `tcp`, `udp` or `sctp` without a port, `proto` without a number.
    #[error("`{0}` alone is not a service")]
    Incomplete(&'static str),
    /// A part too many, such as `any/1`.
    #[error("`/{0}` is one part too many")]
    TooManyParts(String),
    /// Not 1 to 65535.
    #[error("`{0}` is not a port from 1 to 65535")]
    NotAPort(String),
    /// Port 0 cannot be addressed.
    #[error("port 0 does not exist on the wire")]
    PortZero,
    /// A range that ends before it starts.
    #[error("port range {start}-{end} is empty: its start is above its end")]
    EmptyRange {
        /// As written.
        start: u16,
        /// As written.
        end: u16,
    },
    /// Not `0x` and an EtherType.
    #[error("`{0}` is not an EtherType from 0x0600 to 0xffff")]
    NotAnEtherType(String),
    /// IP, ARP and VLAN tags.
    #[error("EtherType `{0}` has a meaning of its own")]
    KnownEtherType(String),
    /// An ICMP type, an ICMP code or a protocol number.
    #[error("`{text}` is not {what} from 0 to 255")]
    NotAByte {
        /// What it should be.
        what: &'static str,
        /// What it is.
        text: String,
    },
}

/// Words that are services by themselves or start one, and so cannot be the
/// name of a service.
pub(super) const RESERVED_WORDS: &[&str] = &[
    "any", "ping", "icmp", "icmpv6", "tcp", "udp", "sctp", "proto", "eth",
];

/// Whether `text` is meant as a literal; otherwise it is a name.
pub(super) fn is_literal(text: &str) -> bool {
    text.contains('/') || RESERVED_WORDS.contains(&text)
}

/// A service as it is written: one service, or `ping`, which is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Literal {
    /// Everything but `ping`.
    One(Service),
    /// The echo requests of both families.
    Ping,
}

const PING: [Service; 2] = [
    Service::Icmp(IcmpFamily::V4, Some(8), None),
    Service::Icmp(IcmpFamily::V6, Some(128), None),
];

impl Literal {
    /// The services that it stands for.
    pub fn services(&self) -> &[Service] {
        match self {
            Self::One(service) => std::slice::from_ref(service),
            Self::Ping => &PING,
        }
    }
}

impl FromStr for Literal {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        if text == "ping" {
            return Ok(Self::Ping);
        }
        text.parse().map(Self::One)
    }
}

impl FromStr for Service {
    type Err = ServiceError;

    /// Reads every literal but `ping`, which is two services.
    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let (protocol, rest) = match text.split_once('/') {
            Some((protocol, rest)) => (protocol, Some(rest)),
            None => (text, None),
        };
        match (protocol, rest) {
            ("any", None) => Ok(Self::Any),
            ("any" | "ping", Some(rest)) => Err(ServiceError::TooManyParts(rest.to_owned())),
            ("tcp", rest) => ports(Transport::Tcp, rest),
            ("udp", rest) => ports(Transport::Udp, rest),
            ("sctp", rest) => ports(Transport::Sctp, rest),
            ("icmp", rest) => icmp(IcmpFamily::V4, rest),
            ("icmpv6", rest) => icmp(IcmpFamily::V6, rest),
            ("proto", None) => Err(ServiceError::Incomplete("proto")),
            ("proto", Some(number)) => byte("a protocol number", number).map(Self::Protocol),
            ("eth", None) => Err(ServiceError::Incomplete("eth")),
            ("eth", Some(number)) => number.parse().map(Self::Ethernet),
            _ => Err(ServiceError::UnknownProtocol(protocol.to_owned())),
        }
    }
}

fn ports(transport: Transport, rest: Option<&str>) -> Result<Service, ServiceError> {
    let rest = rest.ok_or(ServiceError::Incomplete(transport.name()))?;
    if let Some((_, extra)) = rest.split_once('/') {
        return Err(ServiceError::TooManyParts(extra.to_owned()));
    }
    Ok(Service::Ports(transport, rest.parse()?))
}

fn icmp(family: IcmpFamily, rest: Option<&str>) -> Result<Service, ServiceError> {
    let Some(rest) = rest else {
        return Ok(Service::Icmp(family, None, None));
    };
    let Some((kind, code)) = rest.split_once('/') else {
        return Ok(Service::Icmp(
            family,
            Some(byte("an ICMP type", rest)?),
            None,
        ));
    };
    let kind = byte("an ICMP type", kind)?;
    Ok(Service::Icmp(
        family,
        Some(kind),
        Some(byte("an ICMP code", code)?),
    ))
}

fn byte(what: &'static str, text: &str) -> Result<u8, ServiceError> {
    decimal(text).ok_or_else(|| ServiceError::NotAByte {
        what,
        text: text.to_owned(),
    })
}

/// Reads digits only: no sign, no space, and no leading zero, which some tools
/// take for octal.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let octal = text.len() > 1 && text.starts_with('0');
    if digits && !octal {
        text.parse().ok()
    } else {
        None
    }
}

impl PortRange {
    /// Ports `start..=end`, both from 1 on.
    pub fn new(start: u16, end: u16) -> Result<Self, ServiceError> {
        if start == 0 || end == 0 {
            return Err(ServiceError::PortZero);
        }
        if start > end {
            return Err(ServiceError::EmptyRange { start, end });
        }
        Ok(Self { start, end })
    }

    /// The first port.
    pub fn start(self) -> u16 {
        self.start
    }

    /// The last port.
    pub fn end(self) -> u16 {
        self.end
    }
}

impl FromStr for PortRange {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let port =
            |text: &str| decimal(text).ok_or_else(|| ServiceError::NotAPort(text.to_owned()));
        match text.split_once('-') {
            Some((start, end)) => Self::new(port(start)?, port(end)?),
            None => Self::new(port(text)?, port(text)?),
        }
    }
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Ports(transport, range) => write!(f, "{transport}/{range}"),
            Self::Icmp(family, kind, code) => {
                write!(f, "{family}")?;
                [kind, code]
                    .into_iter()
                    .flatten()
                    .try_for_each(|part| write!(f, "/{part}"))
            }
            Self::Protocol(number) => write!(f, "proto/{number}"),
            Self::Ethernet(number) => write!(f, "eth/{number}"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for IcmpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "icmp",
            Self::V6 => "icmpv6",
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}-{}", self.start, self.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_parse_and_print_back() {
        let cases = [
            "any",
            "tcp/443",
            "udp/5000-5100",
            "sctp/1",
            "icmp",
            "icmp/8",
            "icmp/3/4",
            "icmpv6",
            "icmpv6/128",
            "proto/0",
            "proto/255",
            "eth/0x8892",
            "eth/0x0600",
        ];
        for text in cases {
            let service: Service = text.parse().unwrap();
            assert_eq!(service.to_string(), text);
        }
        assert_eq!("tcp/7-7".parse::<Service>().unwrap().to_string(), "tcp/7");
        assert_eq!("ping".parse::<Literal>().unwrap().services(), PING);
    }

    #[test]
    fn mistakes_are_named() {
        use ServiceError::*;
        let not_a_byte = |what, text: &str| NotAByte {
            what,
            text: text.to_owned(),
        };
        let cases = [
            ("tcp", Incomplete("tcp")),
            ("tcp/", NotAPort(String::new())),
            ("tcp/0", PortZero),
            ("tcp/65536", NotAPort("65536".into())),
            ("tcp/080", NotAPort("080".into())),
            ("tcp/+80", NotAPort("+80".into())),
            ("tcp/80,443", NotAPort("80,443".into())),
            ("udp/90-80", EmptyRange { start: 90, end: 80 }),
            ("udp/1-2-3", NotAPort("2-3".into())),
            ("tcp/80/81", TooManyParts("81".into())),
            ("any/1", TooManyParts("1".into())),
            ("icmp/256", not_a_byte("an ICMP type", "256")),
            ("icmp/3/x", not_a_byte("an ICMP code", "x")),
            ("proto/256", not_a_byte("a protocol number", "256")),
            ("proto", Incomplete("proto")),
            ("eth", Incomplete("eth")),
            ("eth/8892", NotAnEtherType("8892".into())),
            ("eth/0x05ff", NotAnEtherType("0x05ff".into())),
            ("eth/0x+892", NotAnEtherType("0x+892".into())),
            ("eth/0x18892", NotAnEtherType("0x18892".into())),
            ("eth/0x0800", KnownEtherType("0x0800".into())),
            ("eth/0x8100", KnownEtherType("0x8100".into())),
            ("TCP/443", UnknownProtocol("TCP".into())),
            ("443/tcp", UnknownProtocol("443".into())),
            ("", UnknownProtocol(String::new())),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Service>(), Err(want), "{text:?}");
        }
    }
}
