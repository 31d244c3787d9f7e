//! An IP address in two words.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 address as two words and a family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedAddress {
    /// The high and the low half; an IPv4 address is the low half.
    pub(crate) words: [u64; 2],
    pub(crate) v6: bool,
}

impl PackedAddress {
    pub(crate) fn unpack(self) -> IpAddr {
        let [high, low] = self.words;
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(low as u32))
        }
    }
}

impl From<IpAddr> for PackedAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { words: [0, u64::from(address.to_bits())], v6: false },
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                Self { words: [(bits >> 64) as u64, bits as u64], v6: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(address: IpAddr) {
            prop_assert_eq!(PackedAddress::from(address).unpack(), address);
        }
    }
}
