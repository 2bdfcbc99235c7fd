//! A policy that is active and waits to be confirmed.
//!
//! The kernel programs keep the deadline themselves: once it has passed they use
//! the policy before, whoever is alive. Each step here is one store, before and
//! after which `control` describes one whole policy.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use enforcer_common::control::Control;

use super::error::KernelError;
use super::maps::{Maps, Staged};
use super::sys;

/// The active policy waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The timer tick at which the policy before takes its place.
    pub until: u64,
    /// The policy before.
    pub previous: Previous,
}

/// What was in force before a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// Nothing: every packet passed.
    Open,
    /// The policy with this number.
    Generation(u32),
}

/// A deadline that has passed; 0 would be none.
const LONG_AGO: u64 = 1;

impl Maps {
    /// Makes a staged policy the active one until a timer tick, and after it
    /// only if it is confirmed by then.
    pub fn activate_until(&mut self, staged: Staged, until: u64) {
        let previous = match self.generation() {
            before if before == staged.generation() => Control::OPEN,
            _ => self.control().active,
        };
        self.previous().store(previous, Ordering::Release);
        self.confirm_until().store(until, Ordering::Release);
        self.activate(staged);
    }

    /// Whether the active policy waits to be confirmed; its deadline may have
    /// passed.
    pub fn pending(&self) -> Option<Pending> {
        let control = self.control();
        let previous = match control.previous {
            Control::OPEN => Previous::Open,
            slot => Previous::Generation(control.slots[(slot & 1) as usize].generation),
        };
        // A deadline without another policy is what a killed apply has left.
        let is_other = control.previous != control.active;
        (control.confirm_until != 0 && is_other).then_some(Pending {
            until: control.confirm_until,
            previous,
        })
    }

    /// Confirms the active policy: nothing takes its place any more.
    pub fn confirm(&mut self) {
        self.confirm_until().store(0, Ordering::Release);
    }

    /// Lets the policy before count from now on, as if the deadline had passed.
    pub fn expire(&mut self) {
        self.confirm_until().store(LONG_AGO, Ordering::Release);
    }

    /// Lets every packet pass from now on, as if there were no program.
    pub fn open(&mut self) {
        self.previous().store(Control::OPEN, Ordering::Release);
        self.expire();
    }

    /// Makes the policy before, which counts since the deadline has passed, the
    /// active one; there must be one.
    pub fn revert(&mut self) -> Result<(), KernelError> {
        let previous = self.control().previous;
        debug_assert!(previous < Control::OPEN, "there is a policy to go back to");
        self.active().store(previous & 1, Ordering::Release);
        // A program that has not seen this store must not see the next one.
        let waited = sys::grace_period();
        waited.map_err(|source| KernelError::System("wait for running programs", source))?;
        self.confirm();
        Ok(())
    }

    /// How many timer ticks a time takes, at least one.
    pub fn ticks_of(&self, time: Duration) -> u64 {
        let per_second = u128::from(self.control().jiffies_per_second);
        let ticks = time.as_nanos() * per_second / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
    }

    /// How long some timer ticks take.
    pub fn time_of(&self, ticks: u64) -> Duration {
        let per_second = u128::from(self.control().jiffies_per_second.max(1));
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / per_second;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Makes a staged policy the active one, for all packets from now on.
    pub fn activate(&mut self, staged: Staged) {
        // Everything staged is visible to a CPU that sees the new number.
        self.active().store(staged.slot(), Ordering::Release);
    }

    fn active(&self) -> &AtomicU32 {
        // SAFETY: the word is mapped and aligned, for as long as `self` lives,
        // and both sides access it as a whole.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control_element()).active) }
    }

    fn previous(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control_element()).previous) }
    }

    fn confirm_until(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.control_element()).confirm_until) }
    }
}
