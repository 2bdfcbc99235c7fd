//! Devices: named members of a zone.

use std::net::IpAddr;

use super::ast::Spanned;
use super::diagnostic::DiagnosticKind;
use super::mac::Mac;
use super::read::{Reader, Section, shown};
use super::yaml::{Key, Node};

/// A named member of a zone: a station with this hardware address, or with one
/// of these addresses.
///
/// With both given they are bound: the station has no other address of the same
/// family, and nobody else has its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The zone that it is a member of: an index into
    /// [`super::model::Policy::zones`].
    pub zone: usize,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// One device as it is written; its name and its zone are not yet checked.
#[derive(Debug)]
pub struct DeviceAst<'n> {
    pub name: Spanned<&'n str>,
    pub description: Option<&'n str>,
    pub zone: Option<Spanned<&'n str>>,
    pub mac: Option<Spanned<Mac>>,
    pub addresses: Vec<Spanned<IpAddr>>,
}

const DEVICE: Section = Section {
    name: "a device",
    expected: "a mapping such as `{ zone: office, ip: 10.0.10.20 }`",
    keys: &["zone", "mac", "ip", "description"],
    may_be_null: false,
};

impl Device {
    /// Whether its hardware address and its addresses of the family of `address`
    /// are bound to each other.
    pub fn binds(&self, address: IpAddr) -> bool {
        let mut addresses = self.addresses.iter();
        self.mac.is_some() && addresses.any(|own| own.is_ipv4() == address.is_ipv4())
    }
}

impl Reader {
    /// One device, unless anything is wrong with what tells it.
    pub(super) fn device<'n>(
        &mut self,
        key: &'n Key<'n>,
        node: &'n Node<'n>,
    ) -> Option<DeviceAst<'n>> {
        let fields = self.fields(node, &DEVICE)?;
        let zone = self.required(&fields, "zone", key.span);
        let zone = zone.and_then(|node| {
            let value = self.scalar(node, "the name of one zone")?;
            let span = node.span;
            Some(Spanned { value, span })
        });
        let before = self.findings.len();
        let mac = fields.get("mac").and_then(|node| {
            let (value, span) = (self.mac(node)?, node.span);
            Some(Spanned { value, span })
        });
        let addresses = match fields.get("ip") {
            Some(node) => self.values(node, "ip", Self::device_address),
            None => Vec::new(),
        };
        let is_faulty = self.findings.len() > before;
        if mac.is_none() && addresses.is_empty() && !is_faulty {
            self.report(DiagnosticKind::EmptyDevice, key.span);
        }
        Some(DeviceAst {
            name: Spanned {
                value: &key.text,
                span: key.span,
            },
            description: self.optional_text(&fields, "description"),
            zone,
            mac,
            addresses,
        })
    }

    /// An address that a station has to itself.
    fn device_address(&mut self, node: &Node<'_>) -> Option<IpAddr> {
        let text = self.scalar(node, "one address such as `10.0.10.20`")?;
        match address(text) {
            Ok(address) => Some(address),
            Err(kind) => {
                self.report(kind, node.span);
                None
            }
        }
    }
}

fn address(text: &str) -> Result<IpAddr, DiagnosticKind> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let text = shown(text);
        return Err(DiagnosticKind::InvalidAddress { text });
    };
    let what = match address {
        _ if address.is_unspecified() => "the address of nobody",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "the address of a group",
        IpAddr::V4(v4) if v4.is_broadcast() => "the address of all",
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address mapped into IPv6",
        _ => return Ok(address),
    };
    Err(DiagnosticKind::UnfitAddress { address, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_one_station() {
        let unfit = |text: &str, what| {
            let address = text.parse().unwrap();
            Err(DiagnosticKind::UnfitAddress { address, what })
        };
        let invalid = |text: &str| Err(DiagnosticKind::InvalidAddress { text: text.into() });
        let ok = |text: &str| Ok(text.parse().unwrap());
        let cases = [
            ("10.0.10.20", ok("10.0.10.20")),
            ("fd00::20", ok("fd00::20")),
            ("10.0.10.20/32", invalid("10.0.10.20/32")),
            ("historian", invalid("historian")),
            ("0.0.0.0", unfit("0.0.0.0", "the address of nobody")),
            ("::1", unfit("::1", "a loopback address")),
            ("224.0.0.5", unfit("224.0.0.5", "the address of a group")),
            ("ff02::1", unfit("ff02::1", "the address of a group")),
            (
                "255.255.255.255",
                unfit("255.255.255.255", "the address of all"),
            ),
            ("169.254.0.9", unfit("169.254.0.9", "a link-local address")),
            ("fe80::9", unfit("fe80::9", "a link-local address")),
            (
                "::ffff:10.0.0.9",
                unfit("::ffff:10.0.0.9", "an IPv4 address mapped into IPv6"),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(address(text), want, "{text:?}");
        }
    }
}
