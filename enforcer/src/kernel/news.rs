//! News of interfaces and addresses of this network namespace.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::error::KernelError;

/// Groups of netlink messages (`linux/rtnetlink.h`): links, IPv4 and IPv6
/// addresses.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Tells that something has changed.
///
/// What has changed is not read from the message: whoever hears of it looks at
/// everything. So nothing is missed when the kernel drops messages.
pub struct News(AsyncFd<OwnedFd>);

impl News {
    /// Subscribes, from a thread with a tokio runtime, in its network namespace.
    pub fn subscribe() -> Result<Self, KernelError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol);
        let socket = socket.map_err(|errno| failed(errno.into()))?;
        let bound = bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS));
        bound.map_err(|errno| failed(errno.into()))?;
        let waited = wait_on(socket, Interest::READABLE | Interest::ERROR);
        waited.map(Self).map_err(failed)
    }

    /// Waits until something has changed since the last call.
    pub async fn next(&self) -> Result<(), KernelError> {
        loop {
            let interest = Interest::READABLE | Interest::ERROR;
            let mut ready = self.0.ready(interest).await.map_err(failed)?;
            let heard = self.drain().map_err(failed)?;
            ready.clear_ready_matching(Ready::READABLE | Ready::ERROR);
            if heard {
                return Ok(());
            }
        }
    }

    /// Throws away what has come; says whether there was anything.
    fn drain(&self) -> io::Result<bool> {
        let mut heard = false;
        loop {
            // The rest of a longer message goes with it.
            match recv(self.0.as_raw_fd(), &mut [0; 64], MsgFlags::empty()) {
                // The kernel had more to say than the socket, or memory, takes.
                Ok(_) | Err(Errno::ENOBUFS | Errno::ENOMEM) => heard = true,
                Err(Errno::EAGAIN) => return Ok(heard),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Lets the tokio runtime of this thread wait on a descriptor.
pub fn wait_on(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the value owns the descriptor, which so stays open and the same.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    Ok(registered?)
}

fn failed(source: io::Error) -> KernelError {
    KernelError::System("listen to news of interfaces", source)
}
