//! The image of a policy for the router of the tests.

use enforcer::compile::machine::{Address, Interface, Machine};
use enforcer::compile::{Image, Numbering, compile};
use enforcer::policy::Policy;
use ipnet::IpNet;

use crate::world::World;

/// Compiles policies that follow each other; panics when the compiler refuses
/// one.
pub fn images(policies: &[&Policy], world: &World) -> Vec<Image> {
    let (machine, mut numbering) = (machine(world), Numbering::default());
    let image = |policy: &&Policy| {
        compile(policy, &machine, &mut numbering)
            .unwrap_or_else(|findings| panic!("{findings:?}\n{policy:#?}"))
    };
    policies.iter().map(image).collect()
}

/// Index of the bridge, if there is one; nothing is seen on it.
const BRIDGE: u32 = 20;

/// The router, as the compiler wants it described.
pub fn machine(world: &World) -> Machine {
    let interfaces = world.interfaces.iter().map(|interface| Interface {
        name: interface.name.to_owned(),
        ifindex: interface.index,
        is_up: true,
        is_loopback: interface.name == "lo",
        master: world.ports.contains(&interface.index).then_some(BRIDGE),
        ..Interface::default()
    });
    let bridge = (!world.ports.is_empty()).then(|| Interface {
        name: "bridge".to_owned(),
        ifindex: BRIDGE,
        is_up: true,
        is_bridge: true,
        ..Interface::default()
    });
    let addresses = world.interfaces.iter().flat_map(|interface| {
        interface.addresses.iter().map(|address| Address {
            ifindex: interface.index,
            address: address.addr(),
            prefix_len: address.prefix_len(),
            broadcast: match address {
                IpNet::V4(address) if address.prefix_len() <= 30 => Some(address.broadcast()),
                _ => None,
            },
        })
    });
    Machine {
        interfaces: interfaces.chain(bridge).collect(),
        addresses: addresses.collect(),
        ..Machine::default()
    }
}
