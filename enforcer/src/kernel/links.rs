//! What attaches the programs to interfaces: links, pinned one by one.
//!
//! A pinned link keeps its program attached without any process. Its file is
//! named after the interface index, because names change. Kernels before 6.6
//! have no link for TC; there a filter attaches the program, and a symbolic
//! link to the program's pin stands in the folder as a mark.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use aya::programs::SchedClassifier;
use aya_obj::generated::bpf_attach_type::{BPF_TCX_EGRESS, BPF_TCX_INGRESS, BPF_XDP};
use aya_obj::generated::{BPF_F_BEFORE, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};

use super::error::KernelError;
use super::filter;
use super::netlink::Interface;
use super::object::{EGRESS, HANDOVER, INGRESS, XDP};
use super::owner::Owners;
use super::pins::{Pins, failed, names_in, remove_file};
use super::probe;
use super::set::Set;
use super::sys;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Ingress, in the driver.
    Xdp,
    /// Ingress, in the network stack.
    XdpGeneric,
    /// Ingress, in the network stack, behind XDP.
    TcIngress,
    /// Ingress, in the network stack, behind a program at XDP.
    HandOver,
    /// Egress, behind routing.
    Egress,
}

/// Direction of the packets that an attached program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// They come in.
    Ingress,
    /// They have come in, and are judged.
    Between,
    /// They go out.
    Egress,
}

/// Which of our programs is attached: each has a place of its own on an
/// interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// The XDP program.
    Xdp,
    /// The TC ingress program.
    Ingress,
    /// The TC ingress program behind XDP.
    HandOver,
    /// The TC egress program.
    Egress,
}

/// A program of ours on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Which program.
    pub point: Point,
    /// Interface it was attached to.
    pub ifindex: u32,
    /// Id of the program; `None` once the interface is gone.
    pub program_id: Option<u32>,
    path: PathBuf,
    is_filter: bool,
}

/// Everything of ours that is attached.
pub fn list(pins: &Pins) -> Result<Vec<Attached>, KernelError> {
    let folder = pins.links();
    let mut attached = Vec::new();
    for name in names_in(&folder)? {
        let Some((point, ifindex)) = parsed(&name) else {
            continue;
        };
        attached.push(examined(point, ifindex, folder.join(name))?);
    }
    Ok(attached)
}

/// Attaches a program of the set to an interface, and pins the link.
pub fn attach(
    pins: &Pins,
    set: &Set,
    hook: Hook,
    interface: &Interface,
) -> Result<(), KernelError> {
    let (attach_type, flags) = match hook {
        Hook::Xdp => (BPF_XDP, XDP_FLAGS_DRV_MODE),
        Hook::XdpGeneric => (BPF_XDP, XDP_FLAGS_SKB_MODE),
        // Before the programs of others, so that none lets a packet by first.
        Hook::TcIngress | Hook::HandOver => (BPF_TCX_INGRESS, BPF_F_BEFORE),
        Hook::Egress => (BPF_TCX_EGRESS, BPF_F_BEFORE),
    };
    let point = Point::of(hook);
    let path = pins.links().join(point.file_name(interface.ifindex));
    let program_path = set.program(point.program());
    if point != Point::Xdp && !probe::is_at_least(6, 6) {
        return attach_filter(point, &path, &program_path, interface);
    }
    let program = sys::open_pin(&program_path).map_err(failed("open", &program_path))?;
    let link = sys::create_link(program.as_fd(), interface.ifindex, attach_type, flags);
    let link = link.map_err(|source| refused(hook, interface, source))?;
    sys::pin(link.as_fd(), &path).map_err(|error| {
        // Closing it would detach the program, too, but not at once.
        let _ = sys::detach_link(link.as_fd());
        failed("pin", &path)(error)
    })
}

/// Detaches a program of ours from an interface.
pub fn detach(pins: &Pins, point: Point, ifindex: u32) -> Result<(), KernelError> {
    let path = pins.links().join(point.file_name(ifindex));
    examined(point, ifindex, path)?.detach()
}

impl Attached {
    /// Direction of the packets that the program sees.
    pub fn side(&self) -> Side {
        match self.point {
            Point::Xdp | Point::Ingress => Side::Ingress,
            Point::HandOver => Side::Between,
            Point::Egress => Side::Egress,
        }
    }

    /// Puts the program of `set` in place of the attached one, atomically,
    /// unless it is that already.
    pub fn refresh(&self, set: &Set) -> Result<(), KernelError> {
        let program = set.program(self.point.program());
        if self.is_filter {
            return self.refresh_filter(&program);
        }
        let fd = sys::open_pin(&program).map_err(failed("open", &program))?;
        let wanted = probe::program_at(&program)?.id;
        if self.program_id == Some(wanted) {
            return Ok(());
        }
        let link = sys::open_pin(&self.path).map_err(failed("open", &self.path))?;
        let updated = sys::update_link(link.as_fd(), fd.as_fd());
        updated.map_err(failed("replace the program of", &self.path))
    }

    /// Detaches the program; packets pass it no more when this returns.
    pub fn detach(&self) -> Result<(), KernelError> {
        if self.program_id.is_some() {
            if self.is_filter {
                filter::remove(self.point, self.ifindex)?;
            } else {
                let link = sys::open_pin(&self.path).map_err(failed("open", &self.path))?;
                sys::detach_link(link.as_fd()).map_err(failed("detach", &self.path))?;
            }
        }
        remove_file(&self.path)
    }

    fn refresh_filter(&self, program: &Path) -> Result<(), KernelError> {
        let current = fs::read_link(&self.path).map_err(failed("read", &self.path))?;
        if current == program {
            return Ok(());
        }
        let mut classifier = opened(self.point, program)?;
        filter::replace(self.point, self.ifindex, &mut classifier)?;
        mark(&self.path, program)
    }
}

fn examined(point: Point, ifindex: u32, path: PathBuf) -> Result<Attached, KernelError> {
    let kind = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
    let is_filter = kind.is_symlink();
    let program_id = if is_filter {
        filter::program_id(point, ifindex)?
    } else {
        let link = sys::open_pin(&path).map_err(failed("open", &path))?;
        let info = sys::link_info(link.as_fd()).map_err(failed("read", &path))?;
        (info.ifindex == ifindex).then_some(info.program_id)
    };
    Ok(Attached {
        point,
        ifindex,
        program_id,
        path,
        is_filter,
    })
}

fn attach_filter(
    point: Point,
    path: &Path,
    program: &Path,
    interface: &Interface,
) -> Result<(), KernelError> {
    // The mark first: what it stands for can then always be found again.
    mark(path, program)?;
    let mut classifier = opened(point, program)?;
    filter::attach(point, interface.ifindex, &mut classifier)
}

/// Lets the mark of a filter lead to the program that it runs.
fn mark(path: &Path, program: &Path) -> Result<(), KernelError> {
    let new = path.with_file_name("new");
    remove_file(&new)?;
    symlink(program, &new).map_err(failed("create", &new))?;
    fs::rename(&new, path).map_err(failed("replace", path))
}

fn opened(point: Point, program: &Path) -> Result<SchedClassifier, KernelError> {
    SchedClassifier::from_pin(program).map_err(|source| KernelError::Program {
        program: point.program(),
        source: Box::new(source),
    })
}

/// Says what the system means by refusing a link.
fn refused(hook: Hook, interface: &Interface, source: io::Error) -> KernelError {
    let name = || interface.name.clone();
    match (hook, source.raw_os_error()) {
        (_, Some(libc::EPERM | libc::EACCES)) => KernelError::NotPermitted {
            action: "attaching programs",
        },
        (Hook::Xdp | Hook::XdpGeneric, Some(libc::EBUSY | libc::EEXIST)) => {
            match interface.xdp_program() {
                Some((id, slot)) => KernelError::SlotTaken {
                    interface: name(),
                    owner: Box::new(Owners::gather().of(id)),
                    slot,
                },
                None => KernelError::Attach {
                    hook,
                    interface: name(),
                    source,
                },
            }
        }
        (Hook::Xdp, Some(libc::EOPNOTSUPP)) => KernelError::NoDriverXdp { interface: name() },
        _ => KernelError::Attach {
            hook,
            interface: name(),
            source,
        },
    }
}

impl Point {
    const ALL: [Self; 4] = [Self::Xdp, Self::Ingress, Self::HandOver, Self::Egress];

    /// The place that a hook takes.
    pub fn of(hook: Hook) -> Self {
        match hook {
            Hook::Xdp | Hook::XdpGeneric => Self::Xdp,
            Hook::TcIngress => Self::Ingress,
            Hook::HandOver => Self::HandOver,
            Hook::Egress => Self::Egress,
        }
    }

    fn file_name(self, ifindex: u32) -> String {
        format!("{}-{ifindex}", self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Ingress => "ingress",
            Self::HandOver => "handover",
            Self::Egress => "egress",
        }
    }

    /// The name of the program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Xdp => XDP,
            Self::Ingress => INGRESS,
            Self::HandOver => HANDOVER,
            Self::Egress => EGRESS,
        }
    }
}

fn parsed(name: &str) -> Option<(Point, u32)> {
    let (name, ifindex) = name.split_once('-')?;
    let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
    Some((point, ifindex.parse().ok()?))
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "XDP",
            Self::XdpGeneric => "generic XDP",
            Self::TcIngress | Self::HandOver => "TC ingress",
            Self::Egress => "TC egress",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_read_back() {
        for point in Point::ALL {
            for ifindex in [1, 7, u32::MAX] {
                assert_eq!(parsed(&point.file_name(ifindex)), Some((point, ifindex)));
            }
        }
        for name in ["", "xdp", "xdp-", "xdp-7-new", "tcx-7", "xdp--1", "new"] {
            assert_eq!(parsed(name), None, "{name:?}");
        }
    }
}
