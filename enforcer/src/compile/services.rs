//! Port classes: services that the same conduits and failsafe entries name.

use std::collections::BTreeMap;

use enforcer_common::layout::{Block, HALF_WORDS};
use enforcer_common::wire::protocol;

use super::interner::Interner;
use super::size::room_for;
use super::trie::{MAX_TRIE, Trie};
use crate::policy::service::{IcmpFamily, Service, Transport};
use crate::policy::{Findings, Policy};

/// Ports of a protocol, or types and codes of ICMP.
const PORTS: usize = 1 << 16;

/// Protocols and ports, told apart as far as the policy does.
pub(super) struct Services {
    /// Trie from protocol and port, or EtherType, to class.
    pub(super) trie: Vec<Block>,
    /// Failsafe entries of each class, one bit each.
    pub(super) failsafes: Vec<u16>,
    /// The classes of each conduit.
    pub(super) of_conduits: Vec<Vec<u16>>,
    /// The classes of ICMP errors, redirects among them.
    pub(super) errors: Vec<u16>,
    /// The classes of redirects.
    pub(super) redirects: Vec<u16>,
}

/// Services with the same namers, which nothing tells apart: a number.
type Bundle = usize;

/// Who names a service: a conduit by its place in the policy, a failsafe entry
/// by its place after all conduits, then [`ERRORS`] and [`REDIRECTS`], which no
/// policy treats like other messages.
type Namer = usize;

impl Services {
    /// Divides all services into classes.
    pub(super) fn new(policy: &Policy) -> Result<Self, Findings> {
        let (services, namers) = bundles(policy);
        let mut classes = Interner::default();
        let mut trie = Trie::with_root(9);
        let mut root = [0; 2 * HALF_WORDS as usize];
        for (protocol, entry) in (0..=protocol::ETHERNET).zip(&mut root) {
            let edges = edges(protocol, &services);
            let starts = classified(edges, namers.len(), &mut classes);
            room_for(classes.len(), "classes of services", MAX_TRIE)?;
            *entry = protocol_entry(&starts, &mut trie);
        }
        trie.set_root(&root);

        let built_in = [ERRORS, REDIRECTS].len();
        let named = policy.conduits.len() + policy.failsafe.len();
        let mut of_namers = vec![Vec::new(); named + built_in];
        let classes = classes.into_values();
        for (class, bundles) in (0..).zip(&classes) {
            for namer in bundles.iter().flat_map(|bundle| &namers[bundle]) {
                let named: &mut Vec<u16> = &mut of_namers[*namer];
                // Several bundles may have the namer.
                if named.last() != Some(&class) {
                    named.push(class);
                }
            }
        }
        let redirects = of_namers.pop().unwrap_or_default();
        let errors = of_namers.pop().unwrap_or_default();
        let mut failsafes = vec![0; classes.len()];
        let of_failsafes = of_namers.split_off(policy.conduits.len());
        for (entry, classes) in of_failsafes.iter().enumerate() {
            for class in classes {
                failsafes[usize::from(*class)] |= 1 << entry;
            }
        }
        Ok(Self {
            trie: trie.finish("blocks for services")?,
            failsafes,
            of_conduits: of_namers,
            errors,
            redirects,
        })
    }
}

/// Kinds of ICMP and ICMPv6, from first to last.
type Kinds = &'static [(IcmpFamily, u8, u8)];

/// Unreachable, quench, redirect, time exceeded and parameter problem (RFC 792);
/// all that RFC 4443 calls errors.
const ERRORS: Kinds = &[
    (IcmpFamily::V4, 3, 5),
    (IcmpFamily::V4, 11, 12),
    (IcmpFamily::V6, 0, 127),
];

/// RFC 792, RFC 4861.
const REDIRECTS: Kinds = &[(IcmpFamily::V4, 5, 5), (IcmpFamily::V6, 137, 137)];

fn services_of(kinds: Kinds) -> Vec<Service> {
    let each = kinds.iter().flat_map(|(family, first, last)| {
        (*first..=*last).map(|kind| Service::Icmp(*family, Some(kind), None))
    });
    each.collect()
}

/// The bundle of each service, and the namers of each bundle.
fn bundles(policy: &Policy) -> (Vec<(Service, Bundle)>, Vec<Vec<Namer>>) {
    let conduits = policy.conduits.iter().map(|conduit| &conduit.services);
    let failsafes = policy.failsafe.iter().map(|failsafe| &failsafe.services);
    let mut by_service: BTreeMap<Service, Vec<Namer>> = BTreeMap::new();
    let built_in = [ERRORS, REDIRECTS].map(services_of);
    let all = conduits.chain(failsafes).chain(&built_in);
    for (namer, services) in all.enumerate() {
        for service in services {
            by_service.entry(*service).or_default().push(namer);
        }
    }
    let mut bundles = Interner::default();
    let bundle = |(service, namers)| (service, bundles.intern(namers));
    let services = by_service.into_iter().map(bundle).collect();
    (services, bundles.into_values())
}

/// Where bundles begin (`true`) and end among the ports of a protocol.
type Edges = BTreeMap<usize, Vec<(Bundle, bool)>>;

fn edges(protocol: u16, services: &[(Service, Bundle)]) -> Edges {
    let mut edges = Edges::from([(0, Vec::new())]);
    for (service, bundle) in services {
        for (first, last) in ranges(*service, protocol) {
            let (start, end) = (usize::from(first), usize::from(last) + 1);
            edges.entry(start).or_default().push((*bundle, true));
            edges.entry(end).or_default().push((*bundle, false));
        }
    }
    edges
}

/// Ports, or types and codes of ICMP, or EtherTypes, of `protocol` that a service
/// means.
fn ranges(service: Service, protocol: u16) -> Vec<(u16, u16)> {
    let Ok(protocol) = u8::try_from(protocol) else {
        return match service {
            Service::Ethernet(ether_type) => vec![(ether_type.number(), ether_type.number())],
            _ => Vec::new(),
        };
    };
    match service {
        Service::Any => whole(protocol),
        Service::Protocol(number) if number == protocol => whole(protocol),
        Service::Ports(transport, ports) if number(transport) == protocol => {
            vec![(ports.start(), ports.end())]
        }
        Service::Icmp(family, kind, code) if icmp(family) == protocol => match (kind, code) {
            (None, _) => whole(protocol),
            (Some(kind), None) => vec![(word(kind, 0), word(kind, 0xff))],
            (Some(kind), Some(code)) => vec![(word(kind, code), word(kind, code))],
        },
        _ => Vec::new(),
    }
}

/// All of a protocol but ICMP errors: those follow what they report (RFC 792,
/// RFC 4443), or are named by type.
fn whole(protocol: u8) -> Vec<(u16, u16)> {
    let kinds: &[(u8, u8)] = match protocol {
        // 3 unreachable, 4 quench, 5 redirect, 11 time exceeded, 12 parameter.
        protocol::ICMP => &[(0, 2), (6, 10), (13, 255)],
        protocol::ICMPV6 => &[(128, 255)],
        _ => &[(0, 255)],
    };
    let range = |(first, last): &(u8, u8)| (word(*first, 0), word(*last, 0xff));
    kinds.iter().map(range).collect()
}

const fn word(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

const fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => protocol::TCP,
        Transport::Udp => protocol::UDP,
        Transport::Sctp => protocol::SCTP,
    }
}

const fn icmp(family: IcmpFamily) -> u8 {
    match family {
        IcmpFamily::V4 => protocol::ICMP,
        IcmpFamily::V6 => protocol::ICMPV6,
    }
}

/// The bundles that a port belongs to: one bit each. Ranges that lie in each
/// other by the thousand would fill the memory as lists.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bundles(Vec<u64>);

impl Bundles {
    fn none_of(bundles: usize) -> Self {
        Self(vec![0; bundles.div_ceil(64)])
    }

    fn set(&mut self, bundle: Bundle, belongs: bool) {
        let (word, bit) = (&mut self.0[bundle / 64], 1 << (bundle % 64));
        *word = if belongs { *word | bit } else { *word & !bit };
    }

    fn iter(&self) -> impl Iterator<Item = Bundle> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(index, word)| {
            let bits = (0..64).filter(move |bit| word & 1 << bit != 0);
            bits.map(move |bit| index * 64 + bit)
        })
    }
}

/// From which port on which class holds.
fn classified(edges: Edges, bundles: usize, classes: &mut Interner<Bundles>) -> Vec<(usize, u16)> {
    // Ranges of one bundle may overlap; an end never comes first.
    let mut open = vec![0_usize; bundles];
    let mut named = Bundles::none_of(bundles);
    let mut starts = Vec::with_capacity(edges.len());
    for (at, changes) in edges.into_iter().take_while(|(at, _)| *at < PORTS) {
        for (bundle, begins) in changes {
            let count = &mut open[bundle];
            *count = if begins { *count + 1 } else { *count - 1 };
            named.set(bundle, *count > 0);
        }
        starts.push((at, classes.intern(named.clone()) as u16));
        if classes.len() > MAX_TRIE {
            break;
        }
    }
    starts
}

/// The trie entry of a protocol.
fn protocol_entry(starts: &[(usize, u16)], trie: &mut Trie) -> u16 {
    if let [(_, class)] = starts {
        return *class;
    }
    let mut by_port = vec![0; PORTS];
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([PORTS]);
    for ((start, class), end) in starts.iter().zip(ends) {
        by_port[*start..end].fill(*class);
    }
    let mut by_high_byte = [0; HALF_WORDS as usize];
    for (entry, ports) in by_high_byte.iter_mut().zip(by_port.as_chunks().0) {
        *entry = trie.share(*ports);
    }
    trie.share(by_high_byte)
}
