//! The 16-bit number of the protocol in a frame.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The number that says which protocol an Ethernet frame carries (IEEE Std 802.3 §3.2.6), also the protocol type of
/// GRE (RFC 2784 §2.4) and Geneve (RFC 8926 §3.4).
///
/// The type is the two bytes in network order, as they stand in a header. Prints as `0x0800`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(transparent)]
pub struct EtherType([u8; 2]);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self::new(0x0800);
    /// Address resolution (RFC 826).
    pub const ARP: Self = Self::new(0x0806);
    /// A whole Ethernet frame: transparent Ethernet bridging (RFC 1701), as NVGRE and Geneve use it.
    pub const TRANSPARENT_ETHERNET_BRIDGING: Self = Self::new(0x6558);
    /// A customer VLAN tag (IEEE Std 802.1Q §9.6).
    pub const VLAN: Self = Self::new(0x8100);
    /// IPv6 (RFC 2464 §3).
    pub const IPV6: Self = Self::new(0x86dd);
    /// A service VLAN tag (IEEE Std 802.1Q §9.6, once 802.1ad).
    pub const SERVICE_VLAN: Self = Self::new(0x88a8);

    /// The type with this number.
    #[must_use]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be_bytes())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }

    /// The two bytes as they stand in a header.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 2] {
        self.0
    }

    /// The type in its two bytes of network order.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 2]) -> Self {
        Self(bytes)
    }

    /// `true` for a VLAN tag, customer or service.
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        matches!(self, Self::VLAN | Self::SERVICE_VLAN)
    }

    /// `true` for a length of IEEE Std 802.3 in place of a type: at most 1500.
    #[must_use]
    pub const fn is_length(self) -> bool {
        self.get() <= 1500
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.get())
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtherType({self})")
    }
}

impl From<u16> for EtherType {
    fn from(value: u16) -> Self {
        Self::new(value)
    }
}

impl From<EtherType> for u16 {
    fn from(ether_type: EtherType) -> Self {
        ether_type.get()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for EtherType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.get())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for EtherType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn every_value_goes_there_and_back() {
        for value in 0..=u16::MAX {
            let ether_type = EtherType::new(value);
            assert_eq!(ether_type.get(), value);
            assert_eq!(EtherType::from_be_bytes(ether_type.to_be_bytes()), ether_type);
            assert_eq!(ether_type.is_length(), value <= 1500);
            assert_eq!(ether_type.is_vlan(), value == 0x8100 || value == 0x88a8);
        }
    }

    #[test]
    fn text() {
        assert_eq!(EtherType::IPV4.to_string(), "0x0800");
        assert_eq!(EtherType::SERVICE_VLAN.to_string(), "0x88a8");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_takes_numbers() {
        assert_eq!(serde_json::to_string(&EtherType::ARP).unwrap(), "2054");
        assert_eq!(serde_json::from_str::<EtherType>("2054").unwrap(), EtherType::ARP);
    }
}
