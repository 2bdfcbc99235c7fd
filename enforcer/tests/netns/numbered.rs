//! Streams of numbered datagrams, of which each one is accounted for.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use xtask::lab::{Family, Topology};

/// How fast datagrams follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// One in each time.
    Each(Duration),
    /// As fast as they arrive; this many may be on their way.
    Window(u64),
    /// More than a link takes.
    Flood,
}

/// A flood comes in bursts longer than the queue of a link, so that it leaves others
/// some time of the CPU.
const BURST: u64 = 512;
const BREATH: Duration = Duration::from_millis(2);

/// From whom to which port of whom.
pub type Way = (&'static str, &'static str, u16);

/// A stream that flows until it is finished.
pub struct Numbered {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    received: Arc<AtomicU64>,
    receiver: JoinHandle<u64>,
    ended: Arc<AtomicBool>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub sent: u64,
    pub received: u64,
}

impl Numbered {
    pub fn start(lab: &Topology, (from, to, port): Way, family: Family, pace: Pace) -> Self {
        let source = lab.address(to, from, family);
        let target = SocketAddr::new(lab.address(from, to, family), port);
        let bound = |host: &str, address: SocketAddr| {
            let namespace = lab.host(host).namespace();
            namespace.run(move || UdpSocket::bind(address)).unwrap()
        };
        let (into, out_of) = (bound(from, (source, 0).into()), bound(to, target));
        setsockopt(&out_of, RcvBufForce, &(16 << 20)).unwrap();
        let breath = Duration::from_millis(20);
        out_of.set_read_timeout(Some(breath)).unwrap();

        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let (stopped, arrived) = (stop.clone(), received.clone());
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                match pace {
                    Pace::Each(time) => thread::sleep(time),
                    Pace::Window(most) if sent >= arrived.load(Ordering::Relaxed) + most => {
                        thread::sleep(BREATH / 4);
                        continue;
                    }
                    Pace::Flood if sent % BURST == 0 => thread::sleep(BREATH),
                    Pace::Window(_) | Pace::Flood => {}
                }
                into.send_to(&u64::to_le_bytes(sent), target).unwrap();
                sent += 1;
            }
            sent
        });
        let (ends, arrived) = (ended.clone(), received.clone());
        let receiver = thread::spawn(move || {
            let (mut next, mut missing) = (0, BTreeSet::new());
            let mut buffer = [0; 8];
            while !ends.load(Ordering::Relaxed) {
                let Ok((8, _)) = out_of.recv_from(&mut buffer) else {
                    continue;
                };
                let number = u64::from_le_bytes(buffer);
                if number < next {
                    assert!(missing.remove(&number), "{number} came twice");
                } else {
                    missing.extend(next..number);
                    next = number + 1;
                }
                arrived.fetch_add(1, Ordering::Relaxed);
            }
            next - missing.len() as u64
        });
        Self {
            stop,
            sender,
            received,
            receiver,
            ended,
        }
    }

    /// Ends it; all that was sent has time to arrive.
    pub fn finish(self) -> Account {
        self.end(Duration::from_secs(5))
    }

    /// Ends it; nothing should arrive.
    pub fn finish_denied(self) -> Account {
        self.end(Duration::from_millis(100))
    }

    fn end(self, patience: Duration) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("sending does not fail");
        let deadline = Instant::now() + patience;
        while self.received.load(Ordering::Relaxed) < sent && Instant::now() < deadline {
            thread::sleep(BREATH);
        }
        self.ended.store(true, Ordering::Relaxed);
        let received = self.receiver.join().expect("no number comes twice");
        Account { sent, received }
    }
}
