//! What happened to the neighbours of each segment, counted by reason.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use super::NeighborTable;
use crate::{
    extents::{self, Extents, SMALL},
    segment_id::SegmentId,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// What happened to the neighbours of one segment, since it has counters: from
/// [`add_segment`](NeighborTable::add_segment) on, or else from its first row on.
///
/// A packet that confirms what is known counts nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct NeighborCounters {
    /// Rows that were learned.
    pub learned: u64,
    /// Rows that were given another MAC address by a packet.
    pub moved: u64,
    /// Rows that went because nothing was heard of them.
    pub aged: u64,
    /// Packets against what configuration or registry say: [`LearnNeighbor::Owned`](crate::LearnNeighbor::Owned).
    pub owned: u64,
    /// Packets that taught nothing: the segment had as many learned rows as it may, or they had their three quarters of
    /// the table.
    pub table_full: u64,
    /// Packets that taught nothing: two hosts had the address, and it was held where it was.
    pub duplicate: u64,
    /// How often that began.
    pub duplicates_began: u64,
    /// Packets that taught nothing: not the addresses of a host.
    pub invalid_address: u64,
    /// Questions that were answered out of the table.
    pub answered: u64,
    /// Questions that were flooded because nobody here knew.
    pub flooded: u64,
    /// Questions that went nowhere, because they were flooded just before.
    pub held: u64,
    /// Probes, announcements and questions to one station, which went on. Frames that ask nothing count nowhere.
    pub passed_on: u64,
    /// Frames of ARP and Neighbor Discovery that were malformed.
    pub malformed: u64,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Learned,
    Moved,
    Aged,
    Owned,
    TableFull,
    Duplicate,
    DuplicateBegan,
    InvalidAddress,
    Answered,
    Flooded,
    Held,
    PassedOn,
    Malformed,
}

const COUNTED: usize = Counted::Malformed as usize + 1;

/// The counters of one segment, away from those of others.
#[derive(Default)]
#[repr(C, align(64))]
struct Counts {
    counts: [AtomicU64; COUNTED],
}

/// The counters of all segments that have some.
#[derive(Default)]
pub(super) struct CountsBySegment {
    /// The place of each segment by its number, plus one; zero for none.
    directory: Extents<AtomicU32, { if SMALL { 8 } else { 65536 } }>,
    places: Extents<Counts, { if SMALL { 2 } else { 8 } }>,
}

/// The places, for the one writer at a time.
#[derive(Default)]
pub(super) struct CountPlaces {
    by_segment: BTreeMap<SegmentId, u32>,
    next: u32,
    free: Vec<u32>,
}

impl CountsBySegment {
    fn get(&self, segment: SegmentId) -> Option<&Counts> {
        let place = self.directory.get(segment.get() as usize)?.load(Ordering::Acquire).checked_sub(1)?;
        self.places.get(place as usize)
    }

    /// Counts one, where the segment has counters. A segment that is removed meanwhile may leave it to its successor.
    pub(super) fn count(&self, segment: SegmentId, what: Counted) {
        if let Some(counts) = self.get(segment) {
            counts.counts[what as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives a segment counters, where it has none.
    pub(super) fn open(&self, places: &mut CountPlaces, segment: SegmentId) {
        if places.by_segment.contains_key(&segment) {
            return;
        }
        let place = places.free.last().copied().unwrap_or(places.next);
        let make = |length| -> Box<[Counts]> { extents::defaults(length) };
        if let Some(counts) = self.places.get_or_grow(place as usize, make)
            && let Some(entry) = self.directory.get_or_grow(segment.get() as usize, extents::zeros)
        {
            for count in &counts.counts {
                count.store(0, Ordering::Relaxed);
            }
            entry.store(place + 1, Ordering::Release);
            places.by_segment.insert(segment, place);
            if places.free.pop().is_none() {
                places.next += 1;
            }
        }
    }

    /// Takes the counters of a segment back.
    pub(super) fn close(&self, places: &mut CountPlaces, segment: SegmentId) {
        if let Some(place) = places.by_segment.remove(&segment) {
            if let Some(entry) = self.directory.get(segment.get() as usize) {
                entry.store(0, Ordering::Release);
            }
            places.free.push(place);
        }
    }
}

impl NeighborTable {
    /// What happened to the neighbours of a segment. Takes no lock.
    #[must_use]
    pub fn counters(&self, segment: SegmentId) -> NeighborCounters {
        let Some(counts) = self.counts.get(segment) else { return NeighborCounters::default() };
        let of = |what: Counted| counts.counts[what as usize].load(Ordering::Relaxed);
        NeighborCounters {
            learned: of(Counted::Learned),
            moved: of(Counted::Moved),
            aged: of(Counted::Aged),
            owned: of(Counted::Owned),
            table_full: of(Counted::TableFull),
            duplicate: of(Counted::Duplicate),
            duplicates_began: of(Counted::DuplicateBegan),
            invalid_address: of(Counted::InvalidAddress),
            answered: of(Counted::Answered),
            flooded: of(Counted::Flooded),
            held: of(Counted::Held),
            passed_on: of(Counted::PassedOn),
            malformed: of(Counted::Malformed),
        }
    }

    pub(crate) fn count(&self, segment: SegmentId, what: Counted) {
        self.counts.count(segment, what);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use ether_wire::arp::ArpPacket;
    use overlay_types::MacAddr;

    use super::*;
    use crate::{Neighbor, NeighborOptions, Origin};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let table = NeighborTable::new([7; 16], 4);
        let (blue, red) = (SegmentId::new(1).unwrap(), SegmentId::MAX);
        let mac = |number| MacAddr::new([2, 0, 0, 0, 0, number]);
        let ip = |number| core::net::Ipv4Addr::new(10, 0, 0, number);
        let learn = |number, at, second| {
            let _ = table.learn(blue, ip(number).into(), mac(at), None, second * SECOND);
        };
        let options = NeighborOptions { ageing: Some(10 * SECOND), ..NeighborOptions::default() };
        table.add_segment(blue, options);
        table.insert(blue, ip(9).into(), Neighbor::new(mac(9), Origin::Static)).unwrap();
        learn(9, 1, 0);
        learn(1, 1, 0);
        learn(1, 1, 1);
        for second in 1..9 {
            learn(1, second % 2 + 1, second.into());
        }
        learn(2, 2, 9);
        learn(3, 3, 9);
        learn(4, 4, 9);
        let _ = table.learn(blue, ip(5).into(), MacAddr::BROADCAST, None, SECOND);
        table.age(50 * SECOND, usize::MAX);

        let mut reply = [0; NeighborTable::REPLY_LEN];
        let question = |target| ArpPacket::request(mac(1), ip(1), ip(target));
        let mut ask = |frame: &[u8]| {
            let _ = table.answer(blue, frame, &mut reply, SECOND, SECOND, |_| true);
        };
        ask(&question(9).to_frame(MacAddr::BROADCAST));
        ask(&question(8).to_frame(MacAddr::BROADCAST));
        ask(&question(8).to_frame(MacAddr::BROADCAST));
        ask(&question(8).to_frame(mac(8)));
        ask(&question(1).to_frame(MacAddr::BROADCAST));
        ask(&[0; 60]);
        let mut malformed = question(9).to_frame(MacAddr::BROADCAST);
        malformed[18] = 8;
        ask(&malformed);
        assert!(table.learn_from_frame(blue, &malformed, SECOND).is_err());

        let expected = NeighborCounters {
            learned: 3,
            moved: 5,
            aged: 3,
            owned: 1,
            table_full: 1,
            duplicate: 2,
            duplicates_began: 1,
            invalid_address: 1,
            answered: 1,
            flooded: 1,
            held: 1,
            passed_on: 2,
            malformed: 2,
        };
        assert_eq!(table.counters(blue), expected);
        assert_eq!(table.counters(red), NeighborCounters::default());
        table.remove_segment(blue);
        table.add_segment(red, options);
        assert_eq!((table.counters(blue), table.counters(red)), Default::default());
    }
}
