//! The data lane: what one worker holds.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use fdb::SegmentId;

use crate::{
    DropReason,
    counters::{SegmentCounters, add},
    endpoint::Shared,
    segment::{Segment, Segments},
};

/// One worker's way into an [`Endpoint`](crate::Endpoint): decides on frames and datagrams, takes no lock, allocates nothing.
///
/// It sees the segments as they were at the last [`refresh`](Self::refresh), and the tables as they are. Every drop that it
/// decides on is counted by it; what became of a frame that was to be sent or delivered only the caller knows, and says
/// so with [`sent`](Self::sent), [`delivered`](Self::delivered) or [`dropped`](Self::dropped): frames in = frames sent or
/// delivered + drops.
#[derive(Debug)]
pub struct DataLane {
    pub(crate) shared: Arc<Shared>,
    pub(crate) segments: Arc<Segments>,
    version: u64,
    /// Which counters are this lane's.
    pub(crate) index: usize,
}

impl DataLane {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let (version, segments) = shared.current();
        Self { shared, segments, version, index }
    }

    /// Takes over changes of the control lane: call it before each batch. One atomic load when nothing has changed.
    pub fn refresh(&mut self) {
        if self.shared.version.load(Ordering::Acquire) != self.version {
            (self.version, self.segments) = self.shared.current();
        }
    }

    /// The largest packet of a segment in bytes, Ethernet header not counted.
    #[must_use]
    pub fn mtu(&self, segment: SegmentId) -> Option<u16> {
        self.segments.get(segment).map(|segment| segment.config.mtu)
    }

    /// The bytes of a segment's tunnel header: what has to be free before a frame that is sent.
    #[must_use]
    pub fn tunnel_header_len(&self, segment: SegmentId) -> Option<usize> {
        self.segments.get(segment).map(|segment| segment.headers.len())
    }

    /// Counts frames of `bytes` bytes together from the TAP, each of which was sent to at least one remote.
    pub fn sent(&self, segment: SegmentId, frames: u32, bytes: usize, flooded: bool) {
        if let Some(counters) = self.counters_of(segment) {
            add(&counters.tx_frames, frames.into());
            add(&counters.tx_bytes, bytes as u64);
            if flooded {
                add(&counters.flooded, frames.into());
            }
        }
    }

    /// Counts frames of `bytes` bytes together from a tunnel that the TAP took.
    pub fn delivered(&self, segment: SegmentId, frames: u32, bytes: usize) {
        if let Some(counters) = self.counters_of(segment) {
            add(&counters.rx_frames, frames.into());
            add(&counters.rx_bytes, bytes as u64);
        }
    }

    /// Counts frames that the caller could not send or deliver; without a segment, datagrams that belong to none.
    pub fn dropped(&self, segment: Option<SegmentId>, frames: u32, reason: DropReason) {
        match segment.and_then(|segment| self.counters_of(segment)) {
            Some(counters) => counters.drops.count(reason, frames),
            None => self.shared.lane_counters[self.index].drops.count(reason, frames),
        }
    }

    /// Counts datagrams that a remote was sent.
    pub fn sent_to(&self, remote: fdb::RemoteId, datagrams: u32) {
        self.shared.remotes.record_sent(remote, datagrams.into());
    }

    fn counters_of(&self, segment: SegmentId) -> Option<&SegmentCounters> {
        self.segments.get(segment).map(|segment| self.counters(segment))
    }

    pub(crate) fn counters<'a>(&self, segment: &'a Segment) -> &'a SegmentCounters {
        &segment.counters[self.index]
    }
}

impl Drop for DataLane {
    fn drop(&mut self) {
        self.shared.lanes_taken[self.index].store(false, Ordering::Release);
    }
}
