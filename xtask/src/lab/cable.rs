//! A cable between two devices without Ethernet: what one sends, the other gets.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe;

/// Longer than any packet.
const PACKET_BYTES: usize = 65_536;

/// Carries packets for as long as it lives.
pub struct Cable {
    /// Closed to end the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// Joins two devices.
    pub fn between(mut a: File, mut b: File) -> Result<Self> {
        let (stopped, stop) = pipe()?;
        let thread = thread::Builder::new()
            .name("cable".to_owned())
            .spawn(move || {
                let mut packet = vec![0; PACKET_BYTES];
                while let Ok([from_a, from_b]) = wait(&a, &b, &stopped) {
                    if from_a {
                        carry(&mut a, &mut b, &mut packet);
                    }
                    if from_b {
                        carry(&mut b, &mut a, &mut packet);
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends without a panic, or the test has failed already.
            let _ = thread.join();
        }
    }
}

/// Creates a device without Ethernet in the namespace of the calling thread. It
/// lives as long as the file.
pub fn device(name: &str) -> Result<File> {
    open(name, libc::IFF_TUN)
}

/// Creates a device with Ethernet, like [`device`].
pub fn ethernet(name: &str) -> Result<File> {
    open(name, libc::IFF_TAP)
}

fn open(name: &str, kind: libc::c_int) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun")?;
    // `struct ifreq`: the name, then flags in a union of 24 bytes.
    let mut request = [0u8; 40];
    ensure!(name.len() < 16, "{name} is too long for an interface");
    request[..name.len()].copy_from_slice(name.as_bytes());
    let flags = (kind | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the request is as long as the kernel reads, and lives through the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    ensure!(
        done == 0,
        "cannot create {name}: {}",
        io::Error::last_os_error()
    );
    Ok(file)
}

/// Waits for packets, and tells which ends have some; fails when it is over.
fn wait(a: &File, b: &File, stopped: &OwnedFd) -> Result<[bool; 2]> {
    let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut fds = [a.as_fd(), b.as_fd(), stopped.as_fd()].map(wanted);
    poll(&mut fds, PollTimeout::NONE)?;
    let [a, b, stopped] = fds.map(|fd| fd.any().unwrap_or(true));
    ensure!(!stopped, "the cable is unplugged");
    Ok([a, b])
}

/// Carries one packet; a device that is not up loses it, as a wire would.
fn carry(from: &mut File, to: &mut File, packet: &mut [u8]) {
    if let Ok(len) = from.read(packet) {
        let _ = to.write(&packet[..len]);
    }
}
