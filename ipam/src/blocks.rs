//! Addresses out of blocks that belong to nodes.

mod changes;
mod claim;
mod error;
mod options;
mod release;
mod tally;

use alloc::collections::BTreeSet;
use core::{hash::Hash, net::IpAddr, time::Duration};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ipnet::IpNet;

use self::tally::Tally;
pub use self::{
    changes::BlocksChange,
    error::{
        AllocateFromBlocksError, ClaimBlockError, ClaimFromBlocksError, ReleaseBlockError, ReleaseFromBlocksError,
    },
    options::BlocksOptions,
    release::ReleasedNode,
    tally::{BlockUsage, BlocksUsage, NodeUsage},
};
use crate::{
    amount::Amount,
    block::{Block, Family, number},
    error::{AllocateError, ConfigError},
    grant::{Grant, seconds},
    owners::{AsOwner, OwnerId, Owners, UnknownOwner},
    prefix_set::{Found, Held, Holder},
    space::Space,
    subnet_pool::SubnetPool,
};

/// Hands out addresses of blocks that belong to nodes.
///
/// A node gets a block when it needs one: its addresses are of its own blocks first (affinity). When it may have no more blocks,
/// or none is free, it may borrow addresses of other nodes' blocks, where that is switched on. The lowest free address of the
/// lowest block with room is given. There is no walk over blocks or addresses to find it.
///
/// `O` is who has addresses, `N` is a node; both may be of the same kind.
///
/// ```
/// use core::time::Duration;
/// use ipam::{Blocks, BlocksOptions};
///
/// let mut options = BlocksOptions::new(["10.0.0.0/16".parse()?], 26);
/// options.max_blocks = Some(1);
/// let mut blocks = Blocks::<String>::new(options)?;
/// let now = Duration::from_secs(1_700_000_000);
/// assert_eq!(blocks.allocate("node-1", "pod-1", now)?.address.to_string(), "10.0.0.0");
/// assert_eq!(blocks.allocate("node-2", "pod-2", now)?.address.to_string(), "10.0.0.64");
/// assert_eq!(blocks.allocate("node-1", "pod-3", now)?.block.to_string(), "10.0.0.0/26");
///
/// let error = blocks.claim("10.0.0.65".parse()?, "node-1", "pod-4", now).unwrap_err();
/// assert_eq!(error.to_string(), "10.0.0.65 is of 10.0.0.64/26, which is node-2's; borrowing is off");
/// let error = blocks.release_block("10.0.0.0/26".parse()?).unwrap_err();
/// assert_eq!(error.to_string(), "10.0.0.0 of 10.0.0.0/26 is pod-1's, and 1 more are held");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Blocks<O, N = O> {
    options: BlocksOptions,
    /// Which blocks are given, to nodes by their numbers. Nobody's are those of nodes that were released.
    pool: SubnetPool<Option<u32>>,
    /// Which addresses are given.
    space: Space,
    owners: Owners<O>,
    names: Owners<N>,
    /// Each block that is given, by its first address.
    given: HashMap<u128, State, RandomState>,
    /// Each node that has blocks or addresses, by its number.
    nodes: HashMap<u32, Node, RandomState>,
    /// For which node an address is held that is not of a block of that node.
    borrowed: HashMap<u128, u32, RandomState>,
    /// The blocks of all nodes that have room.
    with_room: BTreeSet<u128>,
    /// The blocks without addresses that somebody has.
    empty: BTreeSet<u128>,
}

/// A block that is given.
#[derive(Clone, Copy, Debug)]
struct State {
    node: Option<u32>,
    tally: Tally,
}

/// The numbers of a node and of an owner, and whether these are new ones.
#[derive(Clone, Copy, Debug)]
struct Enrolled {
    node: (Holder, bool),
    owner: (Holder, bool),
}

/// A node that has something.
#[derive(Clone, Debug, Default)]
struct Node {
    blocks: usize,
    tally: Tally,
    /// Its blocks with room.
    with_room: BTreeSet<u128>,
    /// Its addresses in blocks that are not its own.
    borrowed: BTreeSet<u128>,
}

/// An address that was given to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BlocksGrant {
    /// The address.
    pub address: IpAddr,
    /// The block that it is of.
    pub block: IpNet,
    /// Whether the node got the block for it.
    pub is_new: bool,
    /// Whether the block is not the node's.
    pub is_borrowed: bool,
}

/// A block that is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BlockGrant<'a, N> {
    /// The block.
    pub block: IpNet,
    /// Whose it is; `None` where that node was released, and somebody else has addresses of it.
    pub node: Option<&'a N>,
    /// When it was given: whole seconds since the Unix epoch.
    pub since: Duration,
    /// How full it is.
    pub usage: BlockUsage,
}

impl<O: Clone + Eq + Hash, N: Clone + Eq + Hash> Blocks<O, N> {
    /// Blocks of which none is given yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the options.
    pub fn new(mut options: BlocksOptions) -> Result<Self, ConfigError> {
        let (pool, space) = options.spaces()?;
        options.reserved = space.reserved().collect();
        Ok(Self {
            options,
            pool: SubnetPool::new(pool)?,
            space,
            owners: Owners::new(),
            names: Owners::new(),
            given: HashMap::default(),
            nodes: HashMap::default(),
            borrowed: HashMap::default(),
            with_room: BTreeSet::new(),
            empty: BTreeSet::new(),
        })
    }

    /// What the blocks were made of, with all changes since.
    #[must_use]
    pub const fn options(&self) -> &BlocksOptions {
        &self.options
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.space.family
    }

    /// Makes sure that the owner has a number, for many calls with the same one.
    ///
    /// # Errors
    ///
    /// There are numbers for four billion owners.
    pub fn enroll(&mut self, owner: impl AsOwner<O>) -> Result<OwnerId, UnknownOwner> {
        let (holder, _) = owner.enroll(&mut self.owners)?;
        Ok(self.owners.id(holder))
    }

    /// Makes sure that the node has a number, for many calls with the same one. It is not one of an owner.
    ///
    /// # Errors
    ///
    /// There are numbers for four billion nodes.
    pub fn enroll_node(&mut self, node: impl AsOwner<N>) -> Result<OwnerId, UnknownOwner> {
        let (node, _) = node.enroll(&mut self.names)?;
        Ok(self.names.id(node))
    }

    /// Forgets an owner that has a number and nothing else.
    pub fn forget(&mut self, owner: impl AsOwner<O>) {
        if let Some(holder) = owner.find(&self.owners) {
            self.forget_idle(holder);
        }
    }

    /// Forgets a node that has a number and nothing else.
    pub fn forget_node(&mut self, node: impl AsOwner<N>) {
        if let Some(node) = node.find(&self.names) {
            self.forget_idle_node(node.0);
        }
    }

    fn forget_idle(&mut self, holder: Holder) {
        if self.space.set.count_of(holder) == 0 {
            self.owners.forget(holder);
        }
    }

    fn forget_idle_node(&mut self, node: u32) {
        if self.nodes.get(&node).is_none_or(|node| node.blocks == 0 && node.borrowed.is_empty()) {
            self.nodes.remove(&node);
            self.names.forget(Holder(node));
        }
    }

    /// Gives a node an address for this owner: of its own blocks, else of a new block, else, where borrowing is on, of another
    /// node's block.
    ///
    /// # Errors
    ///
    /// [`AllocateFromBlocksError`] says which limit it was.
    pub fn allocate(
        &mut self,
        node: impl AsOwner<N>,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<BlocksGrant, AllocateFromBlocksError> {
        let enrolled = self.enroll_both(&node, &owner)?;
        let (node, holder) = (enrolled.node.0.0, enrolled.owner.0);
        let given = self.choose(node, now).and_then(|(block, is_new)| {
            let found = self.space.set.find(0, block.base, block.last());
            let given = found.and_then(|found| self.occupy(found.base, block, holder, node, now, is_new));
            given.ok_or(AllocateFromBlocksError::Full)
        });
        given.inspect_err(|_| self.unenroll(enrolled))
    }

    fn enroll_both(&mut self, node: &impl AsOwner<N>, owner: &impl AsOwner<O>) -> Result<Enrolled, UnknownOwner> {
        let node = node.enroll(&mut self.names)?;
        match owner.enroll(&mut self.owners) {
            Ok(owner) => Ok(Enrolled { node, owner }),
            Err(error) => {
                self.unenroll_node(node);
                Err(error)
            }
        }
    }

    /// Forgets those whose numbers are new ones.
    fn unenroll(&mut self, Enrolled { node, owner }: Enrolled) {
        self.unenroll_node(node);
        if let (holder, true) = owner {
            self.forget_idle(holder);
        }
    }

    fn unenroll_node(&mut self, (node, is_new): (Holder, bool)) {
        if is_new {
            self.forget_idle_node(node.0);
        }
    }

    /// A block with room for this node, and whether it is a new one.
    fn choose(&mut self, node: u32, now: Duration) -> Result<(Block, bool), AllocateFromBlocksError> {
        let order = self.options.order();
        let own = self.nodes.get(&node).and_then(|node| node.with_room.first());
        if let Some(&base) = own {
            return Ok((Block { base, order }, false));
        }
        let borrow = self.options.borrow;
        let error = match self.full(node) {
            Some(max_blocks) => AllocateFromBlocksError::MaxBlocks { max_blocks, borrow },
            None => match self.pool.allocate(self.options.block_length, &Some(node), now) {
                Ok(prefix) => {
                    let block = Block::of(prefix);
                    self.add_block(block, Some(node));
                    return Ok((block, true));
                }
                Err(AllocateError::Full) => return Err(AllocateFromBlocksError::Full),
                Err(AllocateError::Owner(error)) => return Err(error.into()),
                Err(_) => {
                    let blocks = self.nodes.get(&node).map_or(0, |node| node.blocks);
                    AllocateFromBlocksError::NoBlock { blocks, borrow }
                }
            },
        };
        // None of these is its own.
        let other = self.with_room.first().filter(|_| borrow);
        other.map(|&base| (Block { base, order }, false)).ok_or(error)
    }

    /// How many blocks the node may have, where it has as many.
    fn full(&self, node: u32) -> Option<u32> {
        let blocks = self.nodes.get(&node).map_or(0, |node| node.blocks);
        self.options.max_blocks.filter(|&max_blocks| blocks >= max_blocks as usize)
    }

    /// Has a block that the pool gave be there, without addresses.
    fn add_block(&mut self, block: Block, node: Option<u32>) {
        let mut reserved = Amount::ZERO;
        for held in self.space.held_within(block.base, block.last()) {
            // A reserved one may be larger than the block.
            reserved = reserved.plus(Amount::of_order(held.block.order.min(block.order)));
        }
        let tally = Tally::new(block.order, reserved);
        self.given.insert(block.base, State { node, tally });
        self.empty.insert(block.base);
        if let Some(number) = node {
            let node = self.nodes.entry(number).or_default();
            node.blocks += 1;
            node.tally.add(&tally);
        }
        self.mark_room(block.base);
    }

    /// Keeps which blocks have room.
    fn mark_room(&mut self, base: u128) {
        let Some(state) = self.given.get(&base) else { return };
        let Some(node) = state.node.and_then(|node| self.nodes.get_mut(&node)) else { return };
        if state.tally.free.is_zero() {
            node.with_room.remove(&base);
            self.with_room.remove(&base);
        } else {
            node.with_room.insert(base);
            self.with_room.insert(base);
        }
    }

    /// Changes the numbers of a block, and of its node.
    fn tally(&mut self, base: u128, change: impl Fn(&mut Tally)) {
        let Some(state) = self.given.get_mut(&base) else { return };
        change(&mut state.tally);
        if state.tally.held == 0 {
            self.empty.insert(base);
        } else {
            self.empty.remove(&base);
        }
        if let Some(node) = state.node.and_then(|node| self.nodes.get_mut(&node)) {
            change(&mut node.tally);
        }
        self.mark_room(base);
    }

    /// Gives an address of a block that is given. Where that can't be, a block that is given just for it goes back.
    fn occupy(
        &mut self,
        address: u128,
        block: Block,
        holder: Holder,
        node: u32,
        now: Duration,
        is_new: bool,
    ) -> Option<BlocksGrant> {
        if self.space.occupy(Block::single(address), holder, seconds(now)).is_err() {
            if is_new {
                self.drop_block(block);
            }
            return None;
        }
        let is_reserved = self.space.is_reserved(address);
        let is_borrowed = self.given.get(&block.base).is_some_and(|state| state.node != Some(node));
        if is_borrowed {
            self.borrowed.insert(address, node);
            self.nodes.entry(node).or_default().borrowed.insert(address);
        }
        self.tally(block.base, |tally| tally.take(is_reserved, is_borrowed));
        let (address, block) = (self.family().address(address), self.family().prefix(block));
        Some(BlocksGrant { address, block, is_new, is_borrowed })
    }

    /// Adds a prefix.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is of the other family, smaller than a block, or overlaps with one that is there.
    pub fn add_prefix(&mut self, prefix: IpNet) -> Result<(), ConfigError> {
        self.options.check_length(prefix)?;
        self.pool.add_prefix(prefix)?;
        let added = self.space.set.add_root(Block::of(prefix));
        debug_assert_eq!(added, Ok(()), "both have the same prefixes");
        self.options.prefixes.push(prefix);
        Ok(())
    }

    /// Who has this address, and since when.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<Grant<'_, O>> {
        if Family::of(address) != self.family() {
            return None;
        }
        match self.space.set.get(number(address)) {
            Found::Held(held) => self.grant(held),
            _ => None,
        }
    }

    fn grant(&self, held: Held) -> Option<Grant<'_, O>> {
        let owner = self.owners.get(held.holder)?;
        Some(Grant { prefix: self.family().prefix(held.block), owner, since: Duration::from_secs(held.since.into()) })
    }

    fn grants_within(&self, block: Block) -> impl Iterator<Item = Grant<'_, O>> {
        self.space.held_within(block.base, block.last()).filter_map(|held| self.grant(held))
    }

    /// All addresses that were given, in order.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_, O>> {
        self.space.held_within(0, u128::MAX).filter_map(|held| self.grant(held))
    }

    /// The addresses that this owner has, in order.
    pub fn grants_of(&self, owner: impl AsOwner<O>) -> impl Iterator<Item = Grant<'_, O>> {
        let holder = owner.find(&self.owners);
        let held = holder.into_iter().flat_map(|holder| self.space.set.held_by(holder));
        held.filter_map(|held| self.grant(held))
    }

    /// For which node somebody has this address.
    #[must_use]
    pub fn node_of(&self, address: IpAddr) -> Option<&N> {
        self.get(address)?;
        self.names.get(Holder(self.number_of_node(number(address))?))
    }

    fn number_of_node(&self, address: u128) -> Option<u32> {
        let borrower = self.borrowed.get(&address).copied();
        let block = Block::around(address, self.options.order());
        borrower.or_else(|| self.given.get(&block.base)?.node)
    }
}

#[cfg(test)]
mod tests;
