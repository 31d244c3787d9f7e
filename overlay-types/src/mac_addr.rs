//! The 48-bit address of an Ethernet interface.

use core::{fmt, str::FromStr};

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An EUI-48 address of an Ethernet interface or group (IEEE Std 802-2014 §8), in the order of transmission.
///
/// Prints as `02:00:00:00:00:01`; parses that form, in either case, and the form with hyphens.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(transparent)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// `00:00:00:00:00:00`, which no interface may have.
    pub const ZERO: Self = Self([0; 6]);
    /// `ff:ff:ff:ff:ff:ff`, every station of the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address with these six octets.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The six octets in the order of transmission.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// `true` for an address of one interface: neither a group address nor all zero. Only such an address may be the
    /// source of a frame.
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }

    /// `true` for a group address, broadcast included: the I/G bit is set.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// `true` for `ff:ff:ff:ff:ff:ff`.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// `true` for `00:00:00:00:00:00`.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// `true` for a locally administered address: the U/L bit is set.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.0[0] & 0x02 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As text first, so that width and alignment hold for the whole address.
        let mut text = [b':'; 17];
        for (index, octet) in self.0.iter().enumerate() {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            text[3 * index] = DIGITS[usize::from(octet >> 4)];
            text[3 * index + 1] = DIGITS[usize::from(octet & 0xf)];
        }
        f.pad(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacAddr({self})")
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> Self {
        mac.0
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = 0;
        for part in text.split(separator) {
            let octet = match part.as_bytes() {
                [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => u8::from_str_radix(part, 16),
                _ => return Err(ParseMacAddrError::Octet { index: parts }),
            };
            let octet = octet.map_err(|_| ParseMacAddrError::Octet { index: parts })?;
            if let Some(place) = octets.get_mut(parts) {
                *place = octet;
            }
            parts += 1;
        }
        if parts == octets.len() { Ok(Self(octets)) } else { Err(ParseMacAddrError::Length { octets: parts }) }
    }
}

/// Why a text is not a [`MacAddr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseMacAddrError {
    /// Not six octets.
    #[error("a MAC address has 6 octets, not {octets}")]
    Length {
        /// How many there are.
        octets: usize,
    },
    /// An octet that is not two hexadecimal digits.
    #[error("octet {} of the MAC address is not two hexadecimal digits", index + 1)]
    Octet {
        /// Which one, from 0.
        index: usize,
    },
}

#[cfg(feature = "serde")]
impl serde::Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = MacAddr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a MAC address such as \"02:00:00:00:00:01\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MacAddr, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString as _};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_goes_there_and_back(octets: [u8; 6]) {
            let mac = MacAddr::new(octets);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            prop_assert_eq!(mac.to_string().to_uppercase().parse(), Ok(mac));
            prop_assert_eq!(mac.to_string().replace(':', "-").parse(), Ok(mac));
        }

        #[test]
        fn any_text_is_answered(text: std::string::String) {
            let _ = text.parse::<MacAddr>();
        }
    }

    #[test]
    fn wrong_text_is_named() {
        use ParseMacAddrError::{Length, Octet};
        for (text, expected) in [
            ("02:00:00:00:00", Length { octets: 5 }),
            ("02:00:00:00:00:01:02", Length { octets: 7 }),
            ("02:00:00:00:00:1", Octet { index: 5 }),
            ("02:00:00:00:00:+1", Octet { index: 5 }),
            ("02:00:00:0g:00:01", Octet { index: 3 }),
            ("02:00-00:00:00:01", Octet { index: 0 }),
            ("020000000001", Octet { index: 0 }),
            ("", Octet { index: 0 }),
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(expected), "{text:?}");
        }
        assert_eq!(Octet { index: 5 }.to_string(), "octet 6 of the MAC address is not two hexadecimal digits");
    }

    #[test]
    fn kinds() {
        let mac = |text: &str| text.parse::<MacAddr>().unwrap();
        assert!(mac("02:00:00:00:00:01").is_unicast());
        assert!(mac("02:00:00:00:00:01").is_local());
        assert!(!mac("00:1b:21:00:00:01").is_local());
        assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_multicast());
        assert!(MacAddr::BROADCAST.is_multicast() && !MacAddr::BROADCAST.is_unicast());
        assert!(mac("01:00:5e:00:00:01").is_multicast() && !mac("01:00:5e:00:00:01").is_broadcast());
    }

    #[test]
    fn width_holds_for_the_whole() {
        assert_eq!(format!("{:<20}|", MacAddr::ZERO), "00:00:00:00:00:00   |");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_takes_text() {
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        assert_eq!(serde_json::to_string(&mac).unwrap(), "\"02:00:00:00:00:01\"");
        assert_eq!(serde_json::from_str::<MacAddr>("\"02:00:00:00:00:01\"").unwrap(), mac);
        let error = serde_json::from_str::<MacAddr>("\"02:00:00:00:00\"").unwrap_err();
        assert!(error.to_string().starts_with("a MAC address has 6 octets, not 5"), "{error}");
    }
}
