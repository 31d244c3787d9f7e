//! The hash of the tables, keyed by a secret.

/// Turns keys into 64 bits that nobody can foresee who does not know the secret.
///
/// What an attacker may choose is the key; he never sees a hash. A product of 128 bits of key and secret is folded into
/// half of them, with a part of the secret of its own on either side: without the secret no difference of keys is a
/// likelier collision than another.
#[derive(Clone, Copy)]
pub(crate) struct KeyedHash {
    keys: [u64; 4],
}

impl KeyedHash {
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        let secret = u128::from_le_bytes(secret);
        let (low, high) = (secret as u64, (secret >> 64) as u64);
        let first = mix(low.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let second = mix(high ^ first);
        let third = mix(low ^ second);
        let fourth = mix(high ^ third);
        // Odd multipliers: none of them is zero.
        Self { keys: [first, second | 1, third, fourth | 1] }
    }

    /// The hash of a key of one word.
    #[inline]
    pub(crate) fn word(self, word: u64) -> u64 {
        let [a, b, ..] = self.keys;
        fold(word ^ a, b)
    }

    /// The hash of a key of three words.
    #[inline]
    pub(crate) fn words(self, words: [u64; 3]) -> u64 {
        let [a, b, c, d] = self.keys;
        let first = fold(words[0] ^ a, words[1] ^ b);
        // Once more on its own, for a first product that an input brought to zero.
        let second = fold(words[1].rotate_left(32) ^ c, words[0].rotate_left(17) ^ d);
        fold(fold(first ^ words[2] ^ b, d) ^ second, b)
    }
}

/// All 128 bits of the product, folded into 64.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A bijection that changes half of the bits for each that its input changes (the finalizer of `SplitMix64`).
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, vec};

    use super::*;

    #[test]
    fn the_secret_decides() {
        let a = KeyedHash::new([1; 16]);
        let b = KeyedHash::new([2; 16]);
        let c = KeyedHash::new([0; 16]);
        for word in [0, 1, 0x0200_0000_0001, u64::MAX] {
            assert_eq!(a.word(word), KeyedHash::new([1; 16]).word(word));
            let set: BTreeSet<u64> = [a.word(word), b.word(word), c.word(word)].into();
            assert_eq!(set.len(), 3);
        }
        assert_ne!(a.words([1, 2, 3]), b.words([1, 2, 3]));
        assert_ne!(a.words([1, 2, 3]), a.words([1, 3, 2]));
    }

    #[test]
    fn neighbouring_keys_spread() {
        // 2¹⁶ consecutive keys over 2¹² places: 16 each; more than 48 in one would be a hash that clusters.
        for secret in [[0; 16], [7; 16], *b"a secret of 16 b"] {
            let hash = KeyedHash::new(secret);
            for shift in [0, 20, 32, 52] {
                let mut places = vec![0u32; 1 << 12];
                for word in 0..1u64 << 16 {
                    places[(hash.word(word << 4) >> shift) as usize & 0xfff] += 1;
                }
                assert!(places.iter().all(|&count| count <= 48), "{shift}");
                places.fill(0);
                for word in 0..1u64 << 16 {
                    places[(hash.words([word, 0, 5]) >> shift) as usize & 0xfff] += 1;
                }
                assert!(places.iter().all(|&count| count <= 48), "{shift}");
            }
        }
    }
}
