//! The 8-bit number of the protocol in an IP packet.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The protocol of IPv4 (RFC 791 §3.1) and the next header of IPv6 (RFC 8200 §3): one number space, kept by IANA as
/// "Assigned Internet Protocol Numbers". Prints as the number.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[repr(transparent)]
pub struct IpProtocol(u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP (RFC 792).
    pub const ICMP: Self = Self(1);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// DCCP (RFC 4340).
    pub const DCCP: Self = Self(33);
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: Self = Self(44);
    /// Generic routing encapsulation (RFC 2784), and so NVGRE.
    pub const GRE: Self = Self(47);
    /// `ICMPv6` (RFC 4443).
    pub const ICMPV6: Self = Self(58);
    /// No next header (RFC 8200 §4.7).
    pub const NO_NEXT_HEADER: Self = Self(59);
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION_OPTIONS: Self = Self(60);
    /// SCTP (RFC 9260).
    pub const SCTP: Self = Self(132);
    /// UDP-Lite (RFC 3828).
    pub const UDP_LITE: Self = Self(136);

    /// The protocol with this number.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// `true` where the first four bytes of the protocol's header are source and destination port: TCP, UDP, SCTP,
    /// DCCP and UDP-Lite.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP | Self::DCCP | Self::UDP_LITE)
    }

    /// `true` for the IPv6 extension headers that are walked to find the payload: hop-by-hop options, routing,
    /// fragment and destination options.
    #[must_use]
    pub const fn is_extension_header(self) -> bool {
        matches!(self, Self::HOP_BY_HOP | Self::ROUTING | Self::FRAGMENT | Self::DESTINATION_OPTIONS)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IpProtocol({})", self.0)
    }
}

impl From<u8> for IpProtocol {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

impl From<IpProtocol> for u8 {
    fn from(protocol: IpProtocol) -> Self {
        protocol.0
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn every_number_goes_there_and_back() {
        for number in 0..=u8::MAX {
            let protocol = IpProtocol::new(number);
            assert_eq!(protocol.get(), number);
            assert_eq!(u8::from(IpProtocol::from(number)), number);
            assert_eq!(protocol.has_ports(), [6, 17, 33, 132, 136].contains(&number));
            assert_eq!(protocol.is_extension_header(), [0, 43, 44, 60].contains(&number));
        }
        assert_eq!(IpProtocol::GRE.to_string(), "47");
    }
}
