//! A small index of fixed size: from a hash to the number of a record.

use alloc::boxed::Box;

use crate::{
    extents,
    sync::{AtomicU64, Ordering},
};

/// Entries of one cache line.
const WIDTH: usize = 8;

/// One cache line of entries. An entry is `tag << 32 | number`; zero is none.
#[derive(Default)]
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C, align(64))]
struct Line {
    entries: [AtomicU64; WIDTH],
}

/// Two lines where an entry may stand, of twice as many places as there may be entries: a line that overflows is less
/// likely than a fault of the memory. An entry never moves, so that a reader that misses it has missed nothing.
pub(crate) struct Index {
    lines: Box<[Line]>,
}

impl Index {
    /// An index for up to `entries` entries.
    pub(crate) fn new(entries: u32) -> Self {
        let lines = (entries as usize).div_ceil(WIDTH / 2).next_power_of_two().max(2);
        Self { lines: extents::zeros(lines) }
    }

    /// The two lines of a hash; the same line twice is possible.
    #[inline]
    fn lines(&self, hash: u64) -> [&Line; 2] {
        let mask = self.lines.len() - 1;
        [&self.lines[hash as usize & mask], &self.lines[(hash >> 32) as usize & mask]]
    }

    /// What `read` makes of the first number under this tag (which is not zero) that it accepts. Never waits.
    #[inline]
    pub(crate) fn find<T>(&self, hash: u64, tag: u32, read: impl Fn(u32) -> Option<T>) -> Option<T> {
        self.lines(hash).into_iter().flat_map(|line| &line.entries).find_map(|entry| {
            let entry = entry.load(Ordering::Acquire);
            if (entry >> 32) as u32 == tag { read(entry as u32) } else { None }
        })
    }

    /// Adds an entry, for the one writer at a time. `false` where both lines are full.
    #[must_use]
    pub(crate) fn insert(&self, hash: u64, tag: u32, number: u32) -> bool {
        let free = |line: &&Line| line.entries.iter().filter(|entry| entry.load(Ordering::Relaxed) == 0).count();
        let [first, second] = self.lines(hash);
        let line = if free(&second) > free(&first) { second } else { first };
        let place = line.entries.iter().find(|entry| entry.load(Ordering::Relaxed) == 0);
        if let Some(place) = place {
            place.store(u64::from(tag) << 32 | u64::from(number), Ordering::Release);
        }
        place.is_some()
    }

    /// Takes an entry away, for the one writer at a time.
    pub(crate) fn remove(&self, hash: u64, tag: u32, number: u32) {
        let wanted = u64::from(tag) << 32 | u64::from(number);
        for line in self.lines(hash) {
            if let Some(place) = line.entries.iter().find(|entry| entry.load(Ordering::Relaxed) == wanted) {
                place.store(0, Ordering::Release);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyedHash;

    #[test]
    fn as_many_entries_as_promised() {
        for entries in [0, 1, 2, 7, 100, 4096, 65536] {
            let index = Index::new(entries);
            let hash = KeyedHash::new([3; 16]);
            for number in 0..entries {
                assert!(index.insert(hash.word(u64::from(number)), number + 1, number), "{number} of {entries}");
            }
            for number in 0..entries {
                assert_eq!(index.find(hash.word(u64::from(number)), number + 1, Some), Some(number));
                assert_eq!(index.find(hash.word(u64::from(number)), number + 1, |_| None::<()>), None);
            }
            for number in (0..entries).step_by(2) {
                index.remove(hash.word(u64::from(number)), number + 1, number);
            }
            for number in 0..entries {
                let expected = (number % 2 == 1).then_some(number);
                assert_eq!(index.find(hash.word(u64::from(number)), number + 1, Some), expected);
            }
        }
    }

    #[test]
    fn full_lines_refuse() {
        let index = Index::new(1);
        for number in 0..8 {
            assert!(index.insert(0, 1, number));
        }
        assert!(!index.insert(0, 1, 8));
        index.remove(0, 1, 3);
        assert!(index.insert(0, 1, 8));
    }
}
