//! How full blocks are.

use alloc::vec::Vec;
use core::{hash::Hash, net::IpAddr};

use super::{BlockGrant, Blocks};
use crate::{
    amount::Amount,
    block::{Block, number},
    owners::AsOwner,
    prefix_set::Holder,
    usage::Usage,
};

/// Numbers of addresses of a block, or of all blocks of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    total: Amount,
    pub(super) free: Amount,
    /// Somebody has them; nodes that the block is not of have some of these.
    pub(super) held: usize,
    lent: usize,
}

impl Tally {
    /// Of a block of which nobody has an address.
    pub(super) fn new(order: u8, reserved: Amount) -> Self {
        let total = Amount::of_order(order);
        Self { total, free: total.minus(reserved), held: 0, lent: 0 }
    }

    pub(super) fn take(&mut self, is_reserved: bool, is_lent: bool) {
        self.held += 1;
        self.lent += usize::from(is_lent);
        if !is_reserved {
            self.free = self.free.minus(1.into());
        }
    }

    pub(super) fn give(&mut self, is_reserved: bool, is_lent: bool) {
        self.held -= 1;
        self.lent -= usize::from(is_lent);
        if !is_reserved {
            self.free = self.free.plus(1.into());
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.total = self.total.plus(other.total);
        self.free = self.free.plus(other.free);
        self.held += other.held;
        self.lent += other.lent;
    }

    pub(super) fn remove(&mut self, other: &Self) {
        self.total = self.total.minus(other.total);
        self.free = self.free.minus(other.free);
        self.held -= other.held;
        self.lent -= other.lent;
    }

    fn usage(&self) -> BlockUsage {
        let reserved = self.total.minus(self.free).minus((self.held as u128).into());
        BlockUsage { total: self.total, allocated: self.held, lent: self.lent, free: self.free, reserved }
    }
}

/// How much of a block, or of all blocks of a node, is what: numbers of addresses. They are kept, not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockUsage {
    /// All: allocated, free and reserved ones.
    pub total: Amount,
    /// Held by owners.
    pub allocated: usize,
    /// Those of the allocated ones that are for other nodes.
    pub lent: usize,
    /// To be had.
    pub free: Amount,
    /// Set aside, and nobody's.
    pub reserved: Amount,
}

/// What a node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeUsage {
    /// How many blocks are its own.
    pub blocks: usize,
    /// How full these are.
    pub addresses: BlockUsage,
    /// How many addresses it has of other blocks.
    pub borrowed: usize,
}

/// How full all is.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlocksUsage {
    /// Which addresses are held, of blocks that are given and of those that are not.
    pub addresses: Usage,
    /// Which addresses are of blocks that are given: its grants are the blocks.
    pub blocks: Usage,
    /// How many nodes have blocks or addresses.
    pub nodes: usize,
    /// How many addresses are for other nodes than the one whose block they are of.
    pub borrowed: usize,
}

impl<O: Clone + Eq + Hash, N: Clone + Eq + Hash> Blocks<O, N> {
    /// How full all is.
    #[must_use]
    pub fn usage(&self) -> BlocksUsage {
        let roots = 0..self.space.set.roots().len();
        BlocksUsage {
            addresses: Usage::new(roots.map(|root| self.space.set.counts(root)), self.family().width()),
            blocks: self.pool.usage(),
            nodes: self.nodes.len(),
            borrowed: self.borrowed.len(),
        }
    }

    /// What a node has; `None` where it has nothing.
    pub fn usage_of(&self, node: impl AsOwner<N>) -> Option<NodeUsage> {
        let node = self.nodes.get(&node.find(&self.names)?.0)?;
        Some(NodeUsage { blocks: node.blocks, addresses: node.tally.usage(), borrowed: node.borrowed.len() })
    }

    /// The nodes that have something, and what that is, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = (&N, NodeUsage)> {
        self.nodes.iter().filter_map(|(&number, node)| {
            let usage = NodeUsage { blocks: node.blocks, addresses: node.tally.usage(), borrowed: node.borrowed.len() };
            Some((self.names.get(Holder(number))?, usage))
        })
    }

    /// The blocks that are given, in order, and how full each is.
    pub fn blocks(&self) -> impl Iterator<Item = BlockGrant<'_, N>> {
        self.pool.grants().filter_map(|grant| {
            let state = self.given.get(&Block::of(grant.prefix).base)?;
            let node = state.node.and_then(|node| self.names.get(Holder(node)));
            Some(BlockGrant { block: grant.prefix, node, since: grant.since, usage: state.tally.usage() })
        })
    }

    /// The block that has this address, if it is given.
    #[must_use]
    pub fn block_of(&self, address: IpAddr) -> Option<BlockGrant<'_, N>> {
        let grant = self.pool.get(address)?;
        let state = self.given.get(&number(grant.prefix.addr()))?;
        let node = state.node.and_then(|node| self.names.get(Holder(node)));
        Some(BlockGrant { block: grant.prefix, node, since: grant.since, usage: state.tally.usage() })
    }

    /// The blocks of a node, in order.
    pub fn blocks_of(&self, node: impl AsOwner<N>) -> impl Iterator<Item = BlockGrant<'_, N>> {
        let number = node.find(&self.names).map(|node| node.0);
        let theirs: Vec<_> =
            self.pool.grants_of(&number).filter(|_| number.is_some()).map(|grant| grant.prefix).collect();
        theirs.into_iter().filter_map(|block| self.block_of(block.addr()))
    }
}
