//! When each error of each kind of work was last spoken of, so that a fault is said once and not for every packet.

use std::time::Duration;

use rustix::io::Errno;

/// The same complaint is not made again for this long.
const QUIET: Duration = Duration::from_secs(60);
/// Linux's errors are numbered up to `EHWPOISON`.
const HIGHEST_ERRNO: usize = 133;

/// At what an error was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Reading a TAP.
    ReadTap,
    /// Sending to the underlay.
    Send,
    /// Writing to a TAP.
    WriteTap,
}

const WORKS: usize = 3;

/// What was complained of, and when.
pub(crate) struct Complaints {
    last: [[Option<Duration>; HIGHEST_ERRNO + 1]; WORKS],
}

impl Default for Complaints {
    fn default() -> Self {
        Self { last: [[None; HIGHEST_ERRNO + 1]; WORKS] }
    }
}

impl Complaints {
    /// Whether to speak of this error now.
    pub(crate) fn is_new(&mut self, work: Work, error: Errno, now: Duration) -> bool {
        let errno = usize::try_from(error.raw_os_error()).unwrap_or(HIGHEST_ERRNO).min(HIGHEST_ERRNO);
        let last = &mut self.last[work as usize][errno];
        let is_new = last.is_none_or(|last| now.saturating_sub(last) >= QUIET);
        if is_new {
            *last = Some(now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_each_work_is_new_once_a_minute() {
        let mut complaints = Complaints::default();
        let start = Duration::from_secs(7);
        for now in [start, start + QUIET] {
            for work in [Work::ReadTap, Work::Send, Work::WriteTap] {
                for error in [Errno::IO, Errno::NOBUFS, Errno::HWPOISON] {
                    assert!(complaints.is_new(work, error, now), "{work:?} {error}");
                    for later in [now, now + QUIET / 60 * 59] {
                        assert!(!complaints.is_new(work, error, later), "{work:?} {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_error_that_linux_does_not_have_is_one_as_well() {
        let mut complaints = Complaints::default();
        let unknown = Errno::from_raw_os_error(4000);
        assert!(complaints.is_new(Work::Send, unknown, Duration::ZERO));
        assert!(!complaints.is_new(Work::Send, unknown, Duration::ZERO));
    }
}
