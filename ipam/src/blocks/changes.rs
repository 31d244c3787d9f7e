//! What changes blocks and their addresses, as values that can be written down.

#[cfg(feature = "serde")]
use alloc::string::ToString;
#[cfg(feature = "serde")]
use core::fmt::Display;
use core::{hash::Hash, iter, net::IpAddr, time::Duration};

use ipnet::IpNet;
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use super::{Blocks, BlocksOptions, ClaimBlockError};
#[cfg(feature = "serde")]
use crate::journaled::{Event, EventKind, Journaled};
use crate::{
    block::{Block, number},
    error::ApplyError,
    owners::Named as _,
    prefix_set::Holder,
};

/// What came out of an operation of [`Blocks`].
///
/// Each operation is one change, made of its arguments and its result; [`Blocks::release_all`] and [`Blocks::reclaim`] are one for
/// each that they name. The same changes, in the same order, make the same blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BlocksChange<O, N = O> {
    /// The pool of blocks is made: the first change.
    Created(BlocksOptions),
    /// A block was given to a node without an address.
    BlockGranted {
        /// The block.
        block: IpNet,
        /// Whose it is; `None` only in [`Blocks::changes`], where that node was released.
        node: Option<N>,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A block was taken back, and not with the last address of it.
    BlockReleased {
        /// The block.
        block: IpNet,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// An address was given: allocated or claimed. If no node had the block that it is of, the node got that.
    Granted {
        /// The address.
        address: IpAddr,
        /// For which node.
        node: N,
        /// Whose it is.
        owner: O,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// An address was taken back, and its block if that goes with the last address of it.
    Released {
        /// The address.
        address: IpAddr,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A node was released: [`ReleasedNode::changes`](super::ReleasedNode::changes) says its addresses one by one before.
    NodeReleased {
        /// The node.
        node: N,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A prefix was added.
    PrefixAdded(IpNet),
}

impl<O: Clone + Eq + Hash, N: Clone + Eq + Hash> Blocks<O, N> {
    /// The blocks that these changes make; the first says what they are made of.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: these are not the changes of blocks.
    pub fn restore(changes: impl IntoIterator<Item = BlocksChange<O, N>>) -> Result<Self, ApplyError> {
        let mut changes = changes.into_iter();
        let Some(BlocksChange::Created(options)) = changes.next() else { return Err(ApplyError::NotCreated) };
        let mut blocks = Self::new(options)?;
        changes.try_for_each(|change| blocks.apply(&change)).map(|()| blocks)
    }

    /// Does what a change says.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: it is no change of these blocks. Then nothing is changed.
    pub fn apply(&mut self, change: &BlocksChange<O, N>) -> Result<(), ApplyError> {
        match change {
            BlocksChange::Created(_) => Err(ApplyError::Created),
            BlocksChange::BlockGranted { block, node, at } => self.apply_block(*block, node.as_ref(), *at),
            BlocksChange::BlockReleased { block, .. } => {
                self.release_block(*block).map_err(|_| ApplyError::NotAllocated { prefix: *block })
            }
            BlocksChange::Granted { address, node, owner, at } => self.apply_grant(*address, node, owner, *at),
            BlocksChange::Released { address, .. } => {
                let released = self.release(*address).map(|_| ());
                released.map_err(|_| ApplyError::NotAllocated { prefix: (*address).into() })
            }
            BlocksChange::NodeReleased { node, .. } => {
                self.release_node(node);
                Ok(())
            }
            BlocksChange::PrefixAdded(prefix) => Ok(self.add_prefix(*prefix)?),
        }
    }

    fn apply_block(&mut self, block: IpNet, node: Option<&N>, at: Duration) -> Result<(), ApplyError> {
        self.check_block(block).map_err(|error| match error {
            ClaimBlockError::Taken { .. } | ClaimBlockError::NoNode { .. } => {
                ApplyError::Taken { prefix: block, with: block }
            }
            _ => ApplyError::Outside { prefix: block },
        })?;
        let node = node.map(|node| node.enroll(&mut self.names)).transpose()?;
        let given = self.give_block(Block::of(block), node.map(|(node, _)| node.0), at);
        given.map_err(|()| {
            if let Some(node) = node {
                self.unenroll_node(node);
            }
            ApplyError::Full
        })
    }

    fn apply_grant(&mut self, address: IpAddr, node: &N, owner: &O, at: Duration) -> Result<(), ApplyError> {
        let prefix = address.into();
        self.check_claim(address).map_err(|error| match error {
            super::ClaimFromBlocksError::Taken { .. } => ApplyError::Taken { prefix, with: prefix },
            _ => ApplyError::Outside { prefix },
        })?;
        let enrolled = self.enroll_both(&node, &owner)?;
        let (node, holder) = (enrolled.node.0.0, enrolled.owner.0);
        let block = Block::around(number(address), self.options.order());
        let is_new = !self.given.contains_key(&block.base);
        let has_block = !is_new || self.give_block(block, Some(node), at).is_ok();
        let occupied = has_block.then(|| self.occupy(number(address), block, holder, node, at, is_new)).flatten();
        if occupied.is_none() {
            self.unenroll(enrolled);
            return Err(ApplyError::Full);
        }
        Ok(())
    }

    /// The changes that make these blocks, in order. Times are in whole seconds.
    pub fn changes(&self) -> impl Iterator<Item = BlocksChange<O, N>> + '_ {
        let blocks = self.blocks().map(|grant| BlocksChange::BlockGranted {
            block: grant.block,
            node: grant.node.cloned(),
            at: grant.since,
        });
        let grants = self.grants().filter_map(|grant| {
            let address = grant.prefix.addr();
            let node = self.names.get(Holder(self.number_of_node(number(address))?))?.clone();
            Some(BlocksChange::Granted { address, node, owner: grant.owner.clone(), at: grant.since })
        });
        iter::once(BlocksChange::Created(self.options.clone())).chain(blocks).chain(grants)
    }
}

#[cfg(feature = "serde")]
impl<O, N> Journaled for Option<Blocks<O, N>>
where
    O: Clone + Eq + Hash + Display + Serialize + DeserializeOwned,
    N: Clone + Eq + Hash + Serialize + DeserializeOwned,
{
    type Change = BlocksChange<O, N>;
    type Error = ApplyError;

    const FORM: u32 = 0x6950_0004;

    fn empty() -> Self {
        None
    }

    fn apply(&mut self, change: &BlocksChange<O, N>) -> Result<(), ApplyError> {
        match self {
            Some(pool) => pool.apply(change),
            None => Blocks::restore([change.clone()]).map(|pool| *self = Some(pool)),
        }
    }

    fn changes(&self) -> impl Iterator<Item = BlocksChange<O, N>> + '_ {
        self.iter().flat_map(Blocks::changes)
    }

    fn event(change: &BlocksChange<O, N>) -> Option<Event> {
        match change {
            BlocksChange::Granted { address, owner, at, .. } => {
                let kind = EventKind::Granted { owner: owner.to_string() };
                Some(Event { prefix: (*address).into(), at: *at, kind })
            }
            BlocksChange::Released { address, at } => {
                Some(Event { prefix: (*address).into(), at: *at, kind: EventKind::Released })
            }
            _ => None,
        }
    }
}
