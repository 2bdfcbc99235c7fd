//! A port whose cable a test holds in its hand: any frame goes in, and what comes
//! out is seen.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result};

use crate::lab::cable;
use crate::lab::link::Links;
use crate::lab::topology::Topology;

/// Longer than any frame.
const FRAME_BYTES: usize = 65_536;

/// A port of a bridge of the router; it is gone with this value.
pub struct Tap(File);

impl Topology {
    /// Adds a port to a bridge of the router, and returns when it carries frames.
    pub fn tap(&self, name: &'static str, bridge: &str) -> Result<Tap> {
        let commands = format!("link set {name} master {bridge} up\n");
        self.router().namespace().run(move || {
            let file = cable::ethernet(name)?;
            Links::bring_up(&commands)?.wait_ready(&[name])?;
            Ok(Tap(file))
        })
    }
}

impl Tap {
    /// Sends a frame. The kernel has dealt with it when this returns.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.0.write_all(frame).context("a port takes a frame")
    }

    /// The frames that have come out since the last look.
    pub fn frames(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut frame = vec![0; FRAME_BYTES];
        loop {
            match self.0.read(&mut frame) {
                Ok(length) => frames.push(frame[..length].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(frames),
                Err(error) => return Err(error).context("a port gives out a frame"),
            }
        }
    }
}
