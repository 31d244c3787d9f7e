//! The memory of the buckets: it grows, and nothing of it moves.

use alloc::boxed::Box;
use core::hint::select_unpredictable;

use spin::Once;

use crate::{
    extents,
    slot::{Bucket, Slot, WIDTH},
};

/// How often what there is can be doubled: to 2²⁷ rows at least.
const DOUBLINGS: usize = 23;

/// How many buckets there are, and as many ones as it takes bits to number them: `buckets(32) mask(32)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout(u64);

impl Layout {
    pub(crate) fn new(buckets: u32) -> Self {
        let mask = u32::MAX.checked_shr((buckets - 1).leading_zeros()).unwrap_or(0);
        Self(u64::from(buckets) << 32 | u64::from(mask))
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn buckets(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The bucket of the low 32 bits of a hash.
    #[inline]
    pub(crate) fn address(self, hash: u64) -> u32 {
        let mask = self.0 as u32;
        let (wide, narrow) = (hash as u32 & mask, hash as u32 & mask >> 1);
        select_unpredictable(wide < self.buckets(), wide, narrow)
    }

    /// The first and the second bucket of a hash.
    pub(crate) fn addresses(self, hash: u64) -> [u32; 2] {
        [self.address(hash), self.address(hash >> 32)]
    }
}

/// Buckets in one piece of memory, that is zero at first; the system gives it page by page as it is used.
struct Array {
    slots: Box<[Slot]>,
    /// Slots before the first one that begins a cache line. (An allocation of such an alignment would be cleared as a
    /// whole.)
    skip: u32,
}

impl Array {
    fn new(buckets: usize) -> Self {
        let slots: Box<[Slot]> = extents::zeros(buckets * WIDTH + WIDTH - 1);
        let line = WIDTH * size_of::<Slot>();
        let skip = ((line - slots.as_ptr().addr() % line) / size_of::<Slot>() % WIDTH) as u32;
        Self { slots, skip }
    }

    /// How many buckets there are.
    #[inline]
    fn len(&self) -> u32 {
        (self.slots.len() / WIDTH) as u32
    }

    #[inline]
    fn get(&self, bucket: u32) -> Option<Bucket<'_>> {
        bucket_of(&self.slots, self.skip, bucket)
    }
}

#[inline]
fn bucket_of(slots: &[Slot], skip: u32, bucket: u32) -> Option<Bucket<'_>> {
    // What is left behind the last bucket is shorter than one.
    let start = bucket as usize * WIDTH + skip as usize;
    let slots = slots.get(start..start + WIDTH)?.first_chunk()?;
    Some(Bucket { slots })
}

/// The first array, and the layout as it was at a moment.
#[derive(Clone, Copy)]
pub(crate) struct AtHand<'a> {
    layout: Layout,
    slots: &'a [Slot],
    skip: u32,
}

impl<'a> AtHand<'a> {
    /// The first bucket of a hash, where it is in the first array.
    #[inline]
    pub(crate) fn get(self, hash: u64) -> Option<Bucket<'a>> {
        bucket_of(self.slots, self.skip, self.layout.address(hash))
    }
}

/// The buckets: a first array, of a length that is chosen when the first row comes, and arrays that double what there
/// is. None goes before the table does.
#[derive(Default)]
pub(crate) struct Buckets {
    first: Once<Array>,
    more: Once<Box<[Once<Array>; DOUBLINGS]>>,
}

impl Buckets {
    #[inline]
    pub(crate) fn get(&self, bucket: u32) -> Option<Bucket<'_>> {
        self.first.get()?.get(bucket).or_else(|| self.beyond_first(bucket))
    }

    /// The first array: for most tables that is all there is.
    #[inline]
    pub(crate) fn at_hand(&self, layout: Layout) -> Option<AtHand<'_>> {
        let first = self.first.get()?;
        Some(AtHand { layout, slots: &first.slots, skip: first.skip })
    }

    fn beyond_first(&self, bucket: u32) -> Option<Bucket<'_>> {
        let first = self.first.get()?.len();
        let (doubling, offset) = Self::place(bucket, first)?;
        self.more.get()?.get(doubling)?.get()?.get(offset)
    }

    /// Where a bucket is that is beyond the first array.
    fn place(bucket: u32, first: u32) -> Option<(usize, u32)> {
        let doubling = bucket.checked_div(first)?.checked_ilog2()?;
        Some((doubling as usize, bucket - (first << doubling)))
    }

    /// The bucket, in an array made for it where there is none. `None` beyond the last.
    pub(crate) fn get_or_grow(&self, bucket: u32, first: usize) -> Option<Bucket<'_>> {
        let first = self.first.call_once(|| Array::new(first));
        first.get(bucket).or_else(|| {
            let (doubling, offset) = Self::place(bucket, first.len())?;
            let more = self.more.call_once(|| Box::new([const { Once::new() }; DOUBLINGS]));
            more.get(doubling)?.call_once(|| Array::new((first.len() as usize) << doubling)).get(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn addresses_are_those_of_linear_hashing() {
        for buckets in 8..2000u32 {
            let mut hit = alloc::vec![false; buckets as usize];
            for hash in 0..4096u64 {
                let before = Layout::new(buckets).address(hash);
                hit[before as usize] = true;
                // One more bucket takes from one bucket only.
                let after = Layout::new(buckets + 1).address(hash);
                let source = buckets - (1 << buckets.ilog2());
                assert!(after == before || before == source && after == buckets);
            }
            assert!(hit.iter().all(|&hit| hit));
        }
    }

    #[test]
    fn layout_holds_its_fields() {
        for (buckets, mask) in [(1, 0), (2, 1), (3, 3), (8, 7), (9, 15), (u32::MAX, u32::MAX)] {
            let layout = Layout::new(buckets);
            assert_eq!((layout.buckets(), layout.0 as u32), (buckets, mask));
        }
    }

    #[test]
    fn each_bucket_has_a_place_of_its_own() {
        for first in [8, 21, 64] {
            let mut places = BTreeSet::new();
            for bucket in first..first * 64 {
                let (doubling, offset) = Buckets::place(bucket, first).unwrap();
                assert!(offset < first << doubling && places.insert((doubling, offset)));
            }
        }
        assert_eq!(Buckets::place(0, 8), None);
    }

    #[test]
    fn grows_on_demand_and_is_aligned() {
        let buckets = Buckets::default();
        assert!(buckets.get(0).is_none());
        for bucket in [20, 7, 8, 15, 16, 63] {
            let made = buckets.get_or_grow(bucket, 8).unwrap().slots;
            assert!(core::ptr::eq(made, buckets.get(bucket).unwrap().slots));
            let at_hand = buckets.at_hand(Layout::new(1 << 10)).unwrap().get(u64::from(bucket));
            assert_eq!(at_hand.is_some(), bucket < 8);
            assert_eq!(made.as_ptr().addr() % 64, 0);
        }
        assert!(buckets.get(64).is_none());
    }
}
