//! Packets, and which way they cross the edge of a router.

use std::rc::Rc;

/// A frame, and which way it goes.
#[derive(Clone, Debug)]
pub struct Crossing {
    whole: Rc<[u8]>,
    /// As many bytes of it as there are.
    length: usize,
    pub way: Way,
}

/// Which way a packet crosses the edge of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In, by the interface with this index.
    In(u32),
    /// Out, by the interface with the first index. It has come in by the one with
    /// the second; without that the router itself sends it.
    Out(u32, Option<u32>),
    /// From one port of a bridge to another.
    Between(u32, u32),
}

impl Crossing {
    pub fn new(frame: Vec<u8>, way: Way) -> Self {
        let length = frame.len();
        Self {
            whole: frame.into(),
            length,
            way,
        }
    }

    /// A frame that is cut off after `length` bytes.
    pub fn start_of(whole: &Rc<[u8]>, length: usize, way: Way) -> Self {
        Self {
            whole: Rc::clone(whole),
            length,
            way,
        }
    }

    pub fn frame(&self) -> &[u8] {
        &self.whole[..self.length]
    }
}

impl Way {
    /// The interface that the packet crosses; of two, the first.
    pub fn ifindex(self) -> u32 {
        match self {
            Self::In(ifindex) | Self::Out(ifindex, _) | Self::Between(ifindex, _) => ifindex,
        }
    }
}
