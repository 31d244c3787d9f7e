//! How strict decoding is, as a value.

/// What a decoder does with a bit that the standard reserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReservedBits {
    /// Its value means nothing (RFC 8926 §3.4, §3.5: ignored on receipt).
    #[default]
    Ignore,
    /// A packet in which it is set is refused with [`DecodeError::ReservedBits`](crate::DecodeError::ReservedBits).
    Reject,
}

/// What a decoder does with the options of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum OptionHandling {
    /// They are validated and can be read.
    #[default]
    Process,
    /// They are stripped by the option length and never looked at (RFC 8926 §3.4 allows it without C). A packet with
    /// C is refused with [`DecodeError::CriticalFlag`](crate::DecodeError::CriticalFlag).
    Strip,
}

/// What a decoder that processes options asks of the C flag, which says that a critical option is among them (RFC
/// 8926 §3.4).
///
/// A sender must set C where an option is critical (§3.5). For a receiver of a flag that does not agree with the options
/// the text has no rule. What it must do with an unknown critical option depends on the option alone, so
/// [`Options::refuse_unknown_critical`](crate::Options::refuse_unknown_critical) does not look at C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum CriticalFlag {
    /// Nothing, as Open vSwitch does.
    Ignore,
    /// C without any option at all is refused: there is nothing that could be critical. C with options of which none is
    /// critical is accepted.
    #[default]
    NeedsOptions,
    /// C is set if and only if an option is critical.
    Exact,
}

/// How strict `decode_with` is.
///
/// The fields may grow in number: start from a constant and change what differs.
///
/// ```
/// use geneve_wire::{DecodeError, DecodeOptions, GenevePacket, ReservedBits};
///
/// let options = DecodeOptions { reserved_bits: ReservedBits::Reject, ..DecodeOptions::RFC };
/// let bytes = [0, 0, 0x65, 0x58, 0, 0, 42, 0x01];
/// assert!(GenevePacket::decode(&bytes).is_ok());
/// assert_eq!(GenevePacket::decode_with(&bytes, options), Err(DecodeError::ReservedBits { offset: 7, bits: 0x01 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecodeOptions {
    /// The six bits behind O and C, the last byte of the header, and, where options are processed, the three bits of
    /// each option.
    pub reserved_bits: ReservedBits,
    /// Whether options are read or stripped.
    pub option_handling: OptionHandling,
    /// How C and the options have to agree, where they are processed.
    pub critical_flag: CriticalFlag,
}

impl DecodeOptions {
    /// What RFC 8926 asks of an endpoint that processes options: they add up to the option length (§3.5), reserved
    /// bits are ignored.
    pub const RFC: Self = Self {
        reserved_bits: ReservedBits::Ignore,
        option_handling: OptionHandling::Process,
        critical_flag: CriticalFlag::NeedsOptions,
    };

    /// What the `geneve` device of Linux does that is not `external`: it knows no options, strips them unseen, and
    /// refuses every packet with C.
    pub const LINUX: Self = Self { option_handling: OptionHandling::Strip, ..Self::RFC };

    /// Nothing that a sender must not send: reserved bits are zero, and C is set exactly where an option is critical.
    pub const STRICT: Self =
        Self { reserved_bits: ReservedBits::Reject, critical_flag: CriticalFlag::Exact, ..Self::RFC };
}

impl Default for DecodeOptions {
    /// [`DecodeOptions::RFC`].
    fn default() -> Self {
        Self::RFC
    }
}
