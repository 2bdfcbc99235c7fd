//! The routing table, for the decision that `explain` makes.

use std::net::IpAddr;

use enforcer_common::decide::{Route, Routes};
use enforcer_common::question::{Origin, Question};

use super::error::KernelError;
use super::netlink::{Netlink, RouteFound};

/// The routing table of this network namespace, asked by netlink.
///
/// The programs ask the same table by `bpf_fib_lookup`.
pub struct KernelRoutes {
    netlink: Netlink,
}

impl KernelRoutes {
    /// Opens a connection in the network namespace of this thread.
    pub fn connect() -> Result<Self, KernelError> {
        let netlink = Netlink::connect()?;
        Ok(Self { netlink })
    }

    /// The interface that leads to an address.
    pub fn towards(&self, address: IpAddr) -> Result<Option<u32>, KernelError> {
        let unspecified = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Ok(match self.netlink.route(unspecified, address, None)? {
            RouteFound::Via(ifindex) => Some(ifindex),
            RouteFound::Local | RouteFound::Nowhere => None,
        })
    }
}

impl Routes for KernelRoutes {
    fn route(&self, question: &Question, ingress: u32) -> Route {
        let (source, destination) = (question.source.into(), question.destination.into());
        let ingress = (question.place.origin == Origin::WIRE).then_some(ingress);
        let found = self.netlink.route(source, destination, ingress);
        // Reverse path filtering refuses what the programs would still route.
        let found = match (found, ingress) {
            (Ok(RouteFound::Nowhere), Some(_)) => self.netlink.route(source, destination, None),
            (found, _) => found,
        };
        match found {
            Ok(RouteFound::Local) => Route::Local,
            Ok(RouteFound::Via(ifindex)) => Route::Via(ifindex),
            Ok(RouteFound::Nowhere) | Err(_) => Route::Nowhere,
        }
    }
}
