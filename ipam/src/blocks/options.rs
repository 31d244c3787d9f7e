//! What blocks of nodes are made of.

use alloc::vec::Vec;

use ipnet::IpNet;

use crate::{
    block::{Family, mask},
    choice::Choice,
    error::ConfigError,
    range::AddressRange,
    ranges::Ranges,
    space::Space,
    subnet_pool::SubnetPoolOptions,
};

/// What [`Blocks`](crate::Blocks) are made of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct BlocksOptions {
    /// What is cut into blocks: at least one prefix, all of one family, none within another.
    pub prefixes: Vec<IpNet>,
    /// The prefix length of the blocks.
    pub block_length: u8,
    /// How many blocks a node may have. Default: as many as there are.
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_blocks: Option<u32>,
    /// Whether a node that can't get a block is given an address of another node's. Default: no.
    #[cfg_attr(feature = "serde", serde(default))]
    pub borrow: bool,
    /// Whether a block goes back as soon as the last address of it is released. Default: no, only when it is asked for.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reclaim: bool,
    /// Addresses that are set aside: given only to who asks by name.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reserved: Vec<AddressRange>,
    /// Which of the free blocks is given to a node. Of a block the lowest free address is given.
    #[cfg_attr(feature = "serde", serde(default))]
    pub choice: Choice,
}

impl BlocksOptions {
    /// Blocks of this length out of these prefixes, without a cap, without borrowing.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>, block_length: u8) -> Self {
        Self {
            prefixes: prefixes.into_iter().collect(),
            block_length,
            max_blocks: None,
            borrow: false,
            reclaim: false,
            reserved: Vec::new(),
            choice: Choice::Lowest,
        }
    }

    fn reserved(&self) -> Ranges {
        self.reserved.iter().map(AddressRange::numbers).collect()
    }

    /// How many addresses a block has, as a power of two.
    pub(super) fn order(&self) -> u8 {
        self.prefixes.first().map_or(0, |prefix| prefix.max_prefix_len().saturating_sub(self.block_length))
    }

    /// The blocks whose addresses are all reserved.
    fn reserved_blocks(&self) -> Vec<AddressRange> {
        let Some(family) = self.prefixes.first().map(|prefix| Family::of(prefix.addr())) else { return Vec::new() };
        let rest = mask(self.order());
        let whole = |(first, last): (u128, u128)| {
            let start = first.checked_add(rest)? & !rest;
            let end = if last & rest == rest { last } else { (last & !rest).checked_sub(1)? };
            (start <= end).then(|| AddressRange::of_numbers(family, start, end))
        };
        self.reserved().iter().filter_map(whole).collect()
    }

    /// Two levels in which nothing is given: blocks, and addresses.
    pub(super) fn spaces(&self) -> Result<(SubnetPoolOptions, Space), ConfigError> {
        for &network in &self.prefixes {
            self.check_length(network)?;
        }
        let blocks = SubnetPoolOptions {
            shortest: self.block_length,
            longest: Some(self.block_length),
            choice: self.choice,
            ..SubnetPoolOptions::new(self.prefixes.iter().copied())
        };
        // It checks the prefixes, and what is reserved.
        let addresses = SubnetPoolOptions { reserved: self.reserved.clone(), ..blocks.clone() }.space()?;
        Ok((SubnetPoolOptions { reserved: self.reserved_blocks(), ..blocks }, addresses))
    }

    /// Whether a prefix has room for a block.
    pub(super) fn check_length(&self, network: IpNet) -> Result<(), ConfigError> {
        let length = self.block_length;
        if length < network.prefix_len() { Err(ConfigError::TooLarge { network, length }) } else { Ok(()) }
    }
}
