//! A machine of the lab.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;

use crate::lab::echo::EchoServers;
use crate::lab::namespace::Namespace;
use crate::lab::probe::{Client, Service};

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
}
