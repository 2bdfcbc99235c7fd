//! TC egress before Linux 6.6: a filter of fixed priority and handle on the
//! `clsact` qdisc, so that attaching again replaces it and never adds another.

use std::io;

use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcError, TcHandle,
    qdisc_add_clsact,
};
use aya::programs::{ProgramError, SchedClassifier};
use nix::net::if_::if_indextoname;

use super::error::KernelError;
use super::netlink::Netlink;
use super::object::EGRESS;
use super::probe;

/// Before the filters of others, so that none lets a packet out first.
pub(super) const PRIORITY: u16 = 1;
/// Unlike the small numbers that others choose.
pub(super) const HANDLE: u32 = 0xe4f0;

/// Attaches a program to what leaves by an interface.
pub(super) fn attach(ifindex: u32, program: &mut SchedClassifier) -> Result<(), KernelError> {
    if program_id(ifindex)?.is_some() {
        return replace(ifindex, program);
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
        handle: TcHandle::from(HANDLE),
        classid: None,
    });
    let id = program.attach_with_options(&name, TcAttachType::Egress, options);
    let link = program.take_link(id.map_err(failed)?).map_err(failed)?;
    // Dropping it would detach the program.
    std::mem::forget(link);
    Ok(())
}

/// Puts a program in place of the attached one, atomically.
pub(super) fn replace(ifindex: u32, program: &mut SchedClassifier) -> Result<(), KernelError> {
    let name = name_of(ifindex)?;
    let failed = |source: ProgramError| failed(&name, source);
    let id = program.attach_to_link(attached(&name)?);
    let link = program.take_link(id.map_err(failed)?).map_err(failed)?;
    std::mem::forget(link);
    Ok(())
}

/// Detaches our program.
pub(super) fn remove(ifindex: u32) -> Result<(), KernelError> {
    let name = name_of(ifindex)?;
    // Dropping it detaches the program.
    drop(attached(&name)?);
    match program_id(ifindex)? {
        None => Ok(()),
        Some(_) => Err(KernelError::System(
            "remove the TC filter",
            io::ErrorKind::ResourceBusy.into(),
        )),
    }
}

/// Id of our program behind an interface, if the filter is there.
pub(super) fn program_id(ifindex: u32) -> Result<Option<u32>, KernelError> {
    let filter = Netlink::connect()?.egress_filter(ifindex, PRIORITY, HANDLE)?;
    let is_ours = |id: &u32| probe::program(*id).is_some_and(|program| program.name == EGRESS);
    Ok(filter.filter(is_ours))
}

fn attached(name: &str) -> Result<SchedClassifierLink, KernelError> {
    let handle = TcHandle::from(HANDLE);
    let link = SchedClassifierLink::attached(name, TcAttachType::Egress, PRIORITY, handle, None);
    link.map_err(|source| failed(name, source.into()))
}

fn name_of(ifindex: u32) -> Result<String, KernelError> {
    match if_indextoname(ifindex) {
        Ok(name) => Ok(name.to_string_lossy().into_owned()),
        Err(error) => Err(KernelError::System("find the interface", error.into())),
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
