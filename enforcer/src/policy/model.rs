//! What a policy means: names resolved, values valid, defaults filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use super::device::Device;
pub use super::limits::{Idle, Limits};
use super::mac::Mac;
use super::names::{ConduitId, InterfaceName, ZoneName};
pub use super::rate::{Period, Rate, RatePer, RateUnit};
use super::service::{self, Service};
use super::source::Span;
pub use enforcer_common::essential::Essential;

/// One valid policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The operator's name for it; `status` shows it.
    pub name: String,
    /// What happens where no zone or conduit says otherwise.
    pub defaults: Defaults,
    /// Where programs are attached otherwise than by default, if it is said.
    pub interfaces: BTreeMap<InterfaceName, Option<Hook>>,
    /// In the order of the file, devices behind the zones; a [`ZoneRef::Zone`]
    /// indexes this list.
    pub zones: Vec<Zone>,
    /// Flows to the router that pass whatever the conduits say.
    pub failsafe: Vec<Failsafe>,
    /// In the order of the file, which breaks ties between equals.
    pub conduits: Vec<Conduit>,
    /// Limits of the flow table.
    pub limits: Limits,
}

/// What happens where no zone or conduit says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// What becomes of would-be drops. [`Mode::Audit`] here drops nothing at
    /// all, unless a zone or conduit says `enforce`.
    pub mode: Mode,
    /// Flows that the router starts itself.
    pub self_out: Action,
}

/// What becomes of a packet that is to be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It is dropped.
    #[default]
    Enforce,
    /// It passes, and is counted apart.
    Audit,
}

/// Which packets of a connection the router must have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Its first one.
    #[default]
    Strict,
    /// Any: routes are asymmetric, and others come and go elsewhere.
    Loose,
}

/// Where the ingress program of an interface is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// XDP in the driver.
    #[default]
    Xdp,
    /// XDP in the stack, for drivers without support.
    XdpGeneric,
    /// TC ingress.
    Tc,
}

/// Members with one trust level; or one named member of such a zone, which
/// takes over how that zone is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Unique in the policy.
    pub name: ZoneName,
    /// Free text.
    pub description: Option<String>,
    /// A packet belongs to the zone when one of these matches it. A device has
    /// none.
    pub entries: Vec<ZoneEntry>,
    /// What makes it a device.
    pub device: Option<Device>,
    /// Traffic inside the zone that no conduit decides.
    pub intra_zone: Action,
    /// The mode of what is dropped on the way from or to the zone, as far as no
    /// conduit says another.
    pub mode: Option<Mode>,
    /// Essential protocols that do not pass where the zone is bound.
    pub essential_off: BTreeSet<Essential>,
    /// What becomes of TCP segments in mid-stream that belong to no known flow, on
    /// the way from or to the zone.
    pub state: State,
    /// Where the name is written.
    pub span: Span,
}

/// One `match` entry: every key that is present must match; a key matches when
/// one of its values does. An empty list is an absent key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneEntry {
    /// Ingress interfaces.
    pub interfaces: Vec<InterfaceName>,
    /// VLAN tags.
    pub vlans: Vec<Vlan>,
    /// Hardware addresses of stations.
    pub macs: Vec<Mac>,
    /// Addresses; none has host bits.
    pub prefixes: Vec<IpNet>,
    /// The whole entry.
    pub span: Span,
}

/// The VLAN tags of a frame: the outer one and, for QinQ, the inner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan {
    /// 1 to 4094.
    pub outer: u16,
    /// 1 to 4094; 0 when the frame has one tag only.
    pub inner: u16,
}

/// The text is no VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a VLAN id is 1 to 4094")]
pub struct InvalidVlan;

/// A flow to the router that passes whatever the conduits say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failsafe {
    /// Who may connect.
    pub from: IpNet,
    /// To what.
    pub services: Vec<Service>,
    /// Through which interface; any when absent.
    pub interface: Option<InterfaceName>,
    /// The whole entry.
    pub span: Span,
}

/// What the policy says about traffic from some zones to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conduit {
    /// Unique in the policy.
    pub id: ConduitId,
    /// Where its flows start.
    pub from: Endpoints,
    /// Where they go.
    pub to: Endpoints,
    /// What they are.
    pub services: Vec<Service>,
    /// What happens to them.
    pub action: Action,
    /// The highest of all matching conduits decides.
    pub priority: i16,
    /// The mode of what it drops.
    pub mode: Option<Mode>,
    /// How much of what it allows passes; nothing else has a rate.
    pub rate: Option<Rate>,
    /// Whether it is logged; see [`Conduit::logs`].
    pub log: Option<bool>,
    /// Why it exists.
    pub reason: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The whole entry.
    pub span: Span,
}

/// One side of a conduit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `any` is among the names: every zone of the policy, but neither `self`
    /// nor `unknown`, and never a zone to itself.
    pub any: bool,
    /// The zones named.
    pub zones: Vec<ZoneRef>,
}

/// A zone of the policy or a built-in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneRef {
    /// The router.
    SelfZone,
    /// What no zone matches.
    Unknown,
    /// Index into [`Policy::zones`].
    Zone(usize),
}

/// What is to happen to a flow, the weakest first: among conduits of equal
/// priority the strongest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It passes.
    Allow,
    /// It is dropped, and the sender is told. Only conduits say so.
    Reject,
    /// It is dropped.
    Drop,
}

impl Policy {
    /// The same policy as an audit: nothing is dropped, whatever its zones and
    /// conduits say.
    pub fn audited(mut self) -> Self {
        self.defaults.mode = Mode::Audit;
        self.zones.iter_mut().for_each(|zone| zone.mode = None);
        let conduits = self.conduits.iter_mut();
        conduits.for_each(|conduit| conduit.mode = None);
        self
    }

    /// The zone that a device is a member of; all else is a zone itself.
    pub fn home(&self, zone: ZoneRef) -> ZoneRef {
        let ZoneRef::Zone(index) = zone else {
            return zone;
        };
        let device = self.zones[index].device.as_ref();
        device.map_or(zone, |device| ZoneRef::Zone(device.zone))
    }

    /// The zones and conduits of another mode than the policy as a whole.
    pub fn mode_exceptions(&self) -> Vec<String> {
        let is_other = |mode: Option<Mode>| mode.is_some_and(|mode| mode != self.defaults.mode);
        let zones = self.zones.iter().filter(|zone| zone.device.is_none());
        let zones = zones.filter(|zone| is_other(zone.mode));
        let zones = zones.map(|zone| format!("zone {}", zone.name));
        let conduits = self.conduits.iter();
        let conduits = conduits.filter(|conduit| is_other(conduit.mode));
        let conduits = conduits.map(|conduit| format!("conduit {}", conduit.id));
        zones.chain(conduits).collect()
    }
}

impl Conduit {
    /// Whether what it decides is logged: drops by default, flows that it lets
    /// open only when asked for.
    pub fn logs(&self) -> bool {
        self.log.unwrap_or(self.action != Action::Allow)
    }
}

impl FromStr for Vlan {
    type Err = InvalidVlan;

    /// Reads `30`, or `100.30` for an outer and an inner tag.
    fn from_str(text: &str) -> Result<Self, InvalidVlan> {
        let tag = |text: &str| {
            service::decimal(text)
                .filter(|id| (1..=4094).contains(id))
                .ok_or(InvalidVlan)
        };
        match text.split_once('.') {
            Some((outer, inner)) => Ok(Self {
                outer: tag(outer)?,
                inner: tag(inner)?,
            }),
            None => Ok(Self {
                outer: tag(text)?,
                inner: 0,
            }),
        }
    }
}

impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner {
            0 => write!(f, "{}", self.outer),
            inner => write!(f, "{}.{inner}", self.outer),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Reject => "reject",
            Self::Drop => "drop",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_parse() {
        let cases = [
            ("1", Ok((1, 0))),
            ("4094", Ok((4094, 0))),
            ("100.30", Ok((100, 30))),
            ("10.20", Ok((10, 20))),
            ("0", Err(InvalidVlan)),
            ("4095", Err(InvalidVlan)),
            ("030", Err(InvalidVlan)),
            ("1.", Err(InvalidVlan)),
            ("1.2.3", Err(InvalidVlan)),
            ("", Err(InvalidVlan)),
        ];
        for (text, want) in cases {
            let want = want.map(|(outer, inner)| Vlan { outer, inner });
            assert_eq!(text.parse(), want, "{text:?}");
        }
    }
}
