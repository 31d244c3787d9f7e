//! Counters that each data lane writes alone, so that counting costs no locked instruction.

use core::sync::atomic::{AtomicU64, Ordering};

use fdb::NeighborCounters;

use crate::{DropReason, too_big::AnswerBucket};

/// Counts for one reason each.
#[derive(Debug, Default)]
pub(crate) struct DropCounters([AtomicU64; DropReason::COUNT]);

impl DropCounters {
    /// Only the lane that owns these counters calls this.
    pub(crate) fn count(&self, reason: DropReason, frames: u32) {
        add(&self.0[reason as usize], frames.into());
    }

    fn sum_into(&self, sum: &mut DropCounts) {
        for (place, counter) in self.0.iter().enumerate() {
            sum.0[place] += counter.load(Ordering::Relaxed);
        }
    }
}

/// One lane's counters of one segment. Its own cache lines: a neighbour lane's writes don't slow this one's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct SegmentCounters {
    pub(crate) tx_frames: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    pub(crate) rx_frames: AtomicU64,
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) flooded: AtomicU64,
    pub(crate) suppressed: AtomicU64,
    /// Not learned: the source MAC is no unicast one.
    pub(crate) invalid_mac: AtomicU64,
    /// Not learned: no place for one more remote.
    pub(crate) remotes_full: AtomicU64,
    pub(crate) drops: DropCounters,
    /// For answers to frames that are too big.
    pub(crate) answers: AnswerBucket,
}

/// One lane's counters of what belongs to no segment.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LaneCounters {
    pub(crate) drops: DropCounters,
}

/// Adds to a counter that has one writer.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// How many frames or datagrams were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts([u64; DropReason::COUNT]);

impl DropCounts {
    /// How many for this reason.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Each reason with its count, those of zero too.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|reason| (*reason, self.get(*reason)))
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn sum<'a>(counters: impl Iterator<Item = &'a DropCounters>) -> Self {
        let mut sum = Self::default();
        for counter in counters {
            counter.sum_into(&mut sum);
        }
        sum
    }
}

/// What a segment carried and dropped since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentStatistics {
    /// Frames from the TAP that were sent to at least one remote.
    pub tx_frames: u64,
    /// Their bytes, inner Ethernet header included, each frame once.
    pub tx_bytes: u64,
    /// Frames from tunnels that were delivered to the TAP.
    pub rx_frames: u64,
    /// Their bytes, inner Ethernet header included.
    pub rx_bytes: u64,
    /// Of the frames sent: those that went to the flood list.
    pub flooded: u64,
    /// Questions from the TAP, by ARP and Neighbor Discovery, that were neither sent nor dropped: they were answered here, or
    /// the same question was flooded just before.
    pub suppressed: u64,
    /// What was neither sent nor delivered.
    pub drops: DropCounts,
    /// Source MACs that were not learned though their frames went on.
    pub not_learned: NotLearned,
    /// What happened to the segment's neighbours.
    pub neighbors: NeighborCounters,
}

/// Source MACs that were not learned, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotLearned {
    /// The segment, or the endpoint, has as many rows or remotes as it may.
    pub table_full: u64,
    /// The MAC moved too often.
    pub dampened: u64,
    /// A group address, or all zero.
    pub invalid_mac: u64,
}

/// Sums the lanes' counters of a segment.
pub(crate) fn statistics(
    lanes: &[SegmentCounters],
    table: &fdb::NotLearnedCounters,
    neighbors: NeighborCounters,
) -> SegmentStatistics {
    let sum = |counter: fn(&SegmentCounters) -> &AtomicU64| -> u64 {
        lanes.iter().map(|lane| counter(lane).load(Ordering::Relaxed)).sum()
    };
    SegmentStatistics {
        tx_frames: sum(|lane| &lane.tx_frames),
        tx_bytes: sum(|lane| &lane.tx_bytes),
        rx_frames: sum(|lane| &lane.rx_frames),
        rx_bytes: sum(|lane| &lane.rx_bytes),
        flooded: sum(|lane| &lane.flooded),
        suppressed: sum(|lane| &lane.suppressed),
        drops: DropCounts::sum(lanes.iter().map(|lane| &lane.drops)),
        not_learned: NotLearned {
            table_full: table.table_full + sum(|lane| &lane.remotes_full),
            dampened: table.dampened,
            invalid_mac: table.invalid_mac + sum(|lane| &lane.invalid_mac),
        },
        neighbors,
    }
}
