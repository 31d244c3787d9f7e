//! The TCP header: RFC 9293.

use core::{fmt, ops};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32},
};

use crate::{
    DecodeError, DecodeOptions, ReservedBits,
    checksum::{self, Sum},
    options::Options,
};

const RESERVED: u16 = 0x0f00;

/// The control bits of a TCP header (RFC 9293 §3.1, RFC 3168 §6.1), eight of them.
///
/// ```
/// use ether_wire::TcpFlags;
///
/// let flags = TcpFlags::ACK | TcpFlags::PSH;
/// assert!(flags.contains(TcpFlags::ACK) && !flags.contains(TcpFlags::ACK | TcpFlags::FIN));
/// ```
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[repr(transparent)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push: hand the data on.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// The flags in this byte.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte of the flags.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// `true` where all of `flags` are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// `true` where any of `flags` is set.
    #[inline]
    #[must_use]
    pub const fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }
}

impl ops::BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl ops::BitAnd for TcpFlags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl ops::Not for TcpFlags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        f.write_str("TcpFlags(")?;
        let set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        for (place, (_, name)) in set.enumerate() {
            f.write_str(if place == 0 { "" } else { " | " })?;
            f.write_str(name)?;
        }
        f.write_str(")")
    }
}

/// The fixed part of a TCP header (RFC 9293 §3.1): 20 bytes. Options, where there are any, stand behind it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          Source Port          |       Destination Port        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        Sequence Number                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     Acknowledgment Number                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Data |       |C|E|U|A|P|R|S|F|                               |
/// | Offset| Rsrvd |W|C|R|C|S|S|Y|I|            Window             |
/// |       |       |R|E|G|K|H|T|N|N|                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           Checksum            |        Urgent Pointer         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// # The checksum
///
/// It covers header, data and a pseudo-header, and from a TAP with offloads it may be partial: the sum of the
/// pseudo-header, for a card to complete. So **no setter touches it**; [`update_checksum`](Self::update_checksum) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct TcpHeader {
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    source_port: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    destination_port: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    sequence_number: U32,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    acknowledgment_number: U32,
    offset_reserved: u8,
    flags: TcpFlags,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    window: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    urgent_pointer: U16,
}

fixed_header!(TcpHeader, 20);

/// A TCP segment in its parts, as [`TcpHeader::decode`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// The fixed part of the header.
    pub header: &'a TcpHeader,
    /// The options with their padding, 0 to 40 bytes: see [`TcpSegment::options`].
    pub options_bytes: &'a [u8],
    /// The data.
    pub data: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// A walk over the options.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options::new(self.options_bytes)
    }
}

impl TcpHeader {
    /// A header without options and flags: everything but the ports is zero.
    #[must_use]
    pub const fn new(source_port: u16, destination_port: u16) -> Self {
        Self {
            source_port: U16::new(source_port),
            destination_port: U16::new(destination_port),
            sequence_number: U32::ZERO,
            acknowledgment_number: U32::ZERO,
            offset_reserved: 5 << 4,
            flags: TcpFlags(0),
            window: U16::ZERO,
            checksum: U16::ZERO,
            urgent_pointer: U16::ZERO,
        }
    }

    /// Takes the segment that fills `bytes`, the payload of an IP packet, apart by [`DecodeOptions::RFC`].
    ///
    /// # Errors
    ///
    /// Those of [`decode_with`](Self::decode_with).
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<TcpSegment<'_>, DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// Takes the segment that fills `bytes`, the payload of an IP packet, apart. The checksum is not looked at: see
    /// [`is_checksum_valid`](Self::is_checksum_valid).
    ///
    /// # Errors
    ///
    /// - [`DecodeError::Truncated`]: `bytes` ends before the header with its options does.
    /// - [`DecodeError::HeaderLength`]: a data offset of less than 20 bytes.
    /// - [`DecodeError::ReservedBits`] where `options` ask for it.
    #[inline]
    pub fn decode_with(bytes: &[u8], options: DecodeOptions) -> Result<TcpSegment<'_>, DecodeError> {
        let (header, behind) = Self::from_prefix(bytes)?;
        let header_length = header.header_length();
        let Some(options_length) = header_length.checked_sub(Self::LEN) else {
            return Err(DecodeError::HeaderLength { length: header_length, minimum: Self::LEN });
        };
        let Some((options_bytes, data)) = behind.split_at_checked(options_length) else {
            return Err(DecodeError::Truncated { needed: header_length, available: bytes.len() });
        };
        if options.reserved_bits == ReservedBits::Reject && header.reserved() != 0 {
            return Err(DecodeError::ReservedBits { bits: u16::from(header.reserved()) << 8 & RESERVED });
        }
        Ok(TcpSegment { header, options_bytes, data })
    }

    /// The port of the sender.
    #[inline]
    #[must_use]
    pub fn source_port(&self) -> u16 {
        self.source_port.get()
    }

    /// Sets the port of the sender.
    #[inline]
    pub fn set_source_port(&mut self, source_port: u16) {
        self.source_port.set(source_port);
    }

    /// The port of the receiver.
    #[inline]
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        self.destination_port.get()
    }

    /// Sets the port of the receiver.
    #[inline]
    pub fn set_destination_port(&mut self, destination_port: u16) {
        self.destination_port.set(destination_port);
    }

    /// The number of the first byte of data, or of SYN.
    #[inline]
    #[must_use]
    pub fn sequence_number(&self) -> u32 {
        self.sequence_number.get()
    }

    /// Sets the number of the first byte of data.
    #[inline]
    pub fn set_sequence_number(&mut self, sequence_number: u32) {
        self.sequence_number.set(sequence_number);
    }

    /// The number of the byte that the sender expects next, where ACK is set.
    #[inline]
    #[must_use]
    pub fn acknowledgment_number(&self) -> u32 {
        self.acknowledgment_number.get()
    }

    /// Sets the number of the byte that the sender expects next.
    #[inline]
    pub fn set_acknowledgment_number(&mut self, acknowledgment_number: u32) {
        self.acknowledgment_number.set(acknowledgment_number);
    }

    /// Words of 32 bits in the header, options included, 0 to 15; at least 5 in a header that decodes.
    #[inline]
    #[must_use]
    pub const fn data_offset(&self) -> u8 {
        self.offset_reserved >> 4
    }

    /// Sets the words of 32 bits in the header to the low four bits of `words`.
    #[inline]
    pub fn set_data_offset(&mut self, words: u8) {
        self.offset_reserved = words << 4 | self.offset_reserved & 0x0f;
    }

    /// The length of the header with its options, in bytes: four times [`data_offset`](Self::data_offset).
    #[inline]
    #[must_use]
    pub const fn header_length(&self) -> usize {
        self.data_offset() as usize * 4
    }

    /// The four reserved bits. The lowest of them is AE of accurate ECN (RFC 9768).
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u8 {
        self.offset_reserved & 0x0f
    }

    /// Sets the four reserved bits to the low four bits of `reserved`.
    #[inline]
    pub fn set_reserved(&mut self, reserved: u8) {
        self.offset_reserved = self.offset_reserved & 0xf0 | reserved & 0x0f;
    }

    /// The control bits.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> TcpFlags {
        self.flags
    }

    /// Sets the control bits.
    #[inline]
    pub fn set_flags(&mut self, flags: TcpFlags) {
        self.flags = flags;
    }

    /// The window, not scaled.
    #[inline]
    #[must_use]
    pub fn window(&self) -> u16 {
        self.window.get()
    }

    /// Sets the window.
    #[inline]
    pub fn set_window(&mut self, window: u16) {
        self.window.set(window);
    }

    /// The checksum.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the checksum, for instance to what [`compute_checksum`](Self::compute_checksum) gives.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        self.checksum.set(checksum);
    }

    /// Where urgent data ends, where URG is set.
    #[inline]
    #[must_use]
    pub fn urgent_pointer(&self) -> u16 {
        self.urgent_pointer.get()
    }

    /// Sets where urgent data ends.
    #[inline]
    pub fn set_urgent_pointer(&mut self, urgent_pointer: u16) {
        self.urgent_pointer.set(urgent_pointer);
    }

    /// The checksum of this header and of what stands behind it, options and data, whatever checksum the header has.
    ///
    /// `pseudo_header` is [`Ipv4Header::pseudo_header`](crate::Ipv4Header::pseudo_header) or
    /// [`Ipv6Header::pseudo_header`](crate::Ipv6Header::pseudo_header).
    #[must_use]
    pub fn compute_checksum(&self, pseudo_header: Sum, options_and_data: &[u8]) -> u16 {
        let header = Self { checksum: U16::ZERO, ..*self };
        pseudo_header.add_bytes(&header.to_bytes()).add_bytes(options_and_data).checksum()
    }

    /// `true` where the checksum belongs to this header and to what stands behind it, options and data.
    #[must_use]
    pub fn is_checksum_valid(&self, pseudo_header: Sum, options_and_data: &[u8]) -> bool {
        pseudo_header.add_bytes(&self.to_bytes()).add_bytes(options_and_data).is_valid()
    }

    /// Brings the checksum up to date after a word of header, data or pseudo-header changed from `old` to `new`
    /// (RFC 1624 §3).
    #[inline]
    pub fn update_checksum(&mut self, old: u16, new: u16) {
        self.checksum.set(checksum::update(self.checksum(), old, new));
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;
    use std::{format, vec::Vec};

    use super::*;
    use crate::IpProtocol;

    proptest! {
        #[test]
        fn set_then_get(bytes: [u8; 20], words: [u16; 5], numbers: [u32; 2], offset in 0_u8..16, reserved in 0_u8..16, flags: u8) {
            let mut bytes = bytes;
            let (header, _) = TcpHeader::from_prefix_mut(&mut bytes).unwrap();
            let [source_port, destination_port, window, checksum, urgent_pointer] = words;
            header.set_source_port(source_port);
            header.set_destination_port(destination_port);
            header.set_sequence_number(numbers[0]);
            header.set_acknowledgment_number(numbers[1]);
            header.set_data_offset(offset);
            header.set_reserved(reserved);
            header.set_flags(TcpFlags::from_bits(flags));
            header.set_window(window);
            header.set_checksum(checksum);
            header.set_urgent_pointer(urgent_pointer);
            let found = [header.source_port(), header.destination_port(), header.window(), header.checksum(), header.urgent_pointer()];
            prop_assert_eq!(found, words);
            prop_assert_eq!([header.sequence_number(), header.acknowledgment_number()], numbers);
            prop_assert_eq!((header.data_offset(), header.reserved(), header.flags().bits()), (offset, reserved, flags));
            prop_assert_eq!(header.header_length(), 4 * usize::from(offset));
        }

        #[test]
        fn decoded_parts_are_the_segment(words in 5_u8..16, data in prop::collection::vec(any::<u8>(), 0..32)) {
            let mut header = TcpHeader::new(1, 2);
            header.set_data_offset(words);
            let options: Vec<u8> = (1..=(words - 5) * 4).collect();
            let mut bytes = Vec::from(header.to_bytes());
            bytes.extend(&options);
            let header_length = bytes.len();
            bytes.extend(&data);
            let expected = TcpSegment { header: &header, options_bytes: &options, data: &data };
            prop_assert_eq!(TcpHeader::decode(&bytes), Ok(expected));
            for length in 0..header_length {
                let needed = if length < 20 { 20 } else { header_length };
                let error = DecodeError::Truncated { needed, available: length };
                prop_assert_eq!(TcpHeader::decode(&bytes[..length]), Err(error));
            }
        }

        #[test]
        fn checksum_holds_after_updates(data in prop::collection::vec(any::<u8>(), 0..64), edits in prop::collection::vec((0_u8..3, any::<u16>()), 0..10)) {
            let mut header = TcpHeader::new(1, 2);
            let pseudo = Sum::pseudo_ipv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, IpProtocol::TCP, data.len() as u32 + 20);
            header.set_checksum(header.compute_checksum(pseudo, &data));
            for (field, new) in edits {
                let old = match field {
                    0 => header.window(),
                    1 => header.destination_port(),
                    _ => header.urgent_pointer(),
                };
                match field {
                    0 => header.set_window(new),
                    1 => header.set_destination_port(new),
                    _ => header.set_urgent_pointer(new),
                }
                header.update_checksum(old, new);
                prop_assert_eq!(header.checksum(), header.compute_checksum(pseudo, &data));
                prop_assert!(header.is_checksum_valid(pseudo, &data));
            }
            header.set_checksum(header.checksum() ^ 0x0100);
            prop_assert!(!header.is_checksum_valid(pseudo, &data));
        }
    }

    #[test]
    fn wrong_headers_are_named() {
        let mut header = TcpHeader::new(1, 2);
        for words in 0..5 {
            header.set_data_offset(words);
            let expected = DecodeError::HeaderLength { length: 4 * usize::from(words), minimum: 20 };
            assert_eq!(TcpHeader::decode(&header.to_bytes()), Err(expected));
        }
        header.set_data_offset(5);
        header.set_reserved(1);
        assert!(TcpHeader::decode(&header.to_bytes()).is_ok());
        let expected = DecodeError::ReservedBits { bits: 0x0100 };
        assert_eq!(TcpHeader::decode_with(&header.to_bytes(), DecodeOptions::STRICT), Err(expected));
    }

    #[test]
    fn flags() {
        let flags = TcpFlags::SYN | TcpFlags::ACK;
        assert_eq!(flags.bits(), 0x12);
        assert!(flags.intersects(TcpFlags::SYN | TcpFlags::FIN) && !flags.contains(TcpFlags::SYN | TcpFlags::FIN));
        assert_eq!(flags & !TcpFlags::ACK, TcpFlags::SYN);
        assert_eq!(format!("{flags:?}"), "TcpFlags(SYN | ACK)");
        assert_eq!(format!("{:?}", TcpFlags::default()), "TcpFlags()");
    }
}
