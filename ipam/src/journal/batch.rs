//! Threads that wait for one write.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::error::JournalError;

/// Nobody joined in as many looks: the batch is closed.
const QUIET: usize = 2;

/// Threads that wait for the same record.
#[derive(Default)]
pub(super) struct Batch {
    joined: AtomicUsize,
    outcome: Mutex<Option<Result<(), JournalError>>>,
    is_done: Condvar,
}

impl Batch {
    /// One more waits for it; under the lock of the state.
    pub(super) fn join(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// How many wait for it.
    pub(super) fn joined(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    /// What has come of it, where that is known.
    pub(super) fn outcome(&self) -> Option<Result<(), JournalError>> {
        lock(&self.outcome).clone()
    }

    /// Lets those join that the last batch has woken: each of them costs no `fdatasync` then.
    pub(super) fn gather(&self) {
        let (mut quiet, mut joined) = (0, self.joined());
        while quiet < QUIET {
            thread::yield_now();
            let now = self.joined();
            quiet = if now == joined { quiet + 1 } else { 0 };
            joined = now;
        }
    }

    pub(super) fn wait(&self) -> Result<(), JournalError> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.is_done.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn finish(&self, outcome: Result<(), JournalError>) {
        *lock(&self.outcome) = Some(outcome);
        self.is_done.notify_all();
    }
}

/// A panic under the state's lock is noticed by a flag of its own.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
