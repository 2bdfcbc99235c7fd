//! Addresses by what is known of them: which prefixes of zones and failsafe
//! entries contain them, and what they mean to the router itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::claims::{Claims, Group};
use super::interner::Interner;
use super::machine::{Address, Machine};
use super::members::Families;

/// What an address means to the router, whatever the zones say: bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Meaning(u8);

/// All that is known of an address; equal ones are treated alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Signature {
    pub(super) meaning: Meaning,
    /// One bit for each failsafe entry whose sources contain it.
    pub(super) failsafes: u16,
    /// The claims of zones: an index into [`Addresses::chains`].
    pub(super) chain: Option<usize>,
}

/// The claims on the longest prefix of an address, and on those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chain {
    /// An index into [`Addresses::groups`].
    pub(super) group: usize,
    /// The next shorter prefix.
    pub(super) shorter: Option<usize>,
}

/// All addresses, told apart as far as the policy does.
pub(super) struct Addresses {
    /// The first is that of addresses in no prefix.
    pub(super) signatures: Vec<Signature>,
    pub(super) chains: Vec<Chain>,
    pub(super) groups: Vec<Group>,
    /// The signature of each prefix, unless a longer one decides; in order.
    pub(super) prefixes: Vec<(IpNet, usize)>,
}

impl Meaning {
    /// One of the router's own addresses or subnet broadcasts.
    const ROUTER: Self = Self(1);
    /// A multicast or broadcast address.
    const GROUP: Self = Self(2);
    /// A group that a prefix of a zone covers.
    const COVERED: Self = Self(4);
    /// Loopback and unspecified: never on the wire.
    const NOWHERE: Self = Self(8);
    /// IPv4; known only where hardware addresses are bound to addresses, as is
    /// the next.
    const V4: Self = Self(16);
    /// An address that means something on its link only.
    const LINK_LOCAL: Self = Self(32);
    /// All that makes an address none that a packet comes from.
    const NEVER_SOURCE: Self = Self(15);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// A multicast or broadcast address.
    pub(super) fn is_group(self) -> bool {
        self.has(Self::GROUP)
    }

    /// No packet has such a destination.
    pub(super) fn is_nowhere(self) -> bool {
        self.has(Self::NOWHERE)
    }

    /// The router is the destination, whatever zones claim the address.
    pub(super) fn is_router(self) -> bool {
        self.has(Self::ROUTER) || self.has(Self::GROUP) && !self.has(Self::COVERED)
    }

    /// No packet from the wire has such a source.
    pub(super) fn is_never_source(self) -> bool {
        self.has(Self::NEVER_SOURCE)
    }

    /// The families that it may be of as the address of one station.
    pub(super) fn is_of(self, families: Families) -> bool {
        let is_of_family = match self.has(Self::V4) {
            true => families.v4,
            false => families.v6,
        };
        is_of_family && !self.has(Self::LINK_LOCAL)
    }
}

/// What is said of one prefix itself.
#[derive(Default)]
struct Node {
    meaning: Meaning,
    failsafes: u16,
    group: Option<usize>,
}

impl Addresses {
    /// Collects the prefixes of `claims` and the addresses of `machine`.
    pub(super) fn new(claims: &Claims, machine: &Machine) -> Self {
        let mut groups = Interner::default();
        let nodes = nodes(claims, machine, &mut groups);
        let mut signatures = Interner::default();
        signatures.intern(Signature::default());
        let mut chains = Interner::default();
        let mut around: Vec<(IpNet, Signature)> = Vec::new();
        let mut prefixes = Vec::with_capacity(nodes.len());
        // A prefix sorts before all that it contains.
        for (prefix, node) in nodes {
            while around
                .pop_if(|(outer, _)| !outer.contains(&prefix))
                .is_some()
            {}
            let outer = around.last().map(|(_, signature)| *signature);
            let signature = below(outer.unwrap_or_default(), &node, &mut chains);
            prefixes.push((prefix, signatures.intern(signature)));
            around.push((prefix, signature));
        }
        Self {
            signatures: signatures.into_values(),
            chains: chains.into_values(),
            groups: groups.into_values(),
            prefixes,
        }
    }

    /// The claims on an address, from its longest prefix to its shortest.
    pub(super) fn claims(&self, signature: &Signature) -> impl Iterator<Item = &Group> {
        let first = signature.chain.map(|chain| self.chains[chain]);
        std::iter::successors(first, |chain| Some(self.chains[chain.shorter?]))
            .map(|chain| &self.groups[chain.group])
    }
}

fn nodes(
    claims: &Claims,
    machine: &Machine,
    groups: &mut Interner<Group>,
) -> BTreeMap<IpNet, Node> {
    let mut nodes: BTreeMap<IpNet, Node> = BTreeMap::new();
    let kinds = claims.have_bindings().then(kinds);
    let known = well_known().into_iter().chain(kinds.into_iter().flatten());
    for (prefix, meaning) in known.chain(own(&machine.addresses)) {
        let node = nodes.entry(prefix).or_default();
        node.meaning = node.meaning.and(meaning);
    }
    for (index, (from, _)) in claims.failsafes.iter().enumerate() {
        nodes.entry(*from).or_default().failsafes |= 1 << index;
    }
    for (prefix, group) in &claims.prefixes {
        nodes.entry(*prefix).or_default().group = Some(groups.intern(group.clone()));
    }
    nodes
}

/// The signature of addresses in a prefix that lies in another.
fn below(outer: Signature, node: &Node, chains: &mut Interner<Chain>) -> Signature {
    let mut signature = Signature {
        meaning: outer.meaning.and(node.meaning),
        failsafes: outer.failsafes | node.failsafes,
        chain: outer.chain,
    };
    if let Some(group) = node.group {
        let shorter = outer.chain;
        signature.chain = Some(chains.intern(Chain { group, shorter }));
        if signature.meaning.is_group() {
            signature.meaning = signature.meaning.and(Meaning::COVERED);
        }
    }
    signature
}

/// Addresses that mean the same on every machine.
fn well_known() -> [(IpNet, Meaning); 7] {
    let v4 = |address: Ipv4Addr, len| prefix(address.into(), len);
    let v6 = |address: Ipv6Addr, len| prefix(address.into(), len);
    [
        (v4(Ipv4Addr::UNSPECIFIED, 32), Meaning::NOWHERE),
        (v4(Ipv4Addr::new(127, 0, 0, 0), 8), Meaning::NOWHERE),
        (v4(Ipv4Addr::new(224, 0, 0, 0), 4), Meaning::GROUP),
        (v4(Ipv4Addr::BROADCAST, 32), Meaning::GROUP),
        (v6(Ipv6Addr::UNSPECIFIED, 128), Meaning::NOWHERE),
        (v6(Ipv6Addr::LOCALHOST, 128), Meaning::NOWHERE),
        (v6(Ipv6Addr::from_bits(0xff << 120), 8), Meaning::GROUP),
    ]
}

/// Addresses by what a binding asks of them.
fn kinds() -> [(IpNet, Meaning); 3] {
    let v4 = |address: Ipv4Addr, len| prefix(address.into(), len);
    let link_local = Ipv6Addr::from_bits(0xfe80 << 112);
    [
        (v4(Ipv4Addr::UNSPECIFIED, 0), Meaning::V4),
        (v4(Ipv4Addr::new(169, 254, 0, 0), 16), Meaning::LINK_LOCAL),
        (prefix(link_local.into(), 10), Meaning::LINK_LOCAL),
    ]
}

/// The router's addresses, and the broadcast addresses of its subnets.
///
/// The kernel takes the last address of a subnet for a broadcast, whatever
/// broadcast address is set (`fib_add_ifaddr`, Linux 5.15).
fn own(addresses: &[Address]) -> impl Iterator<Item = (IpNet, Meaning)> {
    addresses.iter().flat_map(|own| {
        let last = match own.address {
            IpAddr::V4(v4) if own.prefix_len < 31 => Ipv4Net::new(v4, own.prefix_len).ok(),
            _ => None,
        };
        let last = last.map(|subnet| subnet.broadcast());
        let broadcast = Meaning::ROUTER.and(Meaning::GROUP);
        let broadcasts = [own.broadcast, last].into_iter().flatten();
        let broadcasts =
            broadcasts.map(move |address| (IpNet::from(IpAddr::V4(address)), broadcast));
        [(IpNet::from(own.address), Meaning::ROUTER)]
            .into_iter()
            .chain(broadcasts)
    })
}

fn prefix(address: IpAddr, len: u8) -> IpNet {
    IpNet::new(address, len).expect("the length is that of a constant")
}
