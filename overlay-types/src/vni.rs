//! The 24-bit identifier of a virtual network.

use core::{fmt, str::FromStr};

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A VXLAN network identifier (RFC 7348 §5), also Geneve's virtual network identifier (RFC 8926 §3.4): 24 bits.
///
/// Every one of the 2²⁴ values is valid. The type is the three bytes in network order, as they stand in a header.
///
/// A `VSID` of NVGRE is *not* a `Vni`: RFC 7637 §3.2 reserves ranges of it.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(transparent)]
pub struct Vni([u8; 3]);

impl Vni {
    /// The smallest identifier, 0.
    pub const MIN: Self = Self([0; 3]);
    /// The largest identifier, 2²⁴ − 1 = 16777215.
    pub const MAX: Self = Self([0xff; 3]);

    /// The identifier `value`, or `None` where it takes more than 24 bits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        let [high, a, b, c] = value.to_be_bytes();
        if high == 0 { Some(Self([a, b, c])) } else { None }
    }

    /// The identifier in its three bytes of network order.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 3]) -> Self {
        Self(bytes)
    }

    /// The three bytes as they stand in a header.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 3] {
        self.0
    }

    /// The identifier as a number, 0 to 16777215.
    #[must_use]
    pub const fn get(self) -> u32 {
        let [a, b, c] = self.0;
        u32::from_be_bytes([0, a, b, c])
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.get())
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.get()
    }
}

impl TryFrom<u32> for Vni {
    type Error = ParseVniError;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or(ParseVniError::TooLarge)
    }
}

impl FromStr for Vni {
    type Err = ParseVniError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use core::num::IntErrorKind;

        match text.parse::<u32>() {
            // `u32` takes a sign that nobody writes before an identifier.
            Ok(value) if text.as_bytes().first().is_some_and(u8::is_ascii_digit) => value.try_into(),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(ParseVniError::TooLarge),
            _ => Err(ParseVniError::NotANumber),
        }
    }
}

/// Why a text or a number is not a [`Vni`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseVniError {
    /// Not a decimal number.
    #[error("a VNI is a decimal number from 0 to 16777215")]
    NotANumber,
    /// More than 24 bits.
    #[error("a VNI has 24 bits: the largest is 16777215")]
    TooLarge,
}

#[cfg(feature = "serde")]
impl serde::Serialize for Vni {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Vni {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        u32::try_from(value)
            .map_err(|_| ParseVniError::TooLarge)
            .and_then(Self::try_from)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn every_value_goes_there_and_back() {
        for value in 0..1 << 24 {
            let vni = Vni::new(value).unwrap();
            assert_eq!(vni.get(), value);
            assert_eq!(Vni::from_be_bytes(vni.to_be_bytes()), vni);
        }
    }

    #[test]
    fn more_than_24_bits_are_refused() {
        for value in [1 << 24, (1 << 24) + 1, 1 << 31, u32::MAX] {
            assert_eq!(Vni::new(value), None);
            assert_eq!(Vni::try_from(value), Err(ParseVniError::TooLarge));
        }
    }

    #[test]
    fn order_is_the_order_of_numbers() {
        assert!(Vni::new(255) < Vni::new(256));
        assert!(Vni::new(65535) < Vni::new(65536));
        assert!(Vni::MIN < Vni::MAX);
    }

    #[test]
    fn text() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("16777215", Ok(16_777_215)),
            ("16777216", Err(ParseVniError::TooLarge)),
            ("99999999999999999999", Err(ParseVniError::TooLarge)),
            ("-1", Err(ParseVniError::NotANumber)),
            ("+1", Err(ParseVniError::NotANumber)),
            ("", Err(ParseVniError::NotANumber)),
            ("4 2", Err(ParseVniError::NotANumber)),
            ("blue", Err(ParseVniError::NotANumber)),
        ] {
            assert_eq!(text.parse::<Vni>().map(Vni::get), expected, "{text:?}");
        }
        assert_eq!(Vni::MAX.to_string(), "16777215");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_takes_numbers_of_24_bits() {
        assert_eq!(serde_json::to_string(&Vni::new(42).unwrap()).unwrap(), "42");
        assert_eq!(serde_json::from_str::<Vni>("42").unwrap(), Vni::new(42).unwrap());
        assert!(serde_json::from_str::<Vni>("16777216").is_err());
        assert!(serde_json::from_str::<Vni>("4294967338").is_err());
        assert!(serde_json::from_str::<Vni>("-1").is_err());
    }
}
