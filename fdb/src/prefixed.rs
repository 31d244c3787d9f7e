//! An array with a beginning that is there at once, which grows by chunks without moving what it holds.

use alloc::boxed::Box;

use spin::Once;

/// A chunk, where there is one.
type Chunk<T> = Once<Box<[T]>>;

/// A beginning of a length that is chosen when the array is made, and up to `COUNT` chunks of `LENGTH` elements. None
/// moves and none goes before the array does, so that readers need neither a lock nor a count of who still looks. What
/// is in the beginning costs a reader no more than in a plain array.
pub(crate) struct Prefixed<T, const LENGTH: usize, const COUNT: usize> {
    beginning: Box<[T]>,
    chunks: Once<Box<[Chunk<T>]>>,
}

impl<T, const LENGTH: usize, const COUNT: usize> Prefixed<T, LENGTH, COUNT> {
    pub(crate) fn new(beginning: Box<[T]>) -> Self {
        Self { beginning, chunks: Once::new() }
    }

    /// The element, where it is in the beginning.
    #[inline]
    pub(crate) fn in_beginning(&self, index: u32) -> Option<&T> {
        self.beginning.get(index as usize)
    }

    /// The element, where its chunk exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.in_beginning(index).or_else(|| self.in_chunk(index))
    }

    fn in_chunk(&self, index: u32) -> Option<&T> {
        let (chunk, offset) = self.place(index)?;
        self.chunks.get()?.get(chunk)?.get()?.get(offset)
    }

    /// The chunk of an element beyond the beginning, and its place there.
    fn place(&self, index: u32) -> Option<(usize, usize)> {
        let beyond = (index as usize).checked_sub(self.beginning.len())?;
        Some((beyond / LENGTH, beyond % LENGTH))
    }

    /// The element, in a chunk made by `make` of its length where there is none. `None` beyond the last chunk.
    pub(crate) fn get_or_grow(&self, index: u32, make: impl FnOnce(usize) -> Box<[T]>) -> Option<&T> {
        self.in_beginning(index).or_else(|| {
            let (chunk, offset) = self.place(index)?;
            let chunks = self.chunks.call_once(|| (0..COUNT).map(|_| Once::new()).collect());
            chunks.get(chunk)?.call_once(|| make(LENGTH)).get(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extents::defaults;

    #[test]
    fn grows_on_demand_and_ends() {
        let array = Prefixed::<u32, 8, 4>::new(Box::new([5, 6, 7]));
        assert_eq!((array.get(0), array.in_beginning(2), array.get(3)), (Some(&5), Some(&7), None));
        let numbers = |length| (0..length as u32).collect();
        assert_eq!(array.get_or_grow(2, numbers), Some(&7));
        assert_eq!(array.get_or_grow(12, numbers), Some(&1));
        assert_eq!((array.get(11), array.get(18), array.in_beginning(12)), (Some(&0), Some(&7), None));
        assert!(core::ptr::eq(array.get(12).unwrap(), array.get_or_grow(12, numbers).unwrap()));
        assert_eq!((array.get(10), array.get(19)), (None, None));
        assert_eq!(array.get_or_grow(34, numbers), Some(&7));
        assert_eq!(array.get_or_grow(35, numbers), None);
        assert_eq!((array.get(35), array.get(u32::MAX)), (None, None));
        // What is made may be too short.
        assert_eq!(array.get_or_grow(26, |_| defaults(7)), None);
    }
}
