//! IPv4 and IPv6 addresses as one type.

/// An IPv6 address as four words, most significant first; an IPv4 address in
/// its mapped form `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
///
/// Mapped addresses never come from the wire: the parser drops IPv6 packets
/// that carry them, so the two families cannot be confused.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub [u32; 4]);

const MAPPED: u32 = 0xffff;

impl Addr {
    /// No address, `::`.
    pub const UNSPECIFIED: Self = Self([0; 4]);

    /// The mapped form of an IPv4 address given in host order.
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Self([0, 0, MAPPED, address])
    }

    /// The IPv4 address in host order; `None` for IPv6.
    #[inline(always)]
    pub const fn as_v4(&self) -> Option<u32> {
        if self.is_v4() { Some(self.0[3]) } else { None }
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        // One comparison instead of three: each branch doubles the ways that
        // the verifier has to follow.
        self.0[0] | self.0[1] | (self.0[2] ^ MAPPED) == 0
    }

    /// 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291).
    #[inline(always)]
    pub const fn is_link_local(&self) -> bool {
        let v4 = self.0[0] | self.0[1] | (self.0[2] ^ MAPPED) | (self.0[3] >> 16 ^ 0xa9fe);
        let v6 = self.0[0] >> 22 ^ 0xfe80 >> 6;
        v4 == 0 || v6 == 0
    }
}

#[cfg(feature = "user")]
impl From<core::net::IpAddr> for Addr {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::v4(v4.to_bits()),
            core::net::IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                Self([
                    (bits >> 96) as u32,
                    (bits >> 64) as u32,
                    (bits >> 32) as u32,
                    bits as u32,
                ])
            }
        }
    }
}

#[cfg(feature = "user")]
impl From<Addr> for core::net::IpAddr {
    fn from(address: Addr) -> Self {
        match address.as_v4() {
            Some(v4) => core::net::Ipv4Addr::from_bits(v4).into(),
            None => {
                let bits = address
                    .0
                    .iter()
                    .fold(0u128, |bits, word| bits << 32 | u128::from(*word));
                core::net::Ipv6Addr::from_bits(bits).into()
            }
        }
    }
}
