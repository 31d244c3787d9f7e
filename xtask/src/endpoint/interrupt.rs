//! Ctrl-C and its kin: noted by a signal handler, asked for between the steps, so that nothing stays behind.
#![allow(unsafe_code)] // A signal handler is set by `sigaction`.

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::step::{Failure, Outcome};

static REQUESTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: libc::c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP end the run in good order; the second of a kind ends it at once.
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
pub(super) fn check() -> Outcome {
    if REQUESTED.load(Ordering::Relaxed) { Err(Failure("interrupted".to_owned())) } else { Ok(()) }
}
