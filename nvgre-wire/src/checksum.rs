//! The checksum of RFC 2784 §2.5: the one's complement of the one's complement sum of all 16-bit words (RFC 1071).

/// The checksum of these parts one behind the other, of which all but the last have an even length.
pub(crate) fn of<const N: usize>(parts: [&[u8]; N]) -> u16 {
    !fold(parts.iter().map(|part| sum(part)).sum())
}

/// `true` if the sum over `packet`, its checksum included, is that of a packet with the right one.
pub(crate) fn is_valid(packet: &[u8]) -> bool {
    fold(sum(packet)) == 0xffff
}

/// The checksum that `packet` ought to have, with `found` in its place now.
pub(crate) fn without(packet: &[u8], found: u16) -> u16 {
    !fold(sum(packet) + u64::from(!found))
}

/// The sum of all words, an odd last byte filled up with zero. 2⁴⁸ words fit.
fn sum(bytes: &[u8]) -> u64 {
    let (words, last) = bytes.as_chunks::<2>();
    let sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    sum + last.first().map_or(0, |byte| u64::from(*byte) << 8)
}

/// Adds the carries until 16 bits are left.
const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_1071() {
        // RFC 1071 §3: the words 0001 f203 f4f5 f6f7 sum up to ddf2.
        assert_eq!(of([&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(of([&[0x00, 0x01], &[0xf2]]), !0xf201);
        assert_eq!(of([&[]]), 0xffff);
    }

    #[test]
    fn a_packet_with_its_checksum_is_valid() {
        for checksum_at in [0, 2, 4] {
            for byte in 0..=u8::MAX {
                let mut packet = [byte, 0x12, 0x34, 0xff, 0xfe, 0x00, byte];
                packet[checksum_at..checksum_at + 2].fill(0);
                let right = of([&packet]);
                packet[checksum_at..checksum_at + 2].copy_from_slice(&right.to_be_bytes());
                assert!(is_valid(&packet));
                assert_eq!(without(&packet, right), right);
                packet[checksum_at] ^= 0x10;
                let wrong = right ^ 0x1000;
                assert!(!is_valid(&packet));
                assert_eq!(without(&packet, wrong), right);
            }
        }
    }
}
