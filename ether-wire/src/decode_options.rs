//! How strict decoding is, as a value.

/// What a decoder does with a bit that the standard reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReservedBits {
    /// Its value means nothing.
    #[default]
    Ignore,
    /// A header in which it is set is refused with [`DecodeError::ReservedBits`](crate::DecodeError::ReservedBits).
    Reject,
}

/// How strict `decode_with` is.
///
/// The fields may grow in number: start from a constant and change what differs. Lengths, versions and header lengths
/// are always checked.
///
/// ```
/// use ether_wire::{DecodeOptions, IpProtocol, Ipv4Header};
///
/// let mut header = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 20);
/// header.set_checksum(0);
/// assert!(Ipv4Header::decode(header.as_bytes()).is_err());
/// // The network card has looked at it already.
/// let options = DecodeOptions { header_checksum: false, ..DecodeOptions::RFC };
/// assert!(Ipv4Header::decode_with(header.as_bytes(), options).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecodeOptions {
    /// Refuse an IPv4 header whose checksum is wrong (RFC 1122 §3.2.1.2: MUST).
    pub header_checksum: bool,
    /// The reserved bit of IPv4's flags (RFC 791 §3.1) and the four of TCP (RFC 9293 §3.1). Rejecting is not for what is
    /// only passed on: TCP's reserved bits get meanings over time.
    pub reserved_bits: ReservedBits,
}

impl DecodeOptions {
    /// What the RFCs ask of a receiver: checksums are verified, reserved bits are ignored.
    pub const RFC: Self = Self { header_checksum: true, reserved_bits: ReservedBits::Ignore };

    /// What Linux does: for these headers the same as [`RFC`](Self::RFC).
    pub const LINUX: Self = Self::RFC;

    /// Nothing that a sender should not send.
    pub const STRICT: Self = Self { header_checksum: true, reserved_bits: ReservedBits::Reject };

    /// No more than it takes to read the packet: for bytes that someone else has checked.
    pub const LENGTHS: Self = Self { header_checksum: false, reserved_bits: ReservedBits::Ignore };
}

impl Default for DecodeOptions {
    /// [`DecodeOptions::RFC`].
    fn default() -> Self {
        Self::RFC
    }
}
