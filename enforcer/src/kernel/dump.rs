//! Asks the kernel for lists by netlink, where no library does.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// A socket that asks one part of the kernel.
pub(super) struct Question(OwnedFd);

/// Length of `struct nlmsghdr`, and of it with the four bytes that follow it
/// (`struct nfgenmsg`, `struct genlmsghdr`).
const HEADER: usize = 16;
const HEADERS: usize = HEADER + 4;

impl Question {
    /// Asks by `protocol`, in the network namespace of this thread.
    pub(super) fn new(protocol: SockProtocol) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        Ok(Self(socket))
    }

    /// Asks for all objects of one kind; `visit` gets the second header and the
    /// attributes of each. There are none of what the kernel does not know.
    pub(super) fn ask(
        &self,
        kind: u16,
        header: [u8; 4],
        mut visit: impl FnMut([u8; 4], &[u8]),
    ) -> io::Result<()> {
        const REQUEST: u16 = 1;
        const DUMP: u16 = 0x300;
        const ERROR: u16 = 2;
        const DONE: u16 = 3;

        let mut question = Vec::new();
        question.extend((HEADERS as u32).to_ne_bytes());
        question.extend(kind.to_ne_bytes());
        question.extend((REQUEST | DUMP).to_ne_bytes());
        // Sequence and port.
        question.extend([0; 8]);
        question.extend(header);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &question, &kernel, MsgFlags::empty())?;

        let mut answer = vec![0; 1 << 16];
        loop {
            let len = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let mut rest = &answer[..len];
            while let Some(header) = rest.first_chunk::<HEADER>() {
                let [l0, l1, l2, l3, k0, k1, ..] = *header;
                let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
                let Some(message) = rest.get(..len).filter(|_| len >= HEADER) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let body = &message[HEADER..];
                match (u16::from_ne_bytes([k0, k1]), body.split_first_chunk()) {
                    (DONE, _) => return Ok(()),
                    (ERROR, _) => return failure(body),
                    (_, Some((header, attributes))) => visit(*header, attributes),
                    _ => {}
                }
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// The meaning of an error message.
fn failure(message: &[u8]) -> io::Result<()> {
    let number = message.first_chunk();
    let number = number.map_or(0, |bytes| i32::from_ne_bytes(*bytes).wrapping_neg());
    match number {
        0 | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOENT => Ok(()),
        _ => Err(io::Error::from_raw_os_error(number)),
    }
}

/// The value of an attribute.
pub(super) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const HEADER: usize = 4;
    /// The highest two bits are flags.
    const KIND: u16 = 0x3fff;
    loop {
        let header: [u8; HEADER] = *attributes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & KIND;
        let value = attributes.get(HEADER..len)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

/// A value that is text.
pub(super) fn text(value: &[u8]) -> String {
    let len = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..len.unwrap_or(value.len())]).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One attribute.
    pub fn encoded(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = (value.len() + 4) as u16;
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn attributes_are_found_whatever_lies_before_them() {
        let bytes = [encoded(1, b"abc"), encoded(0x8002, b"x\0"), encoded(3, &[])].concat();
        assert_eq!(attribute(&bytes, 1), Some(&b"abc"[..]));
        assert_eq!(attribute(&bytes, 2).map(text), Some("x".to_owned()));
        assert_eq!(attribute(&bytes, 3), Some(&[][..]));
        assert_eq!(attribute(&bytes, 4), None);
        // A length of zero would never end.
        assert_eq!(attribute(&[0; 16], 4), None);
    }
}
