//! Lets a veth take packets that an XDP program on its other end sends back.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::libc;
use nix::net::if_::if_nametoindex;

/// Commands of `bpf(2)`, and what they are told (`linux/bpf.h`).
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// The start of `union bpf_attr` for a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log: [u32; 4],
    version_and_flags: [u32; 2],
    name: [u32; 4],
    ifindex: u32,
    attach_type: u32,
}

/// The same for a link.
#[repr(C)]
struct Link {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// An XDP program that passes everything; it stays for as long as this does.
pub struct Taker(#[expect(dead_code, reason = "held, not used")] OwnedFd);

impl Taker {
    /// Attaches it to an interface of the namespace of the calling thread: only
    /// a veth with a program looks for what the other end's program sends.
    pub fn attach(interface: &str) -> Result<Self> {
        // r0 = XDP_PASS; exit
        let code: [u64; 2] = [2 << 32 | 0xb7, 0x95];
        let mut load = Load {
            kind: BPF_PROG_TYPE_XDP,
            instructions: code.len() as u32,
            code: code.as_ptr().addr() as u64,
            license: c"GPL".as_ptr().addr() as u64,
            attach_type: BPF_XDP,
            ..Load::default()
        };
        let program = bpf(BPF_PROG_LOAD, &mut load).context("cannot load a program")?;
        let mut link = Link {
            program: program.as_raw_fd() as u32,
            ifindex: if_nametoindex(interface)?,
            attach_type: BPF_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        };
        let link = bpf(BPF_LINK_CREATE, &mut link);
        let link = link.with_context(|| format!("cannot attach a program to {interface}"))?;
        Ok(Self(link))
    }
}

fn bpf<T>(command: libc::c_int, arguments: &mut T) -> io::Result<OwnedFd> {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: the pointer is that of arguments as large as said; they, and
    // what they point to, live through the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, arguments, size) };
    match i32::try_from(result) {
        // SAFETY: the kernel has just returned this descriptor to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
