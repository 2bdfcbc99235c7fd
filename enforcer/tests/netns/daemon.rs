//! `enforcer run` on the router, and what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::network::Net;

/// Far longer than it takes to hear of a change and to follow it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon; it is killed with this value.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Daemon {
    /// Starts it, and returns when it has looked at the machine once.
    pub fn start(net: &Net) -> Self {
        let mut daemon = Self::of(net.enforcer.start(&["run"]).unwrap());
        daemon.wait_line("");
        daemon
    }

    /// The one that has been started.
    pub fn of(mut child: Child) -> Self {
        let (said, lines) = mpsc::channel();
        let output = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody listens any more, and nobody needs to.
                let _ = said.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits until it says a line that contains `text`, and returns the line.
    pub fn wait_line(&mut self, text: &str) -> String {
        let heard = self.hears(PATIENCE, |line| line.contains(text));
        heard.unwrap_or_else(|_| panic!("no `{text}` in {:#?}", self.said))
    }

    /// Waits for a line; what it has said instead when there is none for some time.
    /// It must not end meanwhile.
    pub fn hears(
        &mut self,
        patience: Duration,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<String, Vec<String>> {
        let before = self.said.len();
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if is_wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.said[before..].to_vec()),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {:#?}", self.said),
            }
        }
    }

    /// What it has said since it was listened to.
    pub fn rest(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits until it has ended; returns how, and what it printed.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let mut output = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        (self.child.wait().unwrap(), output)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
