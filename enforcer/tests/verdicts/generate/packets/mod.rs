//! Random packets that aim at the edges of one policy, and at each other.

mod leaving;
mod special;

use std::net::IpAddr;

use enforcer::policy::Policy;
use enforcer::policy::mac::Mac;
use enforcer::policy::model::{Endpoints, ZoneEntry, ZoneRef};
use ipnet::IpNet;

use super::addresses::{near, special};
use super::frames::Packet;
use super::pieces::Pieces;
use super::sequel::tags;
use super::services::{self, Aim};
use super::{Rng, edges};
use crate::crossing::Crossing;
use crate::oracle::packet::Vlan;
use crate::oracle::zones::{Link, Refused, source_zone, zone_by_address, zone_by_route};
use crate::oracle::{Expected, History, judge};
use crate::world::{Route, SPARE, World};
use leaving::Leaving;

/// Packets that passed, of which the next may be an answer or the sequel.
const RECENT: usize = 60;

/// A hardware address that no policy names.
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 8];

/// Makes one packet after the other for one policy.
pub struct Packets<'a> {
    policy: &'a Policy,
    world: &'a World,
    aim: Aim,
    sent: Vec<Sent>,
    /// Those that policy or flow let pass.
    passed: Vec<Sent>,
    pieces: Pieces,
    history: History,
}

/// A packet that was made, and where it crosses the router's edge.
#[derive(Clone)]
pub struct Sent {
    pub packet: Packet,
    here: Place,
    /// How it leaves, if it does.
    leaving: Option<Leaving>,
}

/// An interface, VLAN tags and a hardware address.
#[derive(Clone, Copy)]
struct Place {
    ifindex: u32,
    vlan: Vlan,
    mac: [u8; 6],
}

impl<'a> Packets<'a> {
    pub fn new(policy: &'a Policy, world: &'a World) -> Self {
        let aim = Aim::at(policy);
        Self {
            policy,
            world,
            aim,
            sent: Vec::new(),
            passed: Vec::new(),
            pieces: Pieces::default(),
            history: History::default(),
        }
    }

    /// Goes on under another policy.
    pub fn under(mut self, policy: &'a Policy) -> Self {
        self.history.replace_policy();
        Self {
            aim: Aim::at(policy),
            policy,
            ..self
        }
    }

    /// The next packet.
    pub fn next(&mut self, rng: &mut Rng) -> Crossing {
        self.pieces.go_on();
        if rng.percent(4) {
            let zone = self.any_zone(rng);
            let (place, source) = self.source(rng, zone);
            let tags = tags(rng, place.vlan);
            let frame = edges::other_frame(rng, &tags, (place.mac, source));
            let way = leaving::other(rng, place.ifindex);
            return Crossing::new(frame, way);
        }
        if rng.percent(10) {
            return self.piece(rng);
        }
        let mut sent = match rng.below(100) {
            _ if self.sent.is_empty() => self.fresh(rng),
            0..7 => self.error(rng),
            7..14 => self.leaving(rng),
            14..52 => self.related(rng),
            _ => self.fresh(rng),
        };
        sent.packet.from_mac = sent.here.mac;
        if rng.percent(2) {
            sent.packet.mac = [0x01, 0x80, 0xc2, 0, 0, rng.pick(&[0, 3, 0x0f, 0x10])];
        }
        sent.packet.tags = tags(rng, sent.here.vlan);
        let whole = sent.clone();
        let way = sent.way();
        if rng.percent(12) {
            edges::bend(rng, &mut sent.packet);
        }
        let mut frame = sent.packet.bytes();
        if rng.percent(8) {
            edges::damage(rng, &mut frame);
        }
        match judge(self.policy, self.world, &frame, way, &mut self.history) {
            Expected::Pass { counted } if !counted.contains(':') => {
                self.passed.push(whole.clone());
            }
            _ => {}
        }
        self.sent.push(whole);
        Crossing::new(frame, way)
    }

    /// A packet that goes on with an earlier one, answers it, or nearly so.
    fn related(&self, rng: &mut Rng) -> Sent {
        let mut sent = match self.passed.is_empty() || rng.percent(15) {
            true => rng.pick(&self.sent),
            false => {
                let recent = self.passed.len().saturating_sub(RECENT);
                rng.pick(&self.passed[recent..])
            }
        };
        if rng.percent(60) {
            sent = self.answered(rng, sent);
        }
        let packet = &mut sent.packet;
        services::vary(rng, packet);
        match rng.below(12) {
            0 => sent.here.ifindex = self.interface(rng),
            1 => sent.here.vlan = self.vlan(rng),
            3 => sent.here.mac = self.mac(rng),
            2 if sent.leaving.is_none() => {
                let (place, source) = {
                    let zone = self.any_zone(rng);
                    self.source(rng, zone)
                };
                sent.here = place;
                if source.is_ipv4() == packet.source.is_ipv4() {
                    packet.source = source;
                }
            }
            _ => {}
        }
        sent
    }

    /// A packet from one place to another, half of the time as some conduit
    /// says.
    fn fresh(&self, rng: &mut Rng) -> Sent {
        let mut service = self.aim.service(rng);
        let (mut from, mut to) = (self.any_zone(rng), self.any_zone(rng));
        if rng.percent(50) && !self.policy.conduits.is_empty() {
            let conduit = rng.pick(&self.policy.conduits);
            service = rng.pick(&conduit.services);
            from = self.zone_of(rng, &conduit.from);
            to = self.zone_of(rng, &conduit.to);
        }
        let (here, source) = self.source(rng, from);
        let mut destination = self.address(rng, to);
        for _ in 0..20 {
            if destination.is_ipv4() == source.is_ipv4() {
                break;
            }
            destination = self.address(rng, to);
        }
        if destination.is_ipv4() != source.is_ipv4() || rng.percent(1) {
            destination = source;
        }
        let packet = match rng.percent(8) {
            true => edges::neighbour_packet(rng, here.mac, (source, destination)),
            false => self.aim.packet(rng, (source, destination), service),
        };
        Sent {
            packet,
            here,
            leaving: None,
        }
    }

    /// A place that packets with this source usually come from.
    fn home(&self, rng: &mut Rng, source: IpAddr) -> Place {
        let zone = zone_by_address(self.policy, self.world, source)
            .unwrap_or_else(|| zone_by_route(self.policy, self.world, source, source));
        let mut place = Place {
            ifindex: match self.world.route(source, source) {
                Route::Out(index) => index,
                _ => self.interface(rng),
            },
            vlan: Vlan::default(),
            mac: STRANGER,
        };
        for _ in 0..10 {
            if self.source_zone(place, source) == Ok(zone) {
                break;
            }
            place = self.place(rng, zone);
        }
        place
    }

    fn source_zone(&self, place: Place, source: IpAddr) -> Result<ZoneRef, Refused> {
        let link = Link {
            interface: self.world.name(place.ifindex),
            vlan: place.vlan,
            mac: Some(place.mac),
        };
        source_zone(self.policy, self.world, link, source)
    }

    /// A place, and an address that may come from it: usually not a forged one.
    fn source(&self, rng: &mut Rng, zone: ZoneRef) -> (Place, IpAddr) {
        let mut end = (self.place(rng, zone), self.address(rng, zone));
        for _ in 0..rng.pick(&[0, 6, 6, 6]) {
            if self.source_zone(end.0, end.1).is_ok() {
                break;
            }
            end = (self.place(rng, zone), self.address(rng, zone));
        }
        end
    }

    fn any_zone(&self, rng: &mut Rng) -> ZoneRef {
        match rng.below(12) {
            0 => ZoneRef::SelfZone,
            1 => ZoneRef::Unknown,
            _ => ZoneRef::Zone(rng.below(self.policy.zones.len())),
        }
    }

    fn zone_of(&self, rng: &mut Rng, side: &Endpoints) -> ZoneRef {
        match side.any || side.zones.is_empty() {
            true => self.any_zone(rng),
            false => rng.pick(&side.zones),
        }
    }

    /// A `match` entry of a zone, or of any zone; of a device one that says what
    /// it is known by.
    fn entry(&self, rng: &mut Rng, zone: ZoneRef) -> ZoneEntry {
        let zone = match zone {
            ZoneRef::Zone(index) => &self.policy.zones[index],
            _ => &rng.pick(&self.policy.zones),
        };
        let Some(device) = &zone.device else {
            return rng.pick(&zone.entries);
        };
        let mut entry = rng.pick(&self.policy.zones[device.zone].entries);
        if !device.addresses.is_empty() {
            entry.prefixes = device.addresses.iter().copied().map(IpNet::from).collect();
        }
        entry.macs = device.mac.into_iter().collect();
        entry
    }

    /// An interface and VLAN, usually as an entry of the zone says.
    fn place(&self, rng: &mut Rng, zone: ZoneRef) -> Place {
        let entry = self.entry(rng, zone);
        let named = entry.interfaces.iter().filter_map(|name| {
            let known = &self.world.interfaces;
            known.iter().find(|known| known.name == name.as_str())
        });
        let named: Vec<u32> = named.map(|interface| interface.index).collect();
        let ifindex = match named.is_empty() || rng.percent(15) {
            true => self.interface(rng),
            false => rng.pick(&named),
        };
        let vlan = match entry.vlans.is_empty() || rng.percent(10) {
            true => self.vlan(rng),
            false => {
                let vlan = rng.pick(&entry.vlans);
                Vlan {
                    outer: vlan.outer,
                    inner: vlan.inner,
                }
            }
        };
        let mac = match entry.macs.is_empty() || rng.percent(10) {
            true => self.mac(rng),
            false => rng.pick(&entry.macs).bytes(),
        };
        Place { ifindex, vlan, mac }
    }

    /// A hardware address: any that the policy names, or a stranger's.
    fn mac(&self, rng: &mut Rng) -> [u8; 6] {
        let entries = self.policy.zones.iter().flat_map(|zone| &zone.entries);
        let devices = self.policy.zones.iter();
        let devices = devices.filter_map(|zone| zone.device.as_ref()?.mac);
        let named = entries.flat_map(|entry| &entry.macs).copied();
        let named: Vec<Mac> = named.chain(devices).collect();
        match named.is_empty() || rng.percent(50) {
            true => STRANGER,
            false => rng.pick(&named).bytes(),
        }
    }

    /// An address, usually in or beside a prefix of an entry of the zone.
    fn address(&self, rng: &mut Rng, zone: ZoneRef) -> IpAddr {
        let entry = self.entry(rng, zone);
        match (zone, rng.below(20)) {
            (_, 0) => self.router(rng),
            (ZoneRef::SelfZone, 1..16) => self.router(rng),
            (_, 1) | (ZoneRef::Unknown, 1..10) => special(rng),
            (_, 2) if !self.policy.failsafe.is_empty() => {
                let failsafe = rng.pick(&self.policy.failsafe);
                near(rng, failsafe.from)
            }
            _ if entry.prefixes.is_empty() => self.somewhere(rng),
            _ => {
                let prefix = rng.pick(&entry.prefixes);
                near(rng, prefix)
            }
        }
    }

    /// An address in a prefix of the policy or of the router.
    fn somewhere(&self, rng: &mut Rng) -> IpAddr {
        let entries = self.policy.zones.iter().flat_map(|zone| &zone.entries);
        let mut prefixes: Vec<IpNet> = entries.flat_map(|entry| entry.prefixes.clone()).collect();
        let interfaces = self.world.interfaces.iter();
        prefixes.extend(interfaces.flat_map(|interface| interface.addresses.clone()));
        let prefix = rng.pick(&prefixes);
        near(rng, prefix.trunc())
    }

    fn router(&self, rng: &mut Rng) -> IpAddr {
        match rng.below(8) {
            0 => rng.pick(&self.world.broadcasts()),
            1 => rng.pick(&self.world.anycasts()),
            _ => rng.pick(&self.world.addresses()),
        }
    }

    fn interface(&self, rng: &mut Rng) -> u32 {
        rng.pick(&[11, 11, 12, 12, 13, 13, 14, 14, SPARE])
    }

    fn vlan(&self, rng: &mut Rng) -> Vlan {
        match rng.below(20) {
            0..=15 => Vlan::default(),
            16..=18 => Vlan {
                outer: rng.pick(&[10, 20, 30, 1, 4094, 4095]),
                inner: 0,
            },
            _ => Vlan {
                outer: rng.pick(&[10, 20, 4095]),
                inner: rng.pick(&[10, 20, 30, 4095]),
            },
        }
    }
}
