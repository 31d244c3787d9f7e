//! Why bytes are not the packet that they should be, and why a packet cannot be written.

use thiserror::Error;

/// Why bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the header or the packet does.
    #[error("truncated: {needed} bytes needed, {available} available")]
    Truncated {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// The version field is not that of the protocol: 4 (RFC 791 §3.1) or 6 (RFC 8200 §3).
    #[error("IP version {found} in place of {expected}")]
    Version {
        /// The version of the protocol.
        expected: u8,
        /// The version in the header.
        found: u8,
    },
    /// The header length field is smaller than the fixed part: IPv4's IHL (RFC 791 §3.1) or TCP's data offset
    /// (RFC 9293 §3.1).
    #[error("a header length of {length} bytes, less than {minimum}")]
    HeaderLength {
        /// The length that the field gives, in bytes.
        length: usize,
        /// The length of the fixed part, in bytes.
        minimum: usize,
    },
    /// The length field does not cover the header itself: IPv4's total length (RFC 791 §3.1) or UDP's length
    /// (RFC 768).
    #[error("a packet length of {length} bytes, less than its header of {header}")]
    PacketLength {
        /// The length that the field gives, in bytes.
        length: usize,
        /// The length of the header, in bytes.
        header: usize,
    },
    /// A reserved bit is set, and the [`DecodeOptions`](crate::DecodeOptions) refuse that.
    #[error("reserved bits {bits:#06x} set")]
    ReservedBits {
        /// The reserved bits as they stand in their 16-bit field.
        bits: u16,
    },
    /// The checksum is wrong (RFC 1071; RFC 1122 §3.2.1.2 for IPv4, RFC 768, RFC 4443 §2.3).
    #[error("checksum {found:#06x} is wrong")]
    Checksum {
        /// The checksum in the packet.
        found: u16,
    },
    /// More IPv6 extension headers than anyone sends.
    #[error("more than {limit} IPv6 extension headers")]
    TooManyExtensionHeaders {
        /// How many are walked.
        limit: usize,
    },
    /// An option's length is too small for its own head, or leads out of the area of options: IPv4 (RFC 791 §3.1),
    /// TCP (RFC 9293 §3.1) or Neighbor Discovery, where it must not be zero (RFC 4861 §4.6).
    #[error("option {kind} with a length of {length} bytes, {available} left")]
    OptionLength {
        /// The option's kind or type.
        kind: u8,
        /// The length that the option gives, in bytes.
        length: usize,
        /// Bytes from the option's start to the end of the options.
        available: usize,
    },
}

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is shorter than what goes into it.
    #[error("buffer too small: {needed} bytes needed, {available} available")]
    BufferTooSmall {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// A length that its 16-bit field cannot say.
    #[error("{length} bytes are more than the {maximum} that the length field can say")]
    TooLong {
        /// The length, in bytes.
        length: usize,
        /// The largest possible, in bytes.
        maximum: usize,
    },
}
