//! What others have in the kernel: links, and the programs attached to an
//! interface.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::sys::{self, Arguments, bpf, fd_of};

/// A program or a link, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// A program.
    Program(u32),
    /// A link, which keeps its program attached.
    Link(u32),
}

/// A program attached to one side of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub program_id: u32,
    /// Id of the link that attaches it; `None` if none does.
    pub link_id: Option<u32>,
}

#[repr(C)]
#[derive(Default)]
struct ById<const COMMAND: u32> {
    id: u32,
    next: u32,
    flags: u32,
    padding: u32,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (ids).
unsafe impl Arguments for ById<{ bpf_cmd::BPF_LINK_GET_NEXT_ID as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_LINK_GET_NEXT_ID;
}
// SAFETY: as above.
unsafe impl Arguments for ById<{ bpf_cmd::BPF_LINK_GET_FD_BY_ID as u32 }> {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_LINK_GET_FD_BY_ID;
}

/// Every link: its id, and the id of its program.
pub fn links() -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut ids = ById::<{ bpf_cmd::BPF_LINK_GET_NEXT_ID as u32 }>::default();
    while bpf(&mut ids).is_ok() {
        ids.id = ids.next;
        // It may have gone since.
        let Ok(link) = link(ids.next) else { continue };
        let info = sys::link_info(link.as_fd());
        found.extend(info.map(|info| (info.id, info.program_id)));
    }
    found
}

fn link(id: u32) -> io::Result<OwnedFd> {
    let mut arguments = ById::<{ bpf_cmd::BPF_LINK_GET_FD_BY_ID as u32 }> {
        id,
        ..ById::default()
    };
    bpf(&mut arguments).map(fd_of)
}

#[repr(C)]
struct Query {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

// SAFETY: `repr(C)`, no padding, as in `union bpf_attr` (query).
unsafe impl Arguments for Query {
    const COMMAND: bpf_cmd = bpf_cmd::BPF_PROG_QUERY;
}

/// The tcx programs at the egress of an interface, in the order in which they
/// run; none on kernels before 6.6.
pub fn egress(ifindex: u32) -> Vec<Place> {
    tcx(ifindex, bpf_attach_type::BPF_TCX_EGRESS)
}

/// The same at its ingress.
pub fn ingress(ifindex: u32) -> Vec<Place> {
    tcx(ifindex, bpf_attach_type::BPF_TCX_INGRESS)
}

fn tcx(ifindex: u32, attach_type: bpf_attach_type) -> Vec<Place> {
    /// As many as the kernel attaches to one place.
    const ROOM: usize = 64;
    let (mut programs, mut links) = ([0u32; ROOM], [0u32; ROOM]);
    let mut query = Query {
        ifindex,
        attach_type: attach_type as u32,
        query_flags: 0,
        attach_flags: 0,
        programs: programs.as_mut_ptr().addr() as u64,
        count: ROOM as u32,
        padding: 0,
        program_flags: 0,
        links: links.as_mut_ptr().addr() as u64,
        link_flags: 0,
        revision: 0,
    };
    if bpf(&mut query).is_err() {
        return Vec::new();
    }
    let count = (query.count as usize).min(ROOM);
    let places = programs.iter().zip(links).take(count);
    places
        .map(|(program_id, link)| Place {
            program_id: *program_id,
            link_id: (link != 0).then_some(link),
        })
        .collect()
}

/// What a descriptor of this process refers to.
pub(super) fn held_by(descriptor: &OwnedFd) -> Option<Held> {
    let path = format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd());
    held(&fs::read_to_string(path).ok()?)
}

/// What a descriptor refers to, by what the kernel says of it in `fdinfo`.
pub(super) fn held(fdinfo: &str) -> Option<Held> {
    let number = |key: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.trim().parse().ok())
    };
    // A link names its program too.
    let link = number("link_id:").map(Held::Link);
    link.or_else(|| number("prog_id:").map(Held::Program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_programs_and_links_are_told_apart() {
        let cases = [
            (
                "pos:\t0\nflags:\t02\nprog_type:\t6\nprog_id:\t31\n",
                Some(Held::Program(31)),
            ),
            (
                "link_type:\txdp\nlink_id:\t4\nprog_id:\t31\n",
                Some(Held::Link(4)),
            ),
            ("map_type:\t2\nmap_id:\t9\n", None),
            ("pos:\t0\n", None),
        ];
        for (text, want) in cases {
            assert_eq!(held(text), want, "{text:?}");
        }
    }
}
