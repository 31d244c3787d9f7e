//! What the tables take from the platform: atomics and the lock of the writers. The tests that explore schedules put
//! their own in place of these.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[cfg(loom)]
use loom::sync as system;
#[cfg(shuttle)]
use shuttle::sync as system;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
use std::sync as system;

#[cfg(any(feature = "std", loom, shuttle))]
pub(crate) use system::MutexGuard;

#[cfg(not(any(feature = "std", loom, shuttle)))]
pub(crate) use spin::MutexGuard;

/// The lock that writers take. Readers have no use for it.
pub(crate) struct Mutex<T> {
    #[cfg(any(feature = "std", loom, shuttle))]
    inner: system::Mutex<T>,
    #[cfg(not(any(feature = "std", loom, shuttle)))]
    inner: spin::Mutex<T>,
}

impl<T> Mutex<T> {
    #[cfg(any(feature = "std", loom, shuttle))]
    pub(crate) fn new(value: T) -> Self {
        Self { inner: system::Mutex::new(value) }
    }

    #[cfg(not(any(feature = "std", loom, shuttle)))]
    pub(crate) fn new(value: T) -> Self {
        Self { inner: spin::Mutex::new(value) }
    }

    /// Waits for the lock. A writer that panicked leaves a table that is still whole: each step of a change is one
    /// that a reader could meet.
    #[cfg(any(feature = "std", loom, shuttle))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(not(any(feature = "std", loom, shuttle)))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
