//! Links by interface and VLAN tags, told apart as far as the policy does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use enforcer_common::layout::LinkEntry;

use super::claims::Claims;
use super::enforced::Judged;
use super::interner::Interner;
use super::machine::{Devices, Interface, Place};
use super::size::room_for;
use super::sources::Sources;
use crate::policy::Findings;
use crate::policy::model::Vlan;

/// All links of a machine.
pub(super) struct Links {
    /// Sets of [`Claims::keys`] that hold on a link: sorted indices. The first
    /// is that of interfaces the machine does not have.
    pub(super) kinds: Vec<Vec<usize>>,
    /// Sets of kinds, where a frame may be seen on any of several: sorted, at
    /// least two each. They are numbered after the kinds.
    pub(super) merged: Vec<Vec<usize>>,
    /// The links of each interface.
    interfaces: BTreeMap<u32, Rc<Tagged>>,
    /// The interfaces whose packets have no Ethernet header.
    bare: BTreeSet<u32>,
}

/// The links of one interface: indices into [`Links::kinds`], and beyond them
/// into [`Links::merged`].
#[derive(Clone, PartialEq, Eq, Hash)]
struct Tagged {
    /// Frames without tags, or with tags that no entry names: the keys without
    /// `vlan` hold for both alike.
    plain: usize,
    /// Frames with tags that an entry names, where that makes a difference.
    named: BTreeMap<Vlan, usize>,
}

/// The tables `links` (without their hash), `vlans` and `bridges`.
pub(super) struct LinkTables {
    /// One entry for each interface.
    pub(super) entries: Vec<LinkEntry>,
    /// Rows of [`LinkEntry::VLAN_ROW`] half-words.
    pub(super) vlans: Vec<Vec<u16>>,
    /// Interface indices.
    pub(super) bridges: Vec<u32>,
}

impl Links {
    /// Tells the links of all `devices` apart.
    pub(super) fn new(claims: &Claims, devices: &Devices<'_>) -> Self {
        let holding = Holding::new(claims);
        let mut kinds = Interner::default();
        kinds.intern(holding.plain(None));
        let unnamed = Rc::new(holding.tagged(None, &mut kinds));
        let mut interfaces = BTreeMap::new();
        for device in devices.iter() {
            let ifindex = device.ifindex;
            let mut tagged = if holding.names(ifindex) {
                Rc::new(holding.tagged(Some(ifindex), &mut kinds))
            } else {
                Rc::clone(&unnamed)
            };
            if devices.bridge(device).is_some_and(|it| it.filters_vlans) && !tagged.is_plain() {
                // Which tags a frame came in with is not known where it leaves.
                tagged = Rc::new(Tagged::NOWHERE);
            }
            interfaces.insert(ifindex, tagged);
        }
        let mut merged = Merged {
            kinds: kinds.len(),
            sets: Interner::default(),
        };
        for bridge in devices.iter() {
            let ports = devices.ports(bridge);
            let ports: Vec<_> = ports.map(|port| &*interfaces[&port.ifindex]).collect();
            if !ports.is_empty() {
                let any = Rc::new(merged.of(&ports));
                interfaces.insert(bridge.ifindex, any);
            }
        }
        // Programs see the frames of these on another device, the rest of the
        // kernel sees them here.
        let others = devices
            .iter()
            .filter(|device| !holding.names(device.ifindex));
        for device in others {
            if let Some(same) = elsewhere(device, devices, &interfaces) {
                interfaces.insert(device.ifindex, same);
            }
        }
        let bare = devices.iter().filter(|device| device.is_bare);
        Self {
            kinds: kinds.into_values(),
            merged: merged.sets.into_values(),
            interfaces,
            bare: bare.map(|device| device.ifindex).collect(),
        }
    }

    /// Writes the tables.
    pub(super) fn tables(
        &self,
        sources: &Sources,
        judged: &Judged,
    ) -> Result<LinkTables, Findings> {
        let classes = &sources.link_classes;
        let mut rows = Interner::default();
        let mut values = HashMap::new();
        let bridges: Vec<u32> = judged.bridges.iter().copied().collect();
        room_for(bridges.len(), "bridges", LinkEntry::MAX_BRIDGES)?;
        let is_several = |kind: &usize| sources.several.contains(&classes[*kind]);
        let port = |ifindex: u32| {
            let Some(bridge) = judged.ports.get(&ifindex) else {
                return 0;
            };
            let number = bridges.partition_point(|other| other < bridge);
            let Tagged { plain, named } = &*self.interfaces[bridge];
            match is_several(plain) || named.values().any(is_several) {
                true => LinkEntry::port_of(number) | LinkEntry::SEVERAL,
                false => LinkEntry::port_of(number),
            }
        };
        let entries = self.interfaces.iter().map(|(ifindex, tagged)| {
            let value = *values
                .entry(tagged)
                .or_insert_with(|| value(tagged, classes, &mut rows));
            LinkEntry {
                ifindex: *ifindex,
                value,
                flags: flag(LinkEntry::ENFORCED, &judged.at_ingress, *ifindex)
                    | flag(LinkEntry::BARE, &self.bare, *ifindex)
                    | flag(LinkEntry::BRIDGE, &judged.bridges, *ifindex)
                    | port(*ifindex),
            }
        });
        Ok(LinkTables {
            entries: entries.collect(),
            vlans: rows.into_values(),
            bridges,
        })
    }
}

impl Tagged {
    /// The links of an interface that the machine does not have.
    const NOWHERE: Self = Self {
        plain: 0,
        named: BTreeMap::new(),
    };

    /// Whether tags make no difference.
    fn is_plain(&self) -> bool {
        self.named.values().all(|kind| *kind == self.plain)
    }
}

/// Links that are one of several.
struct Merged {
    /// How many kinds there are.
    kinds: usize,
    sets: Interner<Vec<usize>>,
}

impl Merged {
    /// The links of a bridge: frames come to it by any of its ports.
    fn of(&mut self, ports: &[&Tagged]) -> Tagged {
        let vlans: BTreeSet<Vlan> = ports
            .iter()
            .flat_map(|port| port.named.keys())
            .copied()
            .collect();
        let plain = self.any(ports.iter().map(|port| port.plain));
        let mut tagged = Tagged {
            plain,
            named: BTreeMap::new(),
        };
        for vlan in vlans {
            let kind = |port: &&Tagged| *port.named.get(&vlan).unwrap_or(&port.plain);
            tagged.named.insert(vlan, self.any(ports.iter().map(kind)));
        }
        tagged
    }

    /// One of these kinds.
    fn any(&mut self, kinds: impl Iterator<Item = usize>) -> usize {
        let set: BTreeSet<usize> = kinds.collect();
        match set.first() {
            Some(only) if set.len() == 1 => *only,
            _ => self.kinds + self.sets.intern(set.into_iter().collect()),
        }
    }
}

/// `flag`, if it holds for the interface.
fn flag(flag: u16, holds: &BTreeSet<u32>, ifindex: u32) -> u16 {
    if holds.contains(&ifindex) { flag } else { 0 }
}

/// The links that a device stands for on another device, where it is a VLAN
/// device or the member of a bond.
fn elsewhere(
    device: &Interface,
    devices: &Devices<'_>,
    interfaces: &BTreeMap<u32, Rc<Tagged>>,
) -> Option<Rc<Tagged>> {
    if let Some(bond) = devices.bond(device) {
        return interfaces.get(&bond.ifindex).map(Rc::clone);
    }
    let Place { ifindex, vlan } = devices.place(device);
    let parent = interfaces.get(&ifindex)?;
    let plain = *parent.named.get(&vlan?).unwrap_or(&parent.plain);
    let named = BTreeMap::new();
    Some(Rc::new(Tagged { plain, named }))
}

/// Which keys hold where: indices into [`Claims::keys`], by interface
/// (`None`: keys without `interface`) and by VLAN (`None`: without `vlan`).
struct Holding {
    keys: HashMap<Option<u32>, BTreeMap<Option<Vlan>, Vec<usize>>>,
}

impl Holding {
    fn new(claims: &Claims) -> Self {
        let mut holding: HashMap<_, BTreeMap<_, Vec<usize>>> = HashMap::new();
        for (index, keys) in claims.keys.iter().enumerate() {
            for interface in or_none(&keys.interfaces) {
                for vlan in or_none(&keys.vlans) {
                    let by_vlan = holding.entry(interface).or_default();
                    by_vlan.entry(vlan).or_default().push(index);
                }
            }
        }
        Self { keys: holding }
    }

    /// Keys that hold on an interface whatever the tags.
    fn plain(&self, interface: Option<u32>) -> Vec<usize> {
        self.holding(interface, None, Vec::new())
    }

    /// Whether keys name the interface.
    fn names(&self, ifindex: u32) -> bool {
        self.keys.contains_key(&Some(ifindex))
    }

    fn tagged(&self, interface: Option<u32>, kinds: &mut Interner<Vec<usize>>) -> Tagged {
        let everywhere = self.keys.get(&None);
        let here = interface.and_then(|ifindex| self.keys.get(&Some(ifindex)));
        let vlans = everywhere.into_iter().chain(here).flat_map(BTreeMap::keys);
        let plain = self.plain(interface);
        let mut tagged = Tagged {
            plain: kinds.intern(plain.clone()),
            named: BTreeMap::new(),
        };
        for vlan in vlans.flatten() {
            let keys = self.holding(interface, Some(*vlan), plain.clone());
            tagged.named.insert(*vlan, kinds.intern(keys));
        }
        tagged
    }

    /// Adds the keys with exactly this VLAN to `keys`, and sorts.
    fn holding(
        &self,
        interface: Option<u32>,
        vlan: Option<Vlan>,
        mut keys: Vec<usize>,
    ) -> Vec<usize> {
        let add = |interface| self.keys.get(&interface)?.get(&vlan);
        keys.extend(add(None).into_iter().flatten());
        if interface.is_some() {
            keys.extend(add(interface).into_iter().flatten());
        }
        keys.sort_unstable();
        keys
    }
}

fn or_none<'k, T: Copy + 'k>(
    values: impl IntoIterator<Item = &'k T, IntoIter: ExactSizeIterator>,
) -> impl Iterator<Item = Option<T>> {
    let values = values.into_iter();
    let absent = (values.len() == 0).then_some(None);
    values.copied().map(Some).chain(absent)
}

/// The class of all links of an interface, or the row that tells them apart.
fn value(tagged: &Tagged, classes: &[u16], rows: &mut Interner<Vec<u16>>) -> u16 {
    let plain = classes[tagged.plain];
    let differing: BTreeMap<Vlan, u16> = tagged
        .named
        .iter()
        .map(|(vlan, kind)| (*vlan, classes[*kind]))
        .filter(|(_, class)| *class != plain)
        .collect();
    if differing.is_empty() {
        return plain;
    }
    let mut by_outer = vec![plain; LinkEntry::VLAN_ROW as usize];
    let mut by_inner: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for (vlan, class) in differing {
        if vlan.inner == 0 {
            by_outer[usize::from(vlan.outer)] = class;
        } else {
            let row = by_inner
                .entry(vlan.outer)
                .or_insert_with(|| vec![plain; LinkEntry::VLAN_ROW as usize]);
            row[usize::from(vlan.inner)] = class;
        }
    }
    for (outer, mut row) in by_inner {
        let outer = &mut by_outer[usize::from(outer)];
        row[0] = *outer;
        *outer = LinkEntry::BY_VLAN | rows.intern(row) as u16;
    }
    LinkEntry::BY_VLAN | rows.intern(by_outer) as u16
}
