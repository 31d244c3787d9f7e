//! Which blocks of an address space are held, and by whom. Stand-in of the final one: same interface.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{amount::Amount, block::Block};

/// Who holds a block, as a number: an owner, or one of the marks below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder(pub(crate) u32);

impl Holder {
    /// Set aside: given out only when asked for by name.
    pub(crate) const RESERVED: Self = Self(u32::MAX);
    /// Released, and not to be given out yet.
    pub(crate) const COOLING: Self = Self(u32::MAX - 1);
    /// Within a prefix of the pool, but not part of the pool.
    pub(crate) const EXCLUDED: Self = Self(u32::MAX - 2);
    /// The highest number of an owner.
    pub(crate) const MAX: Self = Self(u32::MAX - 8);

    /// Whether it is none of the owners but a mark.
    pub(crate) const fn is_mark(self) -> bool {
        self.0 > Self::MAX.0
    }
}

/// A block that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) block: Block,
    pub(crate) holder: Holder,
    /// When it was occupied, as the caller put it.
    pub(crate) since: u32,
}

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// It is in no prefix of the set.
    Outside,
    /// It is free.
    Free,
    /// It is in this block.
    Held(Held),
}

/// Why a block can't be occupied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conflict {
    /// It is not within a prefix of the set.
    Outside,
    /// It overlaps with this one, the lowest of them.
    Held(Held),
}

/// How much of a prefix is what, in addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) free: Amount,
    pub(crate) owned: Amount,
    pub(crate) reserved: Amount,
    pub(crate) cooling: Amount,
    pub(crate) excluded: Amount,
    /// Blocks that owners hold.
    pub(crate) len: usize,
    /// The order of its largest free block.
    pub(crate) largest_free: Option<u8>,
}

/// Blocks that are held, within some prefixes (roots). Blocks never overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefixSet {
    roots: Vec<Block>,
    held: BTreeMap<u128, (u8, u32, u32)>,
}

impl PrefixSet {
    /// Without prefixes: everything is outside.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The prefixes, in order. They never overlap; neighbours stay apart.
    pub(crate) fn roots(&self) -> &[Block] {
        &self.roots
    }

    /// Adds a prefix, all of it free; or says with which one it overlaps.
    pub(crate) fn add_root(&mut self, root: Block) -> Result<(), Block> {
        if let Some(&other) = self.roots.iter().find(|other| other.overlaps(root)) {
            return Err(other);
        }
        let at = self.roots.partition_point(|other| other.base < root.base);
        self.roots.insert(at, root);
        Ok(())
    }

    /// Takes a prefix away in which nothing is held, or says the first that is held in it. One that is none is no matter.
    pub(crate) fn remove_root(&mut self, root: Block) -> Result<(), Held> {
        if let Some(held) = self.next_held(root.base).filter(|held| held.block.overlaps(root)) {
            return Err(held);
        }
        self.roots.retain(|other| *other != root);
        Ok(())
    }

    /// What is at the address.
    pub(crate) fn get(&self, address: u128) -> Found {
        if !self.roots.iter().any(|root| root.has(address)) {
            return Found::Outside;
        }
        match self.next_held(address).filter(|held| held.block.has(address)) {
            Some(held) => Found::Held(held),
            None => Found::Free,
        }
    }

    /// The first held block, marks included, whose last address is `from` or higher: walks in order.
    pub(crate) fn next_held(&self, from: u128) -> Option<Held> {
        let held = |(&base, &(order, holder, since)): (&u128, &(u8, u32, u32))| Held {
            block: Block { base, order },
            holder: Holder(holder),
            since,
        };
        self.held
            .range(..=from)
            .next_back()
            .map(held)
            .filter(|held| held.block.last() >= from)
            .or_else(|| self.held.range(from..).next().map(held))
    }

    /// Has the block held.
    pub(crate) fn occupy(&mut self, block: Block, holder: Holder, since: u32) -> Result<(), Conflict> {
        if !self.roots.iter().any(|root| root.contains(block)) {
            return Err(Conflict::Outside);
        }
        if let Some(held) = self.next_held(block.base).filter(|held| held.block.overlaps(block)) {
            return Err(Conflict::Held(held));
        }
        self.held.insert(block.base, (block.order, holder.0, since));
        Ok(())
    }

    /// Frees a block that is held as just this one, and says whose it was; or what is at its first address.
    pub(crate) fn vacate(&mut self, block: Block) -> Result<Holder, Found> {
        match self.held.get(&block.base) {
            Some(&(order, holder, _)) if order == block.order => {
                self.held.remove(&block.base);
                Ok(Holder(holder))
            }
            _ => Err(self.get(block.base)),
        }
    }

    /// The lowest free block of this order from `from` on and up to `to`, both included.
    pub(crate) fn find(&mut self, order: u8, from: u128, to: u128) -> Option<Block> {
        for root in self.roots.clone() {
            if root.order < order || root.last() < from {
                continue;
            }
            let mut at = Block::around(from.max(root.base), order);
            if at.base < from && from > root.base {
                at = Block { base: at.last().checked_add(1)?, order };
            }
            while root.contains(at) && at.last() <= to {
                match self.next_held(at.base).filter(|held| held.block.overlaps(at)) {
                    None => return Some(at),
                    Some(held) => {
                        let past = held.block.last().max(at.last());
                        let Some(next) = past.checked_add(1) else { break };
                        at = Block::around(next, order);
                    }
                }
            }
        }
        None
    }

    /// The lowest block of this order in the smallest free block that has room for it.
    pub(crate) fn find_tightest(&mut self, order: u8) -> Option<Block> {
        let tightest = (order..=128).find(|&order| self.free_blocks(order) > 0)?;
        let mut from = 0;
        loop {
            let found = self.find(tightest, from, u128::MAX)?;
            if self.free_around(found.base) == Some(found) {
                return Some(Block { base: found.base, order });
            }
            from = found.last() + 1;
        }
    }

    /// The largest free block that has the address.
    pub(crate) fn free_around(&self, address: u128) -> Option<Block> {
        let root = *self.roots.iter().find(|root| root.has(address))?;
        let is_free = |block: &Block| {
            root.contains(*block) && self.next_held(block.base).is_none_or(|held| !held.block.overlaps(*block))
        };
        (0..=root.order).map(|order| Block::around(address, order)).take_while(is_free).last()
    }

    /// How many free blocks of just this order there are, where free neighbours count as the one that they make.
    pub(crate) fn free_blocks(&self, order: u8) -> u64 {
        let mut count = 0;
        for root in &self.roots {
            let mut at = root.base;
            loop {
                let last = match (self.get(at), self.free_around(at)) {
                    (Found::Held(held), _) => held.block.last(),
                    (_, Some(free)) => {
                        count += u64::from(free.order == order);
                        free.last()
                    }
                    _ => unreachable!(),
                };
                if last == root.last() {
                    break;
                }
                at = last + 1;
            }
        }
        count
    }

    /// The order of the largest free block.
    pub(crate) fn largest_free(&self) -> Option<u8> {
        (0..=128).rev().find(|&order| self.free_blocks(order) > 0)
    }

    /// The numbers of each prefix, in the order of [`Self::roots`].
    pub(crate) fn counts(&self, root: usize) -> Counts {
        let root = self.roots[root];
        let mut counts = Counts { free: Amount::of_order(root.order), ..Counts::default() };
        for (&base, &(order, holder, _)) in self.held.range(root.base..=root.last()) {
            let (amount, _) = (Amount::of_order(order), base);
            counts.free = counts.free.minus(amount);
            match Holder(holder) {
                Holder::RESERVED => counts.reserved = counts.reserved.plus(amount),
                Holder::COOLING => counts.cooling = counts.cooling.plus(amount),
                Holder::EXCLUDED => counts.excluded = counts.excluded.plus(amount),
                _ => {
                    counts.owned = counts.owned.plus(amount);
                    counts.len += 1;
                }
            }
        }
        counts.largest_free = self.largest_free();
        counts
    }

    /// How many blocks this owner holds. Not for marks.
    pub(crate) fn count_of(&self, holder: Holder) -> usize {
        self.held_by(holder).count()
    }

    /// What this owner holds, the latest first. Not for marks.
    pub(crate) fn held_by(&self, holder: Holder) -> impl Iterator<Item = Held> {
        let is_theirs = move |&(_, &(_, other, _)): &(&u128, &(u8, u32, u32))| other == holder.0;
        self.held.iter().filter(is_theirs).map(|(&base, &(order, holder, since))| Held {
            block: Block { base, order },
            holder: Holder(holder),
            since,
        })
    }
}
