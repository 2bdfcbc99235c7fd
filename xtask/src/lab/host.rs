//! A machine of the lab.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Result;

use crate::lab::echo::EchoServers;
use crate::lab::frame;
use crate::lab::link::{ip, set};
use crate::lab::namespace::Namespace;
use crate::lab::probe::{Client, Service};
use crate::lab::spoof;
use crate::lab::topology::UPLINK;

/// A namespace and the echo servers in it.
pub struct Host {
    // Before the namespace, so that the servers end first.
    servers: EchoServers,
    namespace: Arc<Namespace>,
}

impl Host {
    /// A machine without servers.
    pub fn new(namespace: Namespace) -> Self {
        Self {
            servers: EchoServers::default(),
            namespace: Arc::new(namespace),
        }
    }

    /// The namespace that this machine is.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// Answers for `service` from now on.
    pub fn serve(&self, service: Service) -> Result<()> {
        self.servers.ensure(&self.namespace, service)
    }

    /// A socket of this machine, to ask for `service` at `to`.
    pub fn client(&self, service: Service, to: IpAddr) -> Result<Client> {
        self.namespace.run(move || Client::open(service, to))
    }

    /// A UDP socket of this machine at `address`.
    pub fn udp(&self, address: SocketAddr) -> Result<UdpSocket> {
        Ok(self.namespace.run(move || UdpSocket::bind(address))?)
    }

    /// Sends a whole IP packet, whatever it says; of IPv4 the kernel fills in
    /// length, checksum and, where it is 0, the id.
    pub fn send_packet(&self, packet: Vec<u8>, to: IpAddr) -> Result<()> {
        self.namespace.run(move || spoof::send_packet(&packet, to))
    }

    /// Sends an Ethernet frame to the router, whatever it says.
    pub fn send_frame(&self, frame: Vec<u8>) -> Result<()> {
        self.namespace.run(move || frame::send(UPLINK, &frame))
    }

    /// Runs `commands` of `ip`, one on each line.
    pub fn ip(&self, commands: &str) -> Result<()> {
        let commands = commands.to_owned();
        self.namespace.run(move || ip(&commands))
    }

    /// Writes `value` to the kernel setting `name`, such as `net/ipv4/ip_forward`.
    pub fn set(&self, name: &'static str, value: &'static str) -> Result<()> {
        self.namespace.run(move || set(name, value))
    }
}
