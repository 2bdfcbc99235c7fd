//! `enforcer counters --watch`: the counters again and again, with rates.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::{Value, json};
use terminal_size::{Height, terminal_size};

use crate::controller::Counters;

use super::exit::Exit;
use super::output::Table;
use super::time::rfc3339;

/// How counters are watched.
pub struct Watch {
    /// Time from one look to the next.
    pub every: Duration,
    /// Drops, not conduits.
    pub shows_drops: bool,
    /// A JSON object for each look.
    pub json: bool,
}

/// One counter, and how fast it moves.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// Id of the conduit; or zones and reason.
    names: Vec<String>,
    packets: u64,
    bytes: u64,
    /// Packets since the look before.
    moved: u64,
    packets_per_s: f64,
    bytes_per_s: f64,
}

/// Packets and bytes by name.
type Counts = BTreeMap<Vec<String>, (u64, u64)>;

impl Watch {
    /// Shows what `read` finds until a signal says stop, or the reader is gone.
    pub fn run(&self, read: impl Fn() -> anyhow::Result<Counters>) -> anyhow::Result<Exit> {
        let stop = stop_signals().context("cannot wait for signals")?;
        let is_terminal = io::stdout().is_terminal();
        let (mut before, mut looked_at) = (self.counts(&read()?), Instant::now());
        if is_terminal && !self.json && !written(&self.screen(&rows(&before, &before, 1.0)))? {
            return Ok(Exit::Success);
        }
        while !stopped(&stop, self.every)? {
            let (counts, now) = (self.counts(&read()?), Instant::now());
            let rows = rows(&before, &counts, (now - looked_at).as_secs_f64());
            (before, looked_at) = (counts, now);
            let text = match (self.json, is_terminal) {
                (true, _) => self.object(&rows),
                (false, true) => self.screen(&rows),
                (false, false) => lines(&rows),
            };
            if !written(&text)? {
                break;
            }
        }
        Ok(Exit::Success)
    }

    fn counts(&self, counters: &Counters) -> Counts {
        if self.shows_drops {
            let drops = counters.drops.iter();
            let drops = drops.map(|drop| {
                let names = [&drop.from, &drop.to, &drop.reason].map(Clone::clone);
                (names.into(), (drop.packets, drop.bytes))
            });
            return drops.collect();
        }
        let conduits = counters.conduits.iter();
        conduits
            .map(|count| (vec![count.id.clone()], (count.packets, count.bytes)))
            .collect()
    }

    fn headings(&self) -> &'static [&'static str] {
        match self.shows_drops {
            true => &["from", "to", "reason"],
            false => &["conduit"],
        }
    }

    /// Clears the terminal and fills it with as many rows as it has room for.
    fn screen(&self, rows: &[Row]) -> String {
        const CLEAR: &str = "\x1b[H\x1b[2J";
        const ABOVE_AND_BELOW: usize = 4;
        let height = terminal_size().map_or(24, |(_, Height(height))| usize::from(height));
        let room = height.saturating_sub(ABOVE_AND_BELOW).max(1);
        let headings = ["packets/s", "bytes/s", "packets", "bytes"];
        let mut table = Table::new(&[self.headings(), &headings].concat());
        for row in rows.iter().take(room) {
            let numbers = [
                rate(row.packets_per_s),
                rate(row.bytes_per_s),
                row.packets.to_string(),
                row.bytes.to_string(),
            ];
            table.cells(row.names.iter().cloned().chain(numbers).collect());
        }
        let hidden = match rows.len().saturating_sub(room) {
            0 => String::new(),
            count => format!("and {count} more\n"),
        };
        format!(
            "{CLEAR}{}  (Ctrl-C ends)\n{}{hidden}",
            now(),
            table.render()
        )
    }

    /// The rows that moved, as one line of JSON.
    fn object(&self, rows: &[Row]) -> String {
        let moved = rows.iter().filter(|row| row.moved != 0).map(|row| {
            let mut record: serde_json::Map<String, Value> = self
                .headings()
                .iter()
                .zip(&row.names)
                .map(|(heading, name)| ((*heading).to_owned(), json!(name)))
                .collect();
            record.insert("packets_per_s".to_owned(), json!(row.packets_per_s));
            record.insert("bytes_per_s".to_owned(), json!(row.bytes_per_s));
            record.insert("packets".to_owned(), json!(row.packets));
            record.insert("bytes".to_owned(), json!(row.bytes));
            Value::Object(record)
        });
        let moved: Vec<_> = moved.collect();
        format!("{}\n", json!({ "time": now(), "moved": moved }))
    }
}

/// All counters; those that moved come first, the fastest before the others.
fn rows(before: &Counts, counts: &Counts, seconds: f64) -> Vec<Row> {
    let mut rows: Vec<Row> = counts
        .iter()
        .map(|(names, &(packets, bytes))| {
            // Fewer than before: the counter was removed and began anew.
            let (old_packets, old_bytes) = match before.get(names) {
                Some(&(old, _)) if old > packets => (0, 0),
                Some(old) => *old,
                None => (0, 0),
            };
            let moved = packets - old_packets;
            Row {
                names: names.clone(),
                packets,
                bytes,
                moved,
                packets_per_s: moved as f64 / seconds,
                bytes_per_s: bytes.saturating_sub(old_bytes) as f64 / seconds,
            }
        })
        .collect();
    // The sort is stable: what does not move stays in order.
    rows.sort_by_key(|row| std::cmp::Reverse(row.moved));
    rows
}

/// The rows that moved, a line each.
fn lines(rows: &[Row]) -> String {
    let now = now();
    let moved = rows.iter().filter(|row| row.moved != 0);
    let line = |row: &Row| {
        format!(
            "{now} {} {} packets/s {} bytes/s {} packets {} bytes\n",
            row.names.join(" "),
            rate(row.packets_per_s),
            rate(row.bytes_per_s),
            row.packets,
            row.bytes
        )
    };
    moved.map(line).collect()
}

/// Whole numbers, but for rates so small that these would say nothing.
fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate == 0.0 || rate >= 10.0 => format!("{rate:.0}"),
        rate => format!("{rate:.1}"),
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    rfc3339(since.map_or(0, |since| since.as_secs()))
}

/// The signals that end a command, turned into something to wait for.
pub(super) fn stop_signals() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
}

/// Waits for some time; whether a signal came, or the reader of standard output
/// went away.
fn stopped(stop: &SignalFd, wait: Duration) -> anyhow::Result<bool> {
    let until = Instant::now() + wait;
    let stdout = io::stdout();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // A part of a millisecond is waited for too.
        let left = left + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waited = [
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            // Only what needs no asking for: that the other end is closed.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut waited, timeout) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
    }
}

/// Writes to standard output; whether anybody reads it.
pub(super) fn written(text: &str) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    let done = stdout.write_all(text.as_bytes());
    match done.and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64, u64)]) -> Counts {
        let rows = rows.iter();
        rows.map(|(name, packets, bytes)| (vec![(*name).to_owned()], (*packets, *bytes)))
            .collect()
    }

    #[test]
    fn what_moves_comes_first_with_its_rate() {
        let before = counts(&[("a", 5, 500), ("b", 7, 700), ("c", 1, 60)]);
        let after = counts(&[("a", 5, 500), ("b", 9, 900), ("c", 11, 660), ("d", 2, 120)]);
        let rows = rows(&before, &after, 2.0);
        let seen = rows.iter().map(|row| {
            let rates = (row.packets_per_s, row.bytes_per_s);
            (row.names[0].as_str(), row.packets, rates)
        });
        let want = [
            ("c", 11, (5.0, 300.0)),
            ("b", 9, (1.0, 100.0)),
            ("d", 2, (1.0, 60.0)),
            ("a", 5, (0.0, 0.0)),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), want);
        let text = lines(&rows);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains(" c 5.0 packets/s 300 bytes/s 11 packets 660 bytes"),
            "{text}"
        );
    }

    #[test]
    fn a_counter_that_began_anew_moves_by_all_it_has() {
        let rows = rows(&counts(&[("a", 900, 9)]), &counts(&[("a", 3, 180)]), 1.0);
        assert_eq!((rows[0].moved, rows[0].bytes_per_s), (3, 180.0));
    }

    #[test]
    fn rates_are_short() {
        let cases = [
            (0.0, "0"),
            (0.5, "0.5"),
            (9.94, "9.9"),
            (10.4, "10"),
            (1e6, "1000000"),
        ];
        for (per_second, want) in cases {
            assert_eq!(rate(per_second), want);
        }
    }
}
