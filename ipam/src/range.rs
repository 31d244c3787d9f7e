//! From one address to another.

use core::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
    str::FromStr,
};

use ipnet::IpNet;

use crate::block::{Block, Family, number};

/// Addresses from one to another, both included: `10.0.0.16-10.0.0.31`. A prefix is one, too, and a single address.
///
/// ```
/// use ipam::AddressRange;
///
/// let range: AddressRange = "10.0.0.16-10.0.0.31".parse()?;
/// assert_eq!(range, "10.0.0.16/28".parse()?);
/// assert_eq!(range.to_string(), "10.0.0.16-10.0.0.31");
/// assert!("10.0.0.31-10.0.0.16".parse::<AddressRange>().is_err());
/// # Ok::<(), ipam::RangeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressRange {
    start: IpAddr,
    end: IpAddr,
}

/// Why this is no range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// It is neither an address, nor a prefix, nor two addresses with `-` between them.
    #[error("not an address, a prefix, or two addresses with `-` between them")]
    Syntax,
    /// One end is an IPv4 address, the other an IPv6 address.
    #[error("{start} and {end} are not of one family")]
    Families {
        /// Its first address.
        start: IpAddr,
        /// Its last address.
        end: IpAddr,
    },
    /// It ends before it starts.
    #[error("{end} is before {start}")]
    Backwards {
        /// Its first address.
        start: IpAddr,
        /// Its last address.
        end: IpAddr,
    },
}

impl AddressRange {
    /// From `start` to `end`, both included.
    ///
    /// # Errors
    ///
    /// [`RangeError::Families`], [`RangeError::Backwards`].
    pub fn new(start: IpAddr, end: IpAddr) -> Result<Self, RangeError> {
        if start.is_ipv4() != end.is_ipv4() {
            return Err(RangeError::Families { start, end });
        }
        if end < start {
            return Err(RangeError::Backwards { start, end });
        }
        Ok(Self { start, end })
    }

    /// The first address.
    #[must_use]
    pub const fn start(&self) -> IpAddr {
        self.start
    }

    /// The last address.
    #[must_use]
    pub const fn end(&self) -> IpAddr {
        self.end
    }

    /// Whether it has the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && (self.start..=self.end).contains(&address)
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.start)
    }

    /// Its first and its last address, as numbers.
    pub(crate) const fn numbers(&self) -> (u128, u128) {
        (number(self.start), number(self.end))
    }

    /// The range of these numbers.
    pub(crate) fn of_numbers(family: Family, first: u128, last: u128) -> Self {
        Self { start: family.address(first), end: family.address(last) }
    }
}

impl From<IpNet> for AddressRange {
    fn from(prefix: IpNet) -> Self {
        Self { start: prefix.network(), end: prefix.broadcast() }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        Self { start: address, end: address }
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let address = |text: &str| text.trim().parse().map_err(|_| RangeError::Syntax);
        if let Some((start, end)) = text.split_once('-') {
            Self::new(address(start)?, address(end)?)
        } else if text.contains('/') {
            text.trim().parse::<IpNet>().map(Self::from).map_err(|_| RangeError::Syntax)
        } else {
            address(text).map(|address: IpAddr| address.into())
        }
    }
}

/// `start-end`; one address alone where it has only one.
impl Display for AddressRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.start == self.end { self.start.fmt(f) } else { write!(f, "{}-{}", self.start, self.end) }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for AddressRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for AddressRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::string::String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(alloc::format!("{text}: {error}")))
    }
}

/// The fewest blocks that make up the addresses from `first` to `last`, both included, in order.
pub(crate) fn blocks(first: u128, last: u128) -> impl Iterator<Item = Block> {
    let mut next = (first <= last).then_some(first);
    core::iter::from_fn(move || {
        let base = next?;
        // As large as the alignment of its base allows, and not beyond the end.
        let aligned = base.trailing_zeros() as u8;
        let room = match (last - base).checked_add(1) {
            Some(room) => room.ilog2() as u8,
            None => 128,
        };
        let block = Block { base, order: aligned.min(room) };
        next = block.last().checked_add(1).filter(|&next| next <= last);
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    #[test]
    fn what_is_none_is_refused() {
        for (text, error) in [
            ("", RangeError::Syntax),
            ("10.0.0.1-", RangeError::Syntax),
            ("10.0.0.0/33", RangeError::Syntax),
            ("1-2", RangeError::Syntax),
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(error), "{text}");
        }
        let error = "10.0.0.2-::1".parse::<AddressRange>().unwrap_err();
        assert_eq!(error.to_string(), "10.0.0.2 and ::1 are not of one family");
        let error = "10.0.0.2-10.0.0.1".parse::<AddressRange>().unwrap_err();
        assert_eq!(error.to_string(), "10.0.0.1 is before 10.0.0.2");
    }

    #[test]
    fn blocks_are_exact_and_few() {
        // All ranges of a small space: together just the range, no two neighbours could be one.
        for first in 0..32_u128 {
            for last in first..32 {
                let blocks: Vec<Block> = blocks(first, last).collect();
                let addresses: Vec<u128> = blocks.iter().flat_map(|block| block.base..=block.last()).collect();
                assert_eq!(addresses, (first..=last).collect::<Vec<_>>());
                for pair in blocks.windows(2) {
                    let parent = Block::around(pair[0].base, pair[0].order + 1);
                    assert!(pair[0].order != pair[1].order || !parent.has(pair[1].base));
                }
            }
        }
    }

    #[test]
    fn blocks_up_to_the_ends() {
        let all: Vec<Block> = blocks(0, u128::MAX).collect();
        assert_eq!(all, [Block { base: 0, order: 128 }]);
        assert_eq!(blocks(1, u128::MAX).count(), 128);
        assert_eq!(blocks(u128::MAX, u128::MAX).collect::<Vec<_>>(), [Block::single(u128::MAX)]);
        assert_eq!(blocks(2, 1).count(), 0);
    }
}
