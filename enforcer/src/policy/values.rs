//! Single values of the policy language, from scalars.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use enforcer_common::essential::Essential;

use super::ast::{ServiceRef, Spanned};
use super::diagnostic::DiagnosticKind;
use super::kind::NameOf;
use super::mac::Mac;
use super::model::{Action, Hook, Mode, State, Vlan};
use super::names::{ConduitId, InterfaceName};
use super::read::{Choice, Fields, Reader, shown};
use super::service;
use super::source::Span;
use super::yaml::Node;

/// The longest `description`, `reason` or `owner`, in characters.
const MAX_TEXT: usize = 1000;

const MODE: Choice = Choice {
    key: "mode",
    expected: "`enforce` or `audit`",
    allowed: &["enforce", "audit"],
    later: &[],
};
const ACTION: Choice = Choice {
    key: "action",
    expected: "`allow`, `drop` or `reject`",
    allowed: &["allow", "drop", "reject"],
    later: &[],
};
const ALLOW_OR_DROP: Choice = Choice {
    expected: "`allow` or `drop`",
    allowed: &["allow", "drop"],
    ..ACTION
};
const LOG: Choice = Choice {
    key: "log",
    expected: "`true` or `false`",
    allowed: &["true", "false"],
    later: &[],
};
const STATE: Choice = Choice {
    key: "state",
    expected: "`strict` or `loose`",
    allowed: &["strict", "loose"],
    later: &[],
};
const ESSENTIAL: Choice = Choice {
    key: "essential_off",
    expected: "the name of an essential protocol such as `ra`",
    allowed: &Essential::NAMES,
    later: &[],
};
const HOOK: Choice = Choice {
    key: "hook",
    expected: "`xdp`, `xdp-generic` or `tc`",
    allowed: &["xdp", "xdp-generic", "tc"],
    later: &[],
};

impl Reader {
    /// The `mode` of all, of a zone or of a conduit.
    pub(super) fn mode(&mut self, fields: &Fields<'_>) -> Option<Mode> {
        let word = self.choice(fields.get("mode")?, MODE)?;
        Some(match word {
            "audit" => Mode::Audit,
            _ => Mode::Enforce,
        })
    }

    /// The `state` of a zone.
    pub(super) fn state(&mut self, fields: &Fields<'_>) -> Option<State> {
        let word = self.choice(fields.get("state")?, STATE)?;
        Some(match word {
            "loose" => State::Loose,
            _ => State::Strict,
        })
    }

    /// The name of an essential protocol.
    pub(super) fn essential(&mut self, node: &Node<'_>) -> Option<Essential> {
        let word = self.choice(node, ESSENTIAL)?;
        let mut all = Essential::ALL.into_iter();
        all.find(|essential| essential.name() == word)
    }

    /// The `log` of a conduit.
    pub(super) fn log(&mut self, fields: &Fields<'_>) -> Option<bool> {
        let word = self.choice(fields.get("log")?, LOG)?;
        Some(word == "true")
    }

    /// The `hook` of an interface, if it is given.
    pub(super) fn hook(&mut self, fields: &Fields<'_>) -> Option<Hook> {
        let word = self.choice(fields.get("hook")?, HOOK)?;
        Some(match word {
            "xdp-generic" => Hook::XdpGeneric,
            "tc" => Hook::Tc,
            _ => Hook::Xdp,
        })
    }

    /// The value of a key that is `allow` or `drop`.
    pub(super) fn allow_or_drop(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
    ) -> Option<Action> {
        let word = self.choice(
            fields.get(key)?,
            Choice {
                key,
                ..ALLOW_OR_DROP
            },
        )?;
        Some(if word == "drop" {
            Action::Drop
        } else {
            Action::Allow
        })
    }

    /// The `action` of a conduit.
    pub(super) fn action(&mut self, fields: &Fields<'_>) -> Option<Action> {
        let word = self.choice(fields.get("action")?, ACTION)?;
        Some(match word {
            "drop" => Action::Drop,
            "reject" => Action::Reject,
            _ => Action::Allow,
        })
    }

    /// The `priority` of a conduit.
    pub(super) fn priority(&mut self, fields: &Fields<'_>) -> Option<i16> {
        let node = fields.get("priority")?;
        let text = self.scalar(node, "a whole number")?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = service::decimal::<u32>(digits).is_some();
        let number = text.parse().ok().filter(|_| plain);
        if number.is_none() {
            let (min, max) = (i16::MIN.into(), i16::MAX.into());
            self.report(
                DiagnosticKind::BadNumber {
                    value: shown(text),
                    min,
                    max,
                },
                node.span,
            );
        }
        number
    }

    /// Text for humans under a key that may be absent.
    pub(super) fn optional_text<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &'static str,
    ) -> Option<&'n str> {
        fields.get(key).and_then(|node| self.text(node, MAX_TEXT))
    }

    /// The id of a conduit.
    pub(super) fn conduit_id(&mut self, node: &Node<'_>) -> Option<Spanned<ConduitId>> {
        let text = self.scalar(node, "a conduit id such as `C-010`")?;
        match ConduitId::new(text) {
            Ok(value) => Some(Spanned {
                value,
                span: node.span,
            }),
            Err(error) => {
                let (name, of) = (shown(text), NameOf::Conduit);
                self.report(DiagnosticKind::InvalidName { name, of, error }, node.span);
                None
            }
        }
    }

    /// An interface name that is a value.
    pub(super) fn interface_value(&mut self, node: &Node<'_>) -> Option<InterfaceName> {
        let text = self.scalar(node, "one interface name")?;
        self.interface_name(text, node.span)
    }

    /// An interface name, wherever it is written.
    pub(super) fn interface_name(&mut self, text: &str, span: Span) -> Option<InterfaceName> {
        match InterfaceName::new(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let (name, of) = (shown(text), NameOf::Interface);
                self.report(DiagnosticKind::InvalidName { name, of, error }, span);
                None
            }
        }
    }

    /// A VLAN id, or an outer and an inner one.
    pub(super) fn vlan(&mut self, node: &Node<'_>) -> Option<Vlan> {
        let text = self.scalar(node, "a VLAN id")?;
        let vlan = text.parse().ok();
        if vlan.is_none() {
            self.report(DiagnosticKind::InvalidVlan { text: shown(text) }, node.span);
        }
        vlan
    }

    /// The hardware address of a station.
    pub(super) fn mac(&mut self, node: &Node<'_>) -> Option<Mac> {
        let text = self.scalar(node, "one hardware address")?;
        match text.parse() {
            Ok(mac) => Some(mac),
            Err(error) => {
                let text = shown(text);
                self.report(DiagnosticKind::InvalidMac { text, error }, node.span);
                None
            }
        }
    }

    /// A prefix without host bits.
    pub(super) fn prefix(&mut self, node: &Node<'_>) -> Option<IpNet> {
        let text = self.scalar(node, "one prefix such as `10.0.10.0/24`")?;
        match prefix(text) {
            Ok(prefix) => Some(prefix),
            Err(kind) => {
                self.report(kind, node.span);
                None
            }
        }
    }

    /// A service literal, or what must then be a name.
    pub(super) fn service<'n>(&mut self, node: &'n Node<'n>) -> Option<ServiceRef<'n>> {
        let text = self.scalar(node, "a service such as `tcp/443`")?;
        if !service::is_literal(text) {
            return Some(ServiceRef::Name(text));
        }
        match text.parse() {
            Ok(literal) => Some(ServiceRef::Literal(literal)),
            Err(error) => {
                let text = shown(text);
                self.report(DiagnosticKind::InvalidService { text, error }, node.span);
                None
            }
        }
    }
}

fn prefix(text: &str) -> Result<IpNet, DiagnosticKind> {
    let invalid = || DiagnosticKind::InvalidPrefix { text: shown(text) };
    let Some((address, length)) = text.split_once('/') else {
        let address = text.parse().map_err(|_| invalid())?;
        return Err(DiagnosticKind::BareAddress { address });
    };
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let length: u8 = service::decimal(length).ok_or_else(invalid)?;
    let prefix = IpNet::new(address, length).map_err(|_| invalid())?;
    if let IpNet::V6(mapped) = prefix
        && mapped.addr().to_ipv4_mapped().is_some()
    {
        return Err(DiagnosticKind::MappedPrefix {
            text: shown(text),
            plain: unmapped(mapped),
        });
    }
    if prefix != prefix.trunc() {
        let network = prefix.trunc();
        return Err(DiagnosticKind::HostBits {
            text: shown(text),
            address,
            network,
        });
    }
    Ok(prefix)
}

fn unmapped(mapped: Ipv6Net) -> Option<IpNet> {
    let address = mapped.addr().to_ipv4_mapped()?;
    let length = mapped.prefix_len().checked_sub(96)?;
    Some(Ipv4Net::new(address, length).ok()?.trunc().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_strictly() {
        use DiagnosticKind::*;
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let invalid = |text: &str| InvalidPrefix { text: text.into() };
        let host = |text: &str, to| HostBits {
            text: text.into(),
            address: text.split('/').next().unwrap().parse().unwrap(),
            network: net(to),
        };
        let mapped = |text: &str, plain: Option<&str>| MappedPrefix {
            text: text.into(),
            plain: plain.map(net),
        };
        let cases = [
            ("10.0.30.0/24", Ok(net("10.0.30.0/24"))),
            ("0.0.0.0/0", Ok(net("0.0.0.0/0"))),
            ("fd00:30::/64", Ok(net("fd00:30::/64"))),
            ("::1/128", Ok(net("::1/128"))),
            ("10.0.30.5/24", Err(host("10.0.30.5/24", "10.0.30.0/24"))),
            ("fd00::1/64", Err(host("fd00::1/64", "fd00::/64"))),
            (
                "10.0.0.5",
                Err(BareAddress {
                    address: "10.0.0.5".parse().unwrap(),
                }),
            ),
            ("10.0.0.0/33", Err(invalid("10.0.0.0/33"))),
            ("10.0.0.0/08", Err(invalid("10.0.0.0/08"))),
            ("10.0.0.0/+8", Err(invalid("10.0.0.0/+8"))),
            ("10.0.0.0/", Err(invalid("10.0.0.0/"))),
            ("010.0.0.0/8", Err(invalid("010.0.0.0/8"))),
            ("10.0/16", Err(invalid("10.0/16"))),
            ("10", Err(invalid("10"))),
            ("", Err(invalid(""))),
            (
                "::ffff:10.0.0.0/104",
                Err(mapped("::ffff:10.0.0.0/104", Some("10.0.0.0/8"))),
            ),
            ("::ffff:0:0/95", Err(mapped("::ffff:0:0/95", None))),
        ];
        for (text, want) in cases {
            assert_eq!(prefix(text), want, "{text:?}");
        }
    }
}
