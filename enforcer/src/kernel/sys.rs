//! The commands of `bpf(2)` that aya does not offer: batches, and links by
//! their pins.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::Pod;
use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_map_info};

/// Arguments of one command.
///
/// # Safety
///
/// `repr(C)` without padding, and the layout that the command expects.
pub(super) unsafe trait Arguments {
    /// The command.
    const COMMAND: bpf_cmd;
}

/// Calls `bpf(2)`, again when a signal disturbs it.
pub(super) fn bpf<A: Arguments>(arguments: &mut A) -> io::Result<i32> {
    loop {
        // SAFETY: the pointer is that of arguments as large as said, which live
        // through the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                A::COMMAND as u32,
                std::ptr::from_mut(arguments),
                size_of::<A>(),
            )
        };
        match i32::try_from(result) {
            Ok(result) if result >= 0 => return Ok(result),
            _ => {}
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The descriptor that a command has returned.
pub(super) fn fd_of(result: i32) -> OwnedFd {
    // SAFETY: the kernel has just returned this descriptor to us alone.
    unsafe { OwnedFd::from_raw_fd(result) }
}

/// Elements of a map that are read or written by one call.
#[repr(C)]
struct Batch<const COMMAND: u32> {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (batch).
unsafe impl Arguments for Batch<{ bpf_cmd::BPF_MAP_LOOKUP_BATCH as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_MAP_LOOKUP_BATCH;
}
// SAFETY: as above.
unsafe impl Arguments for Batch<{ bpf_cmd::BPF_MAP_UPDATE_BATCH as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_MAP_UPDATE_BATCH;
}

/// Reads elements of an array, the first `after` the given index.
///
/// Fills `keys` and `values` and returns how many there were; `values` has
/// room for `keys.len()` elements of the map, on a per-CPU array times the
/// number of possible CPUs. Linux 5.13 for per-CPU arrays.
pub fn lookup_batch<V: Pod>(
    map: BorrowedFd<'_>,
    after: Option<u32>,
    keys: &mut [u32],
    values: &mut [V],
) -> io::Result<usize> {
    let mut last = 0u32;
    let mut batch = Batch::<{ bpf_cmd::BPF_MAP_LOOKUP_BATCH as u32 }> {
        in_batch: after
            .as_ref()
            .map_or(0, |index| address(std::slice::from_ref(index))),
        out_batch: (&raw mut last).addr() as u64,
        keys: keys.as_mut_ptr().addr() as u64,
        values: values.as_mut_ptr().addr() as u64,
        count: keys.len() as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    match bpf(&mut batch) {
        Ok(_) => Ok(batch.count as usize),
        // There are no more; what there was has been read.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(batch.count as usize),
        Err(error) => Err(error),
    }
}

/// Reads at most `most` elements of a hash map, which must be more than any of
/// its buckets holds: from its first bucket on, or from the `place` that an
/// earlier call has returned. Returns no place when there are no more.
pub fn lookup_hash_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    place: Option<u32>,
    most: usize,
) -> io::Result<(Vec<K>, Vec<V>, Option<u32>)> {
    let mut keys: Vec<K> = Vec::with_capacity(most);
    let mut values: Vec<V> = Vec::with_capacity(most);
    let mut next = 0u32;
    let mut batch = Batch::<{ bpf_cmd::BPF_MAP_LOOKUP_BATCH as u32 }> {
        in_batch: place
            .as_ref()
            .map_or(0, |place| address(std::slice::from_ref(place))),
        out_batch: (&raw mut next).addr() as u64,
        keys: keys.as_mut_ptr().addr() as u64,
        values: values.as_mut_ptr().addr() as u64,
        count: most as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    let is_last = match bpf(&mut batch) {
        Ok(_) => false,
        // There are no more; what there was has been read.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    let count = (batch.count as usize).min(most);
    // SAFETY: there is room for `most`, the kernel has written `count`, and any
    // bytes are a `K` and a `V`.
    unsafe {
        keys.set_len(count);
        values.set_len(count);
    }
    Ok((keys, values, (!is_last).then_some(next)))
}

/// Writes one element for each of `keys`, on a per-CPU array one for each
/// possible CPU. Linux 5.13 for per-CPU arrays.
pub fn update_batch<V: Pod>(map: BorrowedFd<'_>, keys: &[u32], values: &[V]) -> io::Result<()> {
    let mut batch = Batch::<{ bpf_cmd::BPF_MAP_UPDATE_BATCH as u32 }> {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys),
        values: address(values),
        count: keys.len() as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    bpf(&mut batch).map(drop)
}

#[repr(C)]
struct AtPath<const COMMAND: u32> {
    path: u64,
    fd: u32,
    flags: u32,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (objects in bpffs).
unsafe impl Arguments for AtPath<{ bpf_cmd::BPF_OBJ_GET as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_OBJ_GET;
}
// SAFETY: as above.
unsafe impl Arguments for AtPath<{ bpf_cmd::BPF_OBJ_PIN as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_OBJ_PIN;
}

/// Opens what is pinned at `path`.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut arguments = AtPath::<{ bpf_cmd::BPF_OBJ_GET as u32 }> {
        path: path.as_ptr().addr() as u64,
        fd: 0,
        flags: 0,
    };
    bpf(&mut arguments).map(fd_of)
}

/// Pins an object at `path`.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut arguments = AtPath::<{ bpf_cmd::BPF_OBJ_PIN as u32 }> {
        path: path.as_ptr().addr() as u64,
        fd: object.as_raw_fd() as u32,
        flags: 0,
    };
    bpf(&mut arguments).map(drop)
}

#[repr(C)]
struct CreateLink {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (link_create, tcx).
unsafe impl Arguments for CreateLink {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_LINK_CREATE;
}

/// Attaches a program to an interface for as long as the link lives.
pub fn create_link(
    program: BorrowedFd<'_>,
    ifindex: u32,
    attach_type: bpf_attach_type,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut arguments = CreateLink {
        program: program.as_raw_fd() as u32,
        ifindex,
        attach_type: attach_type as u32,
        flags,
        relative: 0,
        padding: 0,
        expected_revision: 0,
    };
    bpf(&mut arguments).map(fd_of)
}

#[repr(C)]
struct UpdateLink {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (link_update).
unsafe impl Arguments for UpdateLink {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_LINK_UPDATE;
}

/// Puts another program in place of the one that a link attaches, atomically.
pub fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut arguments = UpdateLink {
        link: link.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        flags: 0,
        old_program: 0,
    };
    bpf(&mut arguments).map(drop)
}

#[repr(C)]
struct DetachLink {
    link: u32,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (link_detach).
unsafe impl Arguments for DetachLink {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_LINK_DETACH;
}

/// Detaches the program of a link. It is gone when this returns; without, the
/// kernel detaches it some time after the last reference to the link.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let link = link.as_raw_fd() as u32;
    bpf(&mut DetachLink { link }).map(drop)
}

#[repr(C)]
struct ReadInfo {
    object: u32,
    len: u32,
    info: u64,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (info).
unsafe impl Arguments for ReadInfo {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_OBJ_GET_INFO_BY_FD;
}

/// The beginning of `struct bpf_link_info`, as far as XDP and tcx fill it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkInfo {
    kind: u32,
    /// Id of the link.
    pub id: u32,
    /// Id of the program that the link attaches.
    pub program_id: u32,
    padding: u32,
    /// Index of the interface; 0 once it is gone.
    pub ifindex: u32,
    attach_type: u32,
}

/// What the kernel knows of an XDP or tcx link.
pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut arguments = ReadInfo {
        object: link.as_raw_fd() as u32,
        len: size_of::<LinkInfo>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    bpf(&mut arguments)?;
    Ok(info)
}

/// What the kernel knows of a map.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<bpf_map_info> {
    // SAFETY: plain numbers, for which all bits zero is a value.
    let mut info: bpf_map_info = unsafe { std::mem::zeroed() };
    let mut arguments = ReadInfo {
        object: map.as_raw_fd() as u32,
        len: size_of::<bpf_map_info>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    bpf(&mut arguments)?;
    Ok(info)
}

/// Waits until no program runs any more that began before the call.
pub fn grace_period() -> io::Result<()> {
    // SAFETY: the command takes no pointer.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EINVAL) {
        return Err(error);
    }
    // Not offered where CPUs run without a tick (`nohz_full`). A program runs
    // for microseconds and is not preempted for this long.
    std::thread::sleep(std::time::Duration::from_secs(1));
    Ok(())
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr().addr() as u64
}
