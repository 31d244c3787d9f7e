//! Why bytes are not a header, and why a header cannot be written.

use thiserror::Error;

/// Why bytes are not the header that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than a header has (RFC 7348 §5: 8).
    #[error("a VXLAN header has {needed} bytes, only {available} are there")]
    Truncated {
        /// Bytes that the header takes.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The I flag is not set, so that the VNI is not valid (RFC 7348 §5); or the P flag of Generic Protocol Extension
    /// is not set where it is required.
    #[error("the flags {flags:#04x} lack one that must be set")]
    InvalidFlags {
        /// The first byte of the header.
        flags: u8,
    },
    /// A reserved bit is set, where the options reject it (RFC 7348 §5: sent as zero).
    #[error("reserved bits are set: {bits:#018x}")]
    ReservedBits {
        /// Those that are set: the eight bytes of the header as one big-endian number, all other bits zero.
        bits: u64,
    },
    /// A version of Generic Protocol Extension that is not 0 (draft-ietf-nvo3-vxlan-gpe-13 §3).
    #[error("version {version} of VXLAN-GPE is not known, only 0 is")]
    UnknownVersion {
        /// The version, 1 to 3.
        version: u8,
    },
}

/// Why a header cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is shorter than the header.
    #[error("a VXLAN header takes {needed} bytes, the buffer has {available}")]
    BufferTooSmall {
        /// Bytes that the header takes.
        needed: usize,
        /// Bytes that the buffer has.
        available: usize,
    },
}
