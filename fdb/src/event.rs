//! Watching what happens to learned rows.

use alloc::collections::VecDeque;

use overlay_types::MacAddr;

use crate::{
    destination::Destination,
    forward::ForwardingTable,
    learn::NotLearned,
    remote::RemoteId,
    segment_id::SegmentId,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
};

/// Something that happened to a row because of a frame, or because none came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Event {
    /// The segment.
    pub segment: SegmentId,
    /// The station.
    pub mac: MacAddr,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum EventKind {
    /// It was learned.
    Learned {
        /// Where it is.
        remote: RemoteId,
    },
    /// It moved.
    Moved {
        /// Where it was.
        from: RemoteId,
        /// Where it is.
        to: RemoteId,
    },
    /// Nothing was received from the station for the ageing time.
    Aged {
        /// Where it was.
        remote: RemoteId,
    },
    /// It gave way to another one in a full table.
    Evicted {
        /// Where it was.
        remote: RemoteId,
    },
    /// A frame taught nothing.
    Refused {
        /// Where it came from.
        remote: RemoteId,
        /// Why.
        reason: NotLearned,
    },
    /// A frame came from elsewhere than configuration or registry say.
    Conflict {
        /// Where the row leads, and stays.
        owner: Destination,
        /// Where the frame came from.
        claimant: RemoteId,
    },
}

/// The events that nobody took yet.
pub(crate) struct Events {
    /// How many may wait; 0 while nobody watches.
    capacity: AtomicU32,
    lost: AtomicU64,
    waiting: Mutex<VecDeque<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { capacity: AtomicU32::new(0), lost: AtomicU64::new(0), waiting: Mutex::new(VecDeque::new()) }
    }
}

impl Events {
    /// Adds an event, where somebody watches; counts it as lost where there is no place.
    #[inline]
    pub(crate) fn add(&self, segment: SegmentId, mac: MacAddr, kind: EventKind) {
        if self.capacity.load(Ordering::Relaxed) != 0 {
            self.add_watched(Event { segment, mac, kind });
        }
    }

    fn add_watched(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < self.capacity.load(Ordering::Relaxed) as usize {
            waiting.push_back(event);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ForwardingTable {
    /// Begins to keep events, up to `capacity` that nobody took yet; with 0, ends it. Nothing is kept before.
    pub fn watch(&self, capacity: u32) {
        let mut waiting = self.events.waiting.lock();
        self.events.capacity.store(capacity, Ordering::Relaxed);
        waiting.truncate(capacity as usize);
    }

    /// Takes the oldest events, up to `limit`, and how many were lost since the last call because there was no place.
    pub fn take_events(&self, limit: usize) -> (alloc::vec::Vec<Event>, u64) {
        let mut waiting = self.events.waiting.lock();
        let taken = limit.min(waiting.len());
        (waiting.drain(..taken).collect(), self.events.lost.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::vec;

    use super::*;
    use crate::{Dampening, Origin, SegmentOptions, TableOptions};

    #[test]
    fn each_kind_is_told_and_what_finds_no_place_is_counted() {
        let table = ForwardingTable::new(TableOptions::new([7; 16]));
        let blue = SegmentId::new(42).unwrap();
        let rule = Dampening { moves: 1, ..Dampening::default() };
        table.add_segment(blue, SegmentOptions { max_learned: 2, dampening: Some(rule), ..SegmentOptions::default() });
        let mac = |number| MacAddr::new([2, 0, 0, 0, 0, number]);
        let remote = |number| RemoteId::new(number).unwrap();
        let learn = |number, at| {
            let _ = table.learn(blue, mac(number), remote(at), Duration::ZERO);
        };
        let event = |number, kind| Event { segment: blue, mac: mac(number), kind };

        learn(1, 1);
        assert_eq!(table.take_events(9), (vec![], 0));
        table.watch(8);
        learn(1, 1);
        learn(1, 2);
        learn(1, 1);
        table.insert(blue, mac(9), remote(9), Origin::Static, Duration::ZERO).unwrap();
        learn(9, 1);
        learn(2, 2);
        learn(3, 3);
        learn(3, 2);
        let (events, lost) = table.take_events(usize::MAX);
        assert_eq!(events[0], event(1, EventKind::Moved { from: remote(1), to: remote(2) }));
        let dampened = EventKind::Refused { remote: remote(1), reason: NotLearned::Dampened };
        assert_eq!(events[1], event(1, dampened));
        assert_eq!(events[2], event(9, EventKind::Conflict { owner: remote(9).into(), claimant: remote(1) }));
        assert_eq!(events[3], event(2, EventKind::Learned { remote: remote(2) }));
        // Remote 2 has two rows of one age, and one of them gives way.
        let last = [
            event(1, EventKind::Evicted { remote: remote(2) }),
            event(3, EventKind::Learned { remote: remote(3) }),
            event(3, EventKind::Moved { from: remote(3), to: remote(2) }),
        ];
        assert!(events[4] == last[0] || events[4] == event(2, EventKind::Evicted { remote: remote(2) }));
        assert_eq!((&events[5..], lost), (&last[1..], 0));
        table.watch(1);
        table.age(Duration::from_secs(300), usize::MAX);
        let (events, lost) = table.take_events(usize::MAX);
        assert!(matches!(events[..], [Event { kind: EventKind::Aged { .. }, .. }]));
        assert_eq!((lost, table.take_events(1)), (1, (vec![], 0)));
    }
}
