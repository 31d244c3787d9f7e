//! The rules of a segment's neighbours.

use core::time::Duration;

use super::{NeighborTable, Writer};
use crate::segment_id::SegmentId;

/// The rules of a segment's neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NeighborOptions {
    /// How many learned rows it may have. Rows of configuration and registry don't count.
    pub max_learned: u32,
    /// How long a learned row stays without a packet that confirms it; `None` for ever. In whole seconds.
    pub ageing: Option<Duration>,
}

impl Default for NeighborOptions {
    /// As many rows as the table has for learned ones, ageing after 300 seconds.
    fn default() -> Self {
        Self { max_learned: u32::MAX, ageing: Some(Duration::from_secs(300)) }
    }
}

/// What writers keep of one segment.
#[derive(Default)]
pub(super) struct SegmentRows {
    pub(super) options: NeighborOptions,
    /// Rows that were learned.
    pub(super) learned: u32,
}

impl Writer {
    /// Counts a row that was learned (1) or not (0) before and is now.
    pub(super) fn count_learned(&mut self, segment: SegmentId, before: u32, now: u32) {
        self.learned = self.learned + now - before;
        let rows = self.segments.entry(segment).or_default();
        rows.learned = rows.learned + now - before;
    }

    /// `true` where a segment has as many learned rows as it may.
    pub(super) fn is_full(&self, segment: SegmentId) -> bool {
        self.segments.get(&segment).is_some_and(|rows| rows.learned >= rows.options.max_learned)
    }

    /// How long learned rows of a segment stay.
    pub(super) fn ageing(&self, segment: SegmentId) -> Option<Duration> {
        self.segments.get(&segment).map_or_else(NeighborOptions::default, |rows| rows.options).ageing
    }
}

impl NeighborTable {
    /// Begins to count what happens in a segment, before it has a row, and sets its rules; without it they are those of
    /// [`NeighborOptions::default`]. A segment that is there keeps its rows and counters; both end with
    /// [`remove_segment`](Self::remove_segment).
    pub fn add_segment(&self, segment: SegmentId, options: NeighborOptions) {
        let mut writer = self.writer.lock();
        writer.segments.entry(segment).or_default().options = options;
        self.counts.open(&mut writer.counted, segment);
    }
}
