//! Ctrl-C and its kin: noted by a signal handler, asked for between the steps.
#![allow(unsafe_code)] // A signal handler is set by `sigaction`.

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::DemoError;

/// How long anything may wait before it asks whether it shall end.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

static REQUESTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: libc::c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP end the demonstration in good order; the second of a kind ends it at once.
pub(super) fn install() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all zero is a valid `sigaction`: the default handler, an empty mask, no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        // SAFETY: `action` is whole, and `note` does nothing but store to an atomic, which a handler may.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// An error once somebody asked for the end.
pub(super) fn check() -> Result<(), DemoError> {
    if REQUESTED.load(Ordering::Relaxed) { Err(DemoError::Interrupted) } else { Ok(()) }
}

/// Waits until `ready` gives a value, for `limit` at most; `None` when that is over.
pub(super) fn wait<T>(
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>, DemoError>,
) -> Result<Option<T>, DemoError> {
    let start = Instant::now();
    loop {
        check()?;
        if let Some(value) = ready()? {
            return Ok(Some(value));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(PATIENCE / 10);
    }
}
