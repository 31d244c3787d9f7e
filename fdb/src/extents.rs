//! An array that grows without moving what it holds.

use alloc::boxed::Box;

use spin::Once;

/// Arrays begin small in the tests that explore schedules: each of these makes its tables anew.
pub(crate) const SMALL: bool = cfg!(any(loom, shuttle));

/// The number of doublings: an array of `BASE << (EXTENTS - 1)` elements at most.
const EXTENTS: usize = 24;

/// Extents of `BASE`, `BASE`, `2 BASE`, `4 BASE` … elements. None moves and none goes before the array does, so that
/// readers need neither a lock nor a count of who still looks.
pub(crate) struct Extents<T, const BASE: usize> {
    extents: [Once<Box<[T]>>; EXTENTS],
}

impl<T, const BASE: usize> Default for Extents<T, BASE> {
    fn default() -> Self {
        Self { extents: [const { Once::new() }; EXTENTS] }
    }
}

impl<T, const BASE: usize> Extents<T, BASE> {
    /// The extent of an element, and its place there.
    fn place(index: usize) -> (usize, usize) {
        const { assert!(BASE.is_power_of_two()) };
        let extent = (usize::BITS - (index / BASE).leading_zeros()) as usize;
        let start = if extent == 0 { 0 } else { BASE << (extent - 1) };
        (extent, index - start)
    }

    /// The element, where its extent exists.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        // Most arrays never grow beyond their first extent.
        if index < BASE { self.extents[0].get()?.get(index) } else { self.get_beyond(index) }
    }

    #[cold]
    #[inline(never)]
    fn get_beyond(&self, index: usize) -> Option<&T> {
        let (extent, offset) = Self::place(index);
        self.extents.get(extent)?.get()?.get(offset)
    }

    /// The element, with an extent made by `make` of a length where there is none. `None` beyond the last extent.
    pub(crate) fn get_or_grow(&self, index: usize, make: impl FnOnce(usize) -> Box<[T]>) -> Option<&T> {
        let (extent, offset) = Self::place(index);
        let length = if extent == 0 { BASE } else { BASE << (extent - 1) };
        self.extents.get(extent)?.call_once(|| make(length)).get(offset)
    }
}

/// `length` elements, each the default one.
pub(crate) fn defaults<T: Default>(length: usize) -> Box<[T]> {
    (0..length).map(|_| T::default()).collect()
}

/// `length` elements of zeros: those of the tests that explore schedules are no plain memory.
#[cfg(any(loom, shuttle))]
pub(crate) fn zeros<T: Default>(length: usize) -> Box<[T]> {
    defaults(length)
}

/// `length` elements of zeros, of pages that the system gives at their first use where it can.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn zeros<T: Default + zerocopy::FromZeros>(length: usize) -> Box<[T]>
where
    [T]: zerocopy::FromZeros + zerocopy::KnownLayout<PointerMetadata = usize>,
{
    use zerocopy::FromZeros as _;
    <[T]>::new_box_zeroed_with_elems(length).unwrap_or_else(|_| defaults(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..4096 {
            assert_eq!(Extents::<u8, 8>::place(index), expected);
            let length = if expected.0 == 0 { 8 } else { 8 << (expected.0 - 1) };
            expected = if expected.1 + 1 == length { (expected.0 + 1, 0) } else { (expected.0, expected.1 + 1) };
        }
    }

    #[test]
    fn grows_on_demand_and_ends() {
        let array = Extents::<u32, 8>::default();
        assert_eq!(array.get(0), None);
        assert_eq!(array.get_or_grow(9, defaults), Some(&0));
        assert_eq!(array.get(8), Some(&0));
        assert_eq!(array.get(7), None);
        assert_eq!(array.get(16), None);
        let max = 8 << (EXTENTS - 1);
        assert_eq!(array.get(max - 1), None);
        assert_eq!(array.get(max), None);
        assert_eq!(array.get_or_grow(max, defaults), None);
        assert_eq!(array.get(usize::MAX), None);
    }
}
