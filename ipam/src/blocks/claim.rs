//! Addresses and blocks that are asked for by name.

use core::{hash::Hash, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{Blocks, BlocksGrant, ClaimBlockError, ClaimFromBlocksError};
use crate::{
    block::{Block, Family, number},
    owners::AsOwner,
    prefix_set::{Found, Holder},
};

impl<O: Clone + Eq + Hash, N: Clone + Eq + Hash> Blocks<O, N> {
    /// Gives a node just this address for this owner, also if it is reserved. If no node has the block that it is of, the node
    /// gets that.
    ///
    /// # Errors
    ///
    /// [`ClaimFromBlocksError`]: it is not within the pool, or somebody has it, or the node may not have it.
    pub fn claim(
        &mut self,
        address: IpAddr,
        node: impl AsOwner<N>,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<BlocksGrant, ClaimFromBlocksError<O, N>> {
        self.check_claim(address)?;
        let enrolled = self.enroll_both(&node, &owner)?;
        let claimed = self.claim_for(address, enrolled.node.0.0, enrolled.owner.0, now);
        claimed.inspect_err(|_| self.unenroll(enrolled))
    }

    /// Whether nobody has the address.
    pub(super) fn check_claim(&self, address: IpAddr) -> Result<(), ClaimFromBlocksError<O, N>> {
        if Family::of(address) != self.family() {
            return Err(ClaimFromBlocksError::Outside { address });
        }
        match self.space.set.get(number(address)) {
            Found::Outside => Err(ClaimFromBlocksError::Outside { address }),
            Found::Free => Ok(()),
            Found::Held(held) => match self.owners.get(held.holder) {
                Some(owner) => Err(ClaimFromBlocksError::Taken { address, owner: owner.clone() }),
                None => Ok(()),
            },
        }
    }

    fn claim_for(
        &mut self,
        address: IpAddr,
        node: u32,
        holder: Holder,
        now: Duration,
    ) -> Result<BlocksGrant, ClaimFromBlocksError<O, N>> {
        let at = number(address);
        let around = Block::around(at, self.options.order());
        let block = self.family().prefix(around);
        let is_new = match self.given.get(&around.base) {
            Some(state) if state.node == Some(node) || self.options.borrow => false,
            Some(state) => {
                return Err(match state.node.and_then(|node| self.names.get(Holder(node))) {
                    Some(node) => ClaimFromBlocksError::OtherNode { address, block, node: node.clone() },
                    None => ClaimFromBlocksError::NoNode { address, block },
                });
            }
            None => {
                if let Some(max_blocks) = self.full(node) {
                    return Err(ClaimFromBlocksError::MaxBlocks { address, block, max_blocks });
                }
                self.give_block(around, Some(node), now).map_err(|()| ClaimFromBlocksError::Full)?;
                true
            }
        };
        self.occupy(at, around, holder, node, now, is_new).ok_or(ClaimFromBlocksError::Full)
    }

    /// Gives a block that nobody has.
    pub(super) fn give_block(&mut self, block: Block, node: Option<u32>, now: Duration) -> Result<(), ()> {
        self.pool.claim(self.family().prefix(block), &node, now).map_err(|_| ())?;
        self.add_block(block, node);
        Ok(())
    }

    /// Gives a node just this block, also if all of it is reserved.
    ///
    /// # Errors
    ///
    /// [`ClaimBlockError`]: it is no block of the pool, or a node has it, or this one may not have more.
    pub fn claim_block(
        &mut self,
        block: IpNet,
        node: impl AsOwner<N>,
        now: Duration,
    ) -> Result<(), ClaimBlockError<N>> {
        self.check_block(block)?;
        let enrolled = node.enroll(&mut self.names)?;
        let node = enrolled.0.0;
        let given = match self.full(node) {
            Some(max_blocks) => Err(ClaimBlockError::MaxBlocks { block, max_blocks }),
            None => self.give_block(Block::of(block), Some(node), now).map_err(|()| ClaimBlockError::Full),
        };
        given.inspect_err(|_| self.unenroll_node(enrolled))
    }

    /// Whether this is a block that nobody has.
    pub(super) fn check_block(&self, block: IpNet) -> Result<(), ClaimBlockError<N>> {
        if block.trunc() != block {
            return Err(ClaimBlockError::HostBits { given: block, block: block.trunc() });
        }
        if Family::of(block.addr()) != self.family() {
            return Err(ClaimBlockError::Outside { block });
        }
        let length = self.options.block_length;
        if block.prefix_len() != length {
            return Err(ClaimBlockError::Length { block, length });
        }
        if self.space.set.get(number(block.addr())) == Found::Outside {
            return Err(ClaimBlockError::Outside { block });
        }
        let Some(state) = self.given.get(&number(block.addr())) else { return Ok(()) };
        Err(match state.node.and_then(|node| self.names.get(Holder(node))) {
            Some(node) => ClaimBlockError::Taken { block, node: node.clone() },
            None => ClaimBlockError::NoNode { block, addresses: state.tally.held },
        })
    }
}
