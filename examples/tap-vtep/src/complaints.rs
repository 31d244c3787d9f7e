//! When each kind of error was last spoken of, so that a fault is said once and not for every packet.

use std::time::Duration;

use rustix::io::Errno;

/// The same complaint is not made again for this long.
const QUIET: Duration = Duration::from_secs(60);
/// Linux's errors are numbered up to `EHWPOISON`.
const HIGHEST_ERRNO: usize = 133;

/// What was complained of, and when.
pub(crate) struct Complaints {
    last: [Option<Duration>; HIGHEST_ERRNO + 1],
}

impl Default for Complaints {
    fn default() -> Self {
        Self { last: [None; HIGHEST_ERRNO + 1] }
    }
}

impl Complaints {
    /// Whether to speak of this error now.
    pub(crate) fn is_new(&mut self, error: Errno, now: Duration) -> bool {
        let errno = usize::try_from(error.raw_os_error()).unwrap_or(HIGHEST_ERRNO).min(HIGHEST_ERRNO);
        let last = &mut self.last[errno];
        let is_new = last.is_none_or(|last| now.saturating_sub(last) >= QUIET);
        if is_new {
            *last = Some(now);
        }
        is_new
    }
}
