//! What a pool of subnets is made of.

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::{
    block::{Block, Family, number},
    choice::Choice,
    error::ConfigError,
    prefix_set::{Holder, PrefixSet},
    range::AddressRange,
    space::{self, Space},
};

/// What a [`SubnetPool`](crate::SubnetPool) is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct SubnetPoolOptions {
    /// Out of which subnets are given: at least one, all of one family, none within another.
    pub prefixes: Vec<IpNet>,
    /// The shortest prefix length that is given: the largest subnets. Default 0.
    #[cfg_attr(feature = "serde", serde(default))]
    pub shortest: u8,
    /// The longest prefix length that is given: the smallest subnets. Default: that of one address.
    #[cfg_attr(feature = "serde", serde(default))]
    pub longest: Option<u8>,
    /// Only subnets within this range are part of the pool. Default: all.
    #[cfg_attr(feature = "serde", serde(default))]
    pub window: Option<AddressRange>,
    /// Set aside: given only to who asks by name.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reserved: Vec<AddressRange>,
    /// Which of the free ones is given.
    #[cfg_attr(feature = "serde", serde(default))]
    pub choice: Choice,
}

impl SubnetPoolOptions {
    /// Subnets of any length out of these prefixes, the lowest first.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            prefixes: prefixes.into_iter().collect(),
            shortest: 0,
            longest: None,
            window: None,
            reserved: Vec::new(),
            choice: Choice::Lowest,
        }
    }

    /// The numbers of a range within the pool.
    pub(super) fn check_range(&self, space: &Space, range: AddressRange) -> Result<(u128, u128), ConfigError> {
        self.check_family(range.start())?;
        let (first, last) = range.numbers();
        match space.first_outside(first, last) {
            None => Ok((first, last)),
            Some(outside) => Err(ConfigError::Outside { range, outside: space.family.address(outside) }),
        }
    }

    fn check_family(&self, found: IpAddr) -> Result<(), ConfigError> {
        match self.prefixes.first() {
            Some(&first) if first.addr().is_ipv4() != found.is_ipv4() => Err(ConfigError::Families { first, found }),
            _ => Ok(()),
        }
    }

    /// The space of a pool in which nothing is given.
    pub(crate) fn space(&self) -> Result<Space, ConfigError> {
        let first = self.prefixes.first().ok_or(ConfigError::NoPrefix)?;
        let family = Family::of(first.addr());
        let (shortest, longest, width) = (self.shortest, self.longest.unwrap_or(family.width()), family.width());
        if shortest > longest || longest > width {
            return Err(ConfigError::Lengths { shortest, longest, width });
        }
        let mut space = Space::new(family, width - longest);
        if let Some(window) = self.window {
            self.check_family(window.start())?;
        }
        for &prefix in &self.prefixes {
            self.add_prefix(&mut space, prefix)?;
        }
        for &range in &self.reserved {
            let (first, last) = self.check_range(&space, range)?;
            space.reserve(first, last);
        }
        Ok(space)
    }

    /// Adds a prefix, without what is outside of the window.
    pub(super) fn add_prefix(&self, space: &mut Space, prefix: IpNet) -> Result<(), ConfigError> {
        self.check_family(prefix.addr())?;
        if prefix.trunc() != prefix {
            return Err(ConfigError::HostBits { given: prefix, prefix: prefix.trunc() });
        }
        let block = Block::of(prefix);
        space.set.add_root(block).map_err(|other| ConfigError::Overlap { prefix, with: space.family.prefix(other) })?;
        if let Some(window) = self.window {
            let (first, last) = (number(window.start()), number(window.end()));
            exclude_outside(&mut space.set, block, first, last);
        }
        Ok(())
    }
}

/// Excludes what of a free block lies before `first` or behind `last`.
fn exclude_outside(set: &mut PrefixSet, block: Block, first: u128, last: u128) {
    // All of it is free: nothing can be in the way.
    if first > block.base {
        let _ = space::mark(set, block.base, (first - 1).min(block.last()), Holder::EXCLUDED);
    }
    if last < block.last() && first <= block.last() {
        let _ = space::mark(set, (last + 1).max(block.base), block.last(), Holder::EXCLUDED);
    }
}
