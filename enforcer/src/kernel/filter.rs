//! TC before Linux 6.6: a filter of fixed priority and handle on the
//! `clsact` qdisc, so that attaching again replaces it and never adds another.

use std::io;

use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcError, TcHandle,
    qdisc_add_clsact,
};
use aya::programs::{ProgramError, SchedClassifier};
use nix::net::if_::if_indextoname;

use super::error::KernelError;
use super::links::Point;
use super::netlink::Netlink;
use super::probe;

/// Before the filters of others, so that none lets a packet out first.
pub(super) const PRIORITY: u16 = 1;
/// Unlike the small numbers that others choose.
pub(super) const HANDLE: u32 = 0xe4f0;
/// Of the program that hands over: another filter of the same priority.
const HANDLE_OF_HANDOVER: u32 = 0xe4f1;

/// Attaches a program to what comes in or leaves by an interface.
pub(super) fn attach(
    point: Point,
    ifindex: u32,
    program: &mut SchedClassifier,
) -> Result<(), KernelError> {
    if program_id(point, ifindex)?.is_some() {
        return replace(point, ifindex, program);
    }
    let name = name_of(ifindex)?;
    let failed = |source: ProgramError| failed(&name, source);
    match qdisc_add_clsact(&name) {
        Ok(()) => {}
        Err(error) if is_there_already(&error) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: TcHandle::from(handle(point)),
        classid: None,
    });
    let id = program.attach_with_options(&name, direction(point), options);
    let link = program.take_link(id.map_err(failed)?).map_err(failed)?;
    // Dropping it would detach the program.
    std::mem::forget(link);
    Ok(())
}

/// Puts a program in place of the attached one, atomically.
pub(super) fn replace(
    point: Point,
    ifindex: u32,
    program: &mut SchedClassifier,
) -> Result<(), KernelError> {
    let name = name_of(ifindex)?;
    let failed = |source: ProgramError| failed(&name, source);
    let id = program.attach_to_link(attached(point, &name)?);
    let link = program.take_link(id.map_err(failed)?).map_err(failed)?;
    std::mem::forget(link);
    Ok(())
}

/// Detaches our program.
pub(super) fn remove(point: Point, ifindex: u32) -> Result<(), KernelError> {
    let name = name_of(ifindex)?;
    // Dropping it detaches the program.
    drop(attached(point, &name)?);
    match program_id(point, ifindex)? {
        None => Ok(()),
        Some(_) => Err(KernelError::System(
            "remove the TC filter",
            io::ErrorKind::ResourceBusy.into(),
        )),
    }
}

/// Id of our program behind an interface, if the filter is there.
pub(super) fn program_id(point: Point, ifindex: u32) -> Result<Option<u32>, KernelError> {
    let netlink = Netlink::connect()?;
    let filter = netlink.filter((ifindex, point == Point::Egress), PRIORITY, handle(point))?;
    // The kernel cuts names after 15 bytes.
    let is_ours = |id: &u32| {
        probe::program(*id).is_some_and(|program| point.program().starts_with(&program.name))
    };
    Ok(filter.filter(is_ours))
}

fn attached(point: Point, name: &str) -> Result<SchedClassifierLink, KernelError> {
    let handle = TcHandle::from(handle(point));
    let link = SchedClassifierLink::attached(name, direction(point), PRIORITY, handle, None);
    link.map_err(|source| failed(name, source.into()))
}

fn name_of(ifindex: u32) -> Result<String, KernelError> {
    match if_indextoname(ifindex) {
        Ok(name) => Ok(name.to_string_lossy().into_owned()),
        Err(error) => Err(KernelError::System("find the interface", error.into())),
    }
}

fn handle(point: Point) -> u32 {
    match point {
        Point::HandOver => HANDLE_OF_HANDOVER,
        _ => HANDLE,
    }
}

fn direction(point: Point) -> TcAttachType {
    match point {
        Point::Egress => TcAttachType::Egress,
        Point::Ingress | Point::HandOver | Point::Xdp => TcAttachType::Ingress,
    }
}

fn is_there_already(error: &TcError) -> bool {
    match error {
        TcError::AlreadyAttached => true,
        TcError::NetlinkError(error) => error.raw_os_error() == Some(libc::EEXIST),
        _ => false,
    }
}

fn failed(interface: &str, source: ProgramError) -> KernelError {
    KernelError::Filter {
        interface: interface.to_owned(),
        source: Box::new(source),
    }
}
