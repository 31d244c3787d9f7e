//! The rows of one segment: from a MAC address to a packed value, lock-free for readers.
//!
//! Linear hashing over buckets of one cache line. A row stands in one of two buckets that its hash names, the *first*
//! and the *second*. The table grows by one bucket at a time: the bucket it splits gives some of its rows to the new
//! one, and nothing else moves. What a reader can meet:
//!
//! - A row that moves is written at its new place, then the move is counted, then the row leaves the old place. So a
//!   reader that finds a row at neither place, and no move counted meanwhile, has seen that it is not there. Otherwise it
//!   looks again.
//! - A slot that gets another key meanwhile: key and value carry the same tag, another one for each key. A value of
//!   another tag, or of none, says that the row has left the slot.
//!
//! A reader never waits for a writer that was stopped halfway: it looks again only after a move that was made whole.

use alloc::boxed::Box;

use spin::Once;

use crate::{
    extents::{self, SMALL},
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// Rows of one bucket.
const WIDTH: usize = if cfg!(loom) { 2 } else { 4 };
/// Buckets that a table starts with.
const FIRST_BUCKETS: usize = if SMALL { 2 } else { 8 };
/// The longest first array: 4 MiB.
const LARGEST_FIRST: usize = 1 << 16;
/// How often what there is can be doubled: to 2²⁷ rows at least.
const DOUBLINGS: usize = 23;
/// A table grows beyond 17 rows for 32 slots: 30 bytes for each row.
const LOAD: (usize, usize) = (17, 32);
/// How often a reader looks at most because rows moved while it looked: each time a writer has to complete a move within
/// the time of a lookup.
const ATTEMPTS: usize = 64;
/// How many buckets a placement adds at most when all places of a key are taken.
const EXTRA_SPLITS: usize = 32;

/// What stands in the value word of a slot: `tag(16) state(3) tick(21) group(24)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Value(u64);

impl Value {
    /// The number of ticks after which they start again.
    pub(crate) const TICKS: u32 = 1 << 21;
    const TAG: u32 = 48;
    const STATE: u32 = 45;
    const TICK: u32 = 24;
    const TICK_MASK: u64 = (Self::TICKS as u64 - 1) << Self::TICK;
    const GROUP_MASK: u64 = (1 << Self::TICK) - 1;

    /// A value under no tag yet. A state of 0 says that there is no row.
    pub(crate) fn new(state: u8, tick: u32, group: u32) -> Self {
        let state = u64::from(state & 7) << Self::STATE;
        let tick = u64::from(tick % Self::TICKS) << Self::TICK;
        Self(state | tick | u64::from(group) & Self::GROUP_MASK)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn state(self) -> u8 {
        (self.0 >> Self::STATE) as u8 & 7
    }

    /// The tick of the last frame received, modulo [`TICKS`](Self::TICKS).
    pub(crate) fn tick(self) -> u32 {
        ((self.0 & Self::TICK_MASK) >> Self::TICK) as u32
    }

    pub(crate) fn group(self) -> u32 {
        (self.0 & Self::GROUP_MASK) as u32
    }

    pub(crate) fn with_tick(self, tick: u32) -> Self {
        Self(self.0 & !Self::TICK_MASK | u64::from(tick % Self::TICKS) << Self::TICK)
    }

    fn tag(self) -> u16 {
        (self.0 >> Self::TAG) as u16
    }

    fn with_tag(self, tag: u16) -> Self {
        Self(self.0 << 16 >> 16 | u64::from(tag) << Self::TAG)
    }

    /// `true` where nothing but the tick differs.
    fn same_row(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::TICK_MASK == 0
    }
}

/// A place for a row: `key` is `mac(48) tag(16)`, with a MAC address of zero where it is free.
#[derive(Default)]
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C)]
pub(crate) struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

impl Slot {
    /// The key of the row here; 0 where there is none.
    fn key(&self) -> u64 {
        self.key.load(Ordering::Acquire) >> 16
    }

    fn value(&self) -> Value {
        Value(self.value.load(Ordering::Acquire))
    }

    /// The row here with its key, where it is a wanted one.
    #[inline]
    fn hit(&self, wanted: impl Fn(u64) -> bool) -> Option<(u64, Hit<'_>)> {
        let word = self.key.load(Ordering::Acquire);
        if !wanted(word >> 16) {
            return None;
        }
        let value = self.value();
        (value.tag() == word as u16 && value.state() != 0).then_some((word >> 16, Hit { slot: self, value }))
    }

    /// Puts a row into a free slot.
    fn fill(&self, key: u64, value: Value) {
        let tag = (self.key.load(Ordering::Relaxed) as u16).wrapping_add(1);
        self.value.store(value.with_tag(tag).0, Ordering::Release);
        self.key.store(key << 16 | u64::from(tag), Ordering::Release);
    }

    /// Frees the slot; the value it had, with what was refreshed to the last moment.
    fn clear(&self) -> Value {
        let tag = self.key.load(Ordering::Relaxed) as u16;
        self.key.store(u64::from(tag), Ordering::Release);
        Value(self.value.swap(Value::new(0, 0, 0).with_tag(tag).0, Ordering::AcqRel))
    }
}

/// One cache line of rows.
#[derive(Clone, Copy)]
pub(crate) struct Bucket<'a> {
    slots: &'a [Slot; WIDTH],
}

impl<'a> Bucket<'a> {
    /// The row of a key, where it is here. A slot whose value is not that of its key is losing its row, or has got
    /// another one: at that moment the row was not there.
    ///
    /// All keys are compared before the first decision: which slot it is, nobody could foresee.
    #[inline]
    fn find(self, key: u64) -> Option<Hit<'a>> {
        let matching = self.slots.iter().enumerate().fold(0u32, |matching, (place, slot)| {
            matching | u32::from(slot.key.load(Ordering::Acquire) >> 16 == key) << place
        });
        if matching == 0 {
            return None;
        }
        let slot = &self.slots[matching.trailing_zeros() as usize % WIDTH];
        slot.hit(|found| found == key).map(|(_, hit)| hit)
    }

    fn free(self) -> Option<&'a Slot> {
        self.slots.iter().find(|slot| slot.key() == 0)
    }

    fn rows(self) -> impl Iterator<Item = (u64, Hit<'a>)> {
        self.slots.iter().filter_map(|slot| slot.hit(|key| key != 0))
    }
}

/// A row that was found, and what it said.
#[derive(Clone, Copy)]
pub(crate) struct Hit<'a> {
    slot: &'a Slot,
    pub(crate) value: Value,
}

impl Hit<'_> {
    /// `true` while the row is what it was, but for its tick.
    #[inline]
    pub(crate) fn unchanged(self) -> bool {
        self.slot.value().same_row(self.value)
    }

    /// Writes the tick of a frame received just now, unless the row changes hands. Needs no lock.
    pub(crate) fn refresh(self, tick: u32) -> bool {
        let new = self.value.with_tick(tick).0;
        self.slot.value.compare_exchange(self.value.0, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends the row unless it changed meanwhile, were it by a refresh. Under the lock of the writers.
    fn expire(self) -> bool {
        let gone = Value::new(0, 0, 0).with_tag(self.value.tag()).0;
        let expired = self.slot.value.compare_exchange(self.value.0, gone, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if expired {
            self.slot.key.store(u64::from(self.value.tag()), Ordering::Release);
        }
        expired
    }

    /// Gives the row another value. Under the lock of the writers.
    pub(crate) fn replace(self, value: Value) {
        self.slot.value.store(value.with_tag(self.value.tag()).0, Ordering::Release);
    }
}

/// No place for a row: each bucket that it could stand in is full, and so are those that their rows could move to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

/// How many buckets there are, how many bits of a hash choose one, and how many moves there were:
/// `buckets(32) bits(6) moves(26)`, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape(u64);

impl Shape {
    const BITS: u32 = 26;

    fn new(buckets: u32, moves: u32) -> Self {
        let bits = u32::BITS - (buckets - 1).leading_zeros();
        let moves = u64::from(moves) & ((1 << Self::BITS) - 1);
        Self(u64::from(buckets) << 32 | u64::from(bits) << Self::BITS | moves)
    }

    pub(crate) fn buckets(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// As many ones as it takes bits to number the buckets.
    #[inline]
    fn mask(self) -> u64 {
        (1 << (self.0 as u32 >> Self::BITS)) - 1
    }

    /// The bucket of the low 32 bits of a hash.
    #[inline]
    fn address(self, hash: u64) -> u32 {
        let bucket = hash & self.mask();
        (if bucket < self.0 >> 32 { bucket } else { bucket & self.mask() >> 1 }) as u32
    }

    /// The first and the second bucket of a hash.
    #[inline]
    fn addresses(self, hash: u64) -> [u32; 2] {
        [self.address(hash), self.address(hash >> 32)]
    }

    /// After one more move.
    fn moved(self, buckets: u32) -> Self {
        Self::new(buckets, (self.0 as u32).wrapping_add(1))
    }
}

/// Buckets in one piece of memory, that is zero at first; the system gives it page by page as it is used.
struct Array {
    slots: Box<[Slot]>,
    /// Slots before the first one that begins a cache line. (An allocation of such an alignment would be cleared as a
    /// whole.)
    skip: usize,
}

impl Array {
    fn new(buckets: usize) -> Self {
        let slots: Box<[Slot]> = extents::zeros(buckets * WIDTH + WIDTH - 1);
        let line = WIDTH * size_of::<Slot>();
        let skip = (line - slots.as_ptr().addr() % line) / size_of::<Slot>() % WIDTH;
        Self { slots, skip }
    }

    /// How many buckets there are.
    #[inline]
    fn len(&self) -> usize {
        self.slots.len() / WIDTH
    }

    #[inline]
    fn get(&self, bucket: usize) -> Option<Bucket<'_>> {
        // What is left behind the last bucket is shorter than one.
        let slots = self.slots.get(bucket * WIDTH + self.skip..)?.first_chunk()?;
        Some(Bucket { slots })
    }
}

/// The buckets: a first array, of a length that is chosen when the first row comes, and arrays that double what there
/// is. None moves and none goes before the table does.
#[derive(Default)]
struct Buckets {
    first: Once<Array>,
    more: [Once<Array>; DOUBLINGS],
}

impl Buckets {
    #[inline]
    fn get(&self, bucket: u32) -> Option<Bucket<'_>> {
        let first = self.first.get()?;
        first.get(bucket as usize).or_else(|| {
            let (doubling, offset) = Self::place(bucket as usize, first.len());
            self.more.get(doubling)?.get()?.get(offset)
        })
    }

    /// Where a bucket is that is beyond the first array, whose length is a power of two.
    fn place(bucket: usize, first: usize) -> (usize, usize) {
        let doubling = (bucket / first).ilog2();
        (doubling as usize, bucket - (first << doubling))
    }

    /// The bucket, in an array made for it where there is none.
    fn get_or_grow(&self, bucket: u32, first: usize) -> Option<Bucket<'_>> {
        let first = self.first.call_once(|| Array::new(first));
        first.get(bucket as usize).or_else(|| {
            let (doubling, offset) = Self::place(bucket as usize, first.len());
            self.more.get(doubling)?.call_once(|| Array::new(first.len() << doubling)).get(offset)
        })
    }
}

/// The table of rows. What writes needs the caller's lock.
pub(crate) struct Rows {
    shape: AtomicU64,
    /// Occupied slots; only under the lock.
    occupied: AtomicU32,
    /// The length of the first array of buckets, where it is still to be made.
    first: AtomicU32,
    buckets: Buckets,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            shape: AtomicU64::new(Shape::new(FIRST_BUCKETS as u32, 0).0),
            occupied: AtomicU32::new(0),
            first: AtomicU32::new(FIRST_BUCKETS as u32),
            buckets: Buckets::default(),
        }
    }
}

impl Rows {
    /// The same before and after a look at all rows if none of them moved meanwhile.
    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        Shape(self.shape.load(Ordering::Acquire))
    }

    /// Says how many rows are to be expected.
    pub(crate) fn expect(&self, rows: u32) {
        let buckets = (rows as usize).saturating_mul(LOAD.1) / (LOAD.0 * WIDTH);
        let first = buckets.clamp(FIRST_BUCKETS, LARGEST_FIRST).next_power_of_two();
        self.first.store(first as u32, Ordering::Relaxed);
    }

    /// The number of buckets.
    pub(crate) fn buckets(&self) -> u32 {
        self.shape().buckets()
    }

    /// The number of occupied slots, rows that are flushed and not yet swept among them.
    pub(crate) fn occupied(&self) -> u32 {
        self.occupied.load(Ordering::Relaxed)
    }

    #[inline]
    fn bucket(&self, bucket: u32) -> Option<Bucket<'_>> {
        self.buckets.get(bucket)
    }

    /// The row of a key. Takes no lock and never waits.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: u64) -> Option<Hit<'_>> {
        let mut shape = self.shape();
        for _ in 0..ATTEMPTS {
            let [first, second] = shape.addresses(hash);
            let hit = self.bucket(first)?.find(key).or_else(|| self.bucket(second)?.find(key));
            if hit.is_some() {
                return hit;
            }
            let now = self.shape();
            if now == shape {
                return None;
            }
            shape = now;
        }
        None
    }

    /// Reads from the bucket that a hash names first, so that its line is on its way when [`find`](Self::find) needs it.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u64 {
        let bucket = self.bucket(self.shape().address(hash));
        bucket.map_or(0, |bucket| bucket.slots[0].key.load(Ordering::Relaxed))
    }

    /// The rows of one bucket as they are now.
    pub(crate) fn rows_of(&self, bucket: u32) -> impl Iterator<Item = (u64, Hit<'_>)> {
        self.bucket(bucket).into_iter().flat_map(Bucket::rows)
    }

    /// Adds the row of a key that is not here. `hash_of` is the hash of the table's keys.
    pub(crate) fn insert(&self, key: u64, value: Value, hash_of: impl Fn(u64) -> u64) -> Result<(), NoPlace> {
        let _ = self.buckets.get_or_grow(0, self.first.load(Ordering::Relaxed) as usize);
        if self.wants_to_grow() {
            self.split(&hash_of);
        }
        let hash = hash_of(key);
        for _ in 0..=EXTRA_SPLITS {
            if let Some(slot) = self.place(hash, &hash_of) {
                slot.fill(key, value);
                self.occupied.store(self.occupied() + 1, Ordering::Relaxed);
                return Ok(());
            }
            if !self.split(&hash_of) {
                break;
            }
        }
        Err(NoPlace)
    }

    /// `true` where the next row brings the table over its load.
    pub(crate) fn wants_to_grow(&self) -> bool {
        let slots = self.buckets() as usize * WIDTH;
        self.occupied() as usize * LOAD.1 >= slots * LOAD.0
    }

    /// Takes a row away; what it said last.
    pub(crate) fn remove(&self, hit: Hit<'_>) -> Value {
        self.occupied.store(self.occupied().saturating_sub(1), Ordering::Relaxed);
        hit.slot.clear()
    }

    /// Takes a row away unless a frame was received for it just now.
    pub(crate) fn expire(&self, hit: Hit<'_>) -> bool {
        let expired = hit.expire();
        if expired {
            self.occupied.store(self.occupied().saturating_sub(1), Ordering::Relaxed);
        }
        expired
    }

    /// A free slot for a hash, where need be by moving one or two rows to their other buckets.
    fn place(&self, hash: u64, hash_of: &impl Fn(u64) -> u64) -> Option<&Slot> {
        let shape = self.shape();
        let places = shape.addresses(hash);
        places
            .iter()
            .find_map(|&place| self.bucket(place)?.free())
            .or_else(|| places.iter().find_map(|&place| self.make_room(place, shape, 2, hash_of)))
    }

    /// Frees a slot of a full bucket by moving one of its rows to that row's other bucket, up to `depth` in a chain.
    fn make_room(&self, place: u32, shape: Shape, depth: u8, hash_of: &impl Fn(u64) -> u64) -> Option<&Slot> {
        let bucket = self.bucket(place)?;
        let movable = || {
            bucket.slots.iter().filter_map(|slot| {
                let [first, second] = shape.addresses(hash_of(slot.key()));
                let other = if first == place { second } else { first };
                (other != place).then_some((slot, other))
            })
        };
        let direct = movable().find_map(|(slot, other)| Some((slot, self.bucket(other)?.free()?)));
        let (from, to) = direct.or_else(|| {
            let next = depth.checked_sub(1).filter(|&next| next > 0)?;
            movable().find_map(|(slot, other)| Some((slot, self.make_room(other, shape, next, hash_of)?)))
        })?;
        self.carry(&[Some((from, to))], shape.buckets());
        Some(from)
    }

    /// Moves rows to free slots, and says how many buckets there are from then on.
    fn carry(&self, moves: &[Option<(&Slot, &Slot)>], buckets: u32) {
        let mut copied = [None; WIDTH];
        for (&(from, to), copied) in moves.iter().flatten().zip(&mut copied) {
            let value = from.value();
            to.fill(from.key(), value);
            *copied = Some((from, to, value));
        }
        self.shape.store(self.shape().moved(buckets).0, Ordering::Release);
        for (from, to, copied) in copied.into_iter().flatten() {
            // What was refreshed at the old place after it was copied.
            let last = from.clear();
            if last.tick() != copied.tick() {
                let _ = Hit { slot: to, value: to.value() }.refresh(last.tick());
            }
        }
    }

    /// Adds one bucket: the rows of the bucket that it splits off go where they now belong, and those that had to stand
    /// in their second bucket go to the first one if that has room now. `false` at the largest size.
    fn split(&self, hash_of: &impl Fn(u64) -> u64) -> bool {
        let buckets = self.buckets();
        let Some(new) = self.buckets.get_or_grow(buckets, FIRST_BUCKETS) else { return false };
        let low = buckets - (1 << buckets.ilog2());
        let Some(old) = self.bucket(low) else { return false };
        let after = self.shape().moved(buckets + 1);
        let stays = |slot: &&Slot| slot.key() == 0 || after.addresses(hash_of(slot.key())).contains(&low);
        // At most as many as a bucket holds, and the new one is empty: each has its slot.
        let mut moves = [None; WIDTH];
        for ((place, from), to) in moves.iter_mut().zip(old.slots.iter().filter(|slot| !stays(slot))).zip(new.slots) {
            *place = Some((from, to));
        }
        self.carry(&moves, buckets + 1);
        for (place, bucket) in [(low, old), (buckets, new)] {
            for slot in bucket.slots.iter().filter(|slot| slot.key() != 0) {
                let [first, _] = after.addresses(hash_of(slot.key()));
                let free = self.bucket(first).filter(|_| first != place).and_then(Bucket::free);
                if let Some(free) = free {
                    self.carry(&[Some((slot, free))], buckets + 1);
                }
            }
        }
        true
    }

    /// All rows, as one pass over the buckets finds them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, Value)> {
        (0..self.buckets()).flat_map(|bucket| self.rows_of(bucket).map(|(key, hit)| (key, hit.value)))
    }
}

#[cfg(test)]
mod tests;
