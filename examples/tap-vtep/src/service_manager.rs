//! What the service manager is told, where there is one (`sd_notify`).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

/// The service manager, as its variables in the environment say.
pub(crate) struct ServiceManager {
    /// How long it waits for a sign of life before it ends us.
    watchdog: Option<Duration>,
    /// The last one.
    alive: Option<Instant>,
    /// The status line that it has.
    status: String,
}

impl ServiceManager {
    pub(crate) fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), alive: None, status: String::new() }
    }

    /// The endpoint is up, or has read its configuration again.
    pub(crate) fn ready(&mut self, status: String) {
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
            warn!(%error, "cannot tell the service manager that the endpoint is ready");
        }
        self.status = status;
    }

    /// The configuration is being read again.
    pub(crate) fn reloading() {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// One line for people, when it is another one.
    pub(crate) fn status(&mut self, status: String) {
        if self.status != status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// All is going on: said twice as often as it must be.
    pub(crate) fn alive(&mut self) {
        let Some(watchdog) = self.watchdog else { return };
        if self.alive.is_none_or(|last| last.elapsed() >= watchdog / 2) {
            tell(&[NotifyState::Watchdog]);
            self.alive = Some(Instant::now());
        }
    }
}

fn tell(what: &[NotifyState<'_>]) {
    // Nobody waits for this but the service manager, if there is one.
    let _ = sd_notify::notify(what);
}
