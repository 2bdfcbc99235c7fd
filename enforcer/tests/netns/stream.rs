//! Connections that carry data while something else happens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use xtask::lab::Connection;

/// A connection on which a thread exchanges data without a pause.
pub struct Stream {
    stop: Arc<AtomicBool>,
    exchanges: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<()>>,
}

impl Stream {
    /// Begins to exchange.
    pub fn start(mut connection: Connection) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let exchanges = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (stop.clone(), exchanges.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let round = count.load(Ordering::Relaxed);
                let bytes: Vec<u8> = round.to_ne_bytes().repeat(512);
                connection.exchange(&bytes)?;
                count.store(round + 1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self {
            stop,
            exchanges,
            thread,
        }
    }

    /// Waits until data has gone there and back once more, started after this call.
    pub fn wait_exchange(&self) {
        let now = self.exchanges.load(Ordering::Relaxed);
        while self.exchanges.load(Ordering::Relaxed) < now + 2 {
            assert!(!self.thread.is_finished(), "the connection broke");
            thread::yield_now();
        }
    }

    /// Ends it, and fails if any byte was lost or changed.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let result = self.thread.join().expect("exchanges do not panic");
        result.expect("every byte comes back");
        assert!(self.exchanges.load(Ordering::Relaxed) > 0);
    }
}
