//! When each kind of trouble was last spoken of, so that it is said now and then and not for every packet.

use std::{collections::HashMap, time::Duration};

use rustix::io::Errno;
use tracing::{Level, debug};
use vtep::{DropReason, Received, SegmentId};

/// An error of the system is not spoken of again for this long.
const QUIET_ERROR: Duration = Duration::from_secs(60);
/// Nor is a drop, which nobody hears of but who asks for lines of that level.
const QUIET_DROP: Duration = Duration::from_secs(1);

/// At what trouble was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Reading a TAP.
    ReadTap,
    /// Sending to the underlay.
    Send,
    /// Receiving from the underlay.
    Receive,
    /// Writing to a TAP.
    WriteTap,
}

/// What there is to complain of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// The system refused something.
    Error(Errno),
    /// A frame or datagram was dropped.
    Drop(DropReason),
}

impl Trouble {
    fn quiet(self) -> Duration {
        match self {
            Self::Error(_) => QUIET_ERROR,
            Self::Drop(_) => QUIET_DROP,
        }
    }
}

/// What a worker complained of, when, and how often it was passed over since: by work, kind and segment, and so bounded.
#[derive(Default)]
pub(crate) struct Complaints {
    made: HashMap<(Work, Trouble, Option<SegmentId>), Made>,
}

struct Made {
    at: Duration,
    left_out: u64,
}

impl Complaints {
    /// Whether to speak of it now: how many of its kind were left out since the last time.
    pub(crate) fn admit(
        &mut self,
        work: Work,
        trouble: Trouble,
        segment: Option<SegmentId>,
        now: Duration,
    ) -> Option<u64> {
        let kind = (work, trouble, segment);
        let Some(made) = self.made.get_mut(&kind) else {
            self.made.insert(kind, Made { at: now, left_out: 0 });
            return Some(0);
        };
        if now.saturating_sub(made.at) < trouble.quiet() {
            made.left_out += 1;
            return None;
        }
        made.at = now;
        Some(std::mem::take(&mut made.left_out))
    }

    /// Says that a frame from the TAP of a segment, by number and name, was dropped, to who listens.
    pub(crate) fn frame_dropped(&mut self, reason: DropReason, segment: Option<(SegmentId, &str)>, now: Duration) {
        if tracing::enabled!(Level::DEBUG)
            && let Some(left_out) =
                self.admit(Work::ReadTap, Trouble::Drop(reason), segment.map(|(number, _)| number), now)
        {
            let segment = segment.map(|(_, name)| name);
            debug!(segment, reason = reason.as_str(), left_out, "a frame from the TAP was dropped");
        }
    }

    /// Says that a datagram from a tunnel, of a segment by number and name where that can be told, was dropped, to who
    /// listens.
    pub(crate) fn datagram_dropped(
        &mut self,
        reason: DropReason,
        segment: Option<(SegmentId, &str)>,
        received: &Received,
        now: Duration,
    ) {
        if tracing::enabled!(Level::DEBUG)
            && let Some(left_out) =
                self.admit(Work::Receive, Trouble::Drop(reason), segment.map(|(number, _)| number), now)
        {
            let segment = segment.map(|(_, name)| name);
            let &Received { source: remote, port, .. } = received;
            debug!(segment, %remote, port, reason = reason.as_str(), left_out, "a datagram was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_spoken_of_once_in_a_while_and_says_how_many_were_left_out() {
        let mut complaints = Complaints::default();
        let segments = [None, SegmentId::new(0), SegmentId::new(1)];
        let unknown = Errno::from_raw_os_error(4000);
        let troubles = [
            (Trouble::Drop(DropReason::Ecn), 1_000),
            (Trouble::Error(Errno::NOBUFS), 60_000),
            (Trouble::Error(unknown), 60_000),
        ];
        for work in [Work::ReadTap, Work::Send, Work::Receive, Work::WriteTap] {
            for (trouble, quiet) in troubles {
                for segment in segments {
                    let mut admit = |millis| complaints.admit(work, trouble, segment, Duration::from_millis(millis));
                    assert_eq!(admit(5), Some(0), "{work:?} {trouble:?} {segment:?}");
                    for millis in 6..5 + 1_000 {
                        assert_eq!(admit(millis), None);
                    }
                    assert_eq!(admit(4 + quiet), None);
                    assert_eq!(admit(5 + quiet), Some(1_000));
                    assert_eq!(admit(6 + quiet), None);
                    assert_eq!(admit(5 + 2 * quiet), Some(1));
                }
            }
        }
        assert_eq!(complaints.made.len(), 4 * 3 * 3);
    }
}
