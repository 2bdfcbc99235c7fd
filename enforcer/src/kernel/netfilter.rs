//! Which tables, chains and flow tables nftables has (`linux/netfilter/nf_tables.h`).
//!
//! Asked of the kernel directly: `nft` need not be installed where rules are,
//! and rules made by `iptables` are seen as well.

use std::io;

use nix::sys::socket::SockProtocol;

use super::dump::{Question, attribute, text};

/// A table of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: &'static str,
    /// Its name.
    pub name: String,
}

/// A chain of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The table that it belongs to.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Where packets enter it; `None` if only other chains lead to it.
    pub hook: Option<&'static str>,
}

/// A flow table of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTable {
    /// The table that it belongs to.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Flows go to the hardware, which then forwards by itself.
    pub is_in_hardware: bool,
}

/// All that nftables has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Tables.
    pub tables: Vec<Table>,
    /// Chains.
    pub chains: Vec<Chain>,
    /// Flow tables.
    pub flow_tables: Vec<FlowTable>,
}

const SUBSYSTEM: u16 = 10 << 8;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_FLOW_TABLE: u16 = SUBSYSTEM | 23;

/// Lists what there is in this network namespace; nothing where the kernel has
/// no nftables.
pub fn rules() -> io::Result<Rules> {
    let question = Question::new(SockProtocol::NetlinkNetFilter)?;
    // Any family, version 0, resource 0.
    const ANY: [u8; 4] = [0; 4];
    let mut rules = Rules::default();
    question.ask(GET_TABLE, ANY, |[family, ..], attributes| {
        rules.tables.extend(table(family, attributes, 1));
    })?;
    question.ask(GET_CHAIN, ANY, |[family, ..], attributes| {
        rules.chains.extend(chain(family, attributes));
    })?;
    question.ask(GET_FLOW_TABLE, ANY, |[family, ..], attributes| {
        rules.flow_tables.extend(flow_table(family, attributes));
    })?;
    Ok(rules)
}

fn table(family: u8, attributes: &[u8], name: u16) -> Option<Table> {
    let family = match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let name = text(attribute(attributes, name)?);
    Some(Table { family, name })
}

fn chain(family: u8, attributes: &[u8]) -> Option<Chain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    let table = table(family, attributes, TABLE)?;
    let number = attribute(attributes, HOOK).and_then(|hook| number(attribute(hook, 1)?));
    let hook = number.map(|number| match (table.family, number) {
        ("netdev", 0) => "ingress",
        ("netdev", _) => "egress",
        ("arp", 0) => "input",
        ("arp", _) => "output",
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        _ => "ingress",
    });
    Some(Chain {
        name: text(attribute(attributes, NAME)?),
        table,
        hook,
    })
}

fn flow_table(family: u8, attributes: &[u8]) -> Option<FlowTable> {
    const TABLE: u16 = 1;
    const NAME: u16 = 2;
    const FLAGS: u16 = 7;
    const IN_HARDWARE: u32 = 1;
    let flags = attribute(attributes, FLAGS).and_then(number);
    Some(FlowTable {
        table: table(family, attributes, TABLE)?,
        name: text(attribute(attributes, NAME)?),
        is_in_hardware: flags.unwrap_or(0) & IN_HARDWARE != 0,
    })
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::super::dump::tests::encoded;
    use super::*;

    #[test]
    fn chains_are_read() {
        const NESTED: u16 = 0x8000;
        let hook = encoded(1, &2u32.to_be_bytes());
        let parts = [
            encoded(1, b"filter\0"),
            encoded(3, b"FORWARD\0"),
            encoded(4 | NESTED, &hook),
        ];
        let chain = chain(2, &parts.concat()).unwrap();
        assert_eq!(
            (chain.table.family, chain.table.name.as_str()),
            ("ip", "filter")
        );
        assert_eq!(
            (chain.name.as_str(), chain.hook),
            ("FORWARD", Some("forward"))
        );
    }

    #[test]
    fn damage_is_no_panic() {
        let whole = [
            encoded(1, b"t\0"),
            encoded(2, b"f\0"),
            encoded(7, &1u32.to_be_bytes()),
        ]
        .concat();
        assert!(flow_table(1, &whole).unwrap().is_in_hardware);
        for len in 0..whole.len() {
            let _ = flow_table(1, &whole[..len]);
        }
        assert_eq!(flow_table(1, &[0; 64]), None);
        assert_eq!(flow_table(1, &[0xff; 64]), None);
    }
}
