//! The code, the severity and the advice of every kind of finding.

use ipnet::IpNet;

use super::diagnostic::Severity;
use super::kind::{DiagnosticKind, NameOf, Shape, YamlFeature};
use super::suggest;

impl DiagnosticKind {
    /// A short name that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidYaml { .. } => "invalid-yaml",
            Self::YamlFeature(_) => "yaml-feature",
            Self::TooDeep { .. } => "too-deep",
            Self::NoPolicy => "no-policy",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::UnknownKey { .. } => "unknown-key",
            Self::MissingKey { .. } => "missing-key",
            Self::WrongType { .. } => "wrong-type",
            Self::EmptyList { .. } => "empty-list",
            Self::Repeated { .. } => "repeated",
            Self::UnknownValue { .. } => "unknown-value",
            Self::BadNumber { .. } => "bad-number",
            Self::TextTooLong { .. } => "text-too-long",
            Self::ControlCharacter(_) => "control-character",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::NotSupported { .. } => "not-supported",
            Self::TooMany { .. } => "too-many",
            Self::InvalidName { .. } => "invalid-name",
            Self::ReservedZone { .. } => "reserved-zone",
            Self::ReservedService { .. } => "reserved-service",
            Self::DuplicateName { .. } => "duplicate-name",
            Self::DuplicateConduit { .. } => "duplicate-conduit",
            Self::UnknownZone { .. } => "unknown-zone",
            Self::NotAZone { .. } => "not-a-zone",
            Self::UnknownService { .. } => "unknown-service",
            Self::NestedService { .. } => "nested-service",
            Self::InvalidPrefix { .. } => "invalid-prefix",
            Self::HostBits { .. } => "host-bits",
            Self::BareAddress { .. } => "bare-address",
            Self::MappedPrefix { .. } => "mapped-prefix",
            Self::InvalidVlan { .. } => "invalid-vlan",
            Self::InvalidMac { .. } => "invalid-mac",
            Self::InvalidAddress { .. } => "invalid-address",
            Self::UnfitAddress { .. } => "unfit-address",
            Self::InvalidService { .. } => "invalid-service",
            Self::InvalidRate { .. } => "invalid-rate",
            Self::InvalidDuration { .. } => "invalid-duration",
            Self::NoZones => "no-zones",
            Self::EmptyEntry => "empty-entry",
            Self::EmptyDevice => "empty-device",
            Self::SharedAddress { .. } => "shared-address",
            Self::OutsideZone { .. } => "outside-zone",
            Self::ClaimedAddress { .. } => "claimed-address",
            Self::UnreachableDevice { .. } => "unreachable-device",
            Self::SelfToSelf => "self-to-self",
            Self::ZoneOverlap { .. } => "zone-overlap",
            Self::Unreachable { .. } => "unreachable",
            Self::FrameFailsafe => "frame-failsafe",
            Self::RateOfNothing { .. } => "rate-of-nothing",
            Self::Contradiction { .. } => "contradiction",
            Self::UnknownInterface { .. } => "unknown-interface",
            Self::BridgeHook { .. } => "bridge-hook",
            Self::FilteredVlan { .. } => "filtered-vlan",
            Self::UnsupportedInterface { .. } => "unsupported-interface",
            Self::NoHardwareAddress { .. } => "no-hardware-address",
            Self::NoEthernet { .. } => "no-ethernet",
            Self::TooManyTags { .. } => "too-many-tags",
            Self::NoRoom { .. } => "no-room",
            Self::BurstTooLarge { .. } => "burst-too-large",
            Self::DuplicateClaim { .. } => "duplicate-claim",
            Self::UnusedZone { .. } => "unused-zone",
            Self::UnusedService { .. } => "unused-service",
            Self::MissingInterface { .. } => "missing-interface",
            Self::FailsafeEverywhere => "failsafe-everywhere",
            Self::EssentialKept { .. } => "essential-kept",
            Self::Redirect { .. } => "redirect",
        }
    }

    /// Whether the policy is refused because of it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::DuplicateClaim { .. }
            | Self::UnusedZone { .. }
            | Self::UnusedService { .. }
            | Self::MissingInterface { .. }
            | Self::FailsafeEverywhere
            | Self::EssentialKept { .. }
            | Self::Redirect { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        self.suggestion()
            .or_else(|| self.advice().map(str::to_owned))
    }

    /// Advice that depends on what was written.
    fn suggestion(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { key, allowed, .. } => suggest::one_of(key, allowed),
            Self::UnknownValue { value, allowed, .. } => suggest::one_of(value, allowed),
            Self::MissingKey { key, .. } => suggest::missing(key),
            Self::UnknownZone { name, nearest } => suggest::zone(name, nearest.as_deref()),
            Self::NotAZone {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::InvalidAddress { text } => return suggest::address(text),
            Self::UnknownService { name, nearest } => {
                suggest::unknown_service(name, nearest.as_deref())
            }
            Self::UnknownInterface {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::InvalidService { text, error } => suggest::literal(text, error),
            Self::InvalidPrefix { text } => suggest::prefix(text),
            Self::HostBits {
                address, network, ..
            } => {
                let one = IpNet::from(*address);
                format!("write the network, `{network}`, or the one address, `{one}`")
            }
            Self::BareAddress { address } => {
                let one = IpNet::from(*address);
                format!("for this one address write `{one}`")
            }
            Self::MappedPrefix {
                plain: Some(plain), ..
            } => {
                format!("write the IPv4 prefix itself: `{plain}`")
            }
            Self::InvalidRate { text } => suggest::rate(text),
            Self::InvalidDuration { text, .. } => return suggest::duration(text),
            _ => return None,
        })
    }

    /// Advice that is always the same.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidYaml { problem } => return suggest::yaml(problem),
            Self::YamlFeature(YamlFeature::Anchors | YamlFeature::Aliases) => {
                "write the value out where it is needed"
            }
            Self::YamlFeature(YamlFeature::Tags) => "remove the tag; the key decides the type",
            Self::YamlFeature(YamlFeature::Documents) => "keep one policy in a file",
            Self::YamlFeature(YamlFeature::Keys) => "a key is one word, followed by a colon",
            Self::TooDeep { .. } => "no policy needs that; look for a bracket too many",
            Self::NoPolicy => "a policy starts with `version: 1` and has `zones` and `conduits`",
            Self::DuplicateKey { .. } => "keep one of them, or merge them",
            Self::WrongType {
                found: Shape::Nothing,
                ..
            } => "give a value, or remove the key",
            Self::EmptyList { .. } => "list at least one value, or remove the key",
            Self::Repeated { .. } | Self::DuplicateClaim { .. } => "remove one of them",
            Self::BadNumber { .. } => "write it in plain decimal digits, without leading zeros",
            Self::TextTooLong { .. } => "shorten it",
            Self::ControlCharacter(_) => "remove it; text is shown on terminals",
            Self::UnknownVersion { .. } => "this build reads `version: 1`",
            Self::NotSupported { .. } => {
                "the policy language has it, but this build would not act on it; \
                 remove it, or install a build that does"
            }
            Self::TooMany { .. } => "merge some of them",
            Self::InvalidName {
                of: NameOf::Interface,
                ..
            } => "use the name that `ip link` shows, at most 15 bytes",
            Self::InvalidName { .. } => {
                "a name is a letter, then up to 30 letters, digits, `_`, `.` or `-`"
            }
            Self::ReservedZone { .. } => {
                "choose another name; `self`, `unknown` and `any` exist already"
            }
            Self::DuplicateName { .. } => {
                "conduits name zones and devices alike: choose another name"
            }
            Self::NotAZone { .. } => "a device is a member of a zone: define it under `zones`",
            Self::InvalidAddress { .. } => "write it as `10.0.10.20` or `fd00::20`",
            Self::UnfitAddress { .. } => "give the address that the device has to itself",
            Self::ReservedService { .. } => {
                "choose a name without a slash that is no protocol of the language"
            }
            Self::DuplicateConduit { .. } => {
                "counters and logs tell conduits apart by id: choose another"
            }
            Self::NestedService { .. } => {
                "list literals such as `tcp/443`; a conduit may name several services"
            }
            Self::MappedPrefix { .. } => "write IPv4 prefixes as `10.0.0.0/8`",
            Self::InvalidVlan { .. } => "write `30`, or `100.30` for an outer and an inner tag",
            Self::NoZones => {
                "add `zones:` with at least one, such as `office: { match: { interface: eth1 } }`"
            }
            Self::EmptyEntry => "give it `interface`, `vlan` or `prefix`, or several of them",
            Self::EmptyDevice => "give it a `mac`, or one or more `ip`, or both",
            Self::SharedAddress { .. } => "a packet is of one device: remove it from one of them",
            Self::OutsideZone { .. } => {
                "name the zone that has the address, or add a prefix around it to this one"
            }
            Self::ClaimedAddress { .. } => {
                "a packet has one zone: remove the claim, or put the device into that zone"
            }
            Self::UnreachableDevice { .. } => "give the device an `ip`",
            Self::SelfToSelf => "remove `self` from one side",
            Self::Unreachable { .. } => "give an entry of the zone a `prefix`",
            Self::ZoneOverlap { .. } => {
                "a packet has one zone: remove the claim from one of them, or tell them apart \
                 by `interface`, `vlan` or a longer `prefix`"
            }
            Self::FrameFailsafe => "write a conduit to `self`",
            Self::RateOfNothing { .. } => "remove the rate, or let the conduit allow",
            Self::Contradiction { .. } => {
                "of equals only one can decide: make these keys equal, or give one \
                 of the two a higher `priority`"
            }
            Self::UnknownInterface { .. } => {
                "use a name that `ip link` shows, create it first, \
                 or apply with --allow-missing if it comes later"
            }
            Self::UnsupportedInterface { .. } => {
                "name other interfaces; an entry without `interface` takes in \
                 every interface that is up"
            }
            Self::NoHardwareAddress { .. } => "remove the `mac`, and give the device an `ip`",
            Self::BridgeHook { .. } | Self::NoEthernet { .. } => {
                "write `hook: tc` for it, or leave its `hook` out"
            }
            Self::FilteredVlan { .. } => {
                "leave `vlan` out and name the ports of the VLAN, or switch \
                 `vlan_filtering` off"
            }
            Self::TooManyTags { .. } => "name the parent interface, and `vlan` with both tags",
            Self::BurstTooLarge { .. } => "write a smaller `burst`",
            Self::NoRoom { .. } => "merge zones, prefixes or services that are treated alike",
            Self::UnusedZone { .. } => {
                "only traffic inside the zone and from the router reaches it; \
                 add a conduit if that is not meant"
            }
            Self::UnusedService { .. } => "remove it, or name it in a conduit",
            Self::MissingInterface { .. } => {
                "`enforcer run` attaches programs when it appears; without it, apply again then"
            }
            Self::FailsafeEverywhere => "a forged source address can use it too; add `interface`",
            Self::EssentialKept { .. } => {
                "a protocol is off where every zone lists it: list it there, too, or tell the \
                 zones apart by `vlan`"
            }
            Self::Redirect { .. } => "they would bend routes past the router; name other types",
            _ => return None,
        })
    }
}
