//! Programs that somebody else attached.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// What `bpftool prog` calls it.
pub const NAME: &str = "somebody_elses";

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_XDP: u32 = 37;
const BPF_TCX_EGRESS: u32 = 47;

/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
/// `r0 = TCX_NEXT; exit`.
const NEXT: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];

/// Where a TC program is attached among those that are there already.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    First = 1 << 3,
    Last = 1 << 4,
}

/// The attributes of `BPF_PROG_LOAD` up to `expected_attach_type` (`linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The attributes of `BPF_LINK_CREATE` up to `flags`.
#[repr(C)]
struct LinkCreate {
    prog_fd: libc::c_int,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches one to XDP at `interface` of the calling thread's namespace, until the value is
/// dropped.
pub fn attach(interface: &str) -> OwnedFd {
    let program = load(BPF_PROG_TYPE_XDP, BPF_XDP, &PASS);
    link(&program, interface, BPF_XDP, 0)
}

/// Attaches one to the TC egress of `interface`, likewise.
pub fn attach_egress(interface: &str, order: Order) -> OwnedFd {
    let program = load(BPF_PROG_TYPE_SCHED_CLS, 0, &NEXT);
    link(&program, interface, BPF_TCX_EGRESS, order as u32)
}

fn load(prog_type: u32, expected_attach_type: u32, instructions: &[u64; 2]) -> OwnedFd {
    let mut prog_name = [0; 16];
    prog_name[..NAME.len()].copy_from_slice(NAME.as_bytes());
    let load = Load {
        prog_type,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        prog_name,
        expected_attach_type,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &load)
}

fn link(program: &OwnedFd, interface: &str, attach_type: u32, flags: u32) -> OwnedFd {
    let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).unwrap();
    let link = LinkCreate {
        prog_fd: std::os::fd::AsRawFd::as_raw_fd(program),
        target_ifindex: index.trim().parse().unwrap(),
        attach_type,
        flags,
    };
    bpf(BPF_LINK_CREATE, &link)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> OwnedFd {
    // SAFETY: the kernel reads `attributes`, which is as long as said, and what it points to.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    assert!(fd >= 0, "bpf({command}): {}", io::Error::last_os_error());
    // SAFETY: the call succeeded, so this is a new descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }
}
