//! Runs a kernel in QEMU.
//!
//! By emulation alone (TCG): the kernels of Debian do not start everywhere
//! where `/dev/kvm` exists.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::tools::Tools;

/// On a quiet machine a guest takes a tenth of this.
const LIMIT: Duration = Duration::from_secs(2_400);

const MACHINE: [&str; 16] = [
    "-machine",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-smp",
    "1",
    "-m",
    "2048",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-no-reboot",
    "-nodefaults",
];

const COMMAND_LINE: &str = "console=ttyS0 panic=-1 loglevel=3";

/// Starts a kernel and returns what it prints until it ends, or is ended
/// because it takes too long; `watch` gets each line when it comes.
pub fn boot(
    tools: &Tools,
    image: &Path,
    archive: &Path,
    mut watch: impl FnMut(&str) -> io::Result<()>,
) -> Result<Vec<String>> {
    let mut qemu = tools.qemu()?;
    qemu.args(MACHINE).arg("-no-user-config");
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(archive);
    qemu.args(["-append", COMMAND_LINE]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut guest = qemu.spawn().context("cannot run QEMU")?;
    let output = guest.stdout.take().expect("it is piped");
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || read(output, |line| sender.send(line).is_ok()));

    let deadline = Instant::now() + LIMIT;
    let mut transcript = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                watch(&line)?;
                transcript.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                guest.kill()?;
                let line = format!("ended after {} s", LIMIT.as_secs());
                watch(&line)?;
                transcript.push(line);
                break;
            }
        }
    }
    // Its exit code tells nothing of the guest.
    guest.wait()?;
    reader.join().expect("reading does not panic");
    Ok(transcript)
}

/// Hands on each line, without what moves the cursor.
fn read(output: ChildStdout, mut send: impl FnMut(String) -> bool) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|len| len > 0)
    {
        if !send(plain(&String::from_utf8_lossy(&bytes))) {
            return;
        }
        bytes.clear();
    }
}

fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut parts = line.trim_end().split('\x1b');
    plain.extend(parts.next());
    for part in parts {
        // `[`, numbers, and the letter that ends the sequence.
        let end = part.find(|it: char| it.is_ascii_alphabetic());
        plain.extend(end.map(|end| &part[end + 1..]));
    }
    plain.replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movements_of_the_cursor_are_left_out() {
        assert_eq!(plain("\x1b[2J\x1b[01;01Hboot\x1b[0m ok\r\n"), "boot ok");
        assert_eq!(plain("\x1bc\x1b[?7l@@ end\r\r\n"), "@@ end");
    }
}
