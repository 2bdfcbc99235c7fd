//! The router, the hosts around it, and traffic between them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::cable::{self, Cable};
use crate::lab::echo::bind_shared;
use crate::lab::flood::{self, Flood};
use crate::lab::host::Host;
use crate::lab::link::{Links, ip, set};
use crate::lab::namespace::Namespace;
use crate::lab::network::{Family, Network};
use crate::lab::probe::{Connection, Outcome, Service};
use crate::lab::spoof;
use crate::lab::taker::Taker;

/// The name by which the router is a source or a destination.
pub const ROUTER: &str = "router";

/// Far longer than any answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long silence must last to be believed: far longer than an answer usually takes.
const SILENCE: Duration = Duration::from_millis(500);

/// The interface of every host.
pub(super) const UPLINK: &str = "eth0";

/// Index of the router's first interface.
///
/// The kernel reports a link whose ends have equal indexes a second late.
pub(super) const FIRST_INDEX: u32 = 100;

/// A router that joins networks, each with one host.
pub struct Topology {
    // Before the namespaces, so that its devices end first.
    pub(super) _cables: Vec<Cable>,
    // What lies between router and hosts, if it is more than a wire; it only
    // has to live as long.
    pub(super) _between: Option<Namespace>,
    pub(super) router: Host,
    pub(super) networks: Vec<(Network, Host)>,
}

/// What one host should see when it asks another.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// The host that asks.
    pub from: &'static str,
    /// The host that answers, or [`ROUTER`].
    pub to: &'static str,
    /// What is asked for.
    pub service: Service,
    /// What should come back.
    pub want: Seen,
}

/// What a host saw, by both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// By IPv4.
    pub v4: Outcome,
    /// By IPv6.
    pub v6: Outcome,
}

impl Seen {
    /// The same by both families.
    pub const fn both(outcome: Outcome) -> Self {
        Self {
            v4: outcome,
            v6: outcome,
        }
    }

    /// What was seen by `family`.
    pub const fn by(self, family: Family) -> Outcome {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

impl Topology {
    /// Builds it, and returns when every link carries packets. Nothing is filtered yet.
    pub fn new(networks: Vec<Network>) -> Result<Self> {
        let router = Namespace::with_own_mounts(ROUTER)?;
        router.run(|| settings(true))?;
        let mut links = String::from("link set lo up\n");
        let mut bridges = BTreeSet::new();
        let mut joined = Vec::new();
        let mut cables = Vec::new();
        for (index, network) in (FIRST_INDEX..).zip(networks) {
            let host = Namespace::new(network.name)?;
            host.run(|| settings(false))?;
            if network.is_bare {
                let interface = network.interface;
                let here = router.run(move || cable::device(interface))?;
                let there = host.run(|| cable::device(UPLINK))?;
                cables.push(Cable::between(here, there)?);
            } else {
                links += &veth(index, &network, &host);
            }
            if let Some(bridge) = network.bridge
                && bridges.insert(bridge)
            {
                links += &format!("link add {bridge} type bridge\n");
                links += &addressed(&network, bridge);
            }
            links += &router_link(&network);
            joined.push((network, Host::new(host)));
        }
        let router_links = router.run(move || Links::bring_up(&links))?;
        let mut uplinks = Vec::new();
        for (network, host) in &joined {
            let uplink = host_link(network);
            uplinks.push(host.namespace().run(move || Links::bring_up(&uplink))?);
        }
        let interfaces: Vec<_> = joined
            .iter()
            .map(|(network, _)| network.bridge.unwrap_or(network.interface))
            .collect();
        router.run(move || router_links.wait_ready(&interfaces))?;
        for ((_, host), uplink) in joined.iter().zip(uplinks) {
            host.namespace().run(move || uplink.wait_ready(&[UPLINK]))?;
        }
        Ok(Self {
            _cables: cables,
            router: Host::new(router),
            networks: joined,
            _between: None,
        })
    }

    /// Lets the host of the network `name` take what XDP sends back on the
    /// router's end of its link, for as long as the result lives.
    pub fn take_answers(&self, name: &str) -> Result<Taker> {
        let host = self.find(name).1.namespace();
        host.run(|| Taker::attach(UPLINK))
    }

    /// Removes the link between the router and the network `name`.
    pub fn unplug(&self, name: &str) -> Result<()> {
        let delete = format!("link delete {}\n", self.find(name).0.interface);
        self.router.namespace().run(move || ip(&delete))
    }

    /// Joins the network `name` again, by a link of the same name and another
    /// index; returns when it carries packets.
    pub fn plug(&self, name: &str, index: u32) -> Result<()> {
        let (network, host) = self.find(name);
        let router = self.router.namespace();
        let link = veth(index, network, host.namespace()) + &router_link(network);
        let uplink = host_link(network);
        let link = router.run(move || Links::bring_up(&link))?;
        let uplink = host.namespace().run(move || Links::bring_up(&uplink))?;
        let interface = network.interface;
        router.run(move || link.wait_ready(&[interface]))?;
        host.namespace().run(move || uplink.wait_ready(&[UPLINK]))
    }

    /// The router.
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// The host of the network `name`, or the router.
    ///
    /// # Panics
    ///
    /// When there is no such network.
    pub fn host(&self, name: &str) -> &Host {
        if name == ROUTER {
            &self.router
        } else {
            &self.find(name).1
        }
    }

    /// The hardware address of a host's interface, as text.
    pub fn mac(&self, name: &str) -> Result<String> {
        let host = self.host(name).namespace();
        host.run(|| crate::lab::link::mac(UPLINK))
    }

    /// The address under which `from` knows `to`.
    pub fn address(&self, from: &str, to: &str, family: Family) -> IpAddr {
        if to == ROUTER {
            self.find(from).0.router(family)
        } else {
            self.find(to).0.host(family)
        }
    }

    /// Lets every expectation come true or not, all at the same time.
    pub fn observe(&self, expectations: &[Expectation]) -> Result<Vec<Seen>> {
        thread::scope(|scope| {
            let asking: Vec<_> = expectations
                .iter()
                .map(|it| Family::BOTH.map(|family| scope.spawn(move || self.ask(it, family))))
                .collect();
            let answers = asking.into_iter().map(|families| {
                let [v4, v6] = families.map(|thread| thread.join().expect("probes do not panic"));
                Ok(Seen { v4: v4?, v6: v6? })
            });
            answers.collect()
        })
    }

    fn ask(&self, expectation: &Expectation, family: Family) -> Result<Outcome> {
        let Expectation {
            from,
            to,
            service,
            want,
        } = *expectation;
        self.host(to).serve(service)?;
        let client = self
            .host(from)
            .client(service, self.address(from, to, family))?;
        let patience = if want.by(family) == Outcome::Silent {
            SILENCE
        } else {
            PATIENCE
        };
        client
            .ask(patience)
            .with_context(|| format!("{from} asks {to} for {service}"))
    }

    /// Opens a TCP connection to `port` of `to`, where everything comes back.
    pub fn connect(&self, from: &str, to: &str, port: u16, family: Family) -> Result<Connection> {
        let service = Service::Tcp(port);
        self.host(to).serve(service)?;
        let client = self
            .host(from)
            .client(service, self.address(from, to, family))?;
        client
            .connect(PATIENCE)
            .with_context(|| format!("{from} cannot connect to {to}"))
    }

    /// Sends a datagram from `from` to UDP `port` of `to` under the address `claimed`.
    ///
    /// Tells whether it arrives: [`Outcome::Answered`] or [`Outcome::Silent`].
    pub fn spoof(&self, from: &str, claimed: IpAddr, to: &str, port: u16) -> Result<Outcome> {
        let family = Family::of(claimed);
        let target = SocketAddr::new(self.address(from, to, family), port);
        let watch = self.host(to).namespace();
        let socket = watch.run(move || bind_shared(target))?;
        socket.set_read_timeout(Some(SILENCE))?;
        let source = SocketAddr::new(claimed, 40_000);
        self.host(from)
            .namespace()
            .run(move || spoof::send(source, target))?;
        match socket.recv_from(&mut [0; 64]) {
            Ok((_, seen)) => {
                ensure!(seen == source, "a datagram of {seen} came instead");
                Ok(Outcome::Answered)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Outcome::Silent),
            Err(error) => Err(error.into()),
        }
    }

    /// Floods `port` of `to` with packets from `from`, each under a source of its
    /// own; `amount` is how many, and a seed for their sources.
    pub fn flood(
        &self,
        from: &str,
        to: &str,
        (flood, port): (Flood, u16),
        amount: (u32, u64),
    ) -> Result<()> {
        let IpAddr::V4(address) = self.address(from, to, Family::V4) else {
            bail!("{to} has no IPv4 address");
        };
        let to = SocketAddrV4::new(address, port);
        let namespace = self.host(from).namespace();
        namespace.run(move || flood::send_all(flood, to, amount))
    }

    fn find(&self, name: &str) -> &(Network, Host) {
        let mut networks = self.networks.iter();
        let found = networks.find(|(network, _)| network.name == name);
        found.unwrap_or_else(|| panic!("the lab has no network {name}"))
    }
}

/// Settings that no test should depend on the machine for.
pub(super) fn settings(forwards: bool) -> Result<()> {
    let on_router = if forwards { "1" } else { "0" };
    set("net/ipv4/ip_forward", on_router)?;
    set("net/ipv6/conf/all/forwarding", on_router)?;
    for devices in ["all", "default"] {
        // The kernel must not drop what the enforcer is to drop.
        set(&format!("net/ipv4/conf/{devices}/rp_filter"), "0")?;
        set(&format!("net/ipv6/conf/{devices}/accept_dad"), "0")?;
    }
    // Whoever is root may ping by datagram socket.
    set("net/ipv4/ping_group_range", "0 0")
}

fn veth(index: u32, network: &Network, host: &Namespace) -> String {
    let interface = network.interface;
    let thread = host.thread_id();
    format!("link add {interface} index {index} type veth peer name {UPLINK} netns {thread}\n")
}

fn router_link(network: &Network) -> String {
    let interface = network.interface;
    match network.bridge {
        Some(bridge) => format!("link set {interface} master {bridge} up\n"),
        None => addressed(network, interface),
    }
}

/// The router's addresses in a network, on an interface that comes up.
fn addressed(network: &Network, interface: &str) -> String {
    let mut commands = String::new();
    for family in Family::BOTH {
        commands += &add_address(network.router(family), interface, family);
    }
    commands + &format!("link set {interface} up\n")
}

pub(super) fn host_link(network: &Network) -> String {
    let mut commands = String::from("link set lo up\n");
    for family in Family::BOTH {
        commands += &add_address(network.host(family), UPLINK, family);
    }
    commands += &format!("link set {UPLINK} up\n");
    for family in Family::BOTH {
        commands += &format!("route add default via {}\n", network.router(family));
    }
    commands
}

pub(super) fn add_address(address: IpAddr, interface: &str, family: Family) -> String {
    let length = Network::prefix_len(family);
    format!("address add {address}/{length} dev {interface}\n")
}
