//! The options of Neighbor Discovery messages: RFC 4861 §4.6.

use overlay_types::MacAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::DecodeError;

/// Bytes in one unit of an option's length.
const UNIT: usize = 8;

/// One option of a Neighbor Discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NdOption<'a> {
    /// What it is.
    pub kind: u8,
    /// What stands behind type and length: 6 bytes, or 8 more, or 16 more, …
    pub data: &'a [u8],
}

impl NdOption<'_> {
    /// The type of the sender's link-layer address, in a solicitation (RFC 4861 §4.6.1).
    pub const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
    /// The type of the target's link-layer address, in an advertisement (RFC 4861 §4.6.1).
    pub const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
}

/// The options of a message, all lengths checked; iterates over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NdOptions<'a> {
    bytes: &'a [u8],
}

impl<'a> NdOptions<'a> {
    /// Checks the options that fill `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::OptionLength`]: one has a length of zero, or does not end within `bytes` (RFC 4861 §4.6, §7.1).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        while let [kind, ..] = *rest {
            let Some((_, behind)) = split_option(rest) else {
                let length = rest.get(1).map_or(0, |units| usize::from(*units) * UNIT);
                return Err(DecodeError::OptionLength { kind, length, available: rest.len() });
            };
            rest = behind;
        }
        Ok(Self { bytes })
    }

    /// The bytes of all options.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first option of this type.
    #[must_use]
    pub fn find(self, kind: u8) -> Option<NdOption<'a>> {
        self.into_iter().find(|option| option.kind == kind)
    }

    /// The first option of this type as the address of an Ethernet interface, whose option is 8 bytes long (RFC 2464
    /// §6).
    #[must_use]
    pub fn link_layer_address(self, kind: u8) -> Option<MacAddr> {
        self.find(kind)?.data.try_into().ok().map(MacAddr::new)
    }
}

impl<'a> IntoIterator for NdOptions<'a> {
    type Item = NdOption<'a>;
    type IntoIter = NdOptionsIter<'a>;

    fn into_iter(self) -> NdOptionsIter<'a> {
        NdOptionsIter { rest: self.bytes }
    }
}

/// The walk over [`NdOptions`].
#[derive(Clone, Debug)]
pub struct NdOptionsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for NdOptionsIter<'a> {
    type Item = NdOption<'a>;

    fn next(&mut self) -> Option<NdOption<'a>> {
        let (option, behind) = split_option(self.rest)?;
        self.rest = behind;
        Some(option)
    }
}

impl core::iter::FusedIterator for NdOptionsIter<'_> {}

/// The first option and what stands behind it.
fn split_option(bytes: &[u8]) -> Option<(NdOption<'_>, &[u8])> {
    let [kind, units, ..] = *bytes else { return None };
    let (option, behind) = bytes.split_at_checked(usize::from(units) * UNIT)?;
    Some((NdOption { kind, data: option.get(2..)? }, behind))
}

/// The option with the address of an Ethernet interface (RFC 2464 §6): 8 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |  Length = 1   |                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
/// |                          MAC Address                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is an option, and the unsafe code is inside zerocopy's derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct LinkLayerAddress {
    kind: u8,
    length: u8,
    mac: MacAddr,
}

fixed_header!(LinkLayerAddress, 8);

impl LinkLayerAddress {
    /// An option of this type, [`NdOption::SOURCE_LINK_LAYER_ADDRESS`] or [`NdOption::TARGET_LINK_LAYER_ADDRESS`].
    #[must_use]
    pub const fn new(kind: u8, mac: MacAddr) -> Self {
        Self { kind, length: 1, mac }
    }

    /// Whose address it is.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Sets whose address it is.
    #[inline]
    pub const fn set_kind(&mut self, kind: u8) {
        self.kind = kind;
    }

    /// The length in units of 8 bytes: 1.
    #[inline]
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Sets the length in units of 8 bytes.
    #[inline]
    pub const fn set_length(&mut self, length: u8) {
        self.length = length;
    }

    /// The address.
    #[inline]
    #[must_use]
    pub const fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Sets the address.
    #[inline]
    pub const fn set_mac(&mut self, mac: MacAddr) {
        self.mac = mac;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    proptest! {
        #[test]
        fn set_then_get(bytes: [u8; 8], kind: u8, length: u8, mac: [u8; 6]) {
            let mut bytes = bytes;
            let (option, _) = LinkLayerAddress::from_prefix_mut(&mut bytes).unwrap();
            option.set_kind(kind);
            option.set_length(length);
            option.set_mac(mac.into());
            prop_assert_eq!((option.kind(), option.length(), option.mac().octets()), (kind, length, mac));
            option.set_length(1);
            prop_assert_eq!(*option, LinkLayerAddress::new(kind, mac.into()));
        }

        #[test]
        fn written_is_read(written in prop::collection::vec((any::<u8>(), 1_u8..5), 0..6)) {
            let mut bytes = Vec::new();
            for (kind, units) in &written {
                bytes.extend([*kind, *units]);
                bytes.resize(bytes.len() + 8 * usize::from(*units) - 2, *kind);
            }
            let options = NdOptions::decode(&bytes).unwrap();
            let read: Vec<_> = options.into_iter().map(|option| (option.kind, option.data.len())).collect();
            let expected: Vec<_> = written.iter().map(|(kind, units)| (*kind, 8 * usize::from(*units) - 2)).collect();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(options.as_bytes(), &bytes);
            // A cut is noticed unless it is between two options.
            for length in 0..bytes.len() {
                if let Ok(cut) = NdOptions::decode(&bytes[..length]) {
                    let whole: usize = cut.into_iter().map(|option| option.data.len() + 2).sum();
                    prop_assert_eq!(whole, length);
                }
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(0_u8..4, 0..64)) {
            if let Ok(options) = NdOptions::decode(&bytes) {
                let whole: usize = options.into_iter().map(|option| option.data.len() + 2).sum();
                prop_assert_eq!(whole, bytes.len());
            }
        }
    }

    #[test]
    fn wrong_lengths_are_named() {
        for (bytes, length) in [(&[1, 0, 0, 0, 0, 0, 0, 0][..], 0), (&[1, 2, 0, 0, 0, 0, 0, 0], 16), (&[1], 0)] {
            let expected = DecodeError::OptionLength { kind: 1, length, available: bytes.len() };
            assert_eq!(NdOptions::decode(bytes), Err(expected));
        }
    }

    #[test]
    fn addresses_of_other_links_are_no_mac() {
        let long = [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(NdOptions::decode(&long).unwrap().link_layer_address(1), None);
        let option = LinkLayerAddress::new(2, MacAddr::BROADCAST);
        let options = NdOptions::decode(option.as_bytes()).unwrap();
        assert_eq!((options.link_layer_address(1), options.link_layer_address(2)), (None, Some(MacAddr::BROADCAST)));
    }
}
