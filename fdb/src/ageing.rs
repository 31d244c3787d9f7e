//! Ageing by received frames, and the sweep that takes rows away.

use core::time::Duration;

use crate::{
    event::EventKind,
    fairness,
    forward::ForwardingTable,
    row::{RowState, mac_of},
    segment::{Segment, Writer},
    segment_id::SegmentId,
    sync::Ordering,
    value::Value,
};

/// Ages beyond this are kept at it: half of what a row can tell.
const OLDEST: u32 = Value::TICKS / 2;
/// Slots of a bucket: what one costs of a budget.
const PER_BUCKET: usize = 4;
/// Buckets that are swept before a table grows while it has rows that a flush took.
const BEFORE_GROWTH: u32 = 4;
/// Buckets that are swept under one lock.
const AT_ONCE: u32 = 64;

/// Where the sweep is.
#[derive(Default)]
pub(crate) struct Sweep {
    /// The segment and the bucket that are next. `None`: a new round begins.
    next: Option<(SegmentId, u32)>,
    /// The flush of a remote that was pending as the round began.
    pending: u64,
}

impl ForwardingTable {
    /// Takes rows away that nothing was received for, and places of rows that were flushed.
    ///
    /// One call looks at no more than `budget` places and goes on where the last one ended; it ends early when it is
    /// through with all segments. Returns how many rows it aged. Call it from one thread, with a budget of as many
    /// places as are to be looked at in the time between two calls: a table of `n` rows has some 2 `n` places.
    pub fn age(&self, now: Duration, budget: usize) -> usize {
        let mut places = self.places.lock();
        let mut aged = 0;
        let mut left = budget;
        if places.sweep.next.is_none() {
            places.sweep.pending = self.groups.pending();
        }
        while left > 0 {
            let from = places.sweep.next.map_or((SegmentId::from_stored(0), 0), |next| next);
            let Some((&id, &place)) = places.by_id.range(from.0..).next() else {
                // Through: each segment has settled what was flushed before the round.
                places.sweep.next = None;
                self.groups.settled(places.sweep.pending);
                break;
            };
            let Some(segment) = self.segments.get(place) else { break };
            let mut bucket = if id == from.0 { from.1 } else { 0 };
            let mut writer = segment.writer.lock();
            self.settle(segment, &mut writer);
            let step = left.div_ceil(PER_BUCKET).min(AT_ONCE as usize) as u32;
            let end = segment.rows.buckets().min(bucket + step);
            while bucket < end {
                aged += self.sweep_bucket(segment, &mut writer, bucket, Some(now));
                bucket += 1;
                left = left.saturating_sub(PER_BUCKET);
            }
            places.sweep.next = if bucket < segment.rows.buckets() {
                Some((id, bucket))
            } else {
                SegmentId::new(id.get() + 1).map(|next| (next, 0))
            };
            if places.sweep.next.is_none() {
                self.groups.settled(places.sweep.pending);
                break;
            }
        }
        aged
    }

    /// Sweeps one bucket: of rows that a flush took and, where it is told the time, of those that are too old. How many
    /// of the latter.
    fn sweep_bucket(&self, segment: &Segment, writer: &mut Writer, bucket: u32, now: Option<Duration>) -> usize {
        let mut aged = 0;
        for (key, hit) in segment.rows.rows_of(bucket) {
            let Some(forward) = self.forward_of(segment, hit.value) else {
                self.remove_row(segment, writer, hit);
                continue;
            };
            let Some(now) = now else { continue };
            let age = fairness::age(hit.value, now);
            let limit = match writer.options.ageing {
                Some(ageing) if forward.state() == RowState::Learned => ageing.as_secs().min(u64::from(OLDEST)),
                _ => u64::MAX,
            };
            if u64::from(age) >= limit {
                if self.expire_row(segment, writer, hit) {
                    // Learned rows lead to a remote.
                    if let Some(remote) = forward.remote() {
                        self.events.add(segment.number(), mac_of(key), EventKind::Aged { remote });
                    }
                    segment.counters.changes.aged.fetch_add(1, Ordering::Relaxed);
                    aged += 1;
                }
            } else if age > OLDEST {
                // So that it does not look young when the ticks start again.
                let _ = hit.refresh(crate::row::tick(now).wrapping_sub(OLDEST));
            }
        }
        aged
    }

    /// Before a table grows: the places of rows that a flush took come first.
    pub(crate) fn sweep_before_growth(&self, segment: &Segment, writer: &mut Writer) {
        let rows = &segment.rows;
        if rows.wants_to_grow() && rows.occupied() > writer.learned + writer.owned {
            let buckets = rows.buckets();
            for _ in 0..BEFORE_GROWTH {
                let bucket = writer.hand % buckets;
                self.sweep_bucket(segment, writer, bucket, None);
                writer.hand = (bucket + 1) % buckets;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use overlay_types::MacAddr;

    use super::*;
    use crate::{Cursor, RemoteId, SegmentOptions, TableOptions};

    #[test]
    fn a_row_that_was_refreshed_later_than_now_is_young() {
        let table = ForwardingTable::new(TableOptions::new([7; 16]));
        let blue = SegmentId::new(42).unwrap();
        table.add_segment(blue, SegmentOptions::default());
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        let _ = table.learn(blue, mac, RemoteId::new(1).unwrap(), Duration::from_secs(101));
        // The thread that sweeps read its clock before the one that learned.
        let now = Duration::from_secs(100);
        assert_eq!(table.age(now, usize::MAX), 0);
        assert!(table.lookup(blue, mac).is_some());
        assert_eq!(table.page(Cursor::default(), 1, now).0[0].age, Some(Duration::ZERO));
        assert_eq!(table.age(Duration::from_secs(401), usize::MAX), 1);
    }
}
