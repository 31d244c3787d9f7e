//! What a pool of addresses is made of.

use alloc::vec::Vec;
use core::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::Unusable;
use crate::{
    block::{Block, Family, number},
    choice::Choice,
    error::ConfigError,
    range::AddressRange,
    ranges::Ranges,
};

/// What an [`AddressPool`](crate::AddressPool) is made of.
///
/// Never part of the pool are, of IPv4, the first and the last address of the subnet (its own and the broadcast address), and of
/// IPv6 the first one (the subnet-router anycast address, RFC 4291, section 2.6.1). Subnets of one or two addresses (/31 by
/// RFC 3021, /32, /127 by RFC 6164, /128) are usable in full. Nor are the gateway, what lies outside of the ranges, and what is
/// excluded. Ranges of one kind may overlap; they are kept as the ranges that they make together, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct AddressPoolOptions {
    /// The subnet whose addresses are given.
    pub subnet: IpNet,
    /// The router's address: of the subnet, within a range or not. Default: none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub gateway: Option<IpAddr>,
    /// Only addresses of these are part of the pool. Default: the whole subnet.
    #[cfg_attr(feature = "serde", serde(default))]
    pub ranges: Vec<AddressRange>,
    /// Not part of the pool.
    #[cfg_attr(feature = "serde", serde(default))]
    pub excluded: Vec<AddressRange>,
    /// Set aside: given only to who asks by name.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reserved: Vec<AddressRange>,
    /// Which of the free ones is given. With a cool-down or sticky addresses, of those that were never given.
    #[cfg_attr(feature = "serde", serde(default))]
    pub choice: Choice,
    /// For how long a released address is given to nobody but its last owner, as a number of seconds where it is written as
    /// text. Default 0: not at all.
    #[cfg_attr(feature = "serde", serde(default, with = "crate::seconds"))]
    pub cool_down: Duration,
    /// Of how many released addresses the last owner is remembered, who gets them again. The oldest is forgotten first.
    /// Default 0: of none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub sticky: u32,
    /// With a cool-down: how many released addresses the pool remembers, to give the one released longest ago first. As many may
    /// cool down at a time before it gives no other ones. Default 1,048,576.
    #[cfg_attr(feature = "serde", serde(default = "max_released"))]
    pub max_released: u32,
}

/// Some hundred megabytes at the most.
const fn max_released() -> u32 {
    1 << 20
}

impl AddressPoolOptions {
    /// All addresses of a subnet, the lowest first.
    #[must_use]
    pub const fn new(subnet: IpNet) -> Self {
        Self {
            subnet,
            gateway: None,
            ranges: Vec::new(),
            excluded: Vec::new(),
            reserved: Vec::new(),
            choice: Choice::Lowest,
            cool_down: Duration::ZERO,
            sticky: 0,
            max_released: max_released(),
        }
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.subnet.addr())
    }

    /// How many released addresses are remembered at the most, but for those that cool down.
    pub(super) fn remembered(&self) -> usize {
        if self.cool_down.is_zero() { self.sticky as usize } else { self.sticky.max(self.max_released) as usize }
    }

    /// Whether it matters which addresses were released.
    pub(super) fn remembers(&self) -> bool {
        !self.cool_down.is_zero() || self.sticky > 0
    }

    /// Whether all is within the subnet.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let subnet = self.subnet;
        if subnet.trunc() != subnet {
            return Err(ConfigError::HostBits { given: subnet, prefix: subnet.trunc() });
        }
        if let Some(gateway) = self.gateway {
            self.check_range(gateway.into())?;
        }
        let mut ranges = self.ranges.iter().chain(&self.excluded).chain(&self.reserved);
        ranges.try_for_each(|&range| self.check_range(range).map(|_| ()))
    }

    /// The numbers of a range within the subnet.
    pub(super) fn check_range(&self, range: AddressRange) -> Result<(u128, u128), ConfigError> {
        if range.family() != self.family() {
            return Err(ConfigError::Families { first: self.subnet, found: range.start() });
        }
        let outside = [range.start(), range.end()].into_iter().find(|address| !self.subnet.contains(address));
        match outside {
            None => Ok(range.numbers()),
            // The first one outside: its start, or what is behind the subnet.
            Some(outside) if outside == range.start() => Err(ConfigError::Outside { range, outside }),
            Some(_) => {
                let outside = self.family().address(Block::of(self.subnet).last() + 1);
                Err(ConfigError::Outside { range, outside })
            }
        }
    }

    /// The ranges; all of the subnet where there are none.
    pub(super) fn in_ranges(&self) -> Ranges {
        if self.ranges.is_empty() {
            let all = Block::of(self.subnet);
            [(all.base, all.last())].into_iter().collect()
        } else {
            self.ranges.iter().map(AddressRange::numbers).collect()
        }
    }

    /// The addresses that are part of the pool.
    pub(super) fn usable(&self) -> Ranges {
        let mut usable = self.in_ranges();
        let own = [self.first(), self.broadcast(), self.gateway.map(number)];
        for address in own.into_iter().flatten() {
            usable.remove(address, address);
        }
        for (first, last) in self.excluded.iter().map(AddressRange::numbers) {
            usable.remove(first, last);
        }
        usable
    }

    /// The subnet's own address (IPv4), or that of all its routers (IPv6).
    fn first(&self) -> Option<u128> {
        let all = Block::of(self.subnet);
        (all.order > 1).then_some(all.base)
    }

    fn broadcast(&self) -> Option<u128> {
        let all = Block::of(self.subnet);
        (all.order > 1 && self.subnet.addr().is_ipv4()).then_some(all.last())
    }

    /// Why the address is not part of the pool; `None` where it is.
    pub(super) fn unusable(&self, address: IpAddr) -> Option<Unusable> {
        if !self.subnet.contains(&address) {
            return Some(Unusable::Outside { subnet: self.subnet });
        }
        let at = number(address);
        if self.gateway == Some(address) {
            Some(Unusable::Gateway)
        } else if self.first() == Some(at) {
            Some(if address.is_ipv4() { Unusable::Network } else { Unusable::Anycast })
        } else if self.broadcast() == Some(at) {
            Some(Unusable::Broadcast)
        } else if self.excluded.iter().any(|range| range.contains(address)) {
            Some(Unusable::Excluded)
        } else if !self.ranges.is_empty() && !self.ranges.iter().any(|range| range.contains(address)) {
            Some(Unusable::OutOfRanges)
        } else {
            None
        }
    }
}
