//! Questions to an echo server, and what comes back.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt, socket,
};

use crate::lab::network::Family;

const QUESTION: &[u8] = b"a question";
const ICMP_HEADER_LEN: usize = 8;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// A TCP port: connect, then data both ways.
    Tcp(u16),
    /// A UDP port: one datagram each way.
    Udp(u16),
    /// ICMP echo.
    Ping,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

/// What a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server's answer.
    Answered,
    /// An error from the network: a TCP reset or an ICMP error.
    Refused,
    /// Nothing, for as long as the client had patience.
    Silent,
}

/// A client's socket, bound to the namespace it was opened in.
pub struct Client {
    socket: OwnedFd,
    service: Service,
    to: SocketAddr,
}

impl Client {
    /// Opens the socket in the namespace of the calling thread; sends nothing.
    pub fn open(service: Service, to: IpAddr) -> Result<Self> {
        let (kind, protocol, port) = match (service, to) {
            (Service::Tcp(port), _) => (SockType::Stream, SockProtocol::Tcp, port),
            (Service::Udp(port), _) => (SockType::Datagram, SockProtocol::Udp, port),
            (Service::Ping, IpAddr::V4(_)) => (SockType::Datagram, SockProtocol::Icmp, 0),
            (Service::Ping, IpAddr::V6(_)) => (SockType::Datagram, SockProtocol::IcmpV6, 0),
        };
        let domain = match to {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(domain, kind, flags, protocol)
            .with_context(|| format!("cannot open a socket for {service} to {to}"))?;
        Ok(Self {
            socket,
            service,
            to: SocketAddr::new(to, port),
        })
    }

    /// Asks, and waits at most `patience` for each step of the answer.
    pub fn ask(self, patience: Duration) -> Result<Outcome> {
        let result = match self.service {
            Service::Tcp(_) => self.connect(patience).and_then(|mut connection| {
                connection.exchange(QUESTION)?;
                connection.exchange(QUESTION)
            }),
            Service::Udp(_) => self.datagrams(patience).and_then(|socket| {
                socket.send(QUESTION)?;
                receive(&socket, QUESTION)
            }),
            Service::Ping => {
                let family = Family::of(self.to.ip());
                self.datagrams(patience)
                    .and_then(|socket| ping(&socket, family))
            }
        };
        match result {
            Ok(()) => Ok(Outcome::Answered),
            Err(error) => outcome(&error)
                .ok_or(error)
                .context("the probe itself failed"),
        }
    }

    /// Opens a TCP connection, waiting at most `patience` for this and for each exchange.
    pub fn connect(self, patience: Duration) -> io::Result<Connection> {
        match connect(self.socket.as_raw_fd(), &SockaddrStorage::from(self.to)) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS) => self.wait_connected(patience)?,
            Err(errno) => return Err(errno.into()),
        }
        let stream = TcpStream::from(self.socket);
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection(stream))
    }

    fn wait_connected(&self, patience: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut fds, timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match getsockopt(&self.socket, SocketError)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn datagrams(self, patience: Duration) -> io::Result<UdpSocket> {
        connect(self.socket.as_raw_fd(), &SockaddrStorage::from(self.to))?;
        let socket = UdpSocket::from(self.socket);
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(socket)
    }
}

/// An open TCP connection to an echo server.
pub struct Connection(TcpStream);

impl Connection {
    /// Sends `bytes` and reads them back; any other answer is an error.
    pub fn exchange(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        let mut answer = vec![0; bytes.len()];
        self.0.read_exact(&mut answer)?;
        same(&answer, bytes)
    }

    /// Reads `bytes`; anything else is an error.
    pub fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut answer = vec![0; bytes.len()];
        self.0.read_exact(&mut answer)?;
        same(&answer, bytes)
    }

    /// Waits at most `patience` for each later exchange.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience))
    }
}

/// Sends an echo request; the kernel fills in checksum and id, and keeps other replies away.
fn ping(socket: &UdpSocket, family: Family) -> io::Result<()> {
    let (request, reply) = match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    };
    socket.send(&[&[request, 0, 0, 0, 0, 0, 0, 1], QUESTION].concat())?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    same(&answer[..1], &[reply])?;
    same(
        &answer[ICMP_HEADER_LEN..length.max(ICMP_HEADER_LEN)],
        QUESTION,
    )
}

fn receive(socket: &UdpSocket, want: &[u8]) -> io::Result<()> {
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    same(&answer[..length], want)
}

fn same(answer: &[u8], want: &[u8]) -> io::Result<()> {
    if answer == want {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "not the bytes that were sent",
    ))
}

/// What an error tells of the network; `None` when it is about this machine.
fn outcome(error: &io::Error) -> Option<Outcome> {
    // Dropped on its way out of this very machine.
    if error.raw_os_error() == Some(Errno::ENOBUFS as i32) {
        return Some(Outcome::Silent);
    }
    // What ICMPv6 makes of "administratively prohibited".
    if error.raw_os_error() == Some(Errno::EACCES as i32) {
        return Some(Outcome::Refused);
    }
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Some(Outcome::Silent),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Some(Outcome::Refused),
        _ => None,
    }
}
