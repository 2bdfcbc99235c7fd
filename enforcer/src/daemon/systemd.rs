//! What the service manager is told, when there is one.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon has looked at the machine once.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What is in force now.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The daemon ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Shows for ever that the daemon still takes turns, if anybody wants to know.
pub async fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let mut turns = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        turns.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(news: &[NotifyState]) {
    // The daemon does its work whether somebody listens or not.
    let _ = sd_notify::notify(news);
}
