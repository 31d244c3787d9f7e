//! Why bytes are not GRE or not NVGRE, and why a header cannot be written.

use overlay_types::EtherType;
use thiserror::Error;

/// Why bytes are not a GRE packet, or a GRE packet is not NVGRE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the header has (RFC 2784 §2.1, RFC 2890 §2; NVGRE: 8).
    #[error("the GRE header has {needed} bytes, only {available} are there")]
    Truncated {
        /// Bytes of the header, as far as its flags are known.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// A version that is not 0 (RFC 2784 §2.3.1).
    #[error("version {version} of GRE is not known, only 0 is")]
    UnknownVersion {
        /// The version, 1 to 7.
        version: u8,
    },
    /// One of the bits 1, 4 and 5 is set, which makes it RFC 1701 and must be refused; or one of the bits 6 to 12, where
    /// the options reject it (RFC 2784 §2.3).
    #[error("reserved bits are set: {bits:#06x}")]
    ReservedBits {
        /// Those that are set, in their places in the first 16 bits.
        bits: u16,
    },
    /// The checksum is wrong (RFC 2784 §2.5).
    #[error("the GRE checksum is {found:#06x} and ought to be {expected:#06x}")]
    Checksum {
        /// The one in the header.
        found: u16,
        /// The one of the packet.
        expected: u16,
    },
    /// A GRE packet, but not NVGRE: C is set (RFC 7637 §3.2).
    #[error("not NVGRE: a checksum is present, flags {flags:#06x}")]
    ChecksumPresent {
        /// The first 16 bits.
        flags: u16,
    },
    /// A GRE packet, but not NVGRE: S is set (RFC 7637 §3.2).
    #[error("not NVGRE: a sequence number is present, flags {flags:#06x}")]
    SequenceNumberPresent {
        /// The first 16 bits.
        flags: u16,
    },
    /// A GRE packet, but not NVGRE: K is not set, so that there is no VSID (RFC 7637 §3.2).
    #[error("not NVGRE: no key is present, flags {flags:#06x}")]
    KeyAbsent {
        /// The first 16 bits.
        flags: u16,
    },
    /// A GRE packet, but not NVGRE: the payload is no Ethernet frame (RFC 7637 §3.2).
    #[error("not NVGRE: the protocol type is {protocol_type} and not 0x6558")]
    WrongProtocolType {
        /// The protocol type.
        protocol_type: EtherType,
    },
    /// A VSID that no tenant can have, where the options reject it (RFC 7637 §3.2).
    #[error("the VSID {vsid} is reserved")]
    ReservedVsid {
        /// The VSID: 0 to 4095, or 16777215.
        vsid: u32,
    },
}

/// Why a header cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is shorter than the header.
    #[error("the GRE header takes {needed} bytes, the buffer has {available}")]
    BufferTooSmall {
        /// Bytes that the header takes.
        needed: usize,
        /// Bytes that the buffer has.
        available: usize,
    },
}
