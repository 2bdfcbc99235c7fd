//! Interfaces, addresses and routes of this network namespace.
//!
//! Asked by netlink: `/sys/class/net` shows the namespace of whoever mounted
//! it, which need not be ours.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::{Stream, TryStreamExt};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoBridge, InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    LinkXdp,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcMessage, TcOption};
use rtnetlink::{Error, Handle, RouteMessageBuilder};
use tokio::runtime::{Builder, Runtime};

use super::error::KernelError;
use super::filter;
use super::owner::Slot;

/// One interface, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Unique in the namespace, but it can change.
    pub name: String,
    /// Unique in the namespace as long as the interface exists.
    pub ifindex: u32,
    /// Administratively up.
    pub is_up: bool,
    /// `lo`.
    pub is_loopback: bool,
    /// Kind of a virtual device, such as `veth`.
    pub kind: Option<String>,
    /// Hardware address of an Ethernet device.
    pub mac: Option<[u8; 6]>,
    /// Its packets have no Ethernet header.
    pub is_bare: bool,
    /// Largest payload, in bytes.
    pub mtu: u32,
    /// The bridge, bond or VRF that it is a part of.
    pub master: Option<u32>,
    /// The device below it, if that is in this namespace.
    pub parent: Option<u32>,
    /// VLAN id of a VLAN device.
    pub vlan: Option<u16>,
    /// A bridge that sorts frames by VLAN and may change their tags.
    pub filters_vlans: bool,
    /// Id of the XDP program in its driver.
    pub xdp_driver: Option<u32>,
    /// Id of the XDP program in the network stack.
    pub xdp_generic: Option<u32>,
    /// Id of the XDP program in the hardware.
    pub xdp_hardware: Option<u32>,
}

impl Interface {
    /// Id of its XDP program, whosever it is, and where that runs.
    pub fn xdp_program(&self) -> Option<(u32, Slot)> {
        let in_driver = self.xdp_driver.or(self.xdp_hardware);
        let in_driver = in_driver.map(|id| (id, Slot::Xdp));
        in_driver.or_else(|| Some((self.xdp_generic?, Slot::XdpGeneric)))
    }
}

/// One address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface it is assigned to.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// Bits of its subnet.
    pub prefix_len: u8,
    /// Broadcast address, if one is set.
    pub broadcast: Option<Ipv4Addr>,
}

/// Where the kernel sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteFound {
    /// To the machine itself.
    Local,
    /// Out of the interface with this index.
    Via(u32),
    /// Nowhere.
    Nowhere,
}

/// A connection to the kernel's network configuration.
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    /// Opens a connection in the network namespace of this thread.
    pub fn connect() -> Result<Self, KernelError> {
        let failed = |source| KernelError::System("open a netlink socket", source);
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let entered = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        runtime.spawn(connection);
        drop(entered);
        Ok(Self { runtime, handle })
    }

    /// Every interface.
    pub fn interfaces(&self) -> Result<Vec<Interface>, KernelError> {
        let links = collect(self.handle.link().get().execute());
        let links = self.run("interfaces", links)?;
        Ok(links.iter().map(interface).collect())
    }

    /// Every unicast address.
    pub fn addresses(&self) -> Result<Vec<Address>, KernelError> {
        let addresses = collect(self.handle.address().get().execute());
        let addresses = self.run("addresses", addresses)?;
        Ok(addresses.iter().filter_map(address).collect())
    }

    /// The route of a packet, seen as one that comes in on `ingress`, or as
    /// one of the machine itself. An address family without any route, and
    /// what the kernel refuses to route, leads nowhere.
    pub fn route(
        &self,
        source: IpAddr,
        destination: IpAddr,
        ingress: Option<u32>,
    ) -> Result<RouteFound, KernelError> {
        let message = question(source, destination, ingress);
        let answer = collect(self.handle.route().get(message).execute());
        match self.runtime.block_on(answer) {
            Ok(routes) => Ok(routes.first().map_or(RouteFound::Nowhere, found)),
            Err(Error::NetlinkError(_)) => Ok(RouteFound::Nowhere),
            Err(error) => Err(KernelError::Netlink("routes", Box::new(error))),
        }
    }

    /// Id of the program of a TC filter of an interface, at egress or ingress.
    pub(super) fn filter(
        &self,
        (ifindex, is_egress): (u32, bool),
        priority: u16,
        handle: u32,
    ) -> Result<Option<u32>, KernelError> {
        let filters = self.handle.traffic_filter(ifindex as i32).get();
        let filters = if is_egress {
            filters.egress()
        } else {
            filters.ingress()
        };
        match self.runtime.block_on(collect(filters.execute())) {
            Ok(filters) => {
                let is_meant = |filter: &&TcMessage| {
                    let TcMessage { header, .. } = filter;
                    header.info >> 16 == u32::from(priority) && u32::from(header.handle) == handle
                };
                Ok(filters.iter().find(is_meant).and_then(filter_program))
            }
            // There is no interface, or no qdisc on it.
            Err(Error::NetlinkError(_)) => Ok(None),
            Err(error) => Err(KernelError::Netlink("TC filters", Box::new(error))),
        }
    }

    /// Priorities of the TC egress filters of others.
    pub fn foreign_egress_filters(&self, ifindex: u32) -> Vec<u16> {
        let filters = self.handle.traffic_filter(ifindex as i32).get().egress();
        // Without a qdisc there is nothing to list.
        let filters = self
            .runtime
            .block_on(collect(filters.execute()))
            .unwrap_or_default();
        // Besides the filters the kernel lists what holds them, as number 0.
        let foreign = filters.iter().filter(|filter| {
            let handle = u32::from(filter.header.handle);
            handle != 0 && handle != filter::HANDLE
        });
        let priorities: BTreeSet<u16> = foreign
            .map(|filter| (filter.header.info >> 16) as u16)
            .collect();
        priorities.into_iter().collect()
    }

    fn run<T>(
        &self,
        what: &'static str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, KernelError> {
        let result = self.runtime.block_on(request);
        result.map_err(|error| KernelError::Netlink(what, Box::new(error)))
    }
}

async fn collect<T>(stream: impl Stream<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    stream.try_collect().await
}

fn interface(message: &LinkMessage) -> Interface {
    let flags = message.header.flags;
    let mut found = Interface {
        ifindex: message.header.index,
        is_up: flags.contains(LinkFlags::Up),
        is_loopback: flags.contains(LinkFlags::Loopback),
        is_bare: is_bare(message.header.link_layer_type),
        ..Interface::default()
    };
    let mut is_parent_elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name.clone_from(name),
            LinkAttribute::Address(mac) => found.mac = mac.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::Controller(master) => found.master = Some(*master),
            LinkAttribute::Link(parent) => found.parent = Some(*parent),
            LinkAttribute::LinkNetNsId(_) => is_parent_elsewhere = true,
            LinkAttribute::LinkInfo(details) => add_kind(&mut found, details),
            LinkAttribute::Xdp(details) => add_xdp(&mut found, details),
            _ => {}
        }
    }
    if is_parent_elsewhere {
        found.parent = None;
    }
    found
}

/// Whether a device of this type hands over packets that start with their
/// network header.
fn is_bare(link_layer: LinkLayerType) -> bool {
    use LinkLayerType::{Ip6gre, Ipgre, None, Ppp, Rawip, Sit, Tunnel, Tunnel6};
    matches!(
        link_layer,
        Ip6gre | Ipgre | None | Ppp | Rawip | Sit | Tunnel | Tunnel6
    )
}

fn add_kind(found: &mut Interface, details: &[LinkInfo]) {
    for detail in details {
        match detail {
            LinkInfo::Kind(kind) => found.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vlan(vlan)) => {
                found.vlan = vlan.iter().find_map(|property| match property {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
            }
            LinkInfo::Data(InfoData::Bridge(bridge)) => {
                found.filters_vlans = bridge.contains(&InfoBridge::VlanFiltering(true));
            }
            _ => {}
        }
    }
}

fn add_xdp(found: &mut Interface, details: &[LinkXdp]) {
    for detail in details {
        match detail {
            LinkXdp::DrvProgId(id) => found.xdp_driver = Some(*id),
            LinkXdp::SkbProgId(id) => found.xdp_generic = Some(*id),
            LinkXdp::HwProgId(id) => found.xdp_hardware = Some(*id),
            _ => {}
        }
    }
}

fn address(message: &AddressMessage) -> Option<Address> {
    let mut found = Address {
        ifindex: message.header.index,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix_len: message.header.prefix_len,
        broadcast: None,
    };
    let mut local = None;
    let mut peer = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Broadcast(address) => found.broadcast = Some(*address),
            _ => {}
        }
    }
    // On a point-to-point link `Address` is the other end.
    found.address = local.or(peer)?;
    Some(found)
}

fn question(source: IpAddr, destination: IpAddr, ingress: Option<u32>) -> RouteMessage {
    let mut message = match destination {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, 32)
            .build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, 128)
            .build(),
    };
    if !source.is_unspecified() && source.is_ipv4() == destination.is_ipv4() {
        message.header.source_prefix_length = if source.is_ipv4() { 32 } else { 128 };
        let source = match source {
            IpAddr::V4(from) => RouteAddress::Inet(from),
            IpAddr::V6(from) => RouteAddress::Inet6(from),
        };
        message.attributes.push(RouteAttribute::Source(source));
    }
    message.attributes.extend(ingress.map(RouteAttribute::Iif));
    message
}

fn found(route: &RouteMessage) -> RouteFound {
    match route.header.kind {
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast => RouteFound::Local,
        RouteType::Unicast => {
            let out = route
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    RouteAttribute::Oif(ifindex) => Some(*ifindex),
                    _ => None,
                });
            out.map_or(RouteFound::Nowhere, RouteFound::Via)
        }
        _ => RouteFound::Nowhere,
    }
}

fn filter_program(filter: &TcMessage) -> Option<u32> {
    let options = filter
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            TcAttribute::Options(options) => Some(options),
            _ => None,
        });
    options.flatten().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    })
}
