//! What transport headers say, in host order.

use super::{Icmp, Sctp, Tcp, Udp, be16, be32};

impl Tcp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }

    /// Length of the header in bytes: 0 to 60, at least 20 in a valid one.
    #[inline(always)]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.offset >> 4) * 4
    }

    /// Sequence number.
    #[inline(always)]
    pub fn sequence(&self) -> u32 {
        be32(self.sequence)
    }

    /// Acknowledgment number.
    #[inline(always)]
    pub fn acknowledgment(&self) -> u32 {
        be32(self.acknowledgment)
    }

    /// FIN, SYN, RST, PSH, ACK, URG, ECE and CWR from the lowest bit up.
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        self.flags
    }
}

impl Udp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }

    /// Length of header and payload in bytes.
    #[inline(always)]
    pub fn datagram_bytes(&self) -> usize {
        usize::from(be16(self.length))
    }
}

impl Sctp {
    /// Source port.
    #[inline(always)]
    pub fn source(&self) -> u16 {
        be16(self.source)
    }

    /// Destination port.
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        be16(self.destination)
    }
}

impl Icmp {
    /// Type.
    #[inline(always)]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Code.
    #[inline(always)]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Identifier of an echo request or reply.
    #[inline(always)]
    pub fn id(&self) -> u16 {
        be16(self.id)
    }
}
