//! Frames as they are, whatever they say.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::net::if_::if_nametoindex;

/// Sends one Ethernet frame out of an interface of the namespace of the calling
/// thread.
pub fn send(interface: &str, frame: &[u8]) -> Result<()> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    ensure!(
        socket >= 0,
        "cannot open a packet socket: {}",
        io::Error::last_os_error()
    );
    // SAFETY: the kernel has just returned this descriptor to us alone.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: zeroes are a valid address of this kind.
    let mut to: libc::sockaddr_ll = unsafe { mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = if_nametoindex(interface)?.try_into()?;
    // SAFETY: both pointers are to memory as large as said, which lives through
    // the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error());
    ensure!(
        sent.context("cannot send a frame")? == frame.len(),
        "the frame was cut"
    );
    Ok(())
}
