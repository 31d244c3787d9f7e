//! Flannel's rules: a network that is cut into subnets of one length.

use core::net::IpAddr;

use ipnet::IpNet;

use super::SubnetPoolOptions;
use crate::{
    block::{Block, Family, mask, number},
    choice::Choice,
    error::ConfigError,
    range::AddressRange,
};

/// A network as Flannel has it in its configuration: `Network`, `SubnetLen`, `SubnetMin`, `SubnetMax`, and the same of IPv6.
///
/// What is not said is as Flannel has it:
/// - `SubnetLen` is 24 (IPv6: 64), or one more than the network's where that is as long or longer; a network longer than
///   /28 (IPv6: /124) is refused;
/// - `SubnetMin` is the second subnet: the first one's addresses look like the network's own;
/// - `SubnetMax` is the last one;
/// - a new subnet is one at random among the first 100 that are free.
///
/// ```
/// use core::time::Duration;
/// use ipam::{FlannelNetwork, SubnetPool};
///
/// let network = FlannelNetwork::new("10.42.0.0/16".parse()?);
/// let options = network.options(7)?;
/// let mut pool = SubnetPool::<String>::new(options)?;
/// let subnet = pool.allocate(24, "node-1", Duration::ZERO)?;
/// assert!((1..=100).contains(&match subnet.addr() { core::net::IpAddr::V4(ip) => ip.octets()[2], _ => 0 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct FlannelNetwork {
    /// The network.
    pub network: IpNet,
    /// The prefix length of the subnets.
    #[cfg_attr(feature = "serde", serde(default))]
    pub subnet_len: Option<u8>,
    /// The first address of the lowest subnet to be given.
    #[cfg_attr(feature = "serde", serde(default))]
    pub subnet_min: Option<IpAddr>,
    /// The first address of the highest subnet to be given.
    #[cfg_attr(feature = "serde", serde(default))]
    pub subnet_max: Option<IpAddr>,
}

/// How many of the free subnets Flannel chooses among.
const AMONG: u32 = 100;

impl FlannelNetwork {
    /// A network with all else as Flannel has it.
    #[must_use]
    pub const fn new(network: IpNet) -> Self {
        Self { network, subnet_len: None, subnet_min: None, subnet_max: None }
    }

    /// The prefix length of the subnets.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooSmall`], [`ConfigError::TooLarge`], [`ConfigError::Lengths`].
    pub fn length(&self) -> Result<u8, ConfigError> {
        let (network, width) = (self.network, self.network.max_prefix_len());
        let own = network.prefix_len();
        match self.subnet_len {
            Some(longest) if longest > width => Err(ConfigError::Lengths { shortest: own, longest, width }),
            Some(length) if length < own => Err(ConfigError::TooLarge { network, length }),
            Some(length) => Ok(length),
            None if own > width - 4 => Err(ConfigError::TooSmall { network, longest: width - 4 }),
            None => Ok((own + 1).max(if width == 32 { 24 } else { 64 })),
        }
    }

    /// What a pool of such subnets is made of; `seed` is what its random choice starts from.
    ///
    /// # Errors
    ///
    /// As [`Self::length`]; [`ConfigError::Outside`], [`ConfigError::Boundary`], [`ConfigError::Window`] of the lowest and the
    /// highest subnet; [`ConfigError::HostBits`] of the network.
    pub fn options(&self, seed: u64) -> Result<SubnetPoolOptions, ConfigError> {
        let network = self.network;
        if network.trunc() != network {
            return Err(ConfigError::HostBits { given: network, prefix: network.trunc() });
        }
        let (length, whole, family) = (self.length()?, Block::of(network), Family::of(network.addr()));
        let order = family.width() - length;
        // Of a network that is one subnet there is no second.
        let second = if order == whole.order { whole.base } else { whole.base + mask(order) + 1 };
        let min = self.bound(self.subnet_min, order)?.unwrap_or(second);
        let max = self.bound(self.subnet_max, order)?.unwrap_or(whole.last() & !mask(order));
        if min > max {
            return Err(ConfigError::Window { min: family.address(min), max: family.address(max) });
        }
        let window = AddressRange::of_numbers(family, min, max | mask(order));
        Ok(SubnetPoolOptions {
            shortest: length,
            longest: Some(length),
            window: Some(window),
            choice: Choice::Random { among: AMONG, seed },
            ..SubnetPoolOptions::new([network])
        })
    }

    /// `SubnetMin` or `SubnetMax`, which has to be the first address of a subnet of the network.
    fn bound(&self, address: Option<IpAddr>, order: u8) -> Result<Option<u128>, ConfigError> {
        let Some(address) = address else { return Ok(None) };
        let family = Family::of(self.network.addr());
        if Family::of(address) != family {
            return Err(ConfigError::Families { first: self.network, found: address });
        }
        if !self.network.contains(&address) {
            return Err(ConfigError::Outside { range: address.into(), outside: address });
        }
        let subnet = Block::around(number(address), order);
        if subnet.base != number(address) {
            let (length, subnet) = (family.width() - order, family.prefix(subnet));
            return Err(ConfigError::Boundary { address, length, subnet });
        }
        Ok(Some(subnet.base))
    }
}
