//! Plain GRE: what a peer really sent.

use core::fmt;

use overlay_types::EtherType;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::big_endian::{U16, U32},
    transmute,
};

use crate::{DecodeError, DecodeOptions, NvgreHeader, ReservedBits, checksum};

/// The first four bytes of each GRE packet (RFC 2784 §2.1, RFC 2890 §2). What follows depends on C, K and S.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |C| |K|S| Reserved0       | Ver |         Protocol Type         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |      Checksum (with C)        |     Reserved1 (with C)        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         Key (with K)                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                   Sequence Number (with S)                    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct GreHeader {
    flags: [u8; 2],
    protocol_type: EtherType,
}

impl GreHeader {
    /// Bytes that each GRE header begins with: 4.
    pub const LEN: usize = size_of::<Self>();
    /// Number of GRE in the protocol field of IPv4 and the next header field of IPv6.
    pub const IP_PROTOCOL: u8 = 47;
    /// The C flag, bit 0: a checksum is present (RFC 2784 §2.2).
    pub const FLAG_C: u16 = 0x8000;
    /// The K flag, bit 2: a key is present (RFC 2890 §2).
    pub const FLAG_K: u16 = 0x2000;
    /// The S flag, bit 3: a sequence number is present (RFC 2890 §2).
    pub const FLAG_S: u16 = 0x1000;
    /// The version, bits 13 to 15, which is 0.
    pub const FLAGS_VERSION: u16 = 0x0007;

    /// Bits 1, 4 and 5: with one of them the packet is of RFC 1701 and is refused (RFC 2784 §2.3).
    pub(crate) const REFUSED_BITS: u16 = 0x4c00;
    /// Bits 6 to 12: ignored on receipt (RFC 2784 §2.3).
    pub(crate) const IGNORED_BITS: u16 = 0x03f8;

    /// The first four bytes with these flags; [`GreFields`](crate::GreFields) writes whole headers.
    #[inline]
    #[must_use]
    pub const fn new(flags: u16, protocol_type: EtherType) -> Self {
        Self { flags: flags.to_be_bytes(), protocol_type }
    }

    /// The first four bytes, whatever they hold, and the bytes behind them.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than four bytes.
    #[inline]
    pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::ref_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available: bytes.len() })
    }

    /// The first four bytes to edit in place, whatever they hold, and the bytes behind them.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than four bytes.
    #[inline]
    pub fn from_prefix_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), DecodeError> {
        let available = bytes.len();
        Self::mut_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available })
    }

    /// Checks version and reserved bits.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownVersion`], [`DecodeError::ReservedBits`].
    #[inline]
    pub const fn validate(&self, reserved_bits: ReservedBits) -> Result<(), DecodeError> {
        let rejected = match reserved_bits {
            ReservedBits::Ignore => Self::REFUSED_BITS,
            ReservedBits::Reject => Self::REFUSED_BITS | Self::IGNORED_BITS,
        };
        match self.flags() & (Self::FLAGS_VERSION | rejected) {
            0 => Ok(()),
            bits => Err(self.refusal(bits)),
        }
    }

    /// What is wrong with a version that is not 0, or with these reserved bits.
    #[cold]
    const fn refusal(self, bits: u16) -> DecodeError {
        match self.version() {
            0 => DecodeError::ReservedBits { bits },
            version => DecodeError::UnknownVersion { version },
        }
    }

    /// The four bytes as a value.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        transmute!(self)
    }

    /// The first 16 bits: flags, reserved bits, version.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u16 {
        u16::from_be_bytes(self.flags)
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub const fn protocol_type(&self) -> EtherType {
        self.protocol_type
    }

    /// `true` if a checksum follows, and 16 reserved bits with it.
    #[inline]
    #[must_use]
    pub const fn has_checksum(&self) -> bool {
        self.flags() & Self::FLAG_C != 0
    }

    /// `true` if a key follows.
    #[inline]
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.flags() & Self::FLAG_K != 0
    }

    /// `true` if a sequence number follows.
    #[inline]
    #[must_use]
    pub const fn has_sequence_number(&self) -> bool {
        self.flags() & Self::FLAG_S != 0
    }

    /// The version, 0 to 7; 0 is GRE, 1 is that of PPTP.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        (self.flags() & Self::FLAGS_VERSION) as u8
    }

    /// Bytes from the start of the header to the payload: 4 to 16.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        let words = 1 + self.has_checksum() as usize + self.has_key() as usize + self.has_sequence_number() as usize;
        4 * words
    }

    /// Sets the first 16 bits as a whole. The fields behind them stay where they are.
    #[inline]
    pub const fn set_flags(&mut self, flags: u16) {
        self.flags = flags.to_be_bytes();
    }

    /// Sets what the payload is.
    #[inline]
    pub const fn set_protocol_type(&mut self, protocol_type: EtherType) {
        self.protocol_type = protocol_type;
    }
}

impl fmt::Debug for GreHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreHeader")
            .field("flags", &format_args!("{:#06x}", u16::from_be_bytes(self.flags)))
            .field("protocol_type", &self.protocol_type)
            .finish()
    }
}

/// The fields behind the first four bytes, as far as C, K and S say that they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields<T16, T32> {
    checksum: Option<(T16, T16)>,
    key: Option<T32>,
    sequence_number: Option<T32>,
}

/// A GRE packet in place: what an IP packet of protocol 47 carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrePacket<'a> {
    header: &'a GreHeader,
    fields: Fields<u16, u32>,
    payload: &'a [u8],
    /// All of it, for the checksum.
    bytes: &'a [u8],
}

impl<'a> GrePacket<'a> {
    /// The packet that `bytes` are: version 0, none of the bits 1, 4 and 5 (RFC 2784 §2.3). The checksum is not
    /// verified: [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownVersion`], [`DecodeError::ReservedBits`].
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The packet that `bytes` are, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode).
    #[inline]
    pub fn decode_with(bytes: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let (header, rest) = GreHeader::from_prefix(bytes)?;
        header.validate(options.reserved_bits)?;
        let (fields, payload) = Self::fields(*header, rest)
            .ok_or(DecodeError::Truncated { needed: header.header_len(), available: bytes.len() })?;
        Ok(Self { header, fields, payload, bytes })
    }

    /// The fields in front of `rest` and the bytes behind them; `None` where they are not whole.
    #[inline]
    fn fields(header: GreHeader, mut rest: &'a [u8]) -> Option<(Fields<u16, u32>, &'a [u8])> {
        let mut fields = Fields::default();
        let mut word = || {
            let (word, behind) = rest.split_first_chunk::<4>()?;
            rest = behind;
            Some(u32::from_be_bytes(*word))
        };
        if header.has_checksum() {
            let word = word()?;
            fields.checksum = Some(((word >> 16) as u16, word as u16));
        }
        if header.has_key() {
            fields.key = Some(word()?);
        }
        if header.has_sequence_number() {
            fields.sequence_number = Some(word()?);
        }
        Some((fields, rest))
    }

    /// The first four bytes.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &'a GreHeader {
        self.header
    }

    /// The checksum, if C is set.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> Option<u16> {
        self.fields.checksum.map(|(checksum, _)| checksum)
    }

    /// The reserved 16 bits behind the checksum, if C is set.
    #[inline]
    #[must_use]
    pub fn reserved1(&self) -> Option<u16> {
        self.fields.checksum.map(|(_, reserved1)| reserved1)
    }

    /// The key, if K is set.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> Option<u32> {
        self.fields.key
    }

    /// The sequence number, if S is set.
    #[inline]
    #[must_use]
    pub const fn sequence_number(&self) -> Option<u32> {
        self.fields.sequence_number
    }

    /// The bytes behind the header.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Verifies the checksum over header and payload; a packet without one passes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Checksum`] if it is wrong (RFC 2784 §2.5).
    pub fn verify_checksum(&self) -> Result<(), DecodeError> {
        match self.checksum() {
            Some(found) if !checksum::is_valid(self.bytes) => {
                Err(DecodeError::Checksum { found, expected: checksum::without(self.bytes, found) })
            }
            _ => Ok(()),
        }
    }

    /// The packet as NVGRE.
    ///
    /// # Errors
    ///
    /// Why it is not (RFC 7637 §3.2): [`DecodeError::ChecksumPresent`], [`DecodeError::SequenceNumberPresent`],
    /// [`DecodeError::KeyAbsent`], [`DecodeError::WrongProtocolType`].
    pub fn as_nvgre(&self) -> Result<&'a NvgreHeader, DecodeError> {
        self.header.validate_nvgre(ReservedBits::Ignore)?;
        Ok(NvgreHeader::from_prefix(self.bytes)?.0)
    }
}

/// A GRE packet to edit in place.
#[derive(Debug)]
pub struct GrePacketMut<'a> {
    /// The first four bytes. With other flags the packet is another one.
    pub header: &'a mut GreHeader,
    /// The checksum, if C is set: [`update_checksum`](Self::update_checksum) makes it right after an edit.
    pub checksum: Option<&'a mut U16>,
    /// The reserved 16 bits behind the checksum, if C is set.
    pub reserved1: Option<&'a mut U16>,
    /// The key, if K is set.
    pub key: Option<&'a mut U32>,
    /// The sequence number, if S is set.
    pub sequence_number: Option<&'a mut U32>,
    /// The bytes behind the header.
    pub payload: &'a mut [u8],
}

impl<'a> GrePacketMut<'a> {
    /// The packet that `bytes` are, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`GrePacket::decode_with`].
    #[inline]
    pub fn decode_with(bytes: &'a mut [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let available = bytes.len();
        let (header, rest) = GreHeader::from_prefix_mut(bytes)?;
        header.validate(options.reserved_bits)?;
        let truncated = DecodeError::Truncated { needed: header.header_len(), available };
        let (mut checksum, mut reserved1, mut key, mut sequence_number) = (None, None, None, None);
        let mut payload = rest;
        if header.has_checksum() {
            let (word, behind) = <[U16; 2]>::mut_from_prefix(payload).map_err(|_| truncated)?;
            let [first, second] = word;
            (checksum, reserved1, payload) = (Some(first), Some(second), behind);
        }
        if header.has_key() {
            let (word, behind) = U32::mut_from_prefix(payload).map_err(|_| truncated)?;
            (key, payload) = (Some(word), behind);
        }
        if header.has_sequence_number() {
            let (word, behind) = U32::mut_from_prefix(payload).map_err(|_| truncated)?;
            (sequence_number, payload) = (Some(word), behind);
        }
        Ok(Self { header, checksum, reserved1, key, sequence_number, payload })
    }

    /// Writes the checksum of the packet as it is now; without C it does nothing.
    pub fn update_checksum(&mut self) {
        let Some(field) = self.checksum.as_deref_mut() else { return };
        field.set(0);
        // All parts of the header are even, so that sums of parts add up.
        let parts = [
            self.header.as_bytes(),
            self.reserved1.as_deref().map_or(&[], IntoBytes::as_bytes),
            self.key.as_deref().map_or(&[], IntoBytes::as_bytes),
            self.sequence_number.as_deref().map_or(&[], IntoBytes::as_bytes),
            &*self.payload,
        ];
        field.set(checksum::of(parts));
    }
}
