//! The set as a list of held blocks: what the real one is compared with.

use std::{collections::BTreeMap, vec::Vec};

use super::{Conflict, Counts, Found, Held, Holder};
use crate::{amount::Amount, block::Block, range};

/// As [`super::PrefixSet`], method by method. Questions about what is free walk over all that is held.
#[derive(Clone, Debug, Default)]
pub(super) struct NaiveSet {
    roots: Vec<Block>,
    /// By first address.
    held: BTreeMap<u128, Held>,
}

impl NaiveSet {
    pub(super) fn roots(&self) -> &[Block] {
        &self.roots
    }

    /// All that is held, in order.
    pub(super) fn held(&self) -> impl DoubleEndedIterator<Item = Held> {
        self.held.values().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn add_root(&mut self, root: Block) -> Result<(), Block> {
        if let Some(&other) = self.roots.iter().find(|other| other.overlaps(root)) {
            return Err(other);
        }
        self.roots.push(root);
        self.roots.sort_unstable();
        Ok(())
    }

    pub(super) fn remove_root(&mut self, root: Block) -> Result<(), Held> {
        if let Some(held) = self.next_held(root.base).filter(|held| held.block.overlaps(root)) {
            return Err(held);
        }
        self.roots.retain(|other| *other != root);
        Ok(())
    }

    pub(super) fn get(&self, address: u128) -> Found {
        match self.next_held(address) {
            Some(held) if held.block.has(address) => Found::Held(held),
            _ if self.roots.iter().any(|root| root.has(address)) => Found::Free,
            _ => Found::Outside,
        }
    }

    pub(super) fn next_held(&self, from: u128) -> Option<Held> {
        let before = self.held.range(..=from).next_back().filter(|(_, held)| held.block.last() >= from);
        before.or_else(|| self.held.range(from..).next()).map(|(_, &held)| held)
    }

    pub(super) fn occupy(&mut self, block: Block, holder: Holder, since: u32) -> Result<(), Conflict> {
        if !self.roots.iter().any(|root| root.contains(block)) {
            return Err(Conflict::Outside);
        }
        if let Some(held) = self.next_held(block.base).filter(|held| held.block.overlaps(block)) {
            return Err(Conflict::Held(held));
        }
        self.held.insert(block.base, Held { block, holder, since });
        Ok(())
    }

    pub(super) fn vacate(&mut self, block: Block) -> Result<Holder, Found> {
        match self.held.get(&block.base) {
            Some(&held) if held.block == block => {
                self.held.remove(&block.base);
                Ok(held.holder)
            }
            _ => Err(self.get(block.base)),
        }
    }

    pub(super) fn vacate_owned(&mut self, block: Block) -> Result<Holder, Found> {
        match self.get(block.base) {
            Found::Held(held) if held.block == block && !held.holder.is_mark() => self.vacate(block),
            found => Err(found),
        }
    }

    pub(super) fn find(&self, order: u8, from: u128, to: u128) -> Option<Block> {
        let roots = self.roots.iter().filter(|root| root.order >= order && root.last() >= from);
        roots.copied().find_map(|root| self.find_in(root, order, from, to))
    }

    fn find_in(&self, root: Block, order: u8, from: u128, to: u128) -> Option<Block> {
        let mut at = Block::around(from.max(root.base), order);
        if at.base < from {
            at.base = at.last().checked_add(1)?;
        }
        while root.contains(at) && at.last() <= to {
            let Some(held) = self.next_held(at.base).filter(|held| held.block.overlaps(at)) else { return Some(at) };
            at = Block::around(held.block.last().max(at.last()).checked_add(1)?, order);
        }
        None
    }

    pub(super) fn find_tightest(&self, order: u8) -> Option<Block> {
        let fitting = self.free().into_iter().filter(|free| free.order >= order);
        fitting.min_by_key(|free| (free.order, free.base)).map(|free| Block { base: free.base, order })
    }

    /// All free blocks, in order, neighbours as the one that they make.
    pub(super) fn free(&self) -> Vec<Block> {
        self.roots.iter().flat_map(|&root| self.free_in(root)).collect()
    }

    fn free_in(&self, root: Block) -> Vec<Block> {
        let (mut free, mut from) = (Vec::new(), Some(root.base));
        for (&base, held) in self.held.range(root.base..=root.last()) {
            free.extend(from.filter(|&from| from < base).into_iter().flat_map(|from| range::blocks(from, base - 1)));
            from = held.block.last().checked_add(1);
        }
        let rest = from.filter(|&from| from <= root.last());
        free.extend(rest.into_iter().flat_map(|from| range::blocks(from, root.last())));
        free
    }

    pub(super) fn counts(&self, root: usize) -> Counts {
        let root = self.roots[root];
        let sum = |blocks: &mut dyn Iterator<Item = Block>| {
            blocks.fold(Amount::ZERO, |sum, block| sum.plus(Amount::of_order(block.order)))
        };
        let held: Vec<Held> = self.held.range(root.base..=root.last()).map(|(_, &held)| held).collect();
        let of = |mark: Holder| sum(&mut held.iter().filter(|held| held.holder == mark).map(|held| held.block));
        let owned: Vec<Block> = held.iter().filter(|held| !held.holder.is_mark()).map(|held| held.block).collect();
        let free = self.free_in(root);
        Counts {
            free: sum(&mut free.iter().copied()),
            owned: sum(&mut owned.iter().copied()),
            reserved: of(Holder::RESERVED),
            cooling: of(Holder::COOLING),
            excluded: of(Holder::EXCLUDED),
            len: owned.len(),
            largest_free: free.iter().map(|free| free.order).max(),
        }
    }

    pub(super) fn held_by(&self, holder: Holder) -> Vec<Held> {
        self.held().filter(|held| held.holder == holder).collect()
    }
}
