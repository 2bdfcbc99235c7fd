//! Network namespaces without names.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace, kept alive by a thread that lives inside it.
///
/// It has no name and no file, so it ends with this value, or with the process.
pub struct Namespace {
    thread_id: Pid,
    /// `None` once the thread is to end.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Creates an empty network namespace.
    pub fn new(name: &str) -> Result<Self> {
        Self::enter(name, || {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace")
        })
    }

    /// Creates an empty network namespace whose mounts nobody else sees.
    pub fn with_own_mounts(name: &str) -> Result<Self> {
        Self::enter(name, || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .context("cannot create a network and a mount namespace")?;
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
                .context("cannot keep mounts to this namespace")?;
            // Names of network devices in sysfs are those of the mounting thread.
            mount_new("sysfs", "/sys")
        })
    }

    fn enter(name: &str, unshare: fn() -> Result<()>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (entered, answer) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let result = unshare().map(|()| gettid());
                let inside = result.is_ok();
                // The other end waits for this, so it is there.
                let _ = entered.send(result);
                if inside {
                    serve(&queue);
                }
            })?;
        let thread_id = answer
            .recv()
            .expect("the thread answers first")
            .context("the lab needs root, and a kernel with network namespaces")?;
        Ok(Self {
            thread_id,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs `job` inside and returns its value, or panics as it panicked.
    ///
    /// Sockets opened there belong to the namespace for good, and processes started
    /// there live in it. Jobs wait for each other, so a job must not wait for traffic.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || {
            // The caller waits below, so it is there.
            let _ = done.send(panic::catch_unwind(AssertUnwindSafe(job)));
        });
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.send(job).expect("the thread outlives its handle");
        let result = answer.recv().expect("the thread answers every job");
        result.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Id of the thread inside, by which `ip` finds the namespace.
    pub fn thread_id(&self) -> Pid {
        self.thread_id
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It only runs jobs, whose panics are caught.
            let _ = thread.join();
        }
    }
}

/// Mounts a new file system of type `kind` at `path`, in the calling thread's view.
pub fn mount_new(kind: &str, path: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(kind), path, Some(kind), flags, None::<&str>)
        .with_context(|| format!("cannot mount {kind} at {path}"))
}

fn serve(queue: &Receiver<Job>) {
    for job in queue {
        job();
    }
}
