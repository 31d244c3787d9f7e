//! The profile of RFC 7637.

use core::fmt;

use overlay_types::EtherType;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute, transmute_ref};

use crate::{
    DecodeError, DecodeOptions, EncodeError, FlowId, GreHeader, ParseVsidError, ReservedBits, ReservedVsids, Vsid,
};

/// The NVGRE header (RFC 7637 §3.2): GRE with a key and nothing else, 8 bytes between the outer IP header and the inner
/// Ethernet frame.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |0| |1|0|   Reserved0       | Ver |   Protocol Type 0x6558        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |               Virtual Subnet ID (VSID)        |    FlowID     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The type is these bytes: a `&NvgreHeader` is a view into the buffer of the caller, a `&mut NvgreHeader` edits there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct NvgreHeader {
    gre: GreHeader,
    vsid: [u8; 3],
    flow_id: FlowId,
}

impl NvgreHeader {
    /// Bytes of the header: 8.
    pub const LEN: usize = size_of::<Self>();
    /// Number of GRE in the protocol field of IPv4 and the next header field of IPv6.
    pub const IP_PROTOCOL: u8 = GreHeader::IP_PROTOCOL;
    /// What the first 16 bits are: K and nothing else.
    pub const FLAGS: u16 = GreHeader::FLAG_K;

    /// The header that a sender writes: K set, Ethernet inside, all else zero.
    ///
    /// A sender that generates no flow passes [`FlowId::NONE`].
    #[inline]
    #[must_use]
    pub const fn new(vsid: Vsid, flow_id: FlowId) -> Self {
        Self {
            gre: GreHeader::new(Self::FLAGS, EtherType::TRANSPARENT_ETHERNET_BRIDGING),
            vsid: vsid.to_be_bytes(),
            flow_id,
        }
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

    /// The header in front of `bytes` and the inner frame behind it, checked as RFC 7637 §3.2 and RFC 2784 §2.3 ask:
    /// version 0; none of the bits 1, 4 and 5; K set, C and S not; Ethernet inside.
    ///
    /// What is refused here can still be read as plain GRE: [`GrePacket`](crate::GrePacket).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownVersion`], [`DecodeError::ReservedBits`],
    /// [`DecodeError::ChecksumPresent`], [`DecodeError::SequenceNumberPresent`], [`DecodeError::KeyAbsent`],
    /// [`DecodeError::WrongProtocolType`], in this order.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The header in front of `bytes` and the inner frame behind it, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode), [`DecodeError::ReservedBits`] for more bits and
    /// [`DecodeError::ReservedVsid`], where the options reject them.
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
        if let Err(error) = self.gre.validate_nvgre(options.reserved_bits) {
            return Err(error);
        }
        match options.reserved_vsids {
            ReservedVsids::Reject if Vsid::is_reserved(self.raw_vsid()) => {
                Err(DecodeError::ReservedVsid { vsid: self.raw_vsid() })
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

    /// The subnet that the inner frame belongs to.
    ///
    /// # Errors
    ///
    /// [`ParseVsidError::Reserved`] if it is one that no tenant can have; never, where the options rejected that.
    #[inline]
    pub fn vsid(&self) -> Result<Vsid, ParseVsidError> {
        let value = self.raw_vsid();
        Vsid::new(value).ok_or(ParseVsidError::Reserved { value })
    }

    /// The 24 bits of the VSID as a number, reserved or not.
    #[inline]
    #[must_use]
    pub const fn raw_vsid(&self) -> u32 {
        let [a, b, c] = self.vsid;
        u32::from_be_bytes([0, a, b, c])
    }

    /// The flow of the subnet.
    #[inline]
    #[must_use]
    pub const fn flow_id(&self) -> FlowId {
        self.flow_id
    }

    /// The whole key, as Linux and Open vSwitch see it: `VSID << 8 | FlowID`.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> u32 {
        self.raw_vsid() << 8 | self.flow_id.get() as u32
    }

    /// The first four bytes as plain GRE: flags and protocol type.
    #[inline]
    #[must_use]
    pub const fn gre(&self) -> &GreHeader {
        &self.gre
    }

    /// The first four bytes as plain GRE, to edit in place.
    #[inline]
    #[must_use]
    pub const fn gre_mut(&mut self) -> &mut GreHeader {
        &mut self.gre
    }

    /// Sets the subnet.
    #[inline]
    pub const fn set_vsid(&mut self, vsid: Vsid) {
        self.vsid = vsid.to_be_bytes();
    }

    /// Sets the flow. Whoever passes on what another endpoint sent leaves it as it is (RFC 7637 §3.2).
    #[inline]
    pub const fn set_flow_id(&mut self, flow_id: FlowId) {
        self.flow_id = flow_id;
    }
}

impl GreHeader {
    /// What the first four bytes of NVGRE are, as one number.
    const NVGRE: u32 = (NvgreHeader::FLAGS as u32) << 16 | EtherType::TRANSPARENT_ETHERNET_BRIDGING.get() as u32;

    /// Says why the packet that begins with this is not NVGRE (RFC 7637 §3.2).
    #[inline]
    pub(crate) const fn validate_nvgre(self, reserved_bits: ReservedBits) -> Result<(), DecodeError> {
        let ignored = match reserved_bits {
            ReservedBits::Ignore => (Self::IGNORED_BITS as u32) << 16,
            ReservedBits::Reject => 0,
        };
        // The one compare that is made for each packet; the reason is looked for when it fails.
        if u32::from_be_bytes(self.to_bytes()) & !ignored == Self::NVGRE {
            return Ok(());
        }
        if let Err(error) = self.validate(reserved_bits) {
            return Err(error);
        }
        let flags = self.flags();
        Err(if self.has_checksum() {
            DecodeError::ChecksumPresent { flags }
        } else if self.has_sequence_number() {
            DecodeError::SequenceNumberPresent { flags }
        } else if !self.has_key() {
            DecodeError::KeyAbsent { flags }
        } else {
            DecodeError::WrongProtocolType { protocol_type: self.protocol_type() }
        })
    }
}

impl fmt::Debug for NvgreHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.vsid;
        f.debug_struct("NvgreHeader")
            .field("gre", &self.gre)
            .field("vsid", &u32::from_be_bytes([0, a, b, c]))
            .field("flow_id", &self.flow_id)
            .finish()
    }
}
