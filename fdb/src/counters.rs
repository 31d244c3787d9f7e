//! What happened to the rows of each segment, counted by reason.

use crate::{
    forward::ForwardingTable,
    segment::NotLearnedCounters,
    segment_id::SegmentId,
    sync::{AtomicU64, Ordering},
};

/// What happened to the rows of one segment since it exists, because of a frame or because none came.
///
/// A frame that confirms what is known counts nowhere, nor does what [`insert`](ForwardingTable::insert),
/// [`remove`](ForwardingTable::remove) and [`flush`](ForwardingTable::flush) do.
///
/// ```
/// use core::time::Duration;
/// use fdb::{ForwardingTable, RemoteId, SegmentId, SegmentOptions, TableOptions};
/// use overlay_types::MacAddr;
///
/// let table = ForwardingTable::new(TableOptions::new([7; 16]));
/// let blue = SegmentId::new(42).unwrap();
/// table.add_segment(blue, SegmentOptions::default());
/// let _ = table.learn(blue, MacAddr::new([2, 0, 0, 0, 0, 1]), RemoteId::new(3).unwrap(), Duration::ZERO);
/// let _ = table.learn(blue, MacAddr::BROADCAST, RemoteId::new(3).unwrap(), Duration::ZERO);
/// let counters = table.counters(blue);
/// assert_eq!((counters.learned, counters.not_learned.invalid_mac), (1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SegmentCounters {
    /// Rows that were learned.
    pub learned: u64,
    /// Learned rows that moved to another remote.
    pub moved: u64,
    /// Rows that went because nothing was received from their stations.
    pub aged: u64,
    /// Rows that gave way to others in a full table.
    pub evicted: u64,
    /// Rows that went because their stations were seen on the local side
    /// ([`forget_learned`](ForwardingTable::forget_learned)).
    pub forgotten: u64,
    /// Frames that taught nothing, by reason; among them those against what configuration or registry say.
    pub not_learned: NotLearnedCounters,
}

/// The changes, as they are counted: each where a row changes, so that none costs a frame that changes nothing.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) learned: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) aged: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) forgotten: AtomicU64,
}

impl Changes {
    pub(crate) fn reset(&self) {
        for counter in [&self.learned, &self.moved, &self.aged, &self.evicted, &self.forgotten] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl ForwardingTable {
    /// What happened to the rows of a segment. Takes no lock.
    #[must_use]
    pub fn counters(&self, segment: SegmentId) -> SegmentCounters {
        let Some(place) = self.segment(segment) else { return SegmentCounters::default() };
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let changes = &place.counters.changes;
        SegmentCounters {
            learned: of(&changes.learned),
            moved: of(&changes.moved),
            aged: of(&changes.aged),
            evicted: of(&changes.evicted),
            forgotten: of(&changes.forgotten),
            not_learned: place.counters.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use overlay_types::MacAddr;

    use super::*;
    use crate::{Dampening, Origin, RemoteId, SegmentOptions, TableOptions};

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let table = ForwardingTable::new(TableOptions::new([7; 16]));
        let blue = SegmentId::new(42).unwrap();
        let rule = Dampening { moves: 1, ..Dampening::default() };
        table.add_segment(blue, SegmentOptions { max_learned: 2, dampening: Some(rule), ..SegmentOptions::default() });
        let mac = |number| MacAddr::new([2, 0, 0, 0, 0, number]);
        let learn = |number, at| {
            let _ = table.learn(blue, mac(number), RemoteId::new(at).unwrap(), Duration::ZERO);
        };
        learn(1, 1);
        learn(1, 1);
        learn(1, 2);
        learn(1, 1);
        table.insert(blue, mac(9), RemoteId::new(9).unwrap(), Origin::Static, Duration::ZERO).unwrap();
        learn(9, 1);
        learn(2, 2);
        learn(3, 2);
        assert!(table.forget_learned(blue, mac(3)) && !table.forget_learned(blue, mac(3)));
        learn(4, 3);
        learn(5, 4);
        let _ = table.learn(blue, MacAddr::ZERO, RemoteId::new(1).unwrap(), Duration::ZERO);
        assert_eq!(table.age(Duration::from_secs(300), usize::MAX), 2);
        let counters = table.counters(blue);
        let expected = SegmentCounters {
            learned: 4,
            moved: 1,
            aged: 2,
            evicted: 1,
            forgotten: 1,
            not_learned: NotLearnedCounters { table_full: 1, dampened: 1, invalid_mac: 1, owned: 1 },
        };
        assert_eq!((counters, counters.not_learned), (expected, table.not_learned(blue)));
        table.remove_segment(blue);
        table.add_segment(blue, SegmentOptions::default());
        assert_eq!(table.counters(blue), SegmentCounters::default());
    }
}
