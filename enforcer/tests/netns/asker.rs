//! Questions and answers in lockstep, so that every packet is accounted for.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use xtask::lab::{Family, Service};

use crate::network::Net;

/// Asks over and over, and sends as many packets that no conduit allows.
pub struct Asker {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Asker {
    /// Where it asks.
    pub const ALLOWED: u16 = 1000;
    /// Where it sends what must not arrive.
    pub const FORBIDDEN: u16 = 1003;

    /// Begins to ask, from `office` to `plant`, which must be allowed.
    pub fn start(net: &Net) -> Self {
        net.lab
            .host("plant")
            .serve(Service::Udp(Self::ALLOWED))
            .unwrap();
        let plant = net.lab.address("office", "plant", Family::V4);
        let office = net.lab.host("office").namespace();
        let socket = office.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let (stop, asked) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (stop.clone(), asked.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // It travels before the question, whose answer so vouches for
                // both: neither waits in a queue any more.
                socket.send_to(b"no", (plant, Self::FORBIDDEN)).unwrap();
                socket.send_to(b"yes", (plant, Self::ALLOWED)).unwrap();
                socket.recv(&mut [0; 8]).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            asked,
            thread,
        }
    }

    /// Waits for an answer to a question asked after this call.
    pub fn wait_exchange(&self) {
        let now = self.asked.load(Ordering::Relaxed);
        while self.asked.load(Ordering::Relaxed) < now + 2 {
            assert!(!self.thread.is_finished(), "no answer");
            thread::yield_now();
        }
    }

    /// How often it has asked in all.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.asked.load(Ordering::Relaxed)
    }
}
