//! Waiting, always with an end.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a wait lasts before it counts as failed: long enough for a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, [`PATIENCE`] at most.
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    if !holds_within(PATIENCE, condition) {
        fail(format_args!("not within {PATIENCE:?}: {what}"));
    }
}

/// Looks for `time` at a condition that has to hold all the while: for what must *not* happen.
#[track_caller]
pub fn stays(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    if holds_within(time, || !condition()) {
        fail(format_args!("no longer true: {what}"));
    }
}

/// `true` as soon as `condition` holds, `false` when it did not within `limit`.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PERIOD);
    }
}

/// Ends the test with one line.
#[track_caller]
pub(crate) fn fail(why: impl std::fmt::Display) -> ! {
    panic!("{why}");
}
