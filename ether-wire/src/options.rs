//! The options behind an IPv4 header (RFC 791 §3.1) and behind a TCP header (RFC 9293 §3.1): a kind, a length that covers
//! both, and data; or a kind alone.

use crate::DecodeError;

/// The kind that ends the options.
const END: u8 = 0;
/// The kind that fills, one byte long.
const NO_OPERATION: u8 = 1;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KindLengthOption<'a> {
    /// What it is: a number of IPv4 or of TCP.
    pub kind: u8,
    /// What stands behind kind and length, at most 38 bytes.
    pub data: &'a [u8],
}

/// Walks over the options of an IPv4 or TCP header.
///
/// No-operation is left out, end-of-list ends the walk. An option whose length is wrong is answered with an error, and
/// the walk is over.
///
/// ```
/// use ether_wire::options::Options;
///
/// // Two no-operations and TCP's timestamps.
/// let bytes = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
/// let timestamps = Options::new(&bytes).find_map(|option| option.ok().filter(|option| option.kind == 8)).unwrap();
/// assert_eq!(timestamps.data, [0, 0, 0, 1, 0, 0, 0, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// A walk over this area of options.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<KindLengthOption<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&kind, behind) = self.rest.split_first()?;
            match kind {
                END => {
                    self.rest = &[];
                    return None;
                }
                NO_OPERATION => self.rest = behind,
                _ => {
                    let available = self.rest.len();
                    let length = behind.first().map_or(0, |length| usize::from(*length));
                    let option = self.rest.get(2..length).map(|data| KindLengthOption { kind, data });
                    self.rest = if option.is_some() { self.rest.get(length..).unwrap_or_default() } else { &[] };
                    return Some(option.ok_or(DecodeError::OptionLength { kind, length, available }));
                }
            }
        }
    }
}

impl core::iter::FusedIterator for Options<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    proptest! {
        #[test]
        fn every_walk_ends(bytes in prop::collection::vec(any::<u8>(), 0..44)) {
            let options: Vec<_> = Options::new(&bytes).collect();
            prop_assert!(options.len() <= bytes.len());
            let data: usize = options.iter().flatten().map(|option| option.data.len() + 2).sum();
            prop_assert!(data <= bytes.len());
        }

        #[test]
        fn written_is_read(written in prop::collection::vec((2_u8.., prop::collection::vec(any::<u8>(), 0..38)), 0..8)) {
            let mut bytes = Vec::new();
            for (kind, data) in &written {
                bytes.extend([1, *kind, data.len() as u8 + 2]);
                bytes.extend(data);
            }
            bytes.extend([0, 7, 7]);
            let read: Vec<_> = Options::new(&bytes).map(|option| option.map(|option| (option.kind, option.data.to_vec()))).collect();
            prop_assert_eq!(read, written.into_iter().map(Ok).collect::<Vec<_>>());
        }
    }

    #[test]
    fn wrong_lengths_are_named() {
        for (bytes, length) in [(&[7][..], 0), (&[7, 0], 0), (&[7, 1, 0], 1), (&[7, 4, 0], 4), (&[7, 255, 0, 0], 255)] {
            let mut options = Options::new(bytes);
            let expected = DecodeError::OptionLength { kind: 7, length, available: bytes.len() };
            assert_eq!(options.next(), Some(Err(expected)));
            assert_eq!(options.next(), None);
        }
    }
}
