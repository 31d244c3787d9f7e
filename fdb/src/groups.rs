//! Groups of rows: those of one segment that lead to one destination and have one state.
//!
//! A row names its group, and the group says where to and why. So a group is what a flush takes at once: rows whose group was made
//! before the flush are gone from the moment of the flush on, and are swept later.

use alloc::vec::Vec;

use crate::{
    extents::{self, Extents, SMALL},
    prefixed::Prefixed,
    remote::RemoteId,
    row::{Forward, RowState},
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
};

/// What a group says to readers: `born(36) forward(28)`, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(crate) struct Head(u64);

impl Head {
    /// Of a group whose rows are gone, or that never was: born before any flush.
    const DEAD: Self = Self(0);

    fn new(forward: Forward, born: u64) -> Self {
        Self(born << Forward::BITS | u64::from(forward.to_bits()))
    }

    /// The smallest head that was born with this flush or later.
    pub(crate) fn since(flush: u64) -> Self {
        Self(flush << Forward::BITS)
    }

    /// `true` for a group whose rows are not gone, as far as the group itself knows.
    pub(crate) fn is_alive(self) -> bool {
        self.born() != 0
    }

    /// What the rows of a group say that is alive.
    #[inline]
    pub(crate) fn forward(self) -> Forward {
        Forward::from_bits(self.0 as u32)
    }

    /// The number of the flush before the group was made; 0 for a dead one.
    pub(crate) fn born(self) -> u64 {
        self.0 >> Forward::BITS
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The last flush of learned rows, and of those of configuration and registry: what was born before is gone.
#[cfg_attr(not(any(loom, shuttle)), derive(zerocopy::FromZeros, zerocopy::KnownLayout))]
#[derive(Default)]
#[repr(C)]
pub(crate) struct Flushed {
    learned: AtomicU64,
    owned: AtomicU64,
}

impl Flushed {
    pub(crate) fn mark(&self, flush: u64, learned_only: bool) {
        self.learned.store(flush, Ordering::Release);
        if !learned_only {
            self.owned.store(flush, Ordering::Release);
        }
    }

    /// `true` for a group that was born before the flush of its kind.
    pub(crate) fn took(&self, head: Head) -> bool {
        let flushed = if head.forward().state() == RowState::Learned { &self.learned } else { &self.owned };
        flushed.load(Ordering::Acquire) > head.born()
    }
}

/// Groups that a lookup finds at a glance; the system gives memory for them as they are used.
const AT_HAND: usize = if SMALL { 4 } else { 1 << 14 };

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
    flushed: Flushed,
    groups: AtomicU32,
}

/// Numbers of groups that may be given out.
#[derive(Default)]
struct Numbers {
    /// The largest one given out so far.
    given: u32,
    free: Vec<u32>,
}

/// All groups of a table, and what is known of its remotes.
pub(crate) struct Groups {
    by_number: Prefixed<Group, { if SMALL { 8 } else { 1 << 16 } }, 256>,
    remotes: Extents<RemoteUse, { if SMALL { 8 } else { 64 } }>,
    numbers: Mutex<Numbers>,
    /// The number of the last flush, [`FIRST`](Self::FIRST) before there was one. A group is born with this number and
    /// outlived by a flush with a larger one.
    flushes: AtomicU64,
    /// The last flush of a remote whose rows are not all swept yet; 0 for none.
    remote_flush: AtomicU64,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            by_number: Prefixed::new(extents::zeros(AT_HAND)),
            remotes: Extents::default(),
            numbers: Mutex::new(Numbers::default()),
            flushes: AtomicU64::new(Self::FIRST),
            remote_flush: AtomicU64::new(0),
        }
    }
}

impl Groups {
    /// Group numbers are smaller than this: as many as a row can name.
    const MAX: u32 = 1 << 24;
    /// What flushes are numbered after: whoever is alive was born with this at least.
    pub(crate) const FIRST: u64 = 1;

    /// What a group says. A number that was never given out is that of a dead group.
    #[inline]
    pub(crate) fn head(&self, group: u32) -> Head {
        self.by_number.get(group).map_or(Head::DEAD, |group| Head(group.head.load(Ordering::Acquire)))
    }

    /// What a group says, where it is one of those at hand.
    #[inline]
    pub(crate) fn at_hand(&self, group: u32) -> Option<Head> {
        Some(Head(self.by_number.in_beginning(group)?.head.load(Ordering::Acquire)))
    }

    /// The number of rows of a group.
    pub(crate) fn rows(&self, group: u32) -> u32 {
        self.by_number.get(group).map_or(0, |group| group.rows.load(Ordering::Relaxed))
    }

    /// One row more. Under the lock of its segment, as all that counts rows.
    pub(crate) fn add_row(&self, group: u32) {
        if let Some(group) = self.by_number.get(group) {
            group.rows.store(group.rows.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// One row less. `true` where it was the last one.
    pub(crate) fn remove_row(&self, group: u32) -> bool {
        let Some(group) = self.by_number.get(group) else { return false };
        let rows = group.rows.load(Ordering::Relaxed);
        group.rows.store(rows.saturating_sub(1), Ordering::Relaxed);
        rows == 1
    }

    /// A new group without rows; 0 is the number of none. `None` where all numbers are taken.
    pub(crate) fn make(&self, forward: Forward) -> Option<u32> {
        let mut numbers = self.numbers.lock();
        let number = numbers.free.pop().or_else(|| {
            let next = numbers.given + 1;
            (next < Self::MAX).then(|| numbers.given = next).map(|()| next)
        })?;
        drop(numbers);
        let group = self.by_number.get_or_grow(number, extents::zeros)?;
        if let Some(remote) = forward.remote() {
            let in_use = self.remotes.get_or_grow(remote.get() as usize, extents::zeros)?;
            in_use.groups.fetch_add(1, Ordering::AcqRel);
        }
        group.rows.store(0, Ordering::Relaxed);
        group.head.store(Head::new(forward, self.flushes()).0, Ordering::Release);
        Some(number)
    }

    /// Ends a group: none of its rows is found any more.
    pub(crate) fn end(&self, group: u32) {
        let Some(record) = self.by_number.get(group) else { return };
        let head = Head(record.head.swap(Head::DEAD.0, Ordering::AcqRel));
        if head.is_alive()
            && let Some(remote) = head.forward().remote()
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

    /// The number of the last flush.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Makes a flush: `mark` writes its number where the flushed rows find it. A segment that settles later than that,
    /// and only such a one, sees that there is one more.
    pub(crate) fn flush(&self, mark: impl FnOnce(u64)) {
        // One after the other, so that each has a number of its own.
        let _one = self.numbers.lock();
        let number = self.flushes() + 1;
        mark(number);
        self.flushes.store(number, Ordering::Release);
    }

    /// Ends all groups of a remote, or its learned ones, that were born before this flush.
    pub(crate) fn flush_remote(&self, remote: RemoteId, learned_only: bool) {
        let Some(record) = self.remotes.get(remote.get() as usize) else { return };
        self.flush(|number| {
            record.flushed.mark(number, learned_only);
            // Readers look for it from now on, until all segments that settle from now on have settled.
            self.remote_flush.store(number, Ordering::Release);
        });
    }

    /// Says of a group that outlived this flush that it did, as if it were born then. Under the lock of its segment.
    pub(crate) fn renew(&self, group: u32, head: Head, flush: u64) {
        if let Some(group) = self.by_number.get(group) {
            group.head.store(Head::new(head.forward(), flush).0, Ordering::Release);
        }
    }

    /// `true` where a flush of its remote came after a group was born. For readers: what was settled, they don't look
    /// for.
    #[inline]
    pub(crate) fn remote_flushed(&self, head: Head) -> bool {
        self.pending() != 0 && self.remote_outlived(head)
    }

    /// `true` where a flush of its remote came after a group was born.
    pub(crate) fn remote_outlived(&self, head: Head) -> bool {
        let remote = head.forward().remote().and_then(|remote| self.remotes.get(remote.get() as usize));
        remote.is_some_and(|remote| remote.flushed.took(head))
    }

    /// The flush of a remote that still has to be looked for; 0 for none.
    #[inline]
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
    use crate::Destination;

    fn learned(remote: u32) -> Forward {
        Forward::new(RemoteId::new(remote).unwrap().into(), RowState::Learned)
    }

    #[test]
    fn life_of_a_group() {
        let groups = Groups::default();
        let remote = RemoteId::MAX;
        let forward = Forward::new(remote.into(), RowState::Registry);
        let number = groups.make(forward).unwrap();
        assert_eq!((number, groups.head(number).forward()), (1, forward));
        assert_eq!(groups.at_hand(number), Some(groups.head(number)));
        assert!(groups.in_use(remote));
        groups.add_row(number);
        groups.add_row(number);
        assert!(!groups.remove_row(number) && groups.remove_row(number));
        groups.end(number);
        groups.end(number);
        assert!(!groups.in_use(remote));
        assert!(!groups.head(number).is_alive());
        groups.free(number);
        assert_eq!(groups.make(learned(0)), Some(number));
        assert!(!groups.head(99).is_alive() && !groups.head(0).is_alive());
        let nowhere = groups.make(Forward::new(Destination::BLACKHOLE, RowState::Static)).unwrap();
        assert_eq!(groups.head(nowhere).forward().to(), Destination::BLACKHOLE);
        groups.end(nowhere);
        assert!(!groups.head(nowhere).is_alive());
    }

    #[test]
    fn a_flush_takes_what_was_born_before() {
        let groups = Groups::default();
        let remote = RemoteId::new(5).unwrap();
        let owned = groups.head(groups.make(Forward::new(remote.into(), RowState::Static)).unwrap());
        let before = groups.head(groups.make(learned(5)).unwrap());
        groups.flush_remote(remote, true);
        let number = groups.make(learned(5)).unwrap();
        let after = groups.head(number);
        assert!(groups.remote_flushed(before) && !groups.remote_flushed(owned));
        assert!(!groups.remote_flushed(after));
        assert!(before < Head::since(groups.flushes()) && after >= Head::since(groups.flushes()));
        groups.flush_remote(remote, false);
        assert!(groups.remote_flushed(after) && groups.remote_flushed(owned));
        groups.renew(number, after, groups.flushes());
        assert!(!groups.remote_flushed(groups.head(number)));
        assert_eq!(groups.head(number).forward(), after.forward());
        groups.settled(Groups::FIRST + 1);
        assert_eq!(groups.pending(), Groups::FIRST + 2);
        groups.settled(Groups::FIRST + 2);
        assert_eq!(groups.pending(), 0);
    }
}
