//! Links by interface and VLAN tags, told apart as far as the policy does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use enforcer_common::layout::LinkEntry;

use super::claims::Claims;
use super::interner::Interner;
use super::machine::{Devices, Interface, Place};
use crate::policy::model::Vlan;

/// All links of a machine.
pub(super) struct Links {
    /// Sets of [`Claims::keys`] that hold on a link: sorted indices. The first
    /// is that of interfaces the machine does not have.
    pub(super) kinds: Vec<Vec<usize>>,
    /// The links of each interface.
    interfaces: BTreeMap<u32, Rc<Tagged>>,
    /// The interfaces whose packets have no Ethernet header.
    bare: BTreeSet<u32>,
}

/// The links of one interface: indices into [`Links::kinds`].
#[derive(PartialEq, Eq, Hash)]
struct Tagged {
    /// Frames without tags, or with tags that no entry names: the keys without
    /// `vlan` hold for both alike.
    plain: usize,
    /// Frames with tags that an entry names, where that makes a difference.
    named: BTreeMap<Vlan, usize>,
}

/// The tables `links` (without their hash) and `vlans`.
pub(super) struct LinkTables {
    /// One entry for each interface.
    pub(super) entries: Vec<LinkEntry>,
    /// Rows of [`LinkEntry::VLAN_ROW`] half-words.
    pub(super) vlans: Vec<Vec<u16>>,
}

impl Links {
    /// Tells the links of all `devices` apart.
    pub(super) fn new(claims: &Claims, devices: &Devices<'_>) -> Self {
        let holding = Holding::new(claims);
        let mut kinds = Interner::default();
        kinds.intern(holding.plain(None));
        let unnamed = Rc::new(holding.tagged(None, &mut kinds));
        let mut interfaces = BTreeMap::new();
        for Interface { ifindex, .. } in devices.iter() {
            let tagged = if holding.names(*ifindex) {
                Rc::new(holding.tagged(Some(*ifindex), &mut kinds))
            } else {
                Rc::clone(&unnamed)
            };
            interfaces.insert(*ifindex, tagged);
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
            interfaces,
            bare: bare.map(|device| device.ifindex).collect(),
        }
    }

    /// Writes the tables; `classes` has the class of each kind, `judged` the
    /// interfaces where a program judges what arrives.
    pub(super) fn tables(&self, classes: &[u16], judged: &BTreeSet<u32>) -> LinkTables {
        let mut rows = Interner::default();
        let mut values = HashMap::new();
        let entries = self.interfaces.iter().map(|(ifindex, tagged)| {
            let value = *values
                .entry(tagged)
                .or_insert_with(|| value(tagged, classes, &mut rows));
            LinkEntry {
                ifindex: *ifindex,
                value,
                flags: flag(LinkEntry::ENFORCED, judged, *ifindex)
                    | flag(LinkEntry::BARE, &self.bare, *ifindex),
            }
        });
        LinkTables {
            entries: entries.collect(),
            vlans: rows.into_values(),
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
