//! One option: its numbers, its header, its data, and the trait of those whose layout is known.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::DecodeError;

/// The namespace of an option's type (RFC 8926 §3.5), from IANA's registry "Geneve Option Class". Prints as `0x0102`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(transparent)]
pub struct OptionClass([u8; 2]);

impl OptionClass {
    /// Linux.
    pub const LINUX: Self = Self::new(0x0100);
    /// Open vSwitch.
    pub const OPEN_VSWITCH: Self = Self::new(0x0101);
    /// Open Virtual Networking.
    pub const OVN: Self = Self::new(0x0102);
    /// In-band Network Telemetry.
    pub const IN_BAND_NETWORK_TELEMETRY: Self = Self::new(0x0103);
    /// `VMware`.
    pub const VMWARE: Self = Self::new(0x0104);
    /// The first of the classes for experiments, which go up to 0xffff (RFC 8926 §7).
    pub const EXPERIMENTAL: Self = Self::new(0xff00);

    /// The class with this number.
    #[inline]
    #[must_use]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be_bytes())
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl fmt::Display for OptionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.get())
    }
}

impl fmt::Debug for OptionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptionClass({self})")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for OptionClass {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.get())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for OptionClass {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::new)
    }
}

/// The type of an option in its class (RFC 8926 §3.5). The top bit is part of it and says that the option is critical.
/// Prints as `0x80`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[repr(transparent)]
pub struct OptionType(u8);

impl OptionType {
    /// The bit of a critical option: an endpoint that does not know it drops the packet (RFC 8926 §3.5).
    pub const CRITICAL: u8 = 0x80;

    /// The type with this number, the critical bit included.
    #[inline]
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number, the critical bit included.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// `true` if the critical bit is set.
    #[inline]
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.0 & Self::CRITICAL != 0
    }
}

impl fmt::Display for OptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

impl fmt::Debug for OptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptionType({self})")
    }
}

/// The four bytes that each option begins with (RFC 8926 §3.5).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          Option Class         |      Type     |R|R|R| Length  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct OptionHeader {
    class: OptionClass,
    option_type: OptionType,
    reserved_length: u8,
}

impl OptionHeader {
    /// Bytes of the header: 4.
    pub(crate) const LEN: usize = size_of::<Self>();

    /// The header of an option with `words` words of data, at most 31.
    #[inline]
    pub(crate) const fn new(class: OptionClass, option_type: OptionType, words: u8) -> Self {
        Self { class, option_type, reserved_length: words & 0x1f }
    }

    /// Bytes of data behind the header: 0 to 124.
    #[inline]
    pub(crate) const fn data_len(self) -> usize {
        4 * (self.reserved_length & 0x1f) as usize
    }

    /// The three reserved bits, in their places in the fourth byte.
    #[inline]
    pub(crate) const fn reserved_bits(self) -> u8 {
        self.reserved_length & 0xe0
    }
}

/// One option of a packet, in place (RFC 8926 §3.5).
#[derive(Clone, Copy)]
pub struct GeneveOption<'a> {
    header: &'a OptionHeader,
    data: &'a [u8],
}

impl<'a> GeneveOption<'a> {
    /// Bytes of data that an option can have: 124.
    pub const MAX_DATA_LEN: usize = 124;

    /// The option in front of `bytes` and the bytes behind it; `None` where it is not whole.
    #[inline]
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = OptionHeader::ref_from_prefix(bytes).ok()?;
        let (data, rest) = rest.split_at_checked(header.data_len())?;
        Some((Self { header, data }, rest))
    }

    /// The namespace of its type.
    #[inline]
    #[must_use]
    pub const fn class(&self) -> OptionClass {
        self.header.class
    }

    /// Its type, with the critical bit.
    #[inline]
    #[must_use]
    pub const fn option_type(&self) -> OptionType {
        self.header.option_type
    }

    /// `true` if an endpoint that does not know it must drop the packet.
    #[inline]
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.header.option_type.is_critical()
    }

    /// The three reserved bits, as a number from 0 to 7.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u8 {
        self.header.reserved_bits() >> 5
    }

    /// Its data: 0 to 124 bytes, a multiple of four.
    #[inline]
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The data as the option `T`; `None` if its class and type are not those of `T`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::OptionLayout`] if it is the option `T` with a length that `T` cannot have.
    #[inline]
    pub fn typed<T: TypedOption + ?Sized>(&self) -> Result<Option<&'a T>, DecodeError> {
        let (class, option_type) = (self.class(), self.option_type());
        if (class, option_type) != (T::CLASS, T::TYPE) {
            return Ok(None);
        }
        match T::ref_from_bytes(self.data) {
            Ok(option) => Ok(Some(option)),
            Err(_) => Err(DecodeError::OptionLayout { class, option_type, len: self.data.len() }),
        }
    }
}

impl PartialEq for GeneveOption<'_> {
    /// Same class, type, reserved bits and data.
    fn eq(&self, other: &Self) -> bool {
        self.header.as_bytes() == other.header.as_bytes() && self.data == other.data
    }
}

impl Eq for GeneveOption<'_> {}

impl fmt::Debug for GeneveOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneveOption")
            .field("class", &self.class())
            .field("option_type", &self.option_type())
            .field("reserved", &self.reserved())
            .field("data", &self.data)
            .finish()
    }
}

/// One option of a packet, to edit in place. Its length stays.
#[derive(Debug)]
pub struct GeneveOptionMut<'a> {
    header: &'a mut OptionHeader,
    data: &'a mut [u8],
}

impl<'a> GeneveOptionMut<'a> {
    /// The option in front of `bytes` and the bytes behind it; `None` where it is not whole.
    #[inline]
    pub(crate) fn split(bytes: &'a mut [u8]) -> Option<(Self, &'a mut [u8])> {
        let (header, rest) = OptionHeader::mut_from_prefix(bytes).ok()?;
        let (data, rest) = rest.split_at_mut_checked(header.data_len())?;
        Some((Self { header, data }, rest))
    }

    /// The option to look at.
    #[inline]
    #[must_use]
    pub const fn as_option(&self) -> GeneveOption<'_> {
        GeneveOption { header: self.header, data: self.data }
    }

    /// Its data: 0 to 124 bytes, a multiple of four.
    #[inline]
    #[must_use]
    pub const fn data_mut(&mut self) -> &mut [u8] {
        self.data
    }

    /// Sets the namespace of its type.
    #[inline]
    pub const fn set_class(&mut self, class: OptionClass) {
        self.header.class = class;
    }

    /// Sets its type. Where that changes the critical bit, the caller brings the C flag of the header in line:
    /// [`GeneveHeader::set_critical`](crate::GeneveHeader::set_critical).
    #[inline]
    pub const fn set_option_type(&mut self, option_type: OptionType) {
        self.header.option_type = option_type;
    }

    /// Sets the three reserved bits to the low three bits of `reserved`; they should be zero.
    #[inline]
    pub const fn set_reserved(&mut self, reserved: u8) {
        self.header.reserved_length = self.header.reserved_length & 0x1f | reserved << 5;
    }
}

/// An option whose meaning is known: its numbers, and its data as a layout.
///
/// ```
/// use geneve_wire::{OptionClass, OptionType, TypedOption};
/// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::big_endian::U16};
///
/// /// Logical input and output port, as OVN sends them.
/// #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
/// #[repr(C)]
/// struct LogicalPorts {
///     input: U16,
///     output: U16,
/// }
///
/// impl TypedOption for LogicalPorts {
///     const CLASS: OptionClass = OptionClass::OVN;
///     const TYPE: OptionType = OptionType::new(0x80);
/// }
/// ```
///
/// A layout that ends in a slice has as many lengths as that; the bytes are always a multiple of four.
pub trait TypedOption: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {
    /// The namespace of its type.
    const CLASS: OptionClass;
    /// Its type, with the critical bit if an endpoint that does not know it must drop the packet.
    const TYPE: OptionType;
}
