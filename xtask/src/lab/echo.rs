//! Servers that send back what they receive.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{
    self, AddressFamily, Shutdown, SockFlag, SockType, SockaddrStorage, setsockopt,
};

use crate::lab::namespace::Namespace;
use crate::lab::probe::Service;

/// The echo servers of one host: at most one for each service, for both families.
#[derive(Default)]
pub struct EchoServers {
    services: Mutex<BTreeSet<Service>>,
    sockets: Sockets,
}

/// Sockets that a thread may wait on.
#[derive(Clone, Default)]
struct Sockets(Arc<Mutex<Vec<Socket>>>);

enum Socket {
    Listener(TcpListener),
    Stream(TcpStream),
    Datagrams(UdpSocket),
}

impl EchoServers {
    /// Answers for `service` from now on. The kernel itself answers pings.
    pub fn ensure(&self, namespace: &Namespace, service: Service) -> Result<()> {
        // Held while binding: whoever comes second finds the server listening.
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if !services.contains(&service) {
            self.start(namespace, service)
                .with_context(|| format!("cannot serve {service}"))?;
            services.insert(service);
        }
        Ok(())
    }

    fn start(&self, namespace: &Namespace, service: Service) -> Result<()> {
        let sockets = self.sockets.clone();
        // The unspecified IPv6 address accepts IPv4 as well.
        let any = Ipv6Addr::UNSPECIFIED;
        match service {
            Service::Ping => {}
            Service::Tcp(port) => {
                let listener = namespace.run(move || TcpListener::bind((any, port)))?;
                self.sockets.add(Socket::Listener(listener.try_clone()?));
                thread::spawn(move || accept(&listener, &sockets));
            }
            Service::Udp(port) => {
                let socket = namespace.run(move || bind_shared((any, port).into()))?;
                self.sockets.add(Socket::Datagrams(socket.try_clone()?));
                thread::spawn(move || send_back(&socket));
            }
        }
        Ok(())
    }
}

/// A UDP socket at `address` that lets others have the same port.
///
/// What arrives goes to the socket with the most specific address.
pub fn bind_shared(address: SocketAddr) -> Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .with_context(|| format!("cannot bind {address}"))?;
    Ok(UdpSocket::from(socket))
}

impl Drop for EchoServers {
    /// Wakes every thread that waits, which ends it.
    fn drop(&mut self) {
        for socket in self.sockets.lock().iter() {
            // An unconnected socket complains, and wakes its readers nevertheless.
            let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
    }
}

impl Sockets {
    fn add(&self, socket: Socket) {
        self.lock().push(socket);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Listener(socket) => socket.as_raw_fd(),
            Self::Stream(socket) => socket.as_raw_fd(),
            Self::Datagrams(socket) => socket.as_raw_fd(),
        }
    }
}

fn accept(listener: &TcpListener, sockets: &Sockets) {
    while let Ok((stream, _)) = listener.accept() {
        if let Ok(twin) = stream.try_clone() {
            sockets.add(Socket::Stream(twin));
            thread::spawn(move || repeat(stream));
        }
    }
}

/// Sends back every byte until the client closes.
fn repeat(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return stream.shutdown(std::net::Shutdown::Both);
        }
        stream.write_all(&buffer[..length])?;
    }
}

fn send_back(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        // No answer comes back, which is what the client is there to find out.
        let _ = socket.send_to(&buffer[..length], peer);
    }
}
