//! How strict decoding is.

/// What decoding refuses beyond what makes a packet unreadable. A value, so that a caller takes a constant and changes
/// what it knows better:
///
/// ```
/// use ether_wire::DecodeOptions;
///
/// // The card has checked it already.
/// let options = DecodeOptions { header_checksum: false, ..DecodeOptions::RFC };
/// # let _ = options;
/// ```
///
/// Lengths, versions and header lengths are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecodeOptions {
    /// Refuse an IPv4 header whose checksum is wrong (RFC 1122 §3.2.1.2: MUST).
    pub header_checksum: bool,
    /// Refuse reserved bits that are not zero: the one of IPv4's flags (RFC 791 §3.1) and those of TCP (RFC 9293 §3.1).
    /// Never do that to what is only passed on: TCP's reserved bits get meanings over time.
    pub reserved_bits: bool,
}

impl DecodeOptions {
    /// What the RFCs demand of a receiver: checksums are verified, reserved bits are not looked at.
    pub const RFC: Self = Self { header_checksum: true, reserved_bits: false };
    /// What Linux does on receipt: here the same as [`RFC`](Self::RFC).
    pub const LINUX: Self = Self::RFC;
    /// Everything that can be refused is.
    pub const STRICT: Self = Self { header_checksum: true, reserved_bits: true };
    /// Only what is needed to read the packet at all: for bytes that someone else has checked.
    pub const LENGTHS: Self = Self { header_checksum: false, reserved_bits: false };
}

impl Default for DecodeOptions {
    /// [`RFC`](Self::RFC).
    fn default() -> Self {
        Self::RFC
    }
}
