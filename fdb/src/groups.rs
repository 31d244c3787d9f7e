//! Groups of rows: those of one segment that lead to one remote and are of one kind.
//!
//! A row names its group, and the group its remote. So a group is what a flush takes at once: rows whose group was made
//! before the flush are gone from the moment of the flush on, and are swept later.

use alloc::vec::Vec;

use crate::{
    extents::{self, Extents, SMALL},
    remote::RemoteId,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
};

/// Learned rows, or those of configuration and registry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Learned,
    Owned,
}

/// What a group says to readers: `remote + 1 (24) born(40)`, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head(u64);

impl Head {
    /// Of a group whose rows are gone, or that never was.
    const DEAD: Self = Self(0);
    const BORN: u32 = 40;

    fn new(remote: RemoteId, born: u64) -> Self {
        Self(u64::from(remote.get() + 1) << Self::BORN | born & ((1 << Self::BORN) - 1))
    }

    /// The remote of the rows; `None` where they are gone.
    pub(crate) fn remote(self) -> Option<RemoteId> {
        RemoteId::new(((self.0 >> Self::BORN) as u32).checked_sub(1)?)
    }

    /// The number of flushes before the group was made.
    pub(crate) fn born(self) -> u64 {
        self.0 & ((1 << Self::BORN) - 1)
    }
}

/// One group.
#[derive(Default)]
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C)]
struct Group {
    head: AtomicU64,
    /// Rows that name it; only under the lock of their segment.
    rows: AtomicU32,
}

/// The flushes of a remote and who still names it.
#[derive(Default)]
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[repr(C)]
struct RemoteUse {
    flushed: [AtomicU64; 2],
    groups: AtomicU32,
}

/// Numbers of groups that may be given out.
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
}

/// All groups of a table, and what is known of its remotes.
pub(crate) struct Groups {
    by_number: Extents<Group, { if SMALL { 8 } else { 1024 } }>,
    remotes: Extents<RemoteUse, { if SMALL { 8 } else { 64 } }>,
    numbers: Mutex<Numbers>,
    /// Flushes so far. A group is born with this number and outlived by a flush with a larger one.
    flushes: AtomicU64,
    /// The last flush of a remote whose rows are not all swept yet; 0 for none.
    remote_flush: AtomicU64,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            by_number: Extents::default(),
            remotes: Extents::default(),
            numbers: Mutex::new(Numbers::default()),
            flushes: AtomicU64::new(0),
            remote_flush: AtomicU64::new(0),
        }
    }
}

impl Groups {
    /// The largest number of groups: as many as a row can name.
    const MAX: u32 = 1 << 24;

    /// What a group says. A number that was never given out is that of a dead group.
    #[inline]
    pub(crate) fn head(&self, group: u32) -> Head {
        self.by_number.get(group as usize).map_or(Head::DEAD, |group| Head(group.head.load(Ordering::Acquire)))
    }

    /// The number of rows of a group.
    pub(crate) fn rows(&self, group: u32) -> u32 {
        self.by_number.get(group as usize).map_or(0, |group| group.rows.load(Ordering::Relaxed))
    }

    /// One row more.
    pub(crate) fn add_row(&self, group: u32) {
        if let Some(group) = self.by_number.get(group as usize) {
            group.rows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One row less. `true` where it was the last one.
    pub(crate) fn remove_row(&self, group: u32) -> bool {
        self.by_number.get(group as usize).is_some_and(|group| group.rows.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    /// A new group without rows. `None` where all numbers are taken.
    pub(crate) fn make(&self, remote: RemoteId) -> Option<u32> {
        let mut numbers = self.numbers.lock();
        let number = numbers.free.pop().or_else(|| {
            let next = numbers.next;
            (next < Self::MAX).then(|| numbers.next += 1).map(|()| next)
        })?;
        drop(numbers);
        let group = self.by_number.get_or_grow(number as usize, extents::zeros)?;
        let in_use = self.remotes.get_or_grow(remote.get() as usize, extents::zeros)?;
        in_use.groups.fetch_add(1, Ordering::AcqRel);
        group.rows.store(0, Ordering::Relaxed);
        group.head.store(Head::new(remote, self.flushes()).0, Ordering::Release);
        Some(number)
    }

    /// Ends a group: none of its rows is found any more.
    pub(crate) fn end(&self, group: u32) {
        let Some(record) = self.by_number.get(group as usize) else { return };
        if let Some(remote) = Head(record.head.swap(Head::DEAD.0, Ordering::AcqRel)).remote()
            && let Some(in_use) = self.remotes.get(remote.get() as usize)
        {
            in_use.groups.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Takes the number of a group back that was ended and has no row.
    pub(crate) fn free(&self, group: u32) {
        self.numbers.lock().free.push(group);
    }

    /// `true` where rows lead to this remote, among them such as a flush took and nobody settled yet.
    pub(crate) fn in_use(&self, remote: RemoteId) -> bool {
        self.remotes.get(remote.get() as usize).is_some_and(|remote| remote.groups.load(Ordering::Acquire) != 0)
    }

    /// The number of flushes so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Makes a flush: `mark` writes its number where the flushed rows find it. A segment that settles later than that,
    /// and only such a one, sees that there is one more.
    pub(crate) fn flush(&self, mark: impl FnOnce(u64)) {
        mark(self.flushes() + 1);
        self.flushes.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends all groups of a remote, or its learned ones, that were born before this flush.
    pub(crate) fn flush_remote(&self, remote: RemoteId, learned_only: bool) {
        let Some(record) = self.remotes.get(remote.get() as usize) else { return };
        self.flush(|number| {
            record.flushed[usize::from(!learned_only)].fetch_max(number, Ordering::AcqRel);
        });
        // Readers look for it from now on, until all segments that settle from now on have settled.
        self.remote_flush.fetch_max(self.flushes(), Ordering::AcqRel);
    }

    /// `true` where a flush of its remote came after a group was born. For readers: what was settled, they don't look
    /// for.
    #[inline]
    pub(crate) fn remote_flushed(&self, head: Head, kind: Kind) -> bool {
        self.remote_flush.load(Ordering::Acquire) != 0 && self.remote_outlived(head, kind)
    }

    /// `true` where a flush of its remote came after a group was born.
    pub(crate) fn remote_outlived(&self, head: Head, kind: Kind) -> bool {
        let Some(remote) = head.remote().and_then(|remote| self.remotes.get(remote.get() as usize)) else {
            return false;
        };
        let [learned, all] = &remote.flushed;
        all.load(Ordering::Acquire) > head.born()
            || kind == Kind::Learned && learned.load(Ordering::Acquire) > head.born()
    }

    /// The flush of a remote that still has to be looked for; 0 for none.
    pub(crate) fn pending(&self) -> u64 {
        self.remote_flush.load(Ordering::Acquire)
    }

    /// No segment has rows any more that a flush of a remote up to `number` took.
    pub(crate) fn settled(&self, number: u64) {
        if number != 0 {
            let _ = self.remote_flush.compare_exchange(number, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_of_a_group() {
        let groups = Groups::default();
        let remote = RemoteId::MAX;
        let number = groups.make(remote).unwrap();
        assert_eq!(groups.head(number).remote(), Some(remote));
        assert!(groups.in_use(remote));
        groups.add_row(number);
        groups.add_row(number);
        assert!(!groups.remove_row(number) && groups.remove_row(number));
        groups.end(number);
        groups.end(number);
        assert!(!groups.in_use(remote));
        assert_eq!(groups.head(number).remote(), None);
        groups.free(number);
        assert_eq!(groups.make(RemoteId::new(0).unwrap()), Some(number));
        assert_eq!(groups.head(99).remote(), None);
    }

    #[test]
    fn a_flush_takes_what_was_born_before() {
        let groups = Groups::default();
        let remote = RemoteId::new(5).unwrap();
        let before = groups.head(groups.make(remote).unwrap());
        groups.flush_remote(remote, true);
        let after = groups.head(groups.make(remote).unwrap());
        assert!(groups.remote_flushed(before, Kind::Learned) && !groups.remote_flushed(before, Kind::Owned));
        assert!(!groups.remote_flushed(after, Kind::Learned));
        groups.flush_remote(remote, false);
        assert!(groups.remote_flushed(after, Kind::Learned) && groups.remote_flushed(after, Kind::Owned));
        groups.settled(1);
        assert_eq!(groups.pending(), 2);
        groups.settled(2);
        assert_eq!(groups.pending(), 0);
    }
}
