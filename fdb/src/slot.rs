//! Slots, and the buckets that four of them make: one cache line.

use crate::{
    sync::{AtomicU64, Ordering},
    value::Value,
};

/// Rows of one bucket.
pub(crate) const WIDTH: usize = if cfg!(loom) { 2 } else { 4 };

/// A place for a row: its key, zero where it is free, and what it says, under a tag that is another one for each row that
/// has the place.
#[derive(Default)]
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C)]
pub(crate) struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

impl Slot {
    /// The key of the row here; 0 where there is none.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn value(&self) -> Value {
        Value::from_bits(self.value.load(Ordering::Acquire))
    }

    /// The row here, where it is that of a key. What it says may be that of another row as long as it is not
    /// [`unchanged`](Hit::unchanged) afterwards: one that came and went before the key came back.
    #[inline]
    fn hit(&self, key: u64) -> Option<Hit<'_>> {
        // The key after the value: what was written for another key was written after this one had gone.
        let value = self.value();
        if self.key() == key { Some(Hit { slot: self, value }) } else { None }
    }

    /// Puts a row into a free slot.
    pub(crate) fn fill(&self, key: u64, value: Value, away: bool) {
        let tag = self.value().tag().wrapping_add(1);
        self.value.store(value.at(tag, away).to_bits(), Ordering::Release);
        self.key.store(key, Ordering::Release);
    }

    /// Frees the slot; the value it had, with what was refreshed to the last moment.
    pub(crate) fn clear(&self) -> Value {
        self.key.store(0, Ordering::Release);
        // The tag is that of the row that goes, whatever is refreshed meanwhile.
        let gone = Value::gone(self.value().tag());
        Value::from_bits(self.value.swap(gone.to_bits(), Ordering::AcqRel))
    }
}

/// One cache line of rows.
#[derive(Clone, Copy)]
pub(crate) struct Bucket<'a> {
    pub(crate) slots: &'a [Slot; WIDTH],
}

impl<'a> Bucket<'a> {
    /// The row of a key, where it is here; what a row left that goes just now has no [`group`](Value::group).
    ///
    /// Which slot it is, nobody could foresee, so that a branch for each would cost more than all comparisons: the only
    /// one is whether it is here.
    #[inline]
    pub(crate) fn find(self, key: u64) -> Option<Hit<'a>> {
        // The number of the slot, put together from bits: no more than one has the key, and the first where none has.
        let number = |place, (at, slot): (usize, &Slot)| place | (at * usize::from(slot.key() == key));
        let place = self.slots.iter().enumerate().fold(0, number);
        self.slots[place % WIDTH].hit(key)
    }

    pub(crate) fn free(self) -> Option<&'a Slot> {
        self.slots.iter().find(|slot| slot.key() == 0)
    }

    /// The rows here and their keys.
    pub(crate) fn rows(self) -> impl Iterator<Item = (u64, Hit<'a>)> {
        self.slots.iter().filter_map(|slot| {
            let key = slot.key();
            let read = || if key == 0 { None } else { slot.hit(key) };
            // Again where the row changed meanwhile: what it says is to be its own.
            let hit = read().and_then(|hit| if hit.unchanged() { Some(hit) } else { read() });
            hit.filter(|hit| !hit.value.is_gone()).map(|hit| (key, hit))
        })
    }

    /// Rows here that would rather be in another bucket.
    pub(crate) fn away(self) -> impl Iterator<Item = &'a Slot> {
        self.slots.iter().filter(|slot| slot.value().is_away())
    }

    /// Reads from the line, so that it is on its way when it is needed.
    #[inline]
    pub(crate) fn touch(self) -> u64 {
        self.slots[0].key.load(Ordering::Relaxed)
    }
}

/// A row that was found, and what it said.
#[derive(Clone, Copy)]
pub(crate) struct Hit<'a> {
    slot: &'a Slot,
    pub(crate) value: Value,
}

impl<'a> Hit<'a> {
    /// What is there now.
    pub(crate) fn of(slot: &'a Slot) -> Self {
        Self { slot, value: slot.value() }
    }

    /// `true` while the row is what it was, its tick too.
    #[inline]
    pub(crate) fn untouched(self) -> bool {
        self.slot.value() == self.value
    }

    /// `true` while the row is what it was, but for its tick.
    pub(crate) fn unchanged(self) -> bool {
        self.slot.value().same_row(self.value)
    }

    /// Writes the tick of a frame received just now, unless the row changes hands. Needs no lock.
    pub(crate) fn refresh(self, tick: u32) -> bool {
        self.exchange(self.value.with_tick(tick))
    }

    /// Gives the row another value. Under the lock of the writers.
    pub(crate) fn replace(self, value: Value) {
        self.slot.value.store(value.at_place_of(self.value).to_bits(), Ordering::Release);
    }

    /// Takes the row away; what it said last. Under the lock of the writers.
    pub(crate) fn clear(self) -> Value {
        self.slot.clear()
    }

    /// Takes the row away unless it changed meanwhile, were it by a refresh. Under the lock of the writers.
    pub(crate) fn expire(self) -> bool {
        let expired = self.exchange(Value::gone(self.value.tag()));
        if expired {
            self.slot.key.store(0, Ordering::Release);
        }
        expired
    }

    fn exchange(self, new: Value) -> bool {
        let (old, new) = (self.value.to_bits(), new.to_bits());
        self.slot.value.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
