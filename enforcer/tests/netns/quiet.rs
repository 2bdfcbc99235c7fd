//! Flows that say nothing for a while, and must still be there.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use xtask::lab::{Connection, Family};

use crate::network::Net;

/// An established TCP connection and an established UDP flow from `office` to
/// `plant`, of each family.
pub struct Quiet {
    connections: Vec<Connection>,
    datagrams: Vec<Datagrams>,
}

/// Two sockets of which the one in `office` has asked and got answers.
pub struct Datagrams {
    office: UdpSocket,
    plant: UdpSocket,
    /// Of the socket in `office`.
    initiator: SocketAddr,
}

impl Quiet {
    /// Opens them, to TCP port 443 and UDP port 5000.
    pub fn open(net: &Net) -> Self {
        let connect = |family| {
            let mut connection = net.lab.connect("office", "plant", 443, family).unwrap();
            connection.exchange(b"hello").unwrap();
            connection
        };
        Self {
            connections: Family::BOTH.map(connect).into(),
            datagrams: Family::BOTH
                .map(|family| Datagrams::open(net, family))
                .into(),
        }
    }

    /// Fails unless all of them go on.
    pub fn expect_alive(&mut self) {
        for connection in &mut self.connections {
            connection.exchange(b"still there?").unwrap();
        }
        for datagrams in &self.datagrams {
            datagrams.answer().expect("a flow of datagrams goes on");
        }
    }
}

impl Datagrams {
    /// The initiator asks twice, and is answered.
    pub fn open(net: &Net, family: Family) -> Self {
        let there = SocketAddr::new(net.lab.address("office", "plant", family), 5000);
        let here = SocketAddr::new(net.lab.address("plant", "office", family), 0);
        let bind = |host: &str, address: SocketAddr| {
            let namespace = net.lab.host(host).namespace();
            let socket = namespace.run(move || UdpSocket::bind(address)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(700)))
                .unwrap();
            socket
        };
        let (office, plant) = (bind("office", here), bind("plant", there));
        let initiator = office.local_addr().unwrap();
        let datagrams = Self {
            office,
            plant,
            initiator,
        };
        for _ in 0..2 {
            datagrams.office.send_to(b"ask", there).unwrap();
            datagrams.plant.recv_from(&mut [0; 16]).unwrap();
            datagrams.answer().unwrap();
        }
        datagrams
    }

    /// The responder sends a datagram. It arrives only as long as the flow is
    /// known: no conduit allows it to open one.
    pub fn answer(&self) -> io::Result<()> {
        self.plant.send_to(b"answer", self.initiator)?;
        self.office.recv_from(&mut [0; 16]).map(drop)
    }
}
