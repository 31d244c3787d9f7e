//! How strict decoding is, as a value.

/// What a decoder does with a bit that the standard reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReservedBits {
    /// Its value means nothing (RFC 2784 §2.3: bits 6 to 12 are ignored on receipt).
    #[default]
    Ignore,
    /// A header in which it is set is refused with [`DecodeError::ReservedBits`](crate::DecodeError::ReservedBits).
    Reject,
}

/// What a decoder does with a VSID that RFC 7637 §3.2 reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReservedVsids {
    /// The header decodes; that no tenant has this VSID is found out when it is looked up.
    #[default]
    Accept,
    /// The header is refused with [`DecodeError::ReservedVsid`](crate::DecodeError::ReservedVsid).
    Reject,
}

/// How strict `decode_with` is.
///
/// The fields may grow in number: start from a constant and change what differs. Here is what Open vSwitch does with
/// reserved bits:
///
/// ```
/// use nvgre_wire::{DecodeError, DecodeOptions, NvgreHeader, ReservedBits};
///
/// let options = DecodeOptions { reserved_bits: ReservedBits::Reject, ..DecodeOptions::RFC };
/// let bytes = [0x20, 0x08, 0x65, 0x58, 0, 0x10, 42, 0];
/// assert!(NvgreHeader::decode(&bytes).is_ok());
/// assert_eq!(NvgreHeader::decode_with(&bytes, options), Err(DecodeError::ReservedBits { bits: 0x0008 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecodeOptions {
    /// Bits 6 to 12 of the flags. The bits 1, 4 and 5, which RFC 1701 used, are refused always (RFC 2784 §2.3).
    pub reserved_bits: ReservedBits,
    /// Of [`NvgreHeader`](crate::NvgreHeader) alone: the VSIDs 0 to 0xfff and 0xffffff.
    pub reserved_vsids: ReservedVsids,
}

impl DecodeOptions {
    /// What the standards ask for: bits 6 to 12 are ignored (RFC 2784 §2.3); a receiver has no rule for reserved VSIDs.
    pub const RFC: Self = Self { reserved_bits: ReservedBits::Ignore, reserved_vsids: ReservedVsids::Accept };

    /// What Linux does with the bits 6 to 12 and with the key: it takes any.
    pub const LINUX: Self = Self::RFC;

    /// Nothing that a sender must not send.
    pub const STRICT: Self = Self { reserved_bits: ReservedBits::Reject, reserved_vsids: ReservedVsids::Reject };
}

impl Default for DecodeOptions {
    /// [`DecodeOptions::RFC`].
    fn default() -> Self {
        Self::RFC
    }
}
