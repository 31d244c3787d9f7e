//! The header of RFC 7348.

use core::fmt;

use overlay_types::Vni;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute, transmute_ref};

use crate::{DecodeError, DecodeOptions, EncodeError, ReservedBits};

/// The VXLAN header (RFC 7348 §5): 8 bytes between the outer UDP header and the inner Ethernet frame.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |R|R|R|R|I|R|R|R|            Reserved                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                VXLAN Network Identifier (VNI) |   Reserved    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The type is these bytes: a `&VxlanHeader` is a view into the buffer of the caller, a `&mut VxlanHeader` edits there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct VxlanHeader {
    flags: u8,
    reserved: [u8; 3],
    vni: Vni,
    reserved2: u8,
}

/// The VNI of a header, by way of a number, so that it is one load: three bytes alone would be two, to be put together.
#[inline]
pub(crate) const fn vni_before_last_byte(header: [u8; 8]) -> Vni {
    let [.., a, b, c, _] = u64::from_be_bytes(header).to_be_bytes();
    Vni::from_be_bytes([a, b, c])
}

impl VxlanHeader {
    /// Bytes of the header: 8.
    pub const LEN: usize = size_of::<Self>();
    /// UDP destination port that IANA assigned to VXLAN (RFC 7348 §5).
    pub const UDP_PORT: u16 = 4789;
    /// UDP destination port that Linux takes where none is given, and Flannel with it.
    pub const LINUX_UDP_PORT: u16 = 8472;
    /// The I flag in [`flags`](Self::flags): the VNI is valid (RFC 7348 §5).
    pub const FLAG_I: u8 = 0x08;

    /// The bits that RFC 7348 §5 reserves: all but the I flag and the VNI.
    const RESERVED_BITS: u64 = 0xf7ff_ffff_0000_00ff;

    /// The header that a sender writes: the I flag and `vni`, all else zero (RFC 7348 §5).
    #[inline]
    #[must_use]
    pub const fn new(vni: Vni) -> Self {
        Self { flags: Self::FLAG_I, reserved: [0; 3], vni, reserved2: 0 }
    }

    /// The first eight bytes as a header, whatever they hold, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes.
    #[inline]
    pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::ref_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available: bytes.len() })
    }

    /// The first eight bytes as a header to edit in place, whatever they hold, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes.
    #[inline]
    pub fn from_prefix_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), DecodeError> {
        let available = bytes.len();
        Self::mut_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available })
    }

    /// The header in front of `bytes` and the inner frame behind it, checked as RFC 7348 §5 asks: the I flag is set,
    /// reserved bits are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes, [`DecodeError::InvalidFlags`] without the I flag.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The header in front of `bytes` and the inner frame behind it, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode), and [`DecodeError::ReservedBits`] where the options reject them.
    #[inline]
    pub fn decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&Self, &[u8]), DecodeError> {
        let (header, payload) = Self::from_prefix(bytes)?;
        header.validate(options)?;
        Ok((header, payload))
    }

    /// Checks a header that was not decoded but looked at, as `options` say.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidFlags`] without the I flag, [`DecodeError::ReservedBits`] where the options reject them.
    #[inline]
    pub const fn validate(&self, options: DecodeOptions) -> Result<(), DecodeError> {
        if !self.has_vni() {
            return Err(DecodeError::InvalidFlags { flags: self.flags });
        }
        match options.reserved_bits {
            ReservedBits::Reject if self.has_reserved_bits() => {
                Err(DecodeError::ReservedBits { bits: self.reserved_bits() })
            }
            _ => Ok(()),
        }
    }

    /// Writes the header to the first eight bytes of `buffer` and leaves the others as they are.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] for fewer than eight bytes; nothing is written then.
    #[inline]
    pub fn write_to(&self, buffer: &mut [u8]) -> Result<(), EncodeError> {
        let available = buffer.len();
        self.write_to_prefix(buffer).map_err(|_| EncodeError::BufferTooSmall { needed: Self::LEN, available })
    }

    /// The eight bytes in place.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        transmute_ref!(self)
    }

    /// The eight bytes as a value.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        transmute!(self)
    }

    /// The network that the inner frame belongs to; valid if [`has_vni`](Self::has_vni), as in each decoded header.
    #[inline]
    #[must_use]
    pub const fn vni(&self) -> Vni {
        vni_before_last_byte(self.to_bytes())
    }

    /// The first byte: `R R R R I R R R`.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The three bytes behind the flags, which RFC 7348 reserves.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> [u8; 3] {
        self.reserved
    }

    /// The last byte, which RFC 7348 reserves.
    #[inline]
    #[must_use]
    pub const fn reserved2(&self) -> u8 {
        self.reserved2
    }

    /// `true` if the I flag is set.
    #[inline]
    #[must_use]
    pub const fn has_vni(&self) -> bool {
        self.flags & Self::FLAG_I != 0
    }

    /// `true` if any of the 39 reserved bits is set.
    #[inline]
    #[must_use]
    pub const fn has_reserved_bits(&self) -> bool {
        self.reserved_bits() != 0
    }

    /// The reserved bits that are set: the header as one big-endian number, all other bits zero.
    #[inline]
    #[must_use]
    pub const fn reserved_bits(&self) -> u64 {
        u64::from_be_bytes(self.to_bytes()) & Self::RESERVED_BITS
    }

    /// Sets the network.
    #[inline]
    pub const fn set_vni(&mut self, vni: Vni) {
        self.vni = vni;
    }

    /// Sets the first byte as a whole; a valid header has [`FLAG_I`](Self::FLAG_I) in it.
    #[inline]
    pub const fn set_flags(&mut self, flags: u8) {
        self.flags = flags;
    }

    /// Sets the three bytes behind the flags; RFC 7348 wants them zero.
    #[inline]
    pub const fn set_reserved(&mut self, reserved: [u8; 3]) {
        self.reserved = reserved;
    }

    /// Sets the last byte; RFC 7348 wants it zero.
    #[inline]
    pub const fn set_reserved2(&mut self, reserved2: u8) {
        self.reserved2 = reserved2;
    }
}

impl fmt::Debug for VxlanHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VxlanHeader")
            .field("flags", &format_args!("{:#04x}", self.flags))
            .field("reserved", &self.reserved)
            .field("vni", &self.vni)
            .field("reserved2", &self.reserved2)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    /// The VNIs at which a byte begins, ends or carries.
    const VNIS: [u32; 10] = [0, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0x7f_ffff, 0x80_0000, 0xff_fffe, 0xff_ffff];

    fn vni(value: u32) -> Vni {
        Vni::new(value).unwrap()
    }

    #[test]
    fn every_flags_byte_and_every_reserved_byte() {
        for value in VNIS {
            for byte in 0..=u8::MAX {
                for (place, others) in [(0, 0x00), (1, 0x08), (2, 0x08), (3, 0x08), (7, 0x08)] {
                    let mut bytes = [others, 0, 0, 0, 0, 0, 0, 0];
                    bytes[4..7].copy_from_slice(&vni(value).to_be_bytes());
                    bytes[place] = byte;
                    let valid = bytes[0] & 0x08 != 0;
                    let clean = bytes[0] == 0x08 && bytes[1..4] == [0; 3] && bytes[7] == 0;

                    let rfc = VxlanHeader::decode(&bytes);
                    if valid {
                        let (header, rest) = rfc.unwrap();
                        assert_eq!(header.vni(), vni(value));
                        assert_eq!(header.has_reserved_bits(), !clean);
                        assert_eq!(header.as_bytes(), &bytes);
                        assert!(rest.is_empty());
                    } else {
                        assert_eq!(rfc, Err(DecodeError::InvalidFlags { flags: bytes[0] }));
                    }
                    for options in [DecodeOptions::LINUX, DecodeOptions::STRICT] {
                        match VxlanHeader::decode_with(&bytes, options) {
                            Ok((header, _)) => assert!(clean && header.vni() == vni(value)),
                            Err(DecodeError::ReservedBits { bits }) => {
                                assert!(valid && !clean);
                                let mut expected = bytes;
                                expected[0] &= !0x08;
                                expected[4..7].fill(0);
                                assert_eq!(bits, u64::from_be_bytes(expected));
                            }
                            Err(error) => {
                                assert!(!valid);
                                assert_eq!(error, DecodeError::InvalidFlags { flags: bytes[0] });
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_counted() {
        let bytes = VxlanHeader::new(Vni::MAX).to_bytes();
        for available in 0..VxlanHeader::LEN {
            let error = DecodeError::Truncated { needed: 8, available };
            assert_eq!(VxlanHeader::decode(&bytes[..available]), Err(error));
            assert_eq!(VxlanHeader::from_prefix(&bytes[..available]), Err(error));
            assert_eq!(VxlanHeader::from_prefix_mut(&mut { bytes }[..available]), Err(error));
            let mut short = [0xaa; VxlanHeader::LEN];
            let error = EncodeError::BufferTooSmall { needed: 8, available };
            assert_eq!(VxlanHeader::new(Vni::MAX).write_to(&mut short[..available]), Err(error));
            assert_eq!(short, [0xaa; VxlanHeader::LEN], "nothing is written");
        }
    }

    #[test]
    fn writing_leaves_the_rest() {
        let mut buffer = [0xaa; 12];
        VxlanHeader::new(vni(42)).write_to(&mut buffer).unwrap();
        assert_eq!(buffer, [0x08, 0, 0, 0, 0, 0, 42, 0, 0xaa, 0xaa, 0xaa, 0xaa]);
    }

    #[test]
    fn debug_shows_flags_in_hexadecimal() {
        let text = format!("{:?}", VxlanHeader::new(vni(42)));
        assert_eq!(text, "VxlanHeader { flags: 0x08, reserved: [0, 0, 0], vni: Vni(42), reserved2: 0 }");
    }
}
