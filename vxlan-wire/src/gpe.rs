//! Generic Protocol Extension: a way to read the same eight bytes.

use core::fmt;

use overlay_types::Vni;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute, transmute_ref};

use crate::{DecodeError, DecodeOptions, EncodeError, ReservedBits, header::vni_before_last_byte};

/// The VXLAN header with the Generic Protocol Extension (draft-ietf-nvo3-vxlan-gpe-13 §3): it says what is behind it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |R|R|Ver|I|P|B|O|       Reserved                |Next Protocol  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                VXLAN Network Identifier (VNI) |   Reserved    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Nothing in the packet tells the extensions apart: whoever configures the port chooses the type, and never Generic
/// Protocol Extension and [Group Policy](crate::GbpHeader) for one port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct GpeHeader {
    flags: u8,
    reserved: [u8; 2],
    next_protocol: NextProtocol,
    vni: Vni,
    reserved2: u8,
}

/// The number of the protocol behind a [`GpeHeader`] (draft-ietf-nvo3-vxlan-gpe-13 §3).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[repr(transparent)]
pub struct NextProtocol(u8);

impl NextProtocol {
    /// An IPv4 packet.
    pub const IPV4: Self = Self(0x01);
    /// An IPv6 packet.
    pub const IPV6: Self = Self(0x02);
    /// An Ethernet frame.
    pub const ETHERNET: Self = Self(0x03);
    /// A Network Service Header (RFC 8300).
    pub const NSH: Self = Self(0x04);

    /// The protocol with this number.
    #[inline]
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NextProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

impl fmt::Debug for NextProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextProtocol({self})")
    }
}

impl GpeHeader {
    /// Bytes of the header: 8.
    pub const LEN: usize = size_of::<Self>();
    /// UDP destination port that IANA assigned to VXLAN-GPE.
    pub const UDP_PORT: u16 = 4790;
    /// The version in [`flags`](Self::flags), which is 0.
    pub const FLAGS_VERSION: u8 = 0x30;
    /// The I flag in [`flags`](Self::flags): the VNI is valid.
    pub const FLAG_I: u8 = 0x08;
    /// The P flag in [`flags`](Self::flags): the next protocol is valid.
    pub const FLAG_P: u8 = 0x04;
    /// The B flag in [`flags`](Self::flags): broadcast, unknown unicast or multicast, replicated by the sender.
    pub const FLAG_B: u8 = 0x02;
    /// The O flag in [`flags`](Self::flags): for the endpoint (OAM), never for a tenant.
    pub const FLAG_O: u8 = 0x01;

    /// The bits that the draft reserves.
    const RESERVED_BITS: u64 = 0xc0ff_ff00_0000_00ff;

    /// The header that a sender writes: version 0, I and P set, all else zero.
    #[inline]
    #[must_use]
    pub const fn new(vni: Vni, next_protocol: NextProtocol) -> Self {
        Self { flags: Self::FLAG_I | Self::FLAG_P, reserved: [0; 2], next_protocol, vni, reserved2: 0 }
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

    /// The header in front of `bytes` and the payload behind it: the version is 0, the I flag is set, reserved bits
    /// are ignored. A header with O decodes too: see [`is_oam`](Self::is_oam).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes, [`DecodeError::UnknownVersion`] for another version,
    /// [`DecodeError::InvalidFlags`] without the I flag.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The header in front of `bytes` and the payload behind it, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode); [`DecodeError::InvalidFlags`] without the P flag and
    /// [`DecodeError::ReservedBits`], where the options reject them.
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
    /// Those of [`decode_with`](Self::decode_with), but for `Truncated`.
    #[inline]
    pub const fn validate(&self, options: DecodeOptions) -> Result<(), DecodeError> {
        if self.version() != 0 {
            return Err(DecodeError::UnknownVersion { version: self.version() });
        }
        let required = if options.require_next_protocol { Self::FLAG_I | Self::FLAG_P } else { Self::FLAG_I };
        if self.flags & required != required {
            return Err(DecodeError::InvalidFlags { flags: self.flags });
        }
        match options.reserved_bits {
            ReservedBits::Reject if self.reserved_bits() != 0 => {
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

    /// The network that the payload belongs to.
    #[inline]
    #[must_use]
    pub const fn vni(&self) -> Vni {
        vni_before_last_byte(self.to_bytes())
    }

    /// What is behind the header: the next protocol, or Ethernet where P is not set.
    #[inline]
    #[must_use]
    pub const fn payload_protocol(&self) -> NextProtocol {
        if self.flags & Self::FLAG_P == 0 { NextProtocol::ETHERNET } else { self.next_protocol }
    }

    /// `true` if the B flag is set: the sender replicated the frame, being broadcast, unknown unicast or multicast.
    #[inline]
    #[must_use]
    pub const fn is_bum(&self) -> bool {
        self.flags & Self::FLAG_B != 0
    }

    /// `true` if the O flag is set: the payload is for the endpoint and must not reach a tenant.
    #[inline]
    #[must_use]
    pub const fn is_oam(&self) -> bool {
        self.flags & Self::FLAG_O != 0
    }

    /// The version, 0 to 3; only 0 is defined.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        (self.flags & Self::FLAGS_VERSION) >> 4
    }

    /// The first byte: `R R Ver Ver I P B O`.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The second and third byte, which are reserved.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> [u8; 2] {
        self.reserved
    }

    /// The fourth byte, whether P is set or not.
    #[inline]
    #[must_use]
    pub const fn next_protocol(&self) -> NextProtocol {
        self.next_protocol
    }

    /// The last byte, which is reserved.
    #[inline]
    #[must_use]
    pub const fn reserved2(&self) -> u8 {
        self.reserved2
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

    /// Sets the first byte as a whole; a valid header has [`FLAG_I`](Self::FLAG_I) and version 0 in it.
    #[inline]
    pub const fn set_flags(&mut self, flags: u8) {
        self.flags = flags;
    }

    /// Sets the second and third byte, which should be zero.
    #[inline]
    pub const fn set_reserved(&mut self, reserved: [u8; 2]) {
        self.reserved = reserved;
    }

    /// Sets the next protocol and leaves P as it is.
    #[inline]
    pub const fn set_next_protocol(&mut self, next_protocol: NextProtocol) {
        self.next_protocol = next_protocol;
    }

    /// Sets the last byte, which should be zero.
    #[inline]
    pub const fn set_reserved2(&mut self, reserved2: u8) {
        self.reserved2 = reserved2;
    }
}

impl fmt::Debug for GpeHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpeHeader")
            .field("flags", &format_args!("{:#04x}", self.flags))
            .field("reserved", &self.reserved)
            .field("next_protocol", &self.next_protocol)
            .field("vni", &self.vni)
            .field("reserved2", &self.reserved2)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flags_byte_with_every_next_protocol() {
        for flags in 0..=u8::MAX {
            for number in 0..=u8::MAX {
                let bytes = [flags, 0, 0, number, 0, 0, 42, 0];
                let version = flags >> 4 & 3;
                let wrong_version = (version != 0).then_some(DecodeError::UnknownVersion { version });
                let lacks = |required| {
                    let error = DecodeError::InvalidFlags { flags };
                    wrong_version.or((flags & required != required).then_some(error))
                };
                let bits = u64::from(flags & 0xc0) << 56;
                let reserved = (bits != 0).then_some(DecodeError::ReservedBits { bits });
                let decode = |options| GpeHeader::decode_with(&bytes, options).err();

                assert_eq!(decode(DecodeOptions::RFC), lacks(0x08));
                assert_eq!(decode(DecodeOptions::LINUX), lacks(0x0c).or(reserved));
                assert_eq!(decode(DecodeOptions::STRICT), lacks(0x0c).or(reserved));
                let (header, _) = GpeHeader::from_prefix(&bytes).unwrap();
                let payload = if flags & 0x04 != 0 { NextProtocol::new(number) } else { NextProtocol::ETHERNET };
                assert_eq!(header.payload_protocol(), payload);
                assert_eq!((header.is_bum(), header.is_oam()), (flags & 2 != 0, flags & 1 != 0));
            }
        }
    }

    #[test]
    fn every_reserved_byte() {
        for byte in 0..=u8::MAX {
            for place in [1, 2, 7] {
                let mut bytes = GpeHeader::new(Vni::MAX, NextProtocol::IPV4).to_bytes();
                bytes[place] = byte;
                assert!(GpeHeader::decode(&bytes).is_ok());
                let bits = u64::from(byte) << (56 - 8 * place);
                let error = (byte != 0).then_some(DecodeError::ReservedBits { bits });
                assert_eq!(GpeHeader::decode_with(&bytes, DecodeOptions::LINUX).err(), error);
            }
        }
    }

    #[test]
    fn a_header_is_written_as_the_draft_has_it() {
        let header = GpeHeader::new(Vni::MAX, NextProtocol::NSH);
        assert_eq!(header.to_bytes(), [0x0c, 0, 0, 4, 0xff, 0xff, 0xff, 0]);
    }
}
