//! What the zones claim: `match` entries by prefix, with their other keys told
//! apart only where they differ.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::zone::ZoneId;
use ipnet::IpNet;

use super::interner::Interner;
use super::machine::{Devices, Place};
use super::members::{self, Families};
use super::numbering::Numbering;
use crate::policy::Policy;
use crate::policy::mac::Mac;
use crate::policy::model::{Vlan, Zone, ZoneEntry};

/// Keys of an entry that say where a frame is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LinkKeys {
    /// Indices of interfaces; any when empty.
    pub(super) interfaces: BTreeSet<u32>,
    /// VLAN tags; any, and none, when empty.
    pub(super) vlans: BTreeSet<Vlan>,
}

/// One claim on a prefix, or on every address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim {
    /// Who makes it.
    pub(super) zone: ZoneId,
    /// Where it holds: an index into [`Claims::keys`].
    pub(super) keys: usize,
    /// From which hardware addresses: an index into [`Claims::macs`].
    pub(super) macs: usize,
    /// What it goes by.
    pub(super) by: By,
}

/// What a claim goes by. Devices decide over zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    /// A `match` entry of a zone.
    Entry,
    /// A device by what nothing is bound to: an address, or its hardware address.
    Device,
    /// A device by an address and the hardware address that it is bound to.
    Bound,
    /// A device by its hardware address, which has no other addresses of these
    /// families than those that are bound to it.
    Station(Families),
}

impl Claim {
    /// Whether it holds whatever the hardware address.
    pub(super) fn is_of_any_mac(&self) -> bool {
        self.macs == Claims::ANY_MAC
    }

    /// Whether a device makes it.
    pub(super) fn is_of_device(&self) -> bool {
        self.by != By::Entry
    }
}

/// Claims on one prefix, least specific first: each decides over those before.
pub(super) type Group = Vec<Claim>;

/// All claims of a policy.
pub(super) struct Claims {
    /// Every distinct combination of keys.
    pub(super) keys: Vec<LinkKeys>,
    /// Every distinct set of hardware addresses; the first is empty and stands
    /// for all.
    pub(super) macs: Vec<BTreeSet<Mac>>,
    /// Claims without a prefix.
    pub(super) anywhere: Group,
    /// Claims with one.
    pub(super) prefixes: BTreeMap<IpNet, Group>,
    /// The sources of each failsafe entry, and an index into `keys`.
    pub(super) failsafes: Vec<(IpNet, usize)>,
    /// An index into `keys` for each entry, and the essential protocols that its
    /// zone turns off, one bit each.
    entries: BTreeSet<(usize, u16)>,
}

impl LinkKeys {
    fn of_entry(entry: &ZoneEntry, devices: &Devices<'_>) -> Self {
        let names = entry.interfaces.iter();
        let interfaces = names.map(|name| match devices.named(name.as_str()) {
            Some(device) => device.ifindex,
            None => Place::NONE.ifindex,
        });
        Self {
            interfaces: interfaces.collect(),
            vlans: entry.vlans.iter().copied().collect(),
        }
    }

    /// A bridge is where its ports are, too.
    fn of_place(place: Place, devices: &Devices<'_>) -> Self {
        let device = devices.iter().find(|one| one.ifindex == place.ifindex);
        let ports = device.into_iter().flat_map(|bridge| devices.ports(bridge));
        let ports = ports.map(|port| port.ifindex);
        Self {
            interfaces: ports.chain([place.ifindex]).collect(),
            vlans: place.vlan.into_iter().collect(),
        }
    }

    /// Orders claims on one prefix: a VLAN says more than an interface.
    fn rank(&self) -> (bool, bool) {
        (!self.vlans.is_empty(), !self.interfaces.is_empty())
    }
}

impl Claims {
    /// The set that stands for all hardware addresses.
    const ANY_MAC: usize = 0;

    /// The claims of `zones`, which name no VLAN devices, and of the failsafe
    /// entries of `policy`. An interface that `devices` awaits is one where
    /// nothing arrives.
    pub(super) fn new(
        zones: &[Zone],
        policy: &Policy,
        devices: &Devices<'_>,
        numbering: &Numbering,
    ) -> Self {
        let mut keys = Interner::default();
        let mut macs = Interner::default();
        macs.intern(BTreeSet::new());
        let mut entries = BTreeSet::new();
        let mut anywhere = Group::new();
        let mut prefixes: BTreeMap<IpNet, Group> = BTreeMap::new();
        for zone in zones {
            for entry in &zone.entries {
                let claim = Claim {
                    zone: numbering.zone(zone),
                    keys: keys.intern(LinkKeys::of_entry(entry, devices)),
                    macs: macs.intern(entry.macs.iter().copied().collect()),
                    by: By::Entry,
                };
                let off = zone.essential_off.iter().map(|one| one.bit());
                entries.insert((claim.keys, off.fold(0, |all, bit| all | bit)));
                if entry.prefixes.is_empty() {
                    anywhere.push(claim);
                }
                for prefix in &entry.prefixes {
                    prefixes.entry(*prefix).or_default().push(claim);
                }
            }
            let device = zone.device.iter();
            for part in device.flat_map(|device| members::parts(device, &zones[device.zone])) {
                let macs = macs.intern(part.mac.into_iter().collect());
                let claims = part.entries.iter().map(|entry| Claim {
                    zone: numbering.zone(zone),
                    keys: keys.intern(LinkKeys::of_entry(entry, devices)),
                    macs,
                    by: part.by,
                });
                match part.address {
                    Some(address) => prefixes.entry(address.into()).or_default().extend(claims),
                    None => anywhere.extend(claims),
                }
            }
        }
        let failsafe = policy.failsafe.iter().map(|failsafe| {
            let interface = failsafe.interface.as_ref();
            let place = interface.map(|name| match devices.named(name.as_str()) {
                Some(device) => devices.place(device),
                None => Place::NONE,
            });
            let keys_of = |place| LinkKeys::of_place(place, devices);
            let keys = keys.intern(place.map(keys_of).unwrap_or_default());
            (failsafe.from, keys)
        });
        let failsafes = failsafe.collect();
        let keys = keys.into_values();
        for group in prefixes.values_mut().chain([&mut anywhere]) {
            group.sort_unstable_by_key(|claim| {
                (claim.is_of_device(), keys[claim.keys].rank(), *claim)
            });
            group.dedup();
        }
        Self {
            keys,
            macs: macs.into_values(),
            anywhere,
            prefixes,
            failsafes,
            entries,
        }
    }

    /// The essential protocols that do not pass on a link where these keys hold,
    /// one bit each: those that every zone turns off which has an entry there;
    /// of entries, those that say most of the link.
    pub(super) fn essentials_off(&self, kind: &[usize]) -> u16 {
        let here = || self.entries.iter().filter(|(keys, _)| kind.contains(keys));
        let rank = |keys: usize| self.keys[keys].rank();
        let Some(most) = here().map(|(keys, _)| rank(*keys)).max() else {
            return 0;
        };
        let counting = here().filter(|(keys, _)| rank(*keys) == most);
        counting.fold(u16::MAX, |all, (_, off)| all & off)
    }

    /// Whether hardware addresses are bound to addresses.
    pub(super) fn have_bindings(&self) -> bool {
        let groups = self.prefixes.values();
        groups.flatten().any(|claim| claim.by == By::Bound)
    }

    /// Whether all claims of the group name an interface, so that its addresses
    /// cannot come from elsewhere.
    pub(super) fn is_bound(&self, group: &[Claim]) -> bool {
        let names_interface = |claim: &Claim| !self.keys[claim.keys].interfaces.is_empty();
        group.iter().all(names_interface)
    }
}
