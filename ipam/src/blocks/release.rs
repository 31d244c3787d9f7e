//! Addresses and blocks that are taken back, and nodes that are gone.

use alloc::vec::Vec;
use core::{hash::Hash, iter, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{Blocks, BlocksChange, ReleaseBlockError, ReleaseFromBlocksError, State};
use crate::{
    block::{Block, Family, number},
    grant::Grant,
    owners::AsOwner,
    prefix_set::Found,
};

/// What becomes of a node's blocks and addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReleasedNode {
    /// The addresses that were taken back, in order.
    pub addresses: Vec<IpAddr>,
    /// The blocks that went back, in order.
    pub blocks: Vec<IpNet>,
    /// The blocks that stay, as no node's, because other nodes have addresses of them, in order. Each goes back with the last
    /// of these; no more are given of it.
    pub kept: Vec<IpNet>,
}

impl ReleasedNode {
    /// What came out, to be written down together: the addresses one by one, and then the node.
    pub fn changes<O, N>(&self, node: N, at: Duration) -> impl Iterator<Item = BlocksChange<O, N>> {
        let released = self.addresses.iter().map(move |&address| BlocksChange::Released { address, at });
        released.chain(iter::once(BlocksChange::NodeReleased { node, at }))
    }
}

impl<O: Clone + Eq + Hash, N: Clone + Eq + Hash> Blocks<O, N> {
    /// Takes an address back. Says which block goes back with it: one whose node was released, or, where the options say so, any
    /// of which nobody has an address any more.
    ///
    /// # Errors
    ///
    /// [`ReleaseFromBlocksError`]: nobody has it.
    pub fn release(&mut self, address: IpAddr) -> Result<Option<IpNet>, ReleaseFromBlocksError<O>> {
        if Family::of(address) != self.family() {
            return Err(ReleaseFromBlocksError::Outside { address });
        }
        match self.vacate(number(address)) {
            Ok(block) => Ok(block.map(|block| self.family().prefix(block))),
            Err(Found::Outside) => Err(ReleaseFromBlocksError::Outside { address }),
            Err(_) => Err(ReleaseFromBlocksError::NotAllocated { address }),
        }
    }

    /// Takes an address back if it is this owner's, as [`Self::release`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::release`], and [`ReleaseFromBlocksError::NotTheirs`].
    pub fn release_from(
        &mut self,
        address: IpAddr,
        owner: impl AsOwner<O>,
    ) -> Result<Option<IpNet>, ReleaseFromBlocksError<O>> {
        if let Some(grant) = self.get(address)
            && owner.find(&self.owners) != self.owners.number_of(grant.owner)
        {
            return Err(ReleaseFromBlocksError::NotTheirs { address, owner: grant.owner.clone() });
        }
        self.release(address)
    }

    /// Takes back all that an owner has, and says what it was: in order. Blocks go back as with [`Self::release`].
    pub fn release_all(&mut self, owner: impl AsOwner<O>) -> Vec<IpAddr> {
        let Some(holder) = owner.find(&self.owners) else { return Vec::new() };
        let held = self.space.set.held_by(holder);
        for held in &held {
            let vacated = self.vacate(held.block.base);
            debug_assert!(vacated.is_ok(), "what somebody has can be taken back");
        }
        held.into_iter().map(|held| self.family().address(held.block.base)).collect()
    }

    /// Takes back a block of which nobody has an address.
    ///
    /// # Errors
    ///
    /// [`ReleaseBlockError`]: no node has it, or somebody has addresses of it.
    pub fn release_block(&mut self, block: IpNet) -> Result<(), ReleaseBlockError<O>> {
        let around = Block::of(block);
        let is_block = Family::of(block.addr()) == self.family() && block.prefix_len() == self.options.block_length;
        let Some(state) = self.given.get(&around.base).filter(|_| is_block && block.trunc() == block) else {
            return Err(ReleaseBlockError::NotAllocated { block });
        };
        let others = state.tally.held.saturating_sub(1);
        if let Some(Grant { prefix, owner, .. }) = self.grants_within(around).next() {
            return Err(ReleaseBlockError::Held { block, address: prefix.addr(), owner: owner.clone(), others });
        }
        self.drop_block(around);
        Ok(())
    }

    /// Takes back all blocks of which nobody has an address, and says which these were: in order.
    pub fn reclaim(&mut self) -> Vec<IpNet> {
        let order = self.options.order();
        let empty: Vec<Block> = self.empty.iter().map(|&base| Block { base, order }).collect();
        for &block in &empty {
            self.drop_block(block);
        }
        empty.into_iter().map(|block| self.family().prefix(block)).collect()
    }

    /// Takes an address back; says of which block, if that goes back with it.
    fn vacate(&mut self, address: u128) -> Result<Option<Block>, Found> {
        let holder = self.space.vacate(Block::single(address))?;
        let block = Block::around(address, self.options.order());
        let borrower = self.borrowed.remove(&address);
        let (is_reserved, is_borrowed) = (self.space.is_reserved(address), borrower.is_some());
        self.tally(block.base, |tally| tally.give(is_reserved, is_borrowed));
        self.forget_idle(holder);
        if let Some(number) = borrower {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.borrowed.remove(&address);
            }
            self.forget_idle_node(number);
        }
        let goes = |state: &State| state.tally.held == 0 && (state.node.is_none() || self.options.reclaim);
        let goes = self.given.get(&block.base).is_some_and(goes);
        if goes {
            self.drop_block(block);
        }
        Ok(goes.then_some(block))
    }

    /// Takes back a block of which nobody has addresses.
    pub(super) fn drop_block(&mut self, block: Block) {
        let Some(state) = self.given.remove(&block.base) else { return };
        let released = self.pool.release(self.family().prefix(block));
        debug_assert_eq!(released, Ok(()), "it was given");
        self.empty.remove(&block.base);
        self.detach(block, &state);
    }

    /// Takes a block from its node.
    fn detach(&mut self, block: Block, state: &State) {
        self.with_room.remove(&block.base);
        let Some(number) = state.node else { return };
        if let Some(node) = self.nodes.get_mut(&number) {
            node.blocks -= 1;
            node.with_room.remove(&block.base);
            node.tally.remove(&state.tally);
        }
        self.forget_idle_node(number);
    }

    /// Takes back all that a node has: its addresses, whoever's they are, and its blocks, but for what other nodes have
    /// borrowed of them.
    pub fn release_node(&mut self, node: impl AsOwner<N>) -> ReleasedNode {
        let mut released = ReleasedNode::default();
        let Some(number) = node.find(&self.names).map(|node| node.0) else { return released };
        let family = self.family();
        let blocks: Vec<Block> = self.pool.grants_of(&Some(number)).map(|grant| Block::of(grant.prefix)).collect();
        let mut addresses: Vec<u128> =
            self.nodes.get(&number).map(|node| node.borrowed.iter().copied().collect()).unwrap_or_default();
        for block in &blocks {
            let held = self.space.held_within(block.base, block.last());
            let own = held.filter(|held| !held.holder.is_mark() && !self.borrowed.contains_key(&held.block.base));
            addresses.extend(own.map(|held| held.block.base));
        }
        addresses.sort_unstable();
        for &address in &addresses {
            if let Ok(Some(block)) = self.vacate(address) {
                released.blocks.push(family.prefix(block));
            }
        }
        for block in blocks {
            let Some(state) = self.given.get_mut(&block.base) else { continue };
            if state.tally.held == 0 {
                self.drop_block(block);
                released.blocks.push(family.prefix(block));
            } else {
                let before = *state;
                state.node = None;
                self.detach(block, &before);
                self.give_to_nobody(block);
                released.kept.push(family.prefix(block));
            }
        }
        released.blocks.sort_unstable();
        released.addresses = addresses.into_iter().map(|address| Family::address(family, address)).collect();
        self.forget_idle_node(number);
        released
    }

    /// Has the pool say that no node has a block.
    fn give_to_nobody(&mut self, block: Block) {
        let prefix = self.family().prefix(block);
        let Some(since) = self.pool.get(prefix.addr()).map(|grant| grant.since) else { return };
        let moved = self.pool.release(prefix).is_ok() && self.pool.claim(prefix, &None, since).is_ok();
        debug_assert!(moved, "what is taken back can be given again");
    }
}
