//! How much of a prefix is what, kept up to date with each block.

use super::{Holder, PrefixSet};
use crate::{amount::Amount, block::Block};

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

/// A prefix of the set.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) block: Block,
    /// The topmost node.
    pub(super) node: u32,
    counts: Counts,
    /// How many free blocks of each order there are; free neighbours count as the one that they make.
    free_blocks: [u64; 129],
    /// The orders of which there are free blocks, as a set.
    orders: [u64; 3],
}

impl Root {
    pub(super) fn new(block: Block, node: u32) -> Self {
        let counts = Counts { free: Amount::of_order(block.order), ..Counts::default() };
        let mut root = Self { block, node, counts, free_blocks: [0; 129], orders: [0; 3] };
        root.add_free(block.order);
        root
    }

    fn add_free(&mut self, order: u8) {
        self.free_blocks[order as usize] += 1;
        self.orders[order as usize / 64] |= 1 << (order % 64);
    }

    fn take_free(&mut self, order: u8) {
        let count = &mut self.free_blocks[order as usize];
        *count -= 1;
        if *count == 0 {
            self.orders[order as usize / 64] &= !(1 << (order % 64));
        }
    }

    /// Counts a block of this order that was taken out of a free one; the halves that remain of it are free.
    pub(super) fn take(&mut self, free: u8, order: u8, holder: Holder) {
        self.take_free(free);
        for half in order..free {
            self.add_free(half);
        }
        let amount = Amount::of_order(order);
        self.counts.free = self.counts.free.minus(amount);
        let kind = self.kind(holder);
        *kind = kind.plus(amount);
        self.counts.len += usize::from(!holder.is_mark());
    }

    /// Counts a block of this order that is free again, as part of one with its free neighbours.
    pub(super) fn give(&mut self, free: u8, order: u8, holder: Holder) {
        for half in order..free {
            self.take_free(half);
        }
        self.add_free(free);
        let amount = Amount::of_order(order);
        self.counts.free = self.counts.free.plus(amount);
        let kind = self.kind(holder);
        *kind = kind.minus(amount);
        self.counts.len -= usize::from(!holder.is_mark());
    }

    fn kind(&mut self, holder: Holder) -> &mut Amount {
        match holder {
            Holder::RESERVED => &mut self.counts.reserved,
            Holder::COOLING => &mut self.counts.cooling,
            Holder::EXCLUDED => &mut self.counts.excluded,
            _ => &mut self.counts.owned,
        }
    }

    /// The order of the largest free block.
    pub(super) fn largest_free(&self) -> Option<u8> {
        let word = self.orders.iter().rposition(|&orders| orders != 0)?;
        Some(word as u8 * 64 + self.orders[word].ilog2() as u8)
    }

    /// The order of the smallest free block that is not smaller than this one.
    pub(super) fn tightest(&self, order: u8) -> Option<u8> {
        let mut least = order % 64;
        for word in order as usize / 64..self.orders.len() {
            let orders = self.orders[word] & (u64::MAX << least);
            if orders != 0 {
                return Some(word as u8 * 64 + orders.trailing_zeros() as u8);
            }
            least = 0;
        }
        None
    }
}

impl PrefixSet {
    /// The numbers of a prefix, by its place among [`PrefixSet::roots`].
    pub(crate) fn counts(&self, root: usize) -> Counts {
        let root = &self.roots[root];
        Counts { largest_free: root.largest_free(), ..root.counts }
    }

    /// The order of the largest free block.
    pub(crate) fn largest_free(&self) -> Option<u8> {
        self.roots.iter().filter_map(Root::largest_free).max()
    }

    /// How many free blocks of just this order there are, where free neighbours count as the one that they make.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self, order: u8) -> u64 {
        self.roots.iter().map(|root| root.free_blocks[order as usize]).sum()
    }
}
