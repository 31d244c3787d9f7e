//! Addresses as a list of ranges.

use alloc::vec::Vec;

use crate::{block::Family, range::AddressRange};

/// Ranges of addresses, first and last included: in order, none next to another or over it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.0.iter().copied()
    }

    /// As ranges of addresses.
    pub(crate) fn addresses(&self, family: Family) -> impl Iterator<Item = AddressRange> {
        self.iter().map(move |(first, last)| AddressRange::of_numbers(family, first, last))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all from `first` to `last` is in it.
    pub(crate) fn contains(&self, first: u128, last: u128) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < first);
        self.0.get(at).is_some_and(|&(start, end)| start <= first && last <= end)
    }

    /// What of it is from `first` to `last`.
    pub(crate) fn within(&self, first: u128, last: u128) -> impl Iterator<Item = (u128, u128)> {
        let at = self.0.partition_point(|&(_, end)| end < first);
        let overlapping = self.0[at..].iter().take_while(move |&&(start, _)| start <= last);
        overlapping.map(move |&(start, end)| (start.max(first), end.min(last)))
    }

    pub(crate) fn insert(&mut self, first: u128, last: u128) {
        // Those next to it are made one with it, too.
        let start = self.0.partition_point(|&(_, end)| end.checked_add(1).is_some_and(|next| next < first));
        let end = self.0.partition_point(|&(start, _)| start.checked_sub(1).is_none_or(|before| before <= last));
        let old = &self.0[start..end];
        let first = old.first().map_or(first, |&(start, _)| start.min(first));
        let last = old.last().map_or(last, |&(_, end)| end.max(last));
        self.0.splice(start..end, [(first, last)]);
    }

    pub(crate) fn remove(&mut self, first: u128, last: u128) {
        let start = self.0.partition_point(|&(_, end)| end < first);
        let end = self.0.partition_point(|&(start, _)| start <= last);
        if start >= end {
            return;
        }
        let before = Some(self.0[start].0).filter(|&start| start < first).map(|start| (start, first - 1));
        let after = Some(self.0[end - 1].1).filter(|&end| end > last).map(|end| (last + 1, end));
        self.0.splice(start..end, before.into_iter().chain(after));
    }

    /// What of it is not in `other`.
    #[must_use]
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for (first, last) in other.iter() {
            self.remove(first, last);
        }
        self
    }

    /// What of it is from `first` to `last`, as ranges of their own.
    #[must_use]
    pub(crate) fn cut(&self, first: u128, last: u128) -> Self {
        Self(self.within(first, last).collect())
    }
}

impl FromIterator<(u128, u128)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u128, u128)>>(ranges: I) -> Self {
        let mut all = Self::default();
        for (first, last) in ranges {
            all.insert(first, last);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// Numbers at both ends of the space: 0 to 7 and the last eight.
    fn number(small: u8) -> u128 {
        if small < 8 { u128::from(small) } else { u128::MAX - u128::from(15 - small) }
    }

    proptest! {
        #[test]
        fn as_a_set_of_numbers(steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0..8_u8, 0..8_u8), 0..40)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (insert, high, a, b) in steps {
                // Not over the gap in the middle, which the set can't have.
                let half = if high { 8 } else { 0 };
                let (first, last) = (half + a.min(b), half + a.max(b));
                if insert {
                    ranges.insert(number(first), number(last));
                    set.extend(first..=last);
                } else {
                    ranges.remove(number(first), number(last));
                    set.retain(|&number| number < first || number > last);
                }
                for small in 0..16 {
                    prop_assert_eq!(ranges.contains(number(small), number(small)), set.contains(&small));
                }
                let apart = ranges.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                prop_assert!(apart && ranges.iter().all(|(first, last)| first <= last), "{:?}", ranges);
                let within: Vec<_> = ranges.within(number(2), number(5)).collect();
                let expected: u128 = set.range(2..=5).count() as u128;
                prop_assert_eq!(within.iter().map(|(first, last)| last - first + 1).sum::<u128>(), expected);
            }
        }
    }
}
