//! Time as the programs tell it: in timer ticks.

use std::io;
use std::time::Duration;

use aya::programs::{TestRun, TestRunOptions, Xdp};

use super::error::KernelError;
use super::object::TICKS;

/// Now, in timer ticks since boot (`jiffies_64`), as the loaded program
/// [`TICKS`] tells it.
pub(super) fn now_ticks(program: &Xdp) -> Result<u64, KernelError> {
    let frame = [0; 64];
    let mut answer = [0; 64];
    let run = program.test_run(TestRunOptions {
        data_in: Some(&frame),
        data_out: Some(&mut answer),
        ..TestRunOptions::new()
    });
    run.map_err(|source| KernelError::Program {
        program: TICKS,
        source: Box::new(source),
    })?;
    let (now, _) = answer.split_first_chunk().expect("the frame has 64 bytes");
    Ok(u64::from_ne_bytes(*now))
}

/// Timer ticks per second (`CONFIG_HZ`), by which the programs tell time.
///
/// The coarse clocks advance once per tick, so their resolution is its length.
pub fn ticks_per_second() -> io::Result<u32> {
    let mut resolution = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is that of a timespec that lives through the call.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut resolution) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let tick = Duration::new(resolution.tv_sec as u64, resolution.tv_nsec as u32);
    per_second(tick).ok_or(io::ErrorKind::Unsupported.into())
}

/// Rounds, because a tick of 1/300 s is no whole number of nanoseconds.
fn per_second(tick: Duration) -> Option<u32> {
    let tick_ns = u32::try_from(tick.as_nanos()).ok()?;
    // The lowest rate that Linux can be built with is 24.
    let possible = 1..=1_000_000_000 / 20;
    possible
        .contains(&tick_ns)
        .then(|| (1_000_000_000 + tick_ns / 2) / tick_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_rate_of_linux_is_found() {
        for rate in [24, 48, 100, 128, 250, 256, 300, 1000, 1024, 1200] {
            // How the kernel computes the length of a tick (TICK_NSEC).
            let tick = Duration::from_nanos((1_000_000_000 + rate / 2) / rate);
            assert_eq!(per_second(tick), Some(rate as u32), "{rate}");
        }
        assert_eq!(per_second(Duration::ZERO), None);
        assert_eq!(per_second(Duration::from_secs(1)), None);
    }
}
