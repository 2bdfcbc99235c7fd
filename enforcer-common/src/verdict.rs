//! Why packets are dropped.

/// Why a packet was dropped. Every drop has exactly one reason.
///
/// Numbers are permanent; a new reason takes the next. Zero is never a reason,
/// so that a table cell nobody wrote cannot look like one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropReason(pub u8);

/// Declares each reason with its number and the name that users see.
macro_rules! reasons {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        impl DropReason {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*

            /// Every reason there is, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];

            /// The name that counters, logs and `explain` show.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => $name,)*
                    _ => "unknown-reason",
                }
            }
        }
    };
}

reasons! {
    /// The packet ends inside a header, or before the end its header claims.
    TRUNCATED = 1, "truncated";
    /// Neither IPv4, IPv6, ARP nor a link protocol that is let through.
    UNKNOWN_ETHERTYPE = 2, "unknown-ethertype";
    /// More than two VLAN tags.
    TOO_MANY_TAGS = 3, "too-many-tags";
    /// IPv4 version, header length, total length or options make no sense.
    BAD_IPV4_HEADER = 4, "bad-ipv4-header";
    /// IPv6 version or the order of extension headers makes no sense.
    BAD_IPV6_HEADER = 5, "bad-ipv6-header";
    /// The sender chose the route (RFC 7126, RFC 5095).
    SOURCE_ROUTED = 6, "source-routed";
    /// Extension headers beyond the limits in [`crate::limits`].
    TOO_MANY_EXTENSIONS = 7, "too-many-extensions";
    /// A fragment that is empty, of a length that no fragment has, or beyond the
    /// longest datagram.
    BAD_FRAGMENT = 8, "bad-fragment";
    /// TCP data offset, UDP length or options of neighbour discovery make no sense.
    BAD_TRANSPORT_HEADER = 9, "bad-transport-header";
    /// ICMP inside IPv6 or ICMPv6 inside IPv4.
    WRONG_ICMP_FAMILY = 10, "wrong-icmp-family";
    /// Not ARP for IPv4 over Ethernet.
    BAD_ARP = 11, "bad-arp";
    /// An IPv4-mapped address in an IPv6 header (RFC 4942, 2.2).
    MAPPED_ADDRESS = 12, "mapped-address";
    /// The source address cannot come from this interface or VLAN.
    SPOOFED_SOURCE = 13, "spoofed-source";
    /// A link-local address on its way to another zone.
    LINK_LOCAL = 14, "link-local";
    /// No conduit joins the two zones for this service.
    NO_CONDUIT = 15, "no-conduit";
    /// A conduit says drop.
    CONDUIT = 16, "conduit";
    /// The zone's `intra_zone` says drop.
    INTRA_ZONE = 17, "intra-zone";
    /// `defaults.self_out` says drop.
    SELF_OUT = 18, "self-out";
    /// A TCP segment that opens nothing and belongs to no known flow.
    TCP_NO_FLOW = 19, "tcp-no-flow";
    /// A new flow found no room.
    FLOW_TABLE_FULL = 20, "flow-table-full";
    /// The tables contradict themselves: a fault of this program, never of the
    /// packet.
    TABLE_FAULT = 21, "table-fault";
    /// A conduit says reject.
    REJECT = 22, "reject";
    /// The rate of a conduit is used up.
    RATE_LIMITED = 23, "rate-limited";
    /// No drop: an audit let pass what would have been dropped.
    AUDIT = 24, "audit";
    /// An ICMP error that reports no packet of a known flow, and that no conduit
    /// names.
    ICMP_UNRELATED = 25, "icmp-unrelated";
    /// A later fragment of a datagram whose first fragment has not passed.
    FRAGMENT_ORPHAN = 26, "fragment-orphan";
    /// A fragment of a datagram in which fragments overlap, or contradict each
    /// other in its length (RFC 5722, RFC 8200).
    FRAGMENT_OVERLAP = 27, "fragment-overlap";
    /// ARP or a link protocol where every zone has turned it off.
    ESSENTIAL_OFF = 28, "essential-off";
    /// The address is bound to another hardware address, or the hardware address
    /// to other addresses.
    BINDING_VIOLATED = 29, "binding-violated";
}

impl DropReason {
    /// Whether it was found while the packet was parsed, so that what the packet
    /// carries is not known.
    #[inline(always)]
    pub const fn is_of_parser(self) -> bool {
        self.0 < Self::SPOOFED_SOURCE.0 || self.0 == Self::ESSENTIAL_OFF.0
    }

    /// Whether conduits and zones decided it, who then also decided whether it
    /// is audited.
    #[inline(always)]
    pub const fn is_of_policy(self) -> bool {
        matches!(
            self,
            Self::NO_CONDUIT
                | Self::CONDUIT
                | Self::INTRA_ZONE
                | Self::SELF_OUT
                | Self::REJECT
                | Self::RATE_LIMITED
                | Self::ICMP_UNRELATED
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_fit_a_cell() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(reason.0), index + 1, "{}", reason.name());
            assert!(reason.name().len() < 32, "{}", reason.name());
            let twins = DropReason::ALL
                .iter()
                .filter(|other| other.name() == reason.name());
            assert_eq!(twins.count(), 1, "{}", reason.name());
        }
    }
}
