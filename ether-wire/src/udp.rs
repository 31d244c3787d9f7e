//! The UDP header: RFC 768, with RFC 8200 §8.1 and RFC 6935 on its checksum over IPv6.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::{
    DecodeError,
    checksum::{self, Sum},
};

/// A UDP header (RFC 768): 8 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          Source Port          |       Destination Port        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |            Length             |           Checksum            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// # The checksum
///
/// It covers header, data and a pseudo-header with the addresses, and zero means that there is none. From a TAP with
/// offloads it may also be partial: the sum of the pseudo-header, for a card to complete. So **no setter touches it**;
/// [`update_checksum`](Self::update_checksum) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct UdpHeader {
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    source_port: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    destination_port: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    length: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
}

fixed_header!(UdpHeader, 8);

impl UdpHeader {
    /// A header without checksum. `length` is that of header and data, in bytes.
    #[inline]
    #[must_use]
    pub const fn new(source_port: u16, destination_port: u16, length: u16) -> Self {
        Self {
            source_port: U16::new(source_port),
            destination_port: U16::new(destination_port),
            length: U16::new(length),
            checksum: U16::ZERO,
        }
    }

    /// Checks the lengths of the datagram at the front of `bytes` and gives its header and data; what is behind the
    /// length is cut off. The checksum is not looked at: see [`is_checksum_valid`](Self::is_checksum_valid).
    ///
    /// # Errors
    ///
    /// - [`DecodeError::Truncated`]: `bytes` ends before the header or before the length does.
    /// - [`DecodeError::PacketLength`]: a length of less than 8, which also a jumbogram (RFC 2675 §4) has.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        let (header, behind) = Self::from_prefix(bytes)?;
        // A length of less than the header wraps around to one that no slice has.
        match behind.get(..usize::from(header.length()).wrapping_sub(Self::LEN)) {
            Some(data) => Ok((header, data)),
            None => Err(header.length_error(bytes.len())),
        }
    }

    /// What is wrong with a length that is less than the header, or more than is there.
    #[cold]
    fn length_error(self, available: usize) -> DecodeError {
        match usize::from(self.length()) {
            length @ ..Self::LEN => DecodeError::PacketLength { length, header: Self::LEN },
            needed => DecodeError::Truncated { needed, available },
        }
    }

    /// The port of the sender; zero where it expects no answer.
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

    /// The length of header and data, in bytes.
    #[inline]
    #[must_use]
    pub fn length(&self) -> u16 {
        self.length.get()
    }

    /// Sets the length of header and data, in bytes.
    #[inline]
    pub fn set_length(&mut self, length: u16) {
        self.length.set(length);
    }

    /// The checksum; zero where there is none.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the checksum, for instance to what [`compute_checksum`](Self::compute_checksum) gives, or to zero for none.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        self.checksum.set(checksum);
    }

    /// The checksum of this header and this data, whatever checksum the header has. Never zero: a sum that comes out as
    /// zero is sent as `0xffff` (RFC 768).
    ///
    /// `pseudo_header` is [`Ipv4Header::pseudo_header`](crate::Ipv4Header::pseudo_header) or
    /// [`Ipv6Header::pseudo_header`](crate::Ipv6Header::pseudo_header).
    #[must_use]
    pub fn compute_checksum(&self, pseudo_header: Sum, data: &[u8]) -> u16 {
        let header = Self { checksum: U16::ZERO, ..*self };
        Self::not_none(pseudo_header.add_bytes(&header.to_bytes()).add_bytes(data).checksum())
    }

    /// `true` where the checksum belongs to this header and this data, or where there is none.
    ///
    /// Over IPv6 no checksum is only for ports that were configured for it (RFC 8200 §8.1, RFC 6935 §5): look at
    /// [`checksum`](Self::checksum) too.
    #[must_use]
    pub fn is_checksum_valid(&self, pseudo_header: Sum, data: &[u8]) -> bool {
        self.checksum() == 0 || pseudo_header.add_bytes(&self.to_bytes()).add_bytes(data).is_valid()
    }

    /// Brings the checksum up to date after a word of header, data or pseudo-header changed from `old` to `new`
    /// (RFC 1624 §3). No checksum stays none. The length stands in header and pseudo-header, so a change of it takes
    /// two calls.
    #[inline]
    pub fn update_checksum(&mut self, old: u16, new: u16) {
        if self.checksum() != 0 {
            self.checksum.set(Self::not_none(checksum::update(self.checksum(), old, new)));
        }
    }

    /// The checksum as it is sent: zero would say that there is none.
    #[inline]
    pub(crate) const fn not_none(checksum: u16) -> u16 {
        if checksum == 0 { 0xffff } else { checksum }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::IpProtocol;

    proptest! {
        #[test]
        fn set_then_get(bytes: [u8; 8], fields: [u16; 4]) {
            let mut bytes = bytes;
            let (header, _) = UdpHeader::from_prefix_mut(&mut bytes).unwrap();
            let [source_port, destination_port, length, checksum] = fields;
            header.set_source_port(source_port);
            header.set_destination_port(destination_port);
            header.set_length(length);
            header.set_checksum(checksum);
            let found = [header.source_port(), header.destination_port(), header.length(), header.checksum()];
            prop_assert_eq!(found, fields);
            header.set_checksum(0);
            prop_assert_eq!(*header, UdpHeader::new(source_port, destination_port, length));
        }

        #[test]
        fn decoded_parts_are_the_datagram(data in prop::collection::vec(any::<u8>(), 0..64), padding in 0_usize..8) {
            let header = UdpHeader::new(1, 2, data.len() as u16 + 8);
            let mut bytes = Vec::from(header.to_bytes());
            bytes.extend(&data);
            let total = bytes.len();
            bytes.resize(total + padding, 0xee);
            prop_assert_eq!(UdpHeader::decode(&bytes), Ok((&header, &data[..])));
            for length in 0..total {
                let needed = if length < 8 { 8 } else { total };
                let error = DecodeError::Truncated { needed, available: length };
                prop_assert_eq!(UdpHeader::decode(&bytes[..length]), Err(error));
            }
        }

        #[test]
        fn checksum_holds_after_updates(
            data in prop::collection::vec(any::<u8>(), 0..64),
            edits in prop::collection::vec((0_u8..3, any::<u16>()), 0..10),
        ) {
            let length = data.len() as u16 + 8;
            let mut header = UdpHeader::new(1, 2, length);
            let pseudo = Sum::pseudo_ipv4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, IpProtocol::UDP, length);
            header.set_checksum(header.compute_checksum(pseudo, &data));
            for (field, new) in edits {
                let old = match field {
                    0 => header.source_port(),
                    1 => header.destination_port(),
                    _ => header.length(),
                };
                match field {
                    0 => header.set_source_port(new),
                    1 => header.set_destination_port(new),
                    _ => header.set_length(new),
                }
                header.update_checksum(old, new);
                prop_assert_eq!(header.checksum(), header.compute_checksum(pseudo, &data));
                prop_assert!(header.is_checksum_valid(pseudo, &data));
                prop_assert!(header.checksum() != 0);
            }
        }
    }

    #[test]
    fn lengths_below_the_header_are_refused() {
        for length in 0..8 {
            let bytes = UdpHeader::new(1, 2, length).to_bytes();
            let expected = DecodeError::PacketLength { length: length.into(), header: 8 };
            assert_eq!(UdpHeader::decode(&bytes), Err(expected));
        }
    }

    #[test]
    fn zero_is_none_and_never_computed() {
        let pseudo = Sum::ZERO;
        let mut header = UdpHeader::new(0, 0, 8);
        assert!(header.is_checksum_valid(pseudo, &[]));
        header.update_checksum(1, 2);
        assert_eq!(header.checksum(), 0);
        // Header and data sum up to 0xffff.
        assert_eq!(header.compute_checksum(pseudo, &[0xff, 0xf7]), 0xffff);
        header.set_checksum(0xffff);
        assert!(header.is_checksum_valid(pseudo, &[0xff, 0xf7]));
        header.set_checksum(0x1234);
        assert!(!header.is_checksum_valid(pseudo, &[0xff, 0xf7]));
    }
}
