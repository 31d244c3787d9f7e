//! Reading the whole table in pages, while it changes.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::time::Duration;

use overlay_types::MacAddr;

use crate::{
    destination::Destination,
    fairness,
    forward::ForwardingTable,
    row::{Forward, RowState, key_of, mac_of},
    segment::Segment,
    segment_id::SegmentId,
    value::Value,
};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Row {
    /// The segment.
    pub segment: SegmentId,
    /// The address of the station.
    pub mac: MacAddr,
    /// Where its frames go.
    pub to: Destination,
    /// Who says so.
    pub state: RowState,
    /// The time since the last frame received from the station, in whole seconds; for a row of the registry, since it
    /// was inserted where that is later. `None` for a static row.
    pub age: Option<Duration>,
}

/// Where the next page begins. The default is the beginning of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    segment: u32,
    /// Keys up to this one were on earlier pages. Zero is no key.
    after: u64,
}

/// How often a page is read again without the lock when rows move meanwhile.
const ATTEMPTS: usize = 2;

impl ForwardingTable {
    /// Up to `limit` rows from a cursor on, in the order of segments and MAC addresses, and where the next page begins;
    /// `None` after the last one.
    ///
    /// A row that is there all the time is on one page, and on one only, whatever comes and goes meanwhile. Each page
    /// costs a pass over its segments, so that few large pages cost less than many small ones.
    #[must_use]
    pub fn page(&self, cursor: Cursor, limit: usize, now: Duration) -> (Vec<Row>, Option<Cursor>) {
        let limit = limit.max(1);
        let mut rows: Vec<Row> = Vec::new();
        let Some(first) = SegmentId::new(cursor.segment) else { return (rows, None) };
        let segments: Vec<SegmentId> = self.places.lock().by_id.range(first..).map(|(&id, _)| id).collect();
        for id in segments {
            let Some(segment) = self.segment(id) else { continue };
            let after = if id == first { cursor.after } else { 0 };
            let found = self.smallest(segment, after, limit - rows.len());
            if segment.id() != id.get() {
                continue;
            }
            rows.extend(found.into_iter().filter_map(|(key, value)| self.row(segment, id, key, value, now)));
            if let Some(last) = rows.last().filter(|_| rows.len() >= limit) {
                let next = Cursor { segment: last.segment.get(), after: key_of(last.mac) };
                return (rows, Some(next));
            }
        }
        (rows, None)
    }

    /// The row of a MAC address, with its age.
    #[must_use]
    pub fn row_of(&self, segment: SegmentId, mac: MacAddr, now: Duration) -> Option<Row> {
        let key = key_of(mac);
        let (hit, forward) = self.look(segment, key, self.hash_of(key))?;
        Some(Row::new(segment, key, forward, hit.value, now))
    }

    /// The smallest keys after one, in order, with what their rows say.
    fn smallest(&self, segment: &Segment, after: u64, limit: usize) -> Vec<(u64, Value)> {
        for _ in 0..ATTEMPTS {
            let before = segment.rows.moves();
            let found = self.pass(segment, after, limit);
            if before == segment.rows.moves() {
                return found;
            }
        }
        // Rows that move could be passed by: nothing moves under the lock.
        let _writer = segment.writer.lock();
        self.pass(segment, after, limit)
    }

    fn pass(&self, segment: &Segment, after: u64, limit: usize) -> Vec<(u64, Value)> {
        let mut smallest: BinaryHeap<(u64, u64)> = BinaryHeap::new();
        for (key, value) in segment.rows.all() {
            let wanted = key > after && (smallest.len() < limit || smallest.peek().is_some_and(|&(top, _)| key < top));
            if wanted && self.forward_of(segment, value).is_some() {
                smallest.push((key, value.to_bits()));
                if smallest.len() > limit {
                    smallest.pop();
                }
            }
        }
        let mut found: Vec<(u64, Value)> =
            smallest.into_sorted_vec().into_iter().map(|(key, bits)| (key, Value::from_bits(bits))).collect();
        found.dedup_by_key(|&mut (key, _)| key);
        found
    }

    fn row(&self, segment: &Segment, id: SegmentId, key: u64, value: Value, now: Duration) -> Option<Row> {
        Some(Row::new(id, key, self.forward_of(segment, value)?, value, now))
    }
}

impl Row {
    fn new(segment: SegmentId, key: u64, forward: Forward, value: Value, now: Duration) -> Self {
        let age = Duration::from_secs(u64::from(fairness::age(value, now)));
        let age = (forward.state() != RowState::Static).then_some(age);
        Self { segment, mac: mac_of(key), to: forward.to(), state: forward.state(), age }
    }
}
