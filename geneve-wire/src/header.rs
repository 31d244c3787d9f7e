//! The eight bytes that each Geneve packet begins with.

use core::fmt;

use overlay_types::{EtherType, Vni};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute, transmute_ref};

use crate::{DecodeError, EncodeError};

/// The fixed part of the Geneve header (RFC 8926 §3.4): 8 bytes, before the options.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        Virtual Network Identifier (VNI)       |    Reserved   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The type is these bytes: a `&GeneveHeader` is a view into the buffer of the caller, a `&mut GeneveHeader` edits
/// there. Whole packets are read by [`GenevePacket`](crate::GenevePacket) and written by
/// [`GeneveBuilder`](crate::GeneveBuilder).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct GeneveHeader {
    version_opt_len: u8,
    flags: u8,
    protocol_type: EtherType,
    vni: Vni,
    reserved2: u8,
}

impl GeneveHeader {
    /// Bytes of the fixed part: 8.
    pub const LEN: usize = size_of::<Self>();
    /// Bytes of the largest header, with 252 bytes of options: 260 (RFC 8926 §3.4).
    pub const MAX_LEN: usize = Self::LEN + crate::Options::MAX_LEN;
    /// UDP destination port that IANA assigned to Geneve (RFC 8926 §3.3).
    pub const UDP_PORT: u16 = 6081;
    /// The O flag in [`flags`](Self::flags): a control packet.
    pub const FLAG_O: u8 = 0x80;
    /// The C flag in [`flags`](Self::flags): a critical option is present.
    pub const FLAG_C: u8 = 0x40;

    /// The reserved bits of the second byte.
    pub(crate) const RESERVED_FLAGS: u8 = 0x3f;

    /// The header of a packet without options: version 0, no flags.
    ///
    /// An Ethernet frame has the protocol type [`EtherType::TRANSPARENT_ETHERNET_BRIDGING`].
    #[inline]
    #[must_use]
    pub const fn new(vni: Vni, protocol_type: EtherType) -> Self {
        Self { version_opt_len: 0, flags: 0, protocol_type, vni, reserved2: 0 }
    }

    /// The first eight bytes as a header, whatever they hold, and the bytes behind it: options and payload.
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

    /// Writes the eight bytes to the front of `buffer` and leaves the others as they are.
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

    /// The version, 0 to 3; only 0 is defined.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_opt_len >> 6
    }

    /// The Opt Len field: length of the options in words of four bytes, 0 to 63.
    #[inline]
    #[must_use]
    pub const fn opt_len(&self) -> u8 {
        self.version_opt_len & 0x3f
    }

    /// Bytes from the start of the header to the payload: 8 to 260.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Self::LEN + self.options_len()
    }

    /// Bytes of the options: 0 to 252.
    #[inline]
    #[must_use]
    pub const fn options_len(&self) -> usize {
        4 * self.opt_len() as usize
    }

    /// `true` if the O flag is set: the payload is a control message and is never forwarded (RFC 8926 §3.4).
    #[inline]
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.flags & Self::FLAG_O != 0
    }

    /// `true` if the C flag is set: an option is critical (RFC 8926 §3.4).
    #[inline]
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.flags & Self::FLAG_C != 0
    }

    /// The first byte: version and option length.
    #[inline]
    #[must_use]
    pub const fn version_opt_len(&self) -> u8 {
        self.version_opt_len
    }

    /// The second byte: `O C`, then six reserved bits.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub const fn protocol_type(&self) -> EtherType {
        self.protocol_type
    }

    /// The network that the payload belongs to.
    #[inline]
    #[must_use]
    pub const fn vni(&self) -> Vni {
        // By way of a number, so that it is one load: three bytes alone would be two, to be put together.
        let [.., a, b, c, _] = u64::from_be_bytes(self.to_bytes()).to_be_bytes();
        Vni::from_be_bytes([a, b, c])
    }

    /// The last byte, which is reserved.
    #[inline]
    #[must_use]
    pub const fn reserved2(&self) -> u8 {
        self.reserved2
    }

    /// Sets the first byte as a whole: version and option length.
    #[inline]
    pub const fn set_version_opt_len(&mut self, version_opt_len: u8) {
        self.version_opt_len = version_opt_len;
    }

    /// Sets the second byte as a whole: `O C`, then six bits that should be zero.
    #[inline]
    pub const fn set_flags(&mut self, flags: u8) {
        self.flags = flags;
    }

    /// Sets or clears the O flag.
    #[inline]
    pub const fn set_control(&mut self, control: bool) {
        self.flags = self.flags & !Self::FLAG_O | if control { Self::FLAG_O } else { 0 };
    }

    /// Sets or clears the C flag.
    #[inline]
    pub const fn set_critical(&mut self, critical: bool) {
        self.flags = self.flags & !Self::FLAG_C | if critical { Self::FLAG_C } else { 0 };
    }

    /// Sets what the payload is.
    #[inline]
    pub const fn set_protocol_type(&mut self, protocol_type: EtherType) {
        self.protocol_type = protocol_type;
    }

    /// Sets the network.
    #[inline]
    pub const fn set_vni(&mut self, vni: Vni) {
        self.vni = vni;
    }

    /// Sets the last byte, which should be zero.
    #[inline]
    pub const fn set_reserved2(&mut self, reserved2: u8) {
        self.reserved2 = reserved2;
    }
}

impl fmt::Debug for GeneveHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneveHeader")
            .field("version", &(self.version_opt_len >> 6))
            .field("opt_len", &(self.version_opt_len & 0x3f))
            .field("flags", &format_args!("{:#04x}", self.flags))
            .field("protocol_type", &self.protocol_type)
            .field("vni", &self.vni)
            .field("reserved2", &self.reserved2)
            .finish()
    }
}
