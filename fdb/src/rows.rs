//! The rows of one segment: from a MAC address to a packed value, lock-free for readers.
//!
//! Linear hashing over buckets of one cache line. A row stands in one of two buckets that its hash names, the *first*
//! and the *second*; in the latter it is *away*, and goes home when there is room. The table grows by one bucket at a
//! time: the bucket it splits gives some of its rows to the new one, and nothing else moves. What a reader can meet:
//!
//! - A row that moves is written at its new place, then the move is counted, then the row leaves the old place. So a
//!   reader that finds a row at neither place, and no move counted meanwhile, has seen that it is not there. Otherwise it
//!   looks again.
//! - A slot that gets another key meanwhile. The value is written before the key and after the key before it has gone, and
//!   has another tag for each row: a reader that reads the key again after the value, and the value again in the end, has
//!   read what belongs together.
//!
//! A reader never waits for a writer that was stopped halfway: it looks again only after a move that was made whole.

use crate::{
    buckets::{AtHand, Buckets, Layout},
    extents::SMALL,
    slot::{Bucket, Hit, Slot, WIDTH},
    sync::{AtomicU32, AtomicU64, Ordering},
    value::Value,
};

/// Buckets that a table starts with.
const FIRST_BUCKETS: usize = if SMALL { 2 } else { 8 };
/// The longest first array: 512 MiB, for 17 million rows. What is not used of it costs nothing but addresses, where the
/// system gives memory at first use.
const LARGEST_FIRST: usize = 1 << 23;
/// How many rows a table of up to so many buckets has for 32 slots, before it grows. In a small table memory costs less
/// than rows that are away; in a large one a row takes 30 bytes.
const LOADS: [(u32, usize); 3] =
    if SMALL { [(u32::MAX, 17); 3] } else { [(1 << 12, 8), (1 << 17, 14), (u32::MAX, 17)] };
/// How often a reader looks at most because rows moved while it looked: each time a writer has to complete a move within
/// the time of a lookup.
const ATTEMPTS: usize = 64;
/// How many buckets a placement adds at most when all places of a key are taken.
const EXTRA_SPLITS: usize = 32;
/// How many buckets send rows home for each that is added.
const SENT_HOME: u32 = 1;

/// No place for a row: each bucket that it could stand in is full, and so are those that their rows could move to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

/// One row on its way: where from, where to, and whether it is away there.
type Move<'a> = (&'a Slot, &'a Slot, bool);

/// The table of rows. What writes needs the caller's lock.
pub(crate) struct Rows {
    layout: AtomicU64,
    buckets: Buckets,
    /// How often rows moved.
    moves: AtomicU32,
    /// Occupied slots; only under the lock.
    occupied: AtomicU32,
    /// The length of the first array of buckets, where it is still to be made.
    first: AtomicU32,
    /// The next bucket to send rows home from; only under the lock.
    hand: AtomicU32,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            layout: AtomicU64::new(Layout::new(FIRST_BUCKETS as u32).to_bits()),
            buckets: Buckets::default(),
            moves: AtomicU32::new(0),
            occupied: AtomicU32::new(0),
            first: AtomicU32::new(FIRST_BUCKETS as u32),
            hand: AtomicU32::new(0),
        }
    }
}

impl Rows {
    #[inline]
    fn layout(&self) -> Layout {
        Layout::from_bits(self.layout.load(Ordering::Acquire))
    }

    /// How often rows moved: the same before and after a look at all rows if none of them moved meanwhile.
    pub(crate) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Acquire)
    }

    /// Says how many rows are to be expected.
    pub(crate) fn expect(&self, rows: u32) {
        let needed = |load| (rows as usize).saturating_mul(32) / (load * WIDTH) + EXTRA_SPLITS;
        let fits = |&(most, load): &(u32, usize)| (needed(load) <= most as usize).then(|| needed(load));
        let first = LOADS.iter().find_map(fits).unwrap_or(LARGEST_FIRST).clamp(FIRST_BUCKETS, LARGEST_FIRST);
        self.first.store(first as u32, Ordering::Relaxed);
    }

    /// The number of buckets.
    pub(crate) fn buckets(&self) -> u32 {
        self.layout().buckets()
    }

    /// The number of occupied slots, rows that are flushed and not yet swept among them.
    pub(crate) fn occupied(&self) -> u32 {
        self.occupied.load(Ordering::Relaxed)
    }

    fn occupy(&self, more: i32) {
        self.occupied.store(self.occupied().saturating_add_signed(more), Ordering::Relaxed);
    }

    /// The buckets where rows are in most cases; where one is not, [`find`](Self::find) knows.
    #[inline]
    pub(crate) fn at_hand(&self) -> Option<AtHand<'_>> {
        self.buckets.at_hand(self.layout())
    }

    /// The row of a hash and key where it is away; a row that is on its way home may be missed.
    pub(crate) fn find_away(&self, hash: u64, key: u64) -> Option<Hit<'_>> {
        self.buckets.get(self.layout().address(hash >> 32))?.find(key)
    }

    /// The row of a key, which is not zero. Takes no lock and never waits.
    pub(crate) fn find(&self, hash: u64, key: u64) -> Option<Hit<'_>> {
        let mut moves = self.moves();
        for _ in 0..ATTEMPTS {
            let [first, second] = self.layout().addresses(hash);
            let there = |bucket| self.buckets.get(bucket)?.find(key).filter(|hit| !hit.value.is_gone());
            let hit = there(first).or_else(|| there(second));
            if hit.is_some() {
                return hit;
            }
            let now = self.moves();
            if now == moves {
                return None;
            }
            moves = now;
        }
        None
    }

    /// The rows of one bucket as they are now.
    pub(crate) fn rows_of(&self, bucket: u32) -> impl Iterator<Item = (u64, Hit<'_>)> {
        self.buckets.get(bucket).into_iter().flat_map(Bucket::rows)
    }

    /// All rows, as one pass over the buckets finds them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, Value)> {
        (0..self.buckets()).flat_map(|bucket| self.rows_of(bucket).map(|(key, hit)| (key, hit.value)))
    }

    /// Adds the row of a key that is not here. `hash_of` is the hash of the table's keys.
    pub(crate) fn insert(&self, key: u64, value: Value, hash_of: impl Fn(u64) -> u64) -> Result<(), NoPlace> {
        let _ = self.buckets.get_or_grow(0, self.first.load(Ordering::Relaxed) as usize);
        if self.wants_to_grow() {
            self.split(&hash_of);
        }
        let hash = hash_of(key);
        for _ in 0..=EXTRA_SPLITS {
            if let Some((slot, away)) = self.place(hash, &hash_of) {
                slot.fill(key, value, away);
                self.occupy(1);
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
        let buckets = self.buckets();
        let load = LOADS.iter().find(|&&(most, _)| buckets <= most).map_or(WIDTH, |&(_, load)| load);
        self.occupied() as usize * 32 >= buckets as usize * WIDTH * load
    }

    /// Takes a row away; what it said last.
    pub(crate) fn remove(&self, hit: Hit<'_>) -> Value {
        self.occupy(-1);
        hit.clear()
    }

    /// Takes a row away unless a frame was received for it just now.
    pub(crate) fn expire(&self, hit: Hit<'_>) -> bool {
        let expired = hit.expire();
        if expired {
            self.occupy(-1);
        }
        expired
    }

    /// A free slot for a hash, and whether a row is away there; where need be by moving one or two rows to their other
    /// buckets.
    fn place(&self, hash: u64, hash_of: &impl Fn(u64) -> u64) -> Option<(&Slot, bool)> {
        let [first, second] = self.layout().addresses(hash);
        let home = self.buckets.get(first)?;
        let other = self.buckets.get(second).filter(|_| first != second);
        let at_home = |slot| (slot, false);
        let away = |slot| (slot, true);
        home.free()
            .or_else(|| self.send_home(first, hash_of))
            .map(at_home)
            .or_else(|| other?.free().map(away))
            .or_else(|| self.make_room(first, 2, hash_of).map(at_home))
            .or_else(|| other.and_then(|_| self.make_room(second, 2, hash_of)).map(away))
    }

    /// Frees a slot of a full bucket by moving one of its rows to that row's other bucket, up to `depth` in a chain.
    fn make_room(&self, place: u32, depth: u8, hash_of: &impl Fn(u64) -> u64) -> Option<&Slot> {
        let bucket = self.buckets.get(place)?;
        let layout = self.layout();
        let movable = || {
            bucket.slots.iter().filter_map(|slot| {
                let [first, second] = layout.addresses(hash_of(slot.key()));
                let away = first == place;
                let other = if away { second } else { first };
                (other != place).then_some((slot, other, away))
            })
        };
        let direct = movable().find_map(|(slot, other, away)| Some((slot, self.buckets.get(other)?.free()?, away)));
        let step = direct.or_else(|| {
            let next = depth.checked_sub(1).filter(|&next| next > 0)?;
            movable().find_map(|(slot, other, away)| Some((slot, self.make_room(other, next, hash_of)?, away)))
        })?;
        self.carry(&[Some(step)], layout);
        Some(step.0)
    }

    /// Sends the rows of a bucket home that are away there and have room at home. The slot that became free last.
    fn send_home(&self, place: u32, hash_of: &impl Fn(u64) -> u64) -> Option<&Slot> {
        let mut free = None;
        for slot in self.buckets.get(place)?.away() {
            let home = self.layout().address(hash_of(slot.key()));
            if let Some(to) = self.buckets.get(home).and_then(Bucket::free) {
                self.carry(&[Some((slot, to, false))], self.layout());
                free = Some(slot);
            }
        }
        free
    }

    /// Moves rows to free slots, and says what the layout is from then on.
    fn carry(&self, moves: &[Option<Move<'_>>], layout: Layout) {
        let mut copied = [None; WIDTH];
        for (&(from, to, away), copied) in moves.iter().flatten().zip(&mut copied) {
            let value = from.value();
            to.fill(from.key(), value, away);
            *copied = Some((from, to, value));
        }
        self.layout.store(layout.to_bits(), Ordering::Release);
        self.moves.store(self.moves().wrapping_add(1), Ordering::Release);
        for (from, to, copied) in copied.into_iter().flatten() {
            // What was refreshed at the old place after it was copied.
            let last = from.clear();
            if last.tick() != copied.tick() {
                let _ = Hit::of(to).refresh(last.tick());
            }
        }
    }

    /// Adds one bucket: the rows of the bucket that it splits off go where they now belong. `false` at the largest size.
    fn split(&self, hash_of: &impl Fn(u64) -> u64) -> bool {
        let buckets = self.buckets();
        let Some(new) = self.buckets.get_or_grow(buckets, FIRST_BUCKETS) else { return false };
        let low = buckets - (1 << buckets.ilog2());
        let Some(old) = self.buckets.get(low) else { return false };
        let after = Layout::new(buckets + 1);
        // At most as many as a bucket holds, and the new one is empty: each has its slot.
        let mut moves = [None; WIDTH];
        let mut places = moves.iter_mut().zip(new.slots);
        for from in old.slots.iter().filter(|slot| slot.key() != 0) {
            let away = from.value().is_away();
            let [first, second] = after.addresses(hash_of(from.key()));
            if (if away { second } else { first }) != low
                && let Some((place, to)) = places.next()
            {
                *place = Some((from, to, away));
            }
        }
        self.carry(&moves, after);
        self.send_home(low, hash_of);
        self.send_home(buckets, hash_of);
        for _ in 0..SENT_HOME {
            let hand = self.hand.load(Ordering::Relaxed) % buckets;
            self.send_home(hand, hash_of);
            self.hand.store(hand + 1, Ordering::Relaxed);
        }
        true
    }
}

#[cfg(test)]
mod tests;
