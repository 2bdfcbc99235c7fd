//! Applies in a process that does nothing else, so that its memory is theirs.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use enforcer::controller::{self, ApplyOptions, Instance};
use enforcer::policy::Source;

use crate::network::Net;

/// Where the process finds the installation; set by whoever starts it.
const ROOT: &str = "ENFORCER_APPLIER_ROOT";
/// What it says after each apply that was well.
const APPLIED: &str = "applied";

/// A process on the router that applies policy files; it ends with this value.
pub struct Applier {
    child: Child,
    files: Option<ChildStdin>,
    answers: BufReader<ChildStderr>,
}

/// What a process takes of the machine's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// All that is in memory, shared or not.
    pub bytes: u64,
    /// Heap, stacks and the like.
    pub anonymous_bytes: u64,
}

impl Applier {
    pub fn start(net: &Net) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "applier::it_applies_what_it_is_given"])
            .args(["--ignored", "--nocapture"])
            .env(ROOT, net.enforcer.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let router = net.lab.router().namespace();
        let mut child = router.run(move || command.spawn()).unwrap();
        Self {
            files: child.stdin.take(),
            answers: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Lets it apply a file, which must succeed.
    pub fn apply(&mut self, file: &str) {
        let files = self.files.as_mut().unwrap();
        writeln!(files, "{file}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), APPLIED, "{file}");
    }

    /// Lets it apply files, which must succeed; what it took of the memory after one
    /// of them, at most. Now and then an allocator gives some of it back.
    pub fn most_resident<'f>(&mut self, files: impl Iterator<Item = &'f str>) -> Resident {
        files.fold(Resident::default(), |most, file| {
            self.apply(file);
            most.max(self.resident())
        })
    }

    fn resident(&self) -> Resident {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = fs::read_to_string(path).unwrap();
        let bytes = |name: &str| {
            let mut lines = rollup.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            kib * 1_024
        };
        Resident {
            bytes: bytes("Rss:"),
            anonymous_bytes: bytes("Anonymous:"),
        }
    }

    /// Descriptors of kernel objects, and of all else, that it has open.
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.unwrap().count()
    }
}

impl Resident {
    /// Allocators round, and threads come and go; it takes no more than that.
    pub const ROUNDING: u64 = 256 << 10;
    /// Where programs are loaded each time, by a thread for each of them with an
    /// arena of its own.
    pub const LOADING: u64 = 4 << 20;

    /// Fails if there is more than this and some `room`.
    pub fn expect(self, applies: usize, (now, room): (Self, u64)) {
        let most = Self {
            bytes: self.bytes + room,
            anonymous_bytes: self.anonymous_bytes + room,
        };
        assert_eq!(
            now.max(most),
            most,
            "{self:?} has become {now:?} in {applies} applies"
        );
    }

    fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            anonymous_bytes: self.anonymous_bytes.max(other.anonymous_bytes),
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        // It ends when there are no more files.
        self.files = None;
        let _ = self.child.wait();
    }
}

/// No test by itself, but what [`Applier`] starts.
#[test]
#[ignore = "other tests run it, in a process of its own"]
fn it_applies_what_it_is_given() {
    let root = env::var_os(ROOT).expect("another test has started this");
    let instance = Instance::under(root.as_ref());
    let mut answers = io::stderr().lock();
    for file in io::stdin().lines() {
        let source = Source::read(file.unwrap()).unwrap();
        let applied = controller::apply(&instance, &source, &ApplyOptions::default());
        let answer = match applied {
            Ok(_) => APPLIED.to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        writeln!(answers, "{answer}").unwrap();
    }
}
