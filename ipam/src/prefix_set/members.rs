//! Arrays of one to 64 members: what the used slots of a node carry.

use alloc::vec::Vec;

use super::word;

/// How many slots a node has at most: an array of this class has a place for each.
const FULL: u8 = 6;

/// The class before that: from there on it is better to have a place for each slot than to move members about.
const LAST_RANKED: u8 = 3;

/// How many places that is.
const ROOM: usize = 1 << LAST_RANKED;

/// An array: the place of each member is the rank of its slot among the used slots; in one of 64 places it is the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Members(u32);

impl Members {
    /// No array.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// The array of this index among those of 2^`class` places.
    const fn new(class: u8, index: usize) -> Self {
        Self((class as u32) << 29 | index as u32)
    }

    const fn class(self) -> u8 {
        (self.0 >> 29) as u8
    }

    const fn index(self) -> usize {
        (self.0 << 3 >> 3) as usize
    }

    /// Where it starts.
    const fn start(self) -> usize {
        self.index() << self.class()
    }
}

/// All arrays, those of as many places side by side.
#[derive(Clone, Debug)]
pub(super) struct Arrays<T> {
    places: [Vec<T>; FULL as usize + 1],
    spare: [Vec<u32>; FULL as usize + 1],
}

/// The place of a slot in an array of this class.
#[inline]
const fn place(class: u8, used: u64, slot: u8) -> usize {
    if class == FULL { slot as usize } else { (used & word::below(slot)).count_ones() as usize }
}

impl<T: Copy + Default> Arrays<T> {
    pub(super) fn new() -> Self {
        Self { places: core::array::from_fn(|_| Vec::new()), spare: core::array::from_fn(|_| Vec::new()) }
    }

    fn array(&mut self, members: Members) -> &mut [T] {
        &mut self.places[members.class() as usize][members.start()..][..1 << members.class()]
    }

    /// What the slot carries; it is one of the used ones.
    #[inline]
    pub(super) fn get(&self, members: Members, used: u64, slot: u8) -> &T {
        &self.places[members.class() as usize][members.start() + place(members.class(), used, slot)]
    }

    /// What the slot carries, to be changed; it is one of the used ones.
    #[inline]
    pub(super) fn get_mut(&mut self, members: Members, used: u64, slot: u8) -> &mut T {
        &mut self.places[members.class() as usize][members.start() + place(members.class(), used, slot)]
    }

    /// Adds what a slot carries that was not used before.
    #[inline]
    pub(super) fn insert(&mut self, members: &mut Members, used: u64, slot: u8, value: T) {
        if members.class() == FULL {
            self.places[FULL as usize][members.start() + slot as usize] = value;
        } else {
            self.insert_by_rank(members, used, slot, value);
        }
    }

    fn insert_by_rank(&mut self, members: &mut Members, used: u64, slot: u8, value: T) {
        let (count, at) = (used.count_ones() as usize, place(0, used, slot));
        if *members == Members::NONE {
            *members = self.take(0);
            self.array(*members)[0] = value;
        } else if count < 1 << members.class() {
            let array = self.array(*members);
            array.copy_within(at..count, at + 1);
            array[at] = value;
        } else {
            let old = *members;
            *members = self.take(if old.class() < LAST_RANKED { old.class() + 1 } else { FULL });
            let (from, to) = (old.class() as usize, members.class() as usize);
            let (smaller, larger) = self.places.split_at_mut(to);
            let from = &smaller[from][old.start()..][..count];
            let to = &mut larger[0][members.start()..][..1 << members.class()];
            if members.class() == FULL {
                spread(from, to, used);
                to[slot as usize] = value;
            } else {
                to[..at].copy_from_slice(&from[..at]);
                to[at] = value;
                to[at + 1..=count].copy_from_slice(&from[at..]);
            }
            self.give_back(old);
        }
    }

    /// Takes away what a slot carries; `used` still has it.
    #[inline]
    pub(super) fn remove(&mut self, members: &mut Members, used: u64, slot: u8) {
        if used == 1 << slot {
            self.give_back(*members);
            *members = Members::NONE;
        } else if members.class() != FULL {
            self.remove_by_rank(members, used, slot);
        }
    }

    fn remove_by_rank(&mut self, members: &mut Members, used: u64, slot: u8) {
        let (left, at) = (used.count_ones() as usize - 1, place(0, used, slot));
        self.array(*members).copy_within(at + 1..=left, at);
        // Fewer places, where there would still be room for some more.
        if left << 2 == 1 << members.class() {
            let old = *members;
            *members = self.take(old.class() - 1);
            let (from, to) = (old.class() as usize, members.class() as usize);
            let (smaller, larger) = self.places.split_at_mut(from);
            let from = &larger[0][old.start()..][..left];
            smaller[to][members.start()..][..left].copy_from_slice(from);
            self.give_back(old);
        }
    }

    /// Copies what the used slots carry to their places.
    pub(super) fn load(&self, members: Members, used: u64, to: &mut [T; 64]) {
        if used != 0 {
            let from = &self.places[members.class() as usize][members.start()..][..1 << members.class()];
            if members.class() == FULL { to.copy_from_slice(from) } else { spread(from, to, used) }
        }
    }

    /// Has the used slots carry what is in their places, in an array with room for as many. At least one is used.
    pub(super) fn store(&mut self, members: &mut Members, used: u64, from: &[T; 64]) {
        let count = used.count_ones() as usize;
        let enough = if count > ROOM { FULL } else { count.next_power_of_two().ilog2() as u8 };
        // One with a place for each slot is kept for a while.
        if members.class() != enough && (members.class() != FULL || count <= ROOM / 2) {
            if *members != Members::NONE {
                self.give_back(*members);
            }
            *members = self.take(enough);
        }
        let to = self.array(*members);
        if to.len() == from.len() { to.copy_from_slice(from) } else { gather(from, &mut to[..count], used) }
    }

    fn take(&mut self, class: u8) -> Members {
        if let Some(index) = self.spare[class as usize].pop() {
            return Members::new(class, index as usize);
        }
        let (places, size) = (&mut self.places[class as usize], 1_usize << class);
        let index = places.len() >> class;
        grow(places, size);
        places.resize(places.len() + size, T::default());
        Members::new(class, index)
    }

    fn give_back(&mut self, members: Members) {
        self.spare[members.class() as usize].push(members.index() as u32);
    }
}

/// Has room for `more`, and an eighth of the present beyond: twice as much would be too much of what is never used.
pub(super) fn grow<T>(places: &mut Vec<T>, more: usize) {
    if places.capacity() - places.len() < more {
        places.reserve_exact((places.len() / 8).max(16).max(more));
    }
}

/// From ranks to slots.
fn spread<T: Copy>(from: &[T], to: &mut [T], mut used: u64) {
    for value in from {
        if used == 0 {
            break;
        }
        to[used.trailing_zeros() as usize] = *value;
        used &= used - 1;
    }
}

/// From slots to ranks.
fn gather<T: Copy>(from: &[T], to: &mut [T], mut used: u64) {
    for value in to {
        *value = from[used.trailing_zeros() as usize];
        used &= used - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_keeps_what_it_carries() {
        let mut arrays = Arrays::<u32>::new();
        let (mut members, mut used, mut random) = (Members::NONE, 0_u64, 7_u64);
        let mut carried = [0; 64];
        for round in 0..20_000_u32 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let slot = (random >> 58) as u8;
            // Mostly filled for a while, then mostly emptied.
            let fill = (round / 200) % 2 == 0;
            if used >> slot & 1 == 0 && (fill || round % 4 == 0) {
                arrays.insert(&mut members, used, slot, round);
                used |= 1 << slot;
                carried[slot as usize] = round;
            } else if used >> slot & 1 == 1 && (!fill || round % 4 == 0) {
                arrays.remove(&mut members, used, slot);
                used &= !(1 << slot);
            }
            if round % 7 == 0 && used != 0 {
                let mut copy = [0; 64];
                arrays.load(members, used, &mut copy);
                arrays.store(&mut members, used, &copy);
            }
            for slot in (0..64).filter(|slot| used >> slot & 1 == 1) {
                assert_eq!(*arrays.get(members, used, slot), carried[slot as usize]);
            }
            assert_eq!(members == Members::NONE, used == 0);
        }
        assert!(arrays.places.iter().all(|places| places.len() <= 64), "arrays are used again");
    }
}
