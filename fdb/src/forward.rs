//! The forwarding table: which remote has this MAC address.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::{fmt, time::Duration};

use overlay_types::MacAddr;
use thiserror::Error;

use crate::{
    destination::Destination,
    event::Events,
    extents::{self, SMALL},
    groups::Groups,
    hash::KeyedHash,
    prefixed::Prefixed,
    remote::RemoteId,
    row::{Forward, Origin, RowState, key_of, tick},
    segment::{NotLearnedCounters, Segment, SegmentOptions, Writer},
    segment_id::SegmentId,
    slot::Hit,
    sync::{AtomicU32, AtomicUsize, Mutex, MutexGuard, Ordering},
    value::Value,
};

/// What a table is made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// The key of the hash: random, one for each start of the process.
    pub secret: [u8; 16],
    /// How many learned rows all segments may have together.
    pub max_learned: usize,
}

impl TableOptions {
    /// Up to 2²⁰ learned rows in all.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret, max_learned: 1 << 20 }
    }
}

impl Default for TableOptions {
    /// As [`new`](Self::new) with a secret that everybody knows: for tests.
    fn default() -> Self {
        Self::new([0; 16])
    }
}

impl fmt::Debug for TableOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret.
        f.debug_struct("TableOptions").field("max_learned", &self.max_learned).finish_non_exhaustive()
    }
}

/// Why a row was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// A group address or zero is nobody's.
    #[error("not the address of a station")]
    InvalidMac,
    /// There is no such segment.
    #[error("no such segment")]
    UnknownSegment,
    /// The row belongs to one that is above the caller: what the configuration says, the registry can't change.
    #[error("the row belongs to the configuration: {to}")]
    OwnedByHigher {
        /// Where it leads, and stays.
        to: Destination,
    },
    /// The largest size is reached.
    #[error("the table is full")]
    TableFull,
}

/// How often a reader asks again about a row that is rewritten under it, before it calls the row absent.
const ATTEMPTS: usize = 32;

/// The places of segments.
#[derive(Default)]
pub(crate) struct Places {
    /// The place of each segment.
    pub(crate) by_id: BTreeMap<SegmentId, u32>,
    /// The largest one that was ever taken. Place 0 is nobody's.
    taken: u32,
    free: Vec<u32>,
    /// Where the sweep goes on.
    pub(crate) sweep: crate::ageing::Sweep,
}

/// Which remote has a MAC address, for each segment.
///
/// Everything takes `&self`. [`lookup`](Self::lookup) takes no lock, never waits and never allocates; learning takes
/// the lock of the segment only where a row comes, moves or goes. See the [front page](crate) for the rules.
///
/// ```
/// use core::time::Duration;
/// use fdb::{Forward, ForwardingTable, Learn, RemoteId, RowState, SegmentId, SegmentOptions, TableOptions};
/// use overlay_types::MacAddr;
///
/// let table = ForwardingTable::new(TableOptions::new([7; 16]));
/// let blue = SegmentId::new(42).unwrap();
/// table.add_segment(blue, SegmentOptions::default());
///
/// let (mac, remote) = (MacAddr::new([2, 0, 0, 0, 0, 1]), RemoteId::new(3).unwrap());
/// assert_eq!(table.lookup(blue, mac), None);
/// assert_eq!(table.learn(blue, mac, remote, Duration::ZERO), Learn::New);
/// assert_eq!(table.lookup(blue, mac), Some(Forward::new(remote.into(), RowState::Learned)));
///
/// // Nothing more was received for 300 seconds: the row goes.
/// assert_eq!(table.age(Duration::from_secs(300), 1000), 1);
/// assert_eq!(table.lookup(blue, mac), None);
/// ```
pub struct ForwardingTable {
    hash: KeyedHash,
    max_learned: usize,
    /// The place of each segment by its number; 0 for none.
    directory: Prefixed<AtomicU32, { if SMALL { 8 } else { 1 << 16 } }, 256>,
    pub(crate) segments: Prefixed<Segment, { if SMALL { 2 } else { 4096 } }, 4096>,
    pub(crate) groups: Groups,
    /// Learned rows of all segments.
    learned: AtomicUsize,
    pub(crate) places: Mutex<Places>,
    pub(crate) events: Events,
}

impl ForwardingTable {
    /// An empty table without segments.
    #[must_use]
    pub fn new(options: TableOptions) -> Self {
        Self {
            hash: KeyedHash::new(options.secret),
            max_learned: options.max_learned,
            directory: Prefixed::new(extents::zeros(if SMALL { 2 } else { 1 << 16 })),
            segments: Prefixed::new(extents::defaults(if SMALL { 2 } else { 64 })),
            groups: Groups::default(),
            learned: AtomicUsize::new(0),
            places: Mutex::default(),
            events: Events::default(),
        }
    }

    /// Adds a segment; where it exists, gives it these options and keeps its rows.
    ///
    /// A smaller `max_learned` evicts nothing by itself: rows go as others come. The table has a word for each number up
    /// to the largest in use, of which the system gives memory for those pages that are.
    pub fn add_segment(&self, segment: SegmentId, options: SegmentOptions) {
        let mut places = self.places.lock();
        let place = places.by_id.get(&segment).copied();
        if let Some(segment) = place.and_then(|place| self.segments.get(place)) {
            segment.writer.lock().options = options;
            return;
        }
        let place = places.free.pop().unwrap_or_else(|| {
            places.taken += 1;
            places.taken
        });
        let make = |length| -> Box<[Segment]> { extents::defaults(length) };
        // Both arrays have room for as many segments as there are numbers.
        if let Some(room) = self.segments.get_or_grow(place, make)
            && let Some(entry) = self.directory.get_or_grow(segment.get(), extents::zeros)
        {
            room.open(segment.get(), options);
            entry.store(place, Ordering::Release);
            places.by_id.insert(segment, place);
        }
    }

    /// Removes a segment with all its rows, at once.
    pub fn remove_segment(&self, segment: SegmentId) {
        let mut places = self.places.lock();
        let Some(place) = places.by_id.remove(&segment) else { return };
        if let Some(entry) = self.directory.get(segment.get()) {
            entry.store(0, Ordering::Release);
        }
        if let Some(segment) = self.segments.get(place) {
            self.release_learned(segment.close(&self.groups));
        }
        places.free.push(place);
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentId> {
        self.places.lock().by_id.keys().copied().collect()
    }

    /// The rules of a segment.
    #[must_use]
    pub fn segment_options(&self, segment: SegmentId) -> Option<SegmentOptions> {
        Some(self.locked(segment)?.1.options)
    }

    /// Where a frame for a MAC address goes; `None` where nobody knows. Takes no lock and never waits.
    #[must_use]
    #[inline]
    pub fn lookup(&self, segment: SegmentId, mac: MacAddr) -> Option<Forward> {
        let key = key_of(mac);
        let hash = self.hash_of(key);
        match self.glance(segment, key, hash) {
            Some((_, forward)) => Some(forward),
            None => self.lookup_further(segment, key, hash),
        }
    }

    /// The last that [`lookup`](Self::lookup) calls, so that it has nothing to keep meanwhile.
    #[inline(never)]
    pub(crate) fn lookup_further(&self, segment: SegmentId, key: u64, hash: u64) -> Option<Forward> {
        self.look(segment, key, hash).map(|(_, forward)| forward)
    }

    /// Puts a row of the configuration or the registry into the table. What it replaced.
    ///
    /// # Errors
    ///
    /// [`InsertError::OwnedByHigher`] where the registry meets a row of the configuration; the others by their names.
    pub fn insert(
        &self,
        segment: SegmentId,
        mac: MacAddr,
        to: impl Into<Destination>,
        origin: Origin,
        now: Duration,
    ) -> Result<Option<Forward>, InsertError> {
        if !mac.is_unicast() {
            return Err(InsertError::InvalidMac);
        }
        let Some((segment, mut writer)) = self.locked(segment) else { return Err(InsertError::UnknownSegment) };
        let new = Forward::new(to.into(), origin.into());
        let Some((hit, forward)) = self.settled_row(segment, &mut writer, key_of(mac)) else {
            let added = self.add_row(segment, &mut writer, key_of(mac), new, now);
            return if added { Ok(None) } else { Err(InsertError::TableFull) };
        };
        if forward.state() > new.state() {
            return Err(InsertError::OwnedByHigher { to: forward.to() });
        }
        let group = writer.group(&self.groups, new).ok_or(InsertError::TableFull)?;
        writer.count(&self.groups, group, new);
        hit.replace(Value::new(tick(now), group));
        self.uncount(&mut writer, hit.value);
        writer.moves.forget(key_of(mac));
        Ok(Some(forward))
    }

    /// Removes a row, whoever put it there. What it was.
    pub fn remove(&self, segment: SegmentId, mac: MacAddr) -> Option<Forward> {
        self.remove_if(segment, mac, |_| true)
    }

    /// Removes a row where it still is of this origin: what the registry takes back is no row of the configuration.
    pub fn withdraw(&self, segment: SegmentId, mac: MacAddr, origin: Origin) -> Option<Forward> {
        self.remove_if(segment, mac, |forward| forward.state() == RowState::from(origin))
    }

    pub(crate) fn remove_if(
        &self,
        segment: SegmentId,
        mac: MacAddr,
        wanted: impl Fn(Forward) -> bool,
    ) -> Option<Forward> {
        let (segment, mut writer) = self.locked(segment)?;
        let (hit, forward) = self.settled_row(segment, &mut writer, key_of(mac))?;
        if !wanted(forward) {
            return None;
        }
        self.remove_row(segment, &mut writer, hit);
        Some(forward)
    }

    /// The number of rows of a segment.
    #[must_use]
    pub fn len(&self, segment: SegmentId) -> usize {
        self.locked(segment).map_or(0, |(_, writer)| writer.learned as usize + writer.owned as usize)
    }

    /// `true` for a segment without rows.
    #[must_use]
    pub fn is_empty(&self, segment: SegmentId) -> bool {
        self.len(segment) == 0
    }

    /// The number of learned rows of a segment.
    #[must_use]
    pub fn learned_len(&self, segment: SegmentId) -> usize {
        self.locked(segment).map_or(0, |(_, writer)| writer.learned as usize)
    }

    /// `true` where a row leads to this remote; also for a while after the last one went by a flush.
    #[must_use]
    pub fn remote_in_use(&self, remote: RemoteId) -> bool {
        self.groups.in_use(remote)
    }

    /// Why frames of a segment taught nothing.
    #[must_use]
    pub fn not_learned(&self, segment: SegmentId) -> NotLearnedCounters {
        self.segment(segment).map_or_else(NotLearnedCounters::default, |segment| segment.counters.read())
    }

    /// The row of a key, where it is there for readers.
    #[inline(never)]
    pub(crate) fn resolve(&self, segment: SegmentId, key: u64, hash: u64) -> Option<(Hit<'_>, Forward)> {
        let place = self.segment(segment)?;
        for _ in 0..ATTEMPTS {
            let hit = place.rows.find(hash, key)?;
            let found = self.forward_of(place, hit.value);
            // A group may be given to others once its rows are gone, and the place of a segment to another one: what
            // the row says holds if the row is still there after its group was asked.
            if hit.unchanged() {
                return found.filter(|_| place.id() == segment.get()).map(|forward| (hit, forward));
            }
        }
        None
    }

    #[inline]
    pub(crate) fn hash_of(&self, key: u64) -> u64 {
        self.hash.word(key)
    }

    /// What a row says; `None` where a flush took it.
    #[inline]
    pub(crate) fn forward_of(&self, segment: &Segment, value: Value) -> Option<Forward> {
        let head = self.groups.head(value.group());
        segment.is_live(&self.groups, head).then(|| head.forward())
    }

    /// The row of a key under the lock. One that a flush took is swept here and now.
    pub(crate) fn settled_row<'a>(
        &self,
        segment: &'a Segment,
        writer: &mut Writer,
        key: u64,
    ) -> Option<(Hit<'a>, Forward)> {
        let hit = segment.rows.find(self.hash_of(key), key)?;
        let forward = self.forward_of(segment, hit.value);
        if forward.is_none() {
            self.remove_row(segment, writer, hit);
        }
        forward.map(|forward| (hit, forward))
    }

    /// Adds a row that is not there, and counts it. `false` where there is no place.
    pub(crate) fn add_row(
        &self,
        segment: &Segment,
        writer: &mut Writer,
        key: u64,
        forward: Forward,
        now: Duration,
    ) -> bool {
        self.sweep_before_growth(segment, writer);
        let Some(group) = writer.group(&self.groups, forward) else { return false };
        writer.count(&self.groups, group, forward);
        let added = segment.rows.insert(key, Value::new(tick(now), group), |key| self.hash_of(key)).is_ok();
        if !added {
            writer.uncount(&self.groups, group);
        }
        added
    }

    /// Removes a row and what counts it.
    pub(crate) fn remove_row(&self, segment: &Segment, writer: &mut Writer, hit: Hit<'_>) {
        let value = segment.rows.remove(hit);
        self.uncount(writer, value);
    }

    /// Removes a row and what counts it, unless it was refreshed since.
    pub(crate) fn expire_row(&self, segment: &Segment, writer: &mut Writer, hit: Hit<'_>) -> bool {
        let expired = segment.rows.expire(hit);
        if expired {
            self.uncount(writer, hit.value);
        }
        expired
    }

    fn uncount(&self, writer: &mut Writer, value: Value) {
        let forward = writer.uncount(&self.groups, value.group());
        if forward.is_some_and(|forward| forward.state() == RowState::Learned) {
            self.release_learned(1);
        }
    }

    /// Takes one of the learned rows that all segments may have together.
    pub(crate) fn reserve_learned(&self) -> bool {
        let more = |learned: usize| (learned < self.max_learned).then_some(learned + 1);
        self.learned.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }

    /// `true` while there is one to take.
    pub(crate) fn has_room_to_learn(&self) -> bool {
        self.learned.load(Ordering::Relaxed) < self.max_learned
    }

    /// Gives some of them back.
    pub(crate) fn release_learned(&self, rows: u32) {
        self.learned.fetch_sub(rows as usize, Ordering::AcqRel);
    }

    /// A segment, where it is one of those at hand; where there is none, nobody's place.
    #[inline]
    pub(crate) fn segment_at_hand(&self, segment: SegmentId) -> Option<&Segment> {
        self.segments.in_beginning(self.directory.in_beginning(segment.get())?.load(Ordering::Acquire))
    }

    /// The place of a segment.
    pub(crate) fn segment(&self, segment: SegmentId) -> Option<&Segment> {
        let place = self.directory.get(segment.get())?.load(Ordering::Acquire);
        if place == 0 { None } else { self.segments.get(place) }
    }

    /// A segment with its lock, its flushes settled.
    pub(crate) fn locked(&self, id: SegmentId) -> Option<(&Segment, MutexGuard<'_, Writer>)> {
        let segment = self.segment(id)?;
        let mut writer = segment.writer.lock();
        if segment.id() != id.get() {
            return None;
        }
        self.settle(segment, &mut writer);
        Some((segment, writer))
    }

    /// Counts what flushes took.
    pub(crate) fn settle(&self, segment: &Segment, writer: &mut Writer) {
        self.release_learned(writer.settle(segment, &self.groups));
    }
}

impl fmt::Debug for ForwardingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardingTable")
            .field("segments", &self.segments())
            .field("learned", &self.learned.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
