//! How strict decoding is, as a value.

/// What a decoder does with a bit that the standard reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReservedBits {
    /// Its value means nothing (RFC 7348 §5: reserved fields are ignored on receipt).
    #[default]
    Ignore,
    /// A header in which it is set is refused with [`DecodeError::ReservedBits`](crate::DecodeError::ReservedBits).
    Reject,
}

/// How strict `decode_with` is.
///
/// The fields may grow in number: start from a constant and change what differs.
///
/// ```
/// use vxlan_wire::{DecodeError, DecodeOptions, ReservedBits, VxlanHeader};
///
/// let options = DecodeOptions { reserved_bits: ReservedBits::Reject, ..DecodeOptions::RFC };
/// let bytes = [0x08, 0, 0, 0, 0, 0, 42, 0x01];
/// assert!(VxlanHeader::decode(&bytes).is_ok());
/// assert_eq!(VxlanHeader::decode_with(&bytes, options), Err(DecodeError::ReservedBits { bits: 1 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecodeOptions {
    /// The reserved bits: of [`VxlanHeader`](crate::VxlanHeader) all 39 beside the I flag and the VNI; of
    /// [`GbpHeader`](crate::GbpHeader) those of the first and the last byte; of [`GpeHeader`](crate::GpeHeader) all.
    pub reserved_bits: ReservedBits,
    /// Of [`GbpHeader`](crate::GbpHeader) alone: the reserved bits of the second byte, and all 24 bits behind the
    /// flags where G is not set.
    pub group_policy_bits: ReservedBits,
    /// Of [`GpeHeader`](crate::GpeHeader) alone: refuse a header without the P flag, whose payload is Ethernet.
    pub require_next_protocol: bool,
}

impl DecodeOptions {
    /// What the standards ask for: reserved bits are ignored (RFC 7348 §5), a GPE header without P carries Ethernet.
    pub const RFC: Self = Self {
        reserved_bits: ReservedBits::Ignore,
        group_policy_bits: ReservedBits::Ignore,
        require_next_protocol: false,
    };

    /// What the `vxlan` device of Linux does: any reserved bit refuses the packet, but for those of the group policy;
    /// GPE needs P. Open vSwitch treats a plain VXLAN header in the same way.
    pub const LINUX: Self = Self {
        reserved_bits: ReservedBits::Reject,
        group_policy_bits: ReservedBits::Ignore,
        require_next_protocol: true,
    };

    /// Nothing that a sender should not send: all that any of the others refuses, and every reserved bit.
    pub const STRICT: Self = Self { group_policy_bits: ReservedBits::Reject, ..Self::LINUX };
}

impl Default for DecodeOptions {
    /// [`DecodeOptions::RFC`].
    fn default() -> Self {
        Self::RFC
    }
}
