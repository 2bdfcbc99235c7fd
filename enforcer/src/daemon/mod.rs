//! The daemon: keeps what is in force fitting to the machine.
//!
//! It hears of interfaces, addresses and commands, and then looks at everything
//! anew. Enforcement does not need it: while it does not run, what is in force
//! stays as it is.

mod commands;
mod report;
mod systemd;

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use crate::controller::{self, ControllerError, Glance, Instance, Refreshed};
use crate::kernel::KernelError;
use crate::kernel::news::News;
use commands::Commands;
use report::Report;

/// Shortest time from one look at the machine to the next: changes come in
/// bursts.
const PAUSE: Duration = Duration::from_millis(100);

/// When to try again what failed, if no news come before.
const RETRY: Duration = Duration::from_secs(30);

/// Follows the machine until the process is told to end; `tell` gets a line for
/// each change.
pub fn run(instance: &Instance, tell: impl FnMut(String)) -> Result<(), ControllerError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed("start"))?;
    let done = runtime.block_on(async { Daemon::start(instance, tell)?.follow().await });
    // A thread may still wait for the lock, for as long as a command takes.
    runtime.shutdown_background();
    done
}

/// How long after the deadline of a policy to look what counts.
const SETTLE: Duration = Duration::from_secs(1);

struct Daemon<'i, T> {
    instance: &'i Instance,
    tell: T,
    news: News,
    commands: Commands,
    terminate: Signal,
    interrupt: Signal,
    report: Report,
    /// What was in force after the last look.
    known: Option<Glance>,
    /// How long that waits to be confirmed.
    confirm_in: Option<Duration>,
}

impl<'i, T: FnMut(String)> Daemon<'i, T> {
    /// Listens first, so that nothing happens unheard after the first look.
    fn start(instance: &'i Instance, tell: T) -> Result<Self, ControllerError> {
        let signals = |kind| signal(kind).map_err(failed("wait for signals"));
        Ok(Self {
            instance,
            tell,
            news: News::subscribe()?,
            commands: Commands::watch(instance.lock_path()).map_err(failed("watch the lock"))?,
            terminate: signals(SignalKind::terminate())?,
            interrupt: signals(SignalKind::interrupt())?,
            report: Report::default(),
            known: None,
            confirm_in: None,
        })
    }

    async fn follow(mut self) -> Result<(), ControllerError> {
        tokio::spawn(systemd::keep_alive());
        let mut is_ready = false;
        while let Some(found) = self.look().await {
            let line = self.report.line(found);
            let is_news = line.is_some();
            line.into_iter().for_each(&mut self.tell);
            match (is_ready, is_news) {
                (false, _) => systemd::ready(&self.report.status()),
                (true, true) => systemd::status(&self.report.status()),
                (true, false) => {}
            }
            is_ready = true;
            if !self.wait().await? {
                break;
            }
        }
        systemd::stopping();
        Ok(())
    }

    /// Waits for its turn and looks at the machine; `None` when the process is to
    /// end.
    async fn look(&mut self) -> Option<Result<Option<Refreshed>, ControllerError>> {
        let instance = self.instance.clone();
        let turn = spawn_blocking(move || instance.lock());
        let lock = tokio::select! {
            turn = turn => turn,
            () = told_to_end(&mut self.terminate, &mut self.interrupt) => return None,
        };
        let instance = self.instance.clone();
        let looked = spawn_blocking(move || {
            let lock = finished(lock)?;
            let found = controller::refresh(&instance, &lock);
            Ok((found, controller::glance(&instance)))
        });
        let (found, known) = match finished(looked.await) {
            Ok((found, known)) => (found, known),
            Err(error) => (Err(error), None),
        };
        self.known = known;
        let waiting = found.as_ref().ok().and_then(Option::as_ref);
        self.confirm_in = waiting.and_then(|found| found.confirm_in);
        Some(found)
    }

    /// Waits for a reason to look again; false when the process is to end.
    async fn wait(&mut self) -> Result<bool, ControllerError> {
        let pause = Instant::now() + PAUSE;
        let again = match self.confirm_in {
            Some(left) => Some(left + SETTLE),
            None => self.report.is_unfinished().then_some(RETRY),
        };
        let retry = async {
            match again {
                Some(after) => sleep(after).await,
                None => pending().await,
            }
        };
        tokio::pin!(retry);
        loop {
            tokio::select! {
                heard = self.news.next() => {
                    heard?;
                    break;
                }
                ended = self.commands.ended() => {
                    ended.map_err(failed("watch the lock"))?;
                    // This process has closed the lock too.
                    if controller::glance(self.instance) != self.known {
                        break;
                    }
                }
                () = &mut retry => break,
                () = told_to_end(&mut self.terminate, &mut self.interrupt) => return Ok(false),
            }
        }
        tokio::select! {
            () = sleep_until(pause) => Ok(true),
            () = told_to_end(&mut self.terminate, &mut self.interrupt) => Ok(false),
        }
    }
}

async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// What a thread has returned; it panics as the thread has.
fn finished<T>(
    joined: Result<Result<T, ControllerError>, JoinError>,
) -> Result<T, ControllerError> {
    match joined {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(failed("look at the machine")(io::Error::other(error))),
        },
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> ControllerError {
    move |source| KernelError::System(action, source).into()
}
