//! The Internet checksum: RFC 1071, its pseudo-headers, and its updates by RFC 1624.
//!
//! ```
//! use ether_wire::checksum::{Sum, checksum, update};
//!
//! // The example of RFC 1071 §3.
//! let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
//! assert_eq!(checksum(&bytes), !0xddf2);
//! // In pieces of any length it is the same.
//! assert_eq!(Sum::ZERO.add_bytes(&bytes[..3]).add_bytes(&bytes[3..]).checksum(), !0xddf2);
//! // One word changed: no need to read the others.
//! assert_eq!(update(!0xddf2, 0xf203, 0x1234), checksum(&[0x00, 0x01, 0x12, 0x34, 0xf4, 0xf5, 0xf6, 0xf7]));
//! ```

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::IpProtocol;

/// Bytes that one turn of the loop takes: enough for four vectors of 16 bytes.
const STRIDE: usize = 64;

/// A one's complement sum of 16-bit words that still grows (RFC 1071 §1).
///
/// Pieces may have any length: a piece that begins at an odd offset of the whole is summed with its bytes swapped
/// (RFC 1071 §2 (B)).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Sum {
    /// Of words in the order of the network; 2⁴⁸ of them fit.
    words: u64,
    /// The next byte is the low one of a word.
    odd: bool,
}

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self { words: 0, odd: false };

    /// The sum of the pseudo-header of TCP, UDP and UDP-Lite over IPv4 (RFC 9293 §3.1, RFC 768). `length` is that of
    /// the transport header and its data, in bytes.
    #[inline]
    pub const fn pseudo_ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, length: u16) -> Self {
        let words = words_u32(source.to_bits()) + words_u32(destination.to_bits());
        Self { words: words + protocol.get() as u64 + length as u64, odd: false }
    }

    /// The sum of the pseudo-header of all upper layers over IPv6 (RFC 8200 §8.1). `length` is that of the upper-layer
    /// header and its data, in bytes.
    #[inline]
    pub const fn pseudo_ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: IpProtocol, length: u32) -> Self {
        let words = words_u128(source.to_bits()) + words_u128(destination.to_bits());
        Self { words: words + protocol.get() as u64 + words_u32(length), odd: false }
    }

    /// The sum of an IPv4 header with its options in whole words of 32 bits: for so little a call costs more than the
    /// additions. The options, which hardly any header has, are added with each carry at once, which is less code than
    /// vectors take.
    #[expect(clippy::inline_always, reason = "left alone the compiler makes it a call because of the options")]
    #[inline(always)]
    pub(crate) fn of_ipv4_header(header: &[u8; 20], options: &[u8]) -> Self {
        let (words, _) = header.as_chunks::<4>();
        let mut sum = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        if !options.is_empty() {
            let (option_words, _) = options.as_chunks::<4>();
            sum += u64::from(option_words.iter().fold(0_u32, |sum, word| {
                let (sum, carry) = sum.overflowing_add(u32::from_ne_bytes(*word));
                sum + u32::from(carry)
            }));
        }
        Self { words: u64::from(u16::from_be(fold(sum))), odd: false }
    }

    /// The sum with these bytes behind what it has so far.
    #[inline]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        let sum = sum_words(bytes);
        let sum = if self.odd { sum.swap_bytes() } else { sum };
        Self { words: self.words + u64::from(sum), odd: self.odd ^ (bytes.len() % 2 == 1) }
    }

    /// The sum with one more word. It adds the word as it stands at an even offset, wherever the sum is.
    #[inline]
    pub const fn add_word(self, word: u16) -> Self {
        Self { words: self.words + word as u64, odd: self.odd }
    }

    /// The sum with the bytes of another sum behind its own.
    #[inline]
    pub const fn add_sum(self, behind: Self) -> Self {
        let sum = if self.odd { behind.fold().swap_bytes() } else { behind.fold() };
        Self { words: self.words + sum as u64, odd: self.odd ^ behind.odd }
    }

    /// The sum in 16 bits, every carry brought around.
    #[inline]
    #[must_use]
    pub const fn fold(self) -> u16 {
        fold(self.words)
    }

    /// The checksum: the complement of the sum.
    #[inline]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// `true` where the sum, taken over data with its checksum, says that the data is intact (RFC 1071 §1 (3)).
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The checksum of these bytes, with a zero byte behind an odd number of them (RFC 1071 §1).
#[inline]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum_words(bytes)
}

/// The checksum after one word of the data changed from `old` to `new` (RFC 1624 §3, equation 3).
///
/// Where data and pseudo-header are not all zero (they never are), this is bit for bit what a new computation gives.
/// UDP's zero, which means no checksum, is not treated here: see [`UdpHeader`](crate::UdpHeader).
#[inline]
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The checksum after two words of the data changed, such as an IPv4 address.
#[inline]
#[must_use]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(!checksum as u64 + words_u32(!old) + words_u32(new))
}

/// The checksum after eight words of the data changed, such as an IPv6 address.
#[inline]
#[must_use]
pub const fn update_u128(checksum: u16, old: u128, new: u128) -> u16 {
    !fold(!checksum as u64 + words_u128(!old) + words_u128(new))
}

#[inline]
const fn words_u32(value: u32) -> u64 {
    (value >> 16) as u64 + (value & 0xffff) as u64
}

#[inline]
const fn words_u128(value: u128) -> u64 {
    words_u32((value >> 96) as u32)
        + words_u32((value >> 64) as u32)
        + words_u32((value >> 32) as u32)
        + words_u32(value as u32)
}

/// Brings the carries around until the sum has 16 bits.
#[inline]
const fn fold(sum: u64) -> u16 {
    // 64 bits to at most 33, 18, 17 and 16.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// The sum of the words of `bytes`, folded.
///
/// It is taken in the byte order of the machine and swapped once at the end (RFC 1071 §2 (B)), over words of 32 bits
/// (§2 (C)) whose carries gather in the upper halves of 64-bit lanes, so that the lanes do not wait for each other.
#[inline]
fn sum_words(bytes: &[u8]) -> u16 {
    let mut lanes = [0_u64; STRIDE / 4];
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    for stride in strides {
        let (words, _) = stride.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut sum: u64 = lanes.iter().sum();
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let (pairs, last) = rest.as_chunks::<2>();
    for pair in pairs {
        sum += u64::from(u16::from_ne_bytes(*pair));
    }
    if let [byte] = last {
        sum += u64::from(u16::from_ne_bytes([*byte, 0]));
    }
    u16::from_be(fold(sum))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    /// RFC 1071 word by word.
    fn model(bytes: &[u8]) -> u16 {
        let mut sum = 0_u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    proptest! {
        #[test]
        fn as_word_by_word(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&bytes), !model(&bytes));
        }

        #[test]
        fn pieces_make_the_whole(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8)) {
            let mut sum = Sum::ZERO;
            for piece in &pieces {
                sum = sum.add_bytes(piece);
            }
            prop_assert_eq!(sum.fold(), model(&pieces.concat()));
            let sums = pieces.iter().map(|piece| Sum::ZERO.add_bytes(piece));
            prop_assert_eq!(sums.fold(Sum::ZERO, Sum::add_sum).fold(), model(&pieces.concat()));
        }

        #[test]
        fn updated_is_recomputed(
            mut words in prop::collection::vec(any::<u16>(), 9..64),
            index: prop::sample::Index,
            new: u128,
            wide in 0_u8..3,
        ) {
            let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
            // Never all zero, as no packet is.
            let last = words.len() - 1;
            words[last] |= 1;
            let before = checksum(&bytes(&words));
            let count = [1, 2, 8][usize::from(wide)];
            let at = index.index(last - count + 1);
            let old = words[at..at + count].iter().fold(0_u128, |value, word| value << 16 | u128::from(*word));
            for (place, word) in words[at..at + count].iter_mut().enumerate() {
                *word = (new >> (16 * (count - 1 - place))) as u16;
            }
            let after = match wide {
                0 => update(before, old as u16, new as u16),
                1 => update_u32(before, old as u32, new as u32),
                _ => update_u128(before, old, new),
            };
            prop_assert_eq!(after, checksum(&bytes(&words)));
        }

        #[test]
        fn pseudo_headers_are_their_bytes(source: [u8; 16], destination: [u8; 16], protocol: u8, length: u32) {
            let mut bytes = Vec::new();
            bytes.extend(source);
            bytes.extend(destination);
            bytes.extend(length.to_be_bytes());
            bytes.extend([0, 0, 0, protocol]);
            let sum = Sum::pseudo_ipv6(source.into(), destination.into(), protocol.into(), length);
            prop_assert_eq!(sum.fold(), model(&bytes));

            let (source, destination) = (Ipv4Addr::from_bits(length), Ipv4Addr::from_bits(!length));
            let mut bytes = Vec::new();
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend([0, protocol]);
            bytes.extend((length as u16).to_be_bytes());
            let sum = Sum::pseudo_ipv4(source, destination, protocol.into(), length as u16);
            prop_assert_eq!(sum.fold(), model(&bytes));
        }
    }

    #[test]
    fn every_length_of_the_largest_words() {
        let bytes = [0xff; 3 * STRIDE];
        for length in 1..bytes.len() {
            let expected = if length % 2 == 0 { 0xffff } else { 0xff00 };
            assert_eq!(Sum::ZERO.add_bytes(&bytes[..length]).fold(), if length == 1 { 0xff00 } else { expected });
        }
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn a_whole_super_frame_does_not_overflow() {
        let bytes = std::vec![0xff; 1 << 20];
        assert_eq!(checksum(&bytes), 0);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // §4: the header checksum DD2F, a word from 5555 to 3285.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }
}
