//! Every kind of finding: values, and the sentence that tells them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::duration;
use super::mac::MacError;
use super::model::{Action, Vlan};
use super::names::{ConduitId, InterfaceName, NameError, ZoneName};
use super::overlap::Claim;
use super::service::ServiceError;

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message documents its variant and fields")]
pub enum DiagnosticKind {
    // The text.
    #[error("this is not valid YAML: {problem}")]
    InvalidYaml { problem: String },
    #[error("YAML {0} are not accepted in a policy")]
    YamlFeature(YamlFeature),
    #[error("lists and mappings are nested more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("the file holds no policy")]
    NoPolicy,

    // Keys and shapes.
    #[error("key `{key}` appears twice")]
    DuplicateKey { key: String },
    #[error("`{key}` is not a key of {section}")]
    UnknownKey {
        key: String,
        section: &'static str,
        allowed: &'static [&'static str],
    },
    #[error("{section} needs the key `{key}`")]
    MissingKey {
        key: &'static str,
        section: &'static str,
    },
    #[error("expected {expected}, found {found}")]
    WrongType {
        expected: &'static str,
        found: Shape,
    },
    #[error("the list of `{key}` is empty")]
    EmptyList { key: &'static str },
    #[error("`{value}` is listed twice")]
    Repeated { value: String },
    #[error("`{value}` is not a value of `{key}`")]
    UnknownValue {
        key: &'static str,
        value: String,
        allowed: &'static [&'static str],
    },
    #[error("`{value}` is not a whole number from {min} to {max}")]
    BadNumber { value: String, min: i64, max: i64 },
    #[error("this text is longer than {limit} characters")]
    TextTooLong { limit: usize },
    #[error("this text holds the control character {0:?}")]
    ControlCharacter(char),
    #[error("policy language version `{found}` is unknown")]
    UnknownVersion { found: String },
    #[error("`{what}` is not supported by this build")]
    NotSupported { what: String },
    #[error("{found} {what}: at most {limit} are allowed")]
    TooMany {
        what: &'static str,
        found: usize,
        limit: usize,
    },

    // Names.
    #[error("`{name}` is not {of}: {error}")]
    InvalidName {
        name: String,
        of: NameOf,
        error: NameError,
    },
    #[error("`{name}` is a built-in zone and cannot be defined")]
    ReservedZone { name: String },
    #[error("`{name}` is a service by itself and cannot be defined")]
    ReservedService { name: String },
    #[error("`{name}` is the name of a zone already")]
    DuplicateName { name: String },
    #[error("conduit id `{id}` is used twice")]
    DuplicateConduit { id: ConduitId },
    #[error("zone `{name}` is not defined")]
    UnknownZone {
        name: String,
        nearest: Option<String>,
    },
    #[error("`{name}` is not a zone under `zones`")]
    NotAZone {
        name: String,
        nearest: Option<String>,
    },
    #[error("service `{name}` is not defined")]
    UnknownService {
        name: String,
        nearest: Option<String>,
    },
    #[error("`{name}` is a name, and services are defined by literals only")]
    NestedService { name: String },

    // Values.
    #[error("`{text}` is not a prefix")]
    InvalidPrefix { text: String },
    #[error("prefix `{text}` has bits set beyond its length")]
    HostBits {
        text: String,
        address: IpAddr,
        network: IpNet,
    },
    #[error("`{address}` is an address without a prefix length")]
    BareAddress { address: IpAddr },
    #[error("`{text}` is an IPv4 prefix mapped into IPv6")]
    MappedPrefix { text: String, plain: Option<IpNet> },
    #[error("`{text}` is not a VLAN id from 1 to 4094")]
    InvalidVlan { text: String },
    #[error("hardware address `{text}`: {error}")]
    InvalidMac { text: String, error: MacError },
    #[error("`{text}` is not an address")]
    InvalidAddress { text: String },
    #[error("`{address}` is {what}, not that of one device")]
    UnfitAddress { address: IpAddr, what: &'static str },
    #[error("service `{text}`: {error}")]
    InvalidService { text: String, error: ServiceError },

    #[error("`{text}` is not a rate")]
    InvalidRate { text: String },
    #[error("`{text}` is not a duration from {} to {}", duration::shown(*min), duration::shown(*max))]
    InvalidDuration {
        text: String,
        min: Duration,
        max: Duration,
    },

    // Meaning.
    #[error("the policy defines no zones")]
    NoZones,
    #[error("this `match` entry has no key, so it would match every packet")]
    EmptyEntry,
    #[error("this device has neither `mac` nor `ip`, so no packet is its own")]
    EmptyDevice,
    #[error("two devices have the address {address}")]
    SharedAddress { address: String },
    #[error("{address} lies in no prefix of zone `{zone}`")]
    OutsideZone { address: IpAddr, zone: ZoneName },
    #[error("zone `{zone}` claims {prefix}, the address of a device of another zone")]
    ClaimedAddress { zone: ZoneName, prefix: IpNet },
    #[error("device `{device}` has only a `mac`, which tells of no packet that goes there")]
    UnreachableDevice { device: ZoneName },
    #[error("traffic from the router to itself is never judged")]
    SelfToSelf,
    #[error("zone `{zone}` is told apart by `mac` only, which tells of no packet that goes there")]
    Unreachable { zone: ZoneName },
    #[error("zones `{first}` and `{second}` both claim {claim}")]
    ZoneOverlap {
        first: ZoneName,
        second: ZoneName,
        claim: Claim,
    },

    #[error("a failsafe entry lets addresses in, and frames with an EtherType have none")]
    FrameFailsafe,
    #[error("a rate limits what a conduit allows, and this one says `{action}`")]
    RateOfNothing { action: Action },
    #[error(
        "`{first}` and `{second}` decide the same traffic from `{from}` to `{to}`, and differ in {keys}"
    )]
    Contradiction {
        first: ConduitId,
        second: ConduitId,
        from: String,
        to: String,
        keys: String,
    },

    // The machine.
    #[error("this machine has no interface `{name}`")]
    UnknownInterface {
        name: InterfaceName,
        nearest: Option<String>,
    },
    #[error("packets of interface `{name}` have no Ethernet header, and XDP takes frames only")]
    NoEthernet { name: String },
    #[error(
        "packets of interface `{interface}` have no hardware address, and device `{device}` \
         is known by its `mac`"
    )]
    NoHardwareAddress {
        device: ZoneName,
        interface: InterfaceName,
    },
    #[error("interface `{name}` belongs to a bridge, where packets are judged at TC")]
    BridgeHook { name: String },
    #[error("entries name VLANs of `{name}`, and its bridge changes the tags of frames")]
    FilteredVlan { name: String },
    #[error("interface `{name}` is {what}, where this build cannot put programs")]
    UnsupportedInterface { name: String, what: &'static str },
    #[error("`{name}` is VLAN {device} already: VLAN {vlan} in it makes more than two tags")]
    TooManyTags {
        name: InterfaceName,
        device: Vlan,
        vlan: Vlan,
    },
    #[error("the policy takes {found} {what}, and there is room for {limit}")]
    NoRoom {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("at this rate it takes more than {years} years to save up for the burst")]
    BurstTooLarge { years: u64 },

    // Warnings.
    #[error("zone `{zone}` claims {claim} twice")]
    DuplicateClaim { zone: ZoneName, claim: Claim },
    #[error("no conduit names zone `{zone}`")]
    UnusedZone { zone: ZoneName },
    #[error("service `{name}` is never used")]
    UnusedService { name: String },
    #[error("this machine has no interface `{name}` yet")]
    MissingInterface { name: InterfaceName },
    #[error("this failsafe opens the router on every interface")]
    FailsafeEverywhere,
    #[error("`essential_off` does not turn {names} off on {place}, where zone `{other}` is, too")]
    EssentialKept {
        names: String,
        place: String,
        other: ZoneName,
    },
    #[error("conduit `{id}` allows ICMP redirects, which never pass from one zone to another")]
    Redirect { id: ConduitId },
}

/// A feature of YAML that a policy may not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlFeature {
    /// `&name`.
    Anchors,
    /// `*name`.
    Aliases,
    /// `!name`.
    Tags,
    /// `---` between two documents.
    Documents,
    /// A list or mapping as a key.
    Keys,
}

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No value.
    Nothing,
    /// A scalar.
    Single,
    /// A list.
    List,
    /// A mapping.
    Mapping,
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf {
    /// A zone.
    Zone,
    /// A device.
    Device,
    /// A conduit.
    Conduit,
    /// A service.
    Service,
    /// A network interface.
    Interface,
}

impl fmt::Display for YamlFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anchors => "anchors",
            Self::Aliases => "aliases",
            Self::Tags => "tags",
            Self::Documents => "documents after the first",
            Self::Keys => "keys that are not plain words",
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Single => "a single value",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        })
    }
}

impl fmt::Display for NameOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zone => "a zone name",
            Self::Device => "a device name",
            Self::Conduit => "a conduit id",
            Self::Service => "a service name",
            Self::Interface => "an interface name",
        })
    }
}
