//! What an operator asks: may this address speak to that one?

use std::net::IpAddr;

use enforcer_common::question::echo_request;
use enforcer_common::wire::protocol;

/// A first packet, as far as the policy looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub source: IpAddr,
    /// Source port, of protocols that have ports.
    pub source_port: u16,
    /// Whom.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, or type and code of ICMP (`type << 8 | code`), or 0.
    pub service: u16,
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not an address.
    #[error(
        "`{0}` is not an IPv4 or IPv6 address (with a port: 192.0.2.1:443 or [2001:db8::1]:443)"
    )]
    NotAnAddress(String),
    /// Not a port.
    #[error("`{0}` is not a port from 1 to 65535")]
    NotAPort(String),
    /// Nothing after the address.
    #[error("`{0}` says nothing of the protocol: write {0}/tcp, {0}/ping and so on")]
    NoProtocol(String),
    /// Not a protocol.
    #[error(
        "`{0}` is not a protocol: tcp, udp, sctp, icmp[/TYPE[/CODE]], icmpv6[/TYPE[/CODE]], ping or a number from 0 to 255"
    )]
    NotAProtocol(String),
    /// A protocol with ports, and none is given.
    #[error("{0} needs a destination port, as in 192.0.2.1:443/{0}")]
    PortMissing(String),
    /// A port, and a protocol without ports.
    #[error("{0} has no ports")]
    NoPorts(String),
    /// Not a type or code.
    #[error("`{0}` is not an ICMP type or code from 0 to 255")]
    NotAByte(String),
    /// One address is IPv4, the other IPv6.
    #[error("{0} and {1} are of different families")]
    Mixed(IpAddr, IpAddr),
    /// ICMP in IPv6, or ICMPv6 in IPv4.
    #[error("{0} does not exist for {1}")]
    WrongFamily(String, IpAddr),
}

/// A source port as systems choose it for a flow of their own.
const EPHEMERAL_PORT: u16 = 49_152;

impl Query {
    /// Reads `A[:PORT]` and `B[:PORT]/PROTOCOL`.
    pub fn parse(from: &str, to: &str) -> Result<Self, QueryError> {
        let (source, source_port) = end(from)?;
        let Some((address, protocol)) = to.split_once('/') else {
            return Err(QueryError::NoProtocol(to.to_owned()));
        };
        let (destination, port) = end(address)?;
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(QueryError::Mixed(source, destination));
        }
        let (number, service) = self::service(protocol, port, destination)?;
        let default_port = if has_ports(number) { EPHEMERAL_PORT } else { 0 };
        Ok(Self {
            source,
            source_port: source_port.unwrap_or(default_port),
            destination,
            protocol: number,
            service,
        })
    }
}

/// Whether packets of a protocol carry ports that services speak of.
pub fn has_ports(number: u8) -> bool {
    const SCTP: u8 = 132;
    matches!(number, protocol::TCP | protocol::UDP | SCTP)
}

fn end(text: &str) -> Result<(IpAddr, Option<u16>), QueryError> {
    if let Ok(address) = text.parse() {
        return Ok((address, None));
    }
    let bad = || QueryError::NotAnAddress(text.to_owned());
    let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(bad)?,
        // `2001:db8::1:443` could mean two things.
        None if address.contains(':') => return Err(bad()),
        None => address,
    };
    let address = address.parse().map_err(|_| bad())?;
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok((address, Some(port))),
        _ => Err(QueryError::NotAPort(port.to_owned())),
    }
}

/// Protocol number and service.
fn service(text: &str, port: Option<u16>, to: IpAddr) -> Result<(u8, u16), QueryError> {
    let (name, details) = match text.split_once('/') {
        Some((name, details)) => (name, Some(details)),
        None => (text, None),
    };
    let number = match name {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "sctp" => 132,
        "icmp" => protocol::ICMP,
        "icmpv6" => protocol::ICMPV6,
        "ping" if to.is_ipv4() => protocol::ICMP,
        "ping" => protocol::ICMPV6,
        _ => name
            .parse()
            .map_err(|_| QueryError::NotAProtocol(text.to_owned()))?,
    };
    let is_icmp = matches!(number, protocol::ICMP | protocol::ICMPV6);
    match (port, has_ports(number)) {
        (Some(port), true) if details.is_none() => Ok((number, port)),
        (None, true) if details.is_none() => Err(QueryError::PortMissing(name.to_owned())),
        (Some(_), false) => Err(QueryError::NoPorts(name.to_owned())),
        _ if is_icmp && name != "ping" => Ok((number, icmp(name, number, details, to)?)),
        _ if details.is_some() => Err(QueryError::NotAProtocol(text.to_owned())),
        _ if is_icmp => Ok((number, echo(number))),
        _ => Ok((number, 0)),
    }
}

/// Type and code; those of an echo request when nothing is said.
fn icmp(name: &str, number: u8, details: Option<&str>, to: IpAddr) -> Result<u16, QueryError> {
    if (number == protocol::ICMP) != to.is_ipv4() {
        return Err(QueryError::WrongFamily(name.to_owned(), to));
    }
    let Some(details) = details else {
        return Ok(echo(number));
    };
    let byte = |text: &str| {
        let byte: Result<u8, _> = text.parse();
        byte.map_err(|_| QueryError::NotAByte(text.to_owned()))
    };
    let (kind, code) = match details.split_once('/') {
        Some((kind, code)) => (byte(kind)?, byte(code)?),
        None => (byte(details)?, 0),
    };
    Ok(u16::from_be_bytes([kind, code]))
}

fn echo(number: u8) -> u16 {
    u16::from_be_bytes([echo_request(number), 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_parse() {
        let cases = [
            ("10.0.0.1", "10.0.0.2:443/tcp", (49_152, 6, 443)),
            ("10.0.0.1:5353", "10.0.0.2:53/udp", (5_353, 17, 53)),
            ("10.0.0.1", "10.0.0.2:9/132", (49_152, 132, 9)),
            ("fd00::1", "[fd00::2]:443/tcp", (49_152, 6, 443)),
            ("[fd00::1]:68", "[fd00::2]:67/udp", (68, 17, 67)),
            ("10.0.0.1", "10.0.0.2/ping", (0, 1, 8 << 8)),
            ("fd00::1", "fd00::2/ping", (0, 58, 128 << 8)),
            ("10.0.0.1", "10.0.0.2/icmp", (0, 1, 8 << 8)),
            ("10.0.0.1", "10.0.0.2/icmp/3/4", (0, 1, 3 << 8 | 4)),
            ("fd00::1", "fd00::2/icmpv6/2", (0, 58, 2 << 8)),
            ("10.0.0.1", "10.0.0.2/47", (0, 47, 0)),
        ];
        for (from, to, want) in cases {
            let query = Query::parse(from, to).unwrap();
            let got = (query.source_port, query.protocol, query.service);
            assert_eq!(got, want, "{from} {to}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        use QueryError::*;
        let text = str::to_owned;
        let cases = [
            ("camera", "10.0.0.2/ping", NotAnAddress(text("camera"))),
            (
                "10.0.0.1",
                "fd00::2:443x/tcp",
                NotAnAddress(text("fd00::2:443x")),
            ),
            (
                "[fd00::1:5",
                "fd00::2/ping",
                NotAnAddress(text("[fd00::1:5")),
            ),
            ("10.0.0.1:0", "10.0.0.2/ping", NotAPort(text("0"))),
            ("10.0.0.1", "10.0.0.2:65536/tcp", NotAPort(text("65536"))),
            ("10.0.0.1", "10.0.0.2:443", NoProtocol(text("10.0.0.2:443"))),
            ("10.0.0.1", "10.0.0.2/http", NotAProtocol(text("http"))),
            ("10.0.0.1", "10.0.0.2/256", NotAProtocol(text("256"))),
            ("10.0.0.1", "10.0.0.2/ping/8", NotAProtocol(text("ping/8"))),
            ("10.0.0.1", "10.0.0.2:1/tcp/2", NotAProtocol(text("tcp/2"))),
            ("10.0.0.1", "10.0.0.2/tcp", PortMissing(text("tcp"))),
            ("10.0.0.1", "10.0.0.2:1/ping", NoPorts(text("ping"))),
            ("10.0.0.1", "10.0.0.2/icmp/x", NotAByte(text("x"))),
            ("10.0.0.1", "10.0.0.2/icmp/8/0/0", NotAByte(text("0/0"))),
            (
                "10.0.0.1",
                "10.0.0.2/icmpv6",
                WrongFamily(text("icmpv6"), "10.0.0.2".parse().unwrap()),
            ),
            (
                "10.0.0.1",
                "fd00::2/ping",
                Mixed("10.0.0.1".parse().unwrap(), "fd00::2".parse().unwrap()),
            ),
        ];
        for (from, to, want) in cases {
            assert_eq!(Query::parse(from, to), Err(want), "{from} {to}");
        }
    }
}
