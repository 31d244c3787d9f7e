//! What the tables take from the platform: atomics and the lock of the writers.

pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[cfg(feature = "std")]
pub(crate) use std::sync::MutexGuard;

#[cfg(not(feature = "std"))]
pub(crate) use spin::MutexGuard;

/// The lock that writers take. Readers have no use for it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    #[cfg(feature = "std")]
    inner: std::sync::Mutex<T>,
    #[cfg(not(feature = "std"))]
    inner: spin::Mutex<T>,
}

impl<T> Mutex<T> {
    #[cfg(feature = "std")]
    pub(crate) fn new(value: T) -> Self {
        Self { inner: std::sync::Mutex::new(value) }
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn new(value: T) -> Self {
        Self { inner: spin::Mutex::new(value) }
    }

    /// Waits for the lock. A writer that panicked leaves a table that is still whole: each step of a change is one
    /// that a reader could meet.
    #[cfg(feature = "std")]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock()
    }
}
