//! Why bytes are not a Geneve packet, and why one cannot be written.

use thiserror::Error;

use crate::{OptionClass, OptionType};

/// Why bytes are not a Geneve packet, or not one that this endpoint may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the header and the options that it announces have (RFC 8926 §3.4).
    #[error("the Geneve header has {needed} bytes, only {available} are there")]
    Truncated {
        /// Bytes of the header, with options as far as their length is known.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// A version that is not 0: the packet must be dropped (RFC 8926 §3.4).
    #[error("version {version} of Geneve is not known, only 0 is")]
    UnknownVersion {
        /// The version, 1 to 3.
        version: u8,
    },
    /// A reserved bit is set, where the options reject it (RFC 8926 §3.4, §3.5: sent as zero).
    #[error("reserved bits {bits:#04x} are set in byte {offset} of the header")]
    ReservedBits {
        /// Which byte, from the start of the header.
        offset: usize,
        /// Those that are set, in their places in the byte.
        bits: u8,
    },
    /// An option ends behind the end of the options, so that they do not add up to the option length: the packet must
    /// be dropped (RFC 8926 §3.5).
    #[error("the option at byte {offset} of the options takes {needed} bytes, {available} are left")]
    OptionOverrun {
        /// Where the option begins, from the start of the options.
        offset: usize,
        /// Bytes that it takes, its header of four included.
        needed: usize,
        /// Bytes that are left for it.
        available: usize,
    },
    /// C is set and no option is critical, or the other way round, where the decode options refuse it (RFC 8926 §3.4,
    /// §3.5).
    #[error("the C flag is {flag}, which the options do not agree with")]
    CriticalFlagMismatch {
        /// The C flag.
        flag: bool,
    },
    /// C is set, and this endpoint does not process options: the packet must be dropped (RFC 8926 §3.4).
    #[error("a critical option is announced, and options are not processed")]
    CriticalFlag,
    /// A critical option that this endpoint does not know: the packet must be dropped (RFC 8926 §3.5).
    #[error("the critical option {option_type} of class {class} is not known")]
    UnknownCriticalOption {
        /// Its class.
        class: OptionClass,
        /// Its type, with the critical bit.
        option_type: OptionType,
    },
    /// An option that this endpoint knows, with a length that its layout does not have.
    #[error("the option {option_type} of class {class} cannot have {len} bytes of data")]
    OptionLayout {
        /// Its class.
        class: OptionClass,
        /// Its type, with the critical bit.
        option_type: OptionType,
        /// Bytes of data that it has.
        len: usize,
    },
}

/// Why a Geneve header or option cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too short.
    #[error("the Geneve header takes {needed} bytes, the buffer has {available}")]
    BufferTooSmall {
        /// Bytes from the start of the header to the end of what was to be written.
        needed: usize,
        /// Bytes that the buffer has.
        available: usize,
    },
    /// More than 124 bytes of data in one option: its length field has five bits (RFC 8926 §3.5).
    #[error("an option carries at most 124 bytes of data, not {len}")]
    OptionTooLong {
        /// Bytes of data.
        len: usize,
    },
    /// The data of an option is no multiple of four bytes (RFC 8926 §3.5).
    #[error("the data of an option is a multiple of 4 bytes, not {len}")]
    OptionUnaligned {
        /// Bytes of data.
        len: usize,
    },
    /// More than 252 bytes of options: their length field has six bits (RFC 8926 §3.4).
    #[error("a header carries at most 252 bytes of options, not {len}")]
    OptionsTooLong {
        /// Bytes of options that there would be.
        len: usize,
    },
}
