//! Flushing: many rows at once.

use crate::{
    forward::ForwardingTable,
    remote::RemoteId,
    row::{Forward, RowState},
    segment_id::SegmentId,
};

/// Which rows a [`flush`](ForwardingTable::flush) takes. By default: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Flush {
    /// Only those of this segment.
    pub segment: Option<SegmentId>,
    /// Only those to this remote.
    pub remote: Option<RemoteId>,
    /// Only learned ones.
    pub learned_only: bool,
}

impl ForwardingTable {
    /// Flushes rows. They are gone when the call returns, and their places are swept later by
    /// [`age`](Self::age) and as rows come.
    ///
    /// What it costs does not depend on the number of rows: one store for a segment or a remote, one or two for both
    /// together, one per segment for all.
    pub fn flush(&self, flush: Flush) {
        let Flush { segment, remote, learned_only } = flush;
        match (segment, remote) {
            (None, None) => {
                for segment in self.segments() {
                    self.flush_segment(segment, learned_only);
                }
            }
            (Some(segment), None) => self.flush_segment(segment, learned_only),
            (None, Some(remote)) => self.groups.flush_remote(remote, learned_only),
            (Some(segment), Some(remote)) => self.flush_pair(segment, remote, learned_only),
        }
    }

    fn flush_segment(&self, segment: SegmentId, learned_only: bool) {
        if let Some(segment) = self.segment(segment) {
            segment.flush(&self.groups, learned_only);
        }
    }

    fn flush_pair(&self, segment: SegmentId, remote: RemoteId, learned_only: bool) {
        let Some((_, mut writer)) = self.locked(segment) else { return };
        let to = remote.into();
        self.release_learned(writer.end_group(&self.groups, Forward::new(to, RowState::Learned)));
        if !learned_only {
            for state in [RowState::Registry, RowState::Static] {
                writer.end_group(&self.groups, Forward::new(to, state));
            }
        }
    }
}
