//! Which drivers have XDP, as the kernel tells since Linux 6.3
//! (`linux/netdev.h`, `linux/genetlink.h`).

use std::collections::BTreeMap;
use std::io;

use nix::sys::socket::SockProtocol;

use super::dump::{Question, attribute, text};

/// Whether the driver of each interface, by index, has XDP; an interface that
/// is missing here may or may not.
pub fn drivers_with_xdp() -> io::Result<BTreeMap<u32, bool>> {
    let question = Question::new(SockProtocol::NetlinkGeneric)?;
    let mut drivers = BTreeMap::new();
    if let Some(family) = family(&question)? {
        const DEV_GET: [u8; 4] = [1, 1, 0, 0];
        question.ask(family, DEV_GET, |_, attributes| {
            drivers.extend(driver(attributes));
        })?;
    }
    Ok(drivers)
}

/// The number that the kernel has given to the family `netdev`.
fn family(question: &Question) -> io::Result<Option<u16>> {
    const CONTROLLER: u16 = 16;
    const GET_FAMILY: [u8; 4] = [3, 1, 0, 0];
    const ID: u16 = 1;
    const NAME: u16 = 2;
    let mut found = None;
    question.ask(CONTROLLER, GET_FAMILY, |_, attributes| {
        let is_meant = attribute(attributes, NAME).map(text).as_deref() == Some("netdev");
        let id = attribute(attributes, ID).filter(|_| is_meant);
        let id = id.and_then(|value| value.first_chunk());
        found = found.or(id.map(|bytes| u16::from_ne_bytes(*bytes)));
    })?;
    Ok(found)
}

fn driver(attributes: &[u8]) -> Option<(u32, bool)> {
    const IFINDEX: u16 = 1;
    const FEATURES: u16 = 3;
    /// Programs run, and may pass and drop.
    const BASIC: u64 = 1;
    let ifindex = attribute(attributes, IFINDEX)?.first_chunk()?;
    let features = attribute(attributes, FEATURES)?.first_chunk()?;
    let has_xdp = u64::from_ne_bytes(*features) & BASIC != 0;
    Some((u32::from_ne_bytes(*ifindex), has_xdp))
}

#[cfg(test)]
mod tests {
    use super::super::dump::tests::encoded;
    use super::*;

    #[test]
    fn drivers_are_read() {
        for (features, want) in [(0x7fu64, true), (0, false), (2, false)] {
            let message = [
                encoded(1, &7u32.to_ne_bytes()),
                encoded(2, &[]),
                encoded(3, &features.to_ne_bytes()),
            ];
            assert_eq!(driver(&message.concat()), Some((7, want)));
        }
        assert_eq!(driver(&encoded(1, &[7])), None);
    }
}
