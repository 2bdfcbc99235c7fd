//! EtherTypes: what frames between ports of a bridge carry instead of IP.

use std::fmt;
use std::str::FromStr;

use super::service::ServiceError;

/// An EtherType that is judged as such: from 0x0600 on, and none of those that
/// the parser of packets knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(u16);

impl EtherType {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for EtherType {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        use enforcer_common::wire::ether_type::*;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 4);
        let is_hex = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.filter(is_hex);
        let number = number.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        match number {
            Some(IPV4 | IPV6 | ARP | VLAN | SERVICE_VLAN | OLD_SERVICE_VLAN) => {
                Err(ServiceError::KnownEtherType(text.to_owned()))
            }
            Some(number @ 0x0600..) => Ok(Self(number)),
            _ => Err(ServiceError::NotAnEtherType(text.to_owned())),
        }
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}
