//! A block of addresses as numbers: what the pools compute with.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Family {
    /// Addresses of 32 bits.
    Ipv4,
    /// Addresses of 128 bits.
    Ipv6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// How many bits an address has: 32 or 128. It is the longest prefix, too.
    #[must_use]
    pub const fn width(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// The address of this number. Of IPv4 the lower 32 bits count.
    pub(crate) const fn address(self, number: u128) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }

    /// The prefix that this block is.
    pub(crate) fn prefix(self, block: Block) -> IpNet {
        let length = self.width() - block.order;
        // The lengths are those of the family.
        match self {
            Self::Ipv4 => Ipv4Net::new_assert(Ipv4Addr::from_bits(block.base as u32), length).into(),
            Self::Ipv6 => Ipv6Net::new_assert(Ipv6Addr::from_bits(block.base), length).into(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The number of an address.
pub(crate) const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// 2^`order` addresses from `base` on, which is a multiple of as much.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Block {
    pub(crate) base: u128,
    pub(crate) order: u8,
}

impl Block {
    /// The block of this order that has the address.
    pub(crate) const fn around(address: u128, order: u8) -> Self {
        Self { base: address & !mask(order), order }
    }

    /// The block of one address.
    pub(crate) const fn single(address: u128) -> Self {
        Self { base: address, order: 0 }
    }

    /// The block of a prefix that has no bits set behind its length.
    #[inline]
    pub(crate) fn exact(prefix: IpNet) -> Option<Self> {
        let block = Self::of(prefix);
        let is_exact = match prefix {
            IpNet::V4(prefix) => block.base as u32 == prefix.addr().to_bits(),
            IpNet::V6(prefix) => block.base == prefix.addr().to_bits(),
        };
        is_exact.then_some(block)
    }

    /// The block of a prefix, without the bits behind its length.
    #[inline]
    pub(crate) fn of(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(prefix) => {
                let order = 32 - prefix.prefix_len();
                let base = u64::from(prefix.addr().to_bits()) >> order << order;
                Self { base: base.into(), order }
            }
            IpNet::V6(prefix) => Self::around(prefix.addr().to_bits(), 128 - prefix.prefix_len()),
        }
    }

    /// Its last address.
    pub(crate) const fn last(self) -> u128 {
        self.base | mask(self.order)
    }

    /// Whether the address is in it.
    pub(crate) const fn has(self, address: u128) -> bool {
        (address ^ self.base).unbounded_shr(self.order as u32) == 0
    }

    /// Whether all of `other` is in it.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.order >= other.order && self.has(other.base)
    }

    /// Whether they share addresses: then one contains the other.
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

/// The lowest `order` bits.
pub(crate) const fn mask(order: u8) -> u128 {
    if order >= 128 { u128::MAX } else { (1 << order) - 1 }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_largest_and_the_last() {
        let all = Block::around(7, 128);
        assert_eq!((all.base, all.last()), (0, u128::MAX));
        let last = Block::single(u128::MAX);
        assert!(all.contains(last) && !last.contains(all) && last.overlaps(all));
        assert_eq!(Family::Ipv6.prefix(all), "::/0".parse().unwrap());
        assert_eq!(Family::Ipv4.prefix(Block::of("10.1.2.3/8".parse().unwrap())), "10.0.0.0/8".parse().unwrap());
        assert_eq!(Family::Ipv4.address(number("255.255.255.255".parse().unwrap())).to_string(), "255.255.255.255");
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let (low, high) = (Block { base: 0, order: 4 }, Block { base: 16, order: 4 });
        assert!(!low.overlaps(high) && !high.contains(low) && low.has(15) && !low.has(16));
    }
}
