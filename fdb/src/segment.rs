//! One segment of the table: its rows, its rules and what its writers keep.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::{
    dampening::{Dampening, Moves},
    groups::{Flushed, Groups, Head},
    row::{Forward, RowState},
    rows::Rows,
    segment_id::SegmentId,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
};

/// The rules of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SegmentOptions {
    /// How many learned rows it may have. Rows of configuration and registry don't count.
    pub max_learned: u32,
    /// How long a learned row stays without a frame received from its station; `None` for ever. In whole seconds, at
    /// most 48 days: a longer time counts as that.
    pub ageing: Option<Duration>,
    /// When a station that moves too often is held; `None` for never.
    pub dampening: Option<Dampening>,
}

impl Default for SegmentOptions {
    /// 8192 learned rows, ageing after 300 seconds, dampening as of [`Dampening::default`].
    fn default() -> Self {
        Self { max_learned: 8192, ageing: Some(Duration::from_secs(300)), dampening: Some(Dampening::default()) }
    }
}

/// Why frames of a segment taught the table nothing, counted since the segment exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NotLearnedCounters {
    /// There was no place, and no remote with more rows than the sender's to take one from.
    pub table_full: u64,
    /// The station moved too often.
    pub dampened: u64,
    /// The source address was a group address or zero.
    pub invalid_mac: u64,
    /// The row belongs to configuration or registry, at another remote. Such a frame is
    /// [`Learn::Owned`](crate::Learn::Owned).
    pub owned: u64,
}

/// The same, as they are counted; away from the line that readers need.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct Counters {
    pub(crate) table_full: AtomicU64,
    pub(crate) dampened: AtomicU64,
    pub(crate) invalid_mac: AtomicU64,
    pub(crate) owned: AtomicU64,
    pub(crate) changes: crate::counters::Changes,
}

impl Counters {
    pub(crate) fn read(&self) -> NotLearnedCounters {
        NotLearnedCounters {
            table_full: self.table_full.load(Ordering::Relaxed),
            dampened: self.dampened.load(Ordering::Relaxed),
            invalid_mac: self.invalid_mac.load(Ordering::Relaxed),
            owned: self.owned.load(Ordering::Relaxed),
        }
    }

    fn reset(&self) {
        self.changes.reset();
        for counter in [&self.table_full, &self.dampened, &self.invalid_mac, &self.owned] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// What is kept under the lock.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) options: SegmentOptions,
    /// The groups that live, by what they hold.
    pub(crate) groups: BTreeMap<Forward, u32>,
    /// Rows of the groups that live.
    pub(crate) learned: u32,
    pub(crate) owned: u32,
    /// Where the search for a row to evict goes on.
    pub(crate) hand: u32,
    pub(crate) moves: Moves,
    /// The number of flushes whose effect on the groups is done.
    settled: u64,
}

/// A segment, or a place for one. What lookups read is in its first lines.
#[repr(C, align(512))]
pub(crate) struct Segment {
    pub(crate) rows: Rows,
    /// The smallest head of a group that no flush of the segment took; of a smaller one, `flushed` knows.
    live: AtomicU64,
    /// The number of the segment that is here, [`NONE`](Self::NONE) for none.
    id: AtomicU32,
    flushed: Flushed,
    pub(crate) counters: Counters,
    pub(crate) writer: Mutex<Writer>,
}

impl Default for Segment {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            live: AtomicU64::new(Head::since(Groups::FIRST).to_bits()),
            id: AtomicU32::new(Self::NONE),
            flushed: Flushed::default(),
            counters: Counters::default(),
            writer: Mutex::default(),
        }
    }
}

impl Segment {
    const NONE: u32 = u32::MAX;

    /// The number of the segment that is here.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Acquire)
    }

    /// The segment that is here, for those who hold its lock.
    pub(crate) fn number(&self) -> SegmentId {
        SegmentId::from_stored(self.id())
    }

    /// The smallest head of a group whose rows are there for readers beyond doubt, as far as flushes of the segment go.
    #[inline]
    pub(crate) fn surely_live(&self) -> Head {
        Head::from_bits(self.live.load(Ordering::Acquire))
    }

    /// `true` while rows of a group are there for readers.
    pub(crate) fn is_live(&self, groups: &Groups, head: Head) -> bool {
        head.is_alive() && !self.flushed.took(head) && !groups.remote_flushed(head)
    }

    /// Ends all rows, or the learned ones, at once.
    pub(crate) fn flush(&self, groups: &Groups, learned_only: bool) {
        groups.flush(|number| {
            self.flushed.mark(number, learned_only);
            self.live.store(Head::since(number).to_bits(), Ordering::Release);
        });
    }

    /// Takes the place for a segment.
    pub(crate) fn open(&self, id: u32, options: SegmentOptions) {
        let mut writer = self.writer.lock();
        writer.options = options;
        writer.moves = Moves::default();
        self.counters.reset();
        self.rows.expect(options.max_learned);
        self.id.store(id, Ordering::Release);
    }

    /// Gives the place back: all rows end. How many of them were learned.
    pub(crate) fn close(&self, groups: &Groups) -> u32 {
        let mut writer = self.writer.lock();
        self.id.store(Self::NONE, Ordering::Release);
        for &group in writer.groups.values() {
            groups.end(group);
        }
        writer.groups.clear();
        writer.moves = Moves::default();
        writer.owned = 0;
        core::mem::take(&mut writer.learned)
    }
}

impl Writer {
    /// Ends the groups that a flush has overtaken. How many learned rows went with them.
    pub(crate) fn settle(&mut self, segment: &Segment, groups: &Groups) -> u32 {
        let flushes = groups.flushes();
        if self.settled == flushes {
            return 0;
        }
        self.settled = flushes;
        let (mut learned, mut owned) = (0, 0);
        self.groups.retain(|forward, &mut group| {
            let head = groups.head(group);
            let live = !segment.flushed.took(head) && !groups.remote_outlived(head);
            if live {
                groups.renew(group, head, flushes);
            } else {
                groups.end(group);
                match forward.state() {
                    RowState::Learned => learned += groups.rows(group),
                    RowState::Registry | RowState::Static => owned += groups.rows(group),
                }
            }
            live
        });
        self.learned -= learned;
        self.owned -= owned;
        learned
    }

    /// The group for rows that say this, a new one where there is none. `None` where there can be no more groups.
    pub(crate) fn group(&mut self, groups: &Groups, forward: Forward) -> Option<u32> {
        if let Some(&group) = self.groups.get(&forward) {
            return Some(group);
        }
        let group = groups.make(forward)?;
        self.groups.insert(forward, group);
        Some(group)
    }

    /// How many rows say this.
    pub(crate) fn rows(&self, groups: &Groups, forward: Forward) -> u32 {
        self.groups.get(&forward).map_or(0, |&group| groups.rows(group))
    }

    /// Ends the group for rows that say this. How many rows went with it.
    pub(crate) fn end_group(&mut self, groups: &Groups, forward: Forward) -> u32 {
        let Some(group) = self.groups.remove(&forward) else { return 0 };
        groups.end(group);
        let rows = groups.rows(group);
        *self.total(forward) -= rows;
        rows
    }

    /// Counts a row of a live group.
    pub(crate) fn count(&mut self, groups: &Groups, group: u32, forward: Forward) {
        groups.add_row(group);
        *self.total(forward) += 1;
    }

    /// Counts a row no more, and ends its group with its last one. What it said, where it was there for readers.
    pub(crate) fn uncount(&mut self, groups: &Groups, group: u32) -> Option<Forward> {
        let head = groups.head(group);
        let last = groups.remove_row(group);
        let forward = head.is_alive().then(|| head.forward());
        if let Some(forward) = forward {
            *self.total(forward) -= 1;
            if last {
                self.groups.remove(&forward);
                groups.end(group);
            }
        }
        if last {
            groups.free(group);
        }
        forward
    }

    fn total(&mut self, forward: Forward) -> &mut u32 {
        match forward.state() {
            RowState::Learned => &mut self.learned,
            RowState::Registry | RowState::Static => &mut self.owned,
        }
    }
}
