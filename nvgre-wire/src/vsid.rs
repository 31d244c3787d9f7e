//! The two halves of the key: which subnet, and which flow of it.

use core::{fmt, str::FromStr};

use overlay_types::Vni;
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A Virtual Subnet Identifier of a tenant (RFC 7637 §3.2): 24 bits, from 4096 to 16777214.
///
/// It is not a [`Vni`]: 0 to 4095 are reserved, and 16777215 is for what endpoints of one vendor tell each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Vsid(Vni);

impl Vsid {
    /// The smallest that a tenant can have, 4096.
    pub const MIN: Self = Self(Vni::from_be_bytes([0x00, 0x10, 0x00]));
    /// The largest that a tenant can have, 2²⁴ − 2 = 16777214.
    pub const MAX: Self = Self(Vni::from_be_bytes([0xff, 0xff, 0xfe]));

    /// The identifier `value`, or `None` where it is reserved or takes more than 24 bits.
    #[inline]
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        match Vni::new(value) {
            Some(vni) if !Self::is_reserved(value) => Some(Self(vni)),
            _ => None,
        }
    }

    /// The identifier as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The three bytes as they stand in a header.
    #[inline]
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 3] {
        self.0.to_be_bytes()
    }

    /// `true` for a number of 24 bits that RFC 7637 §3.2 reserves.
    #[inline]
    #[must_use]
    pub const fn is_reserved(value: u32) -> bool {
        value <= 0xfff || value == 0xff_ffff
    }
}

impl fmt::Display for Vsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for Vsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vsid({})", self.get())
    }
}

impl From<Vsid> for Vni {
    fn from(vsid: Vsid) -> Self {
        vsid.0
    }
}

impl From<Vsid> for u32 {
    fn from(vsid: Vsid) -> Self {
        vsid.get()
    }
}

impl TryFrom<Vni> for Vsid {
    type Error = ParseVsidError;

    fn try_from(vni: Vni) -> Result<Self, Self::Error> {
        Self::new(vni.get()).ok_or(ParseVsidError::Reserved { value: vni.get() })
    }
}

impl TryFrom<u32> for Vsid {
    type Error = ParseVsidError;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        Vni::new(value).ok_or(ParseVsidError::TooLarge)?.try_into()
    }
}

impl FromStr for Vsid {
    type Err = ParseVsidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use overlay_types::ParseVniError::TooLarge;

        match text.parse::<Vni>() {
            Ok(vni) => vni.try_into(),
            Err(TooLarge) => Err(ParseVsidError::TooLarge),
            Err(_) => Err(ParseVsidError::NotANumber),
        }
    }
}

/// Why a text or a number is not a [`Vsid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseVsidError {
    /// Not a decimal number.
    #[error("a VSID is a decimal number from 4096 to 16777214")]
    NotANumber,
    /// More than 24 bits.
    #[error("a VSID has 24 bits: the largest is 16777214")]
    TooLarge,
    /// Reserved by RFC 7637 §3.2.
    #[error("the VSID {value} is reserved: 0 to 4095 and 16777215 are not for tenants")]
    Reserved {
        /// The number.
        value: u32,
    },
}

#[cfg(feature = "serde")]
impl serde::Serialize for Vsid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Vsid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vni::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Vsid {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Self::new(u.int_in_range(Self::MIN.get()..=Self::MAX.get())?).ok_or(arbitrary::Error::IncorrectFormat)
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (3, Some(3))
    }
}

/// The flow of a subnet (RFC 7637 §3.2): 8 bits that spread flows over paths. Set by the sender, as much entropy as
/// possible, and never changed on the way.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[repr(transparent)]
pub struct FlowId(u8);

impl FlowId {
    /// What a sender writes that generates none.
    pub const NONE: Self = Self(0);

    /// The flow with this number.
    #[inline]
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlowId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn exactly_the_reserved_ranges_are_refused() {
        for value in 0..1 << 24 {
            let reserved = value < 4096 || value == 16_777_215;
            assert_eq!(Vsid::new(value).map(Vsid::get), (!reserved).then_some(value));
        }
        for value in [0, 1, 4095, 16_777_215] {
            assert_eq!(Vsid::try_from(value), Err(ParseVsidError::Reserved { value }));
            assert_eq!(Vsid::try_from(Vni::new(value).unwrap()), Err(ParseVsidError::Reserved { value }));
        }
        for value in [4096, 5000, 16_777_214] {
            assert_eq!(Vsid::try_from(Vni::new(value).unwrap()).map(Vni::from).ok(), Vni::new(value));
        }
        assert_eq!(Vsid::try_from(1 << 24), Err(ParseVsidError::TooLarge));
        assert_eq!(Vsid::new(u32::MAX), None);
        assert_eq!((Vsid::MIN.get(), Vsid::MAX.get()), (4096, 16_777_214));
    }

    #[test]
    fn text() {
        use ParseVsidError::{NotANumber, Reserved, TooLarge};
        for (text, expected) in [
            ("4096", Ok(4096)),
            ("16777214", Ok(16_777_214)),
            ("16777215", Err(Reserved { value: 16_777_215 })),
            ("4095", Err(Reserved { value: 4095 })),
            ("16777216", Err(TooLarge)),
            ("blue", Err(NotANumber)),
            ("", Err(NotANumber)),
        ] {
            assert_eq!(text.parse::<Vsid>().map(Vsid::get), expected, "{text:?}");
        }
        assert_eq!(Vsid::MAX.to_string(), "16777214");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_takes_numbers_that_are_not_reserved() {
        assert_eq!(serde_json::to_string(&Vsid::MIN).unwrap(), "4096");
        assert_eq!(serde_json::from_str::<Vsid>("4096").unwrap(), Vsid::MIN);
        assert!(serde_json::from_str::<Vsid>("4095").is_err());
        assert!(serde_json::from_str::<Vsid>("16777215").is_err());
    }

    #[cfg(feature = "arbitrary")]
    #[test]
    fn arbitrary_values_are_not_reserved() {
        use arbitrary::Arbitrary as _;

        for value in 0..=u8::MAX {
            let bytes = [value; 3];
            let vsid = Vsid::arbitrary(&mut arbitrary::Unstructured::new(&bytes)).unwrap();
            assert!(Vsid::MIN <= vsid && vsid <= Vsid::MAX);
        }
    }
}
