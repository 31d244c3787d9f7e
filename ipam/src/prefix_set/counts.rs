//! How much of a prefix is what, kept up to date with each block.

use super::{Holder, NONE, PrefixSet, word};
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
}

impl Root {
    pub(super) fn new(block: Block, node: u32) -> Self {
        let mut free_blocks = [0; 129];
        free_blocks[block.order as usize] = 1;
        Self { block, node, counts: Counts::default(), free_blocks }
    }

    /// Counts a block of this order that was taken out of a free one; the halves that remain of it are free.
    pub(super) fn take(&mut self, free: u8, order: u8, holder: Holder) {
        self.free_blocks[free as usize] -= 1;
        for half in &mut self.free_blocks[order as usize..free as usize] {
            *half += 1;
        }
        let amount = Amount::of_order(order);
        let kind = self.kind(holder);
        *kind = kind.plus(amount);
        self.counts.len += usize::from(!holder.is_mark());
    }

    /// Counts a block of this order that is free again, as part of one with its free neighbours.
    pub(super) fn give(&mut self, free: u8, order: u8, holder: Holder) {
        for half in &mut self.free_blocks[order as usize..free as usize] {
            *half -= 1;
        }
        self.free_blocks[free as usize] += 1;
        let amount = Amount::of_order(order);
        let kind = self.kind(holder);
        *kind = kind.minus(amount);
        self.counts.len -= usize::from(!holder.is_mark());
    }

    /// Counts what changed in the slots of a node: what was free, what is, how many slots more (or less) owners hold now, and
    /// how many blocks more.
    pub(super) fn count(&mut self, slot_order: u8, before: u64, now: u64, slots: i64, blocks: i64) {
        let (gone, come) = (word::all_largest_runs(before), word::all_largest_runs(now));
        for (run, (gone, come)) in gone.into_iter().zip(come).enumerate() {
            if gone != come {
                let free = &mut self.free_blocks[slot_order as usize + run];
                *free = *free + u64::from(come.count_ones()) - u64::from(gone.count_ones());
            }
        }
        let amount = Amount::from(u128::from(slots.unsigned_abs()) << slot_order);
        let owned = &mut self.counts.owned;
        *owned = if slots < 0 { owned.minus(amount) } else { owned.plus(amount) };
        self.counts.len = self.counts.len.saturating_add_signed(blocks as isize);
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
        (0..=self.block.order).rev().find(|&order| self.free_blocks[order as usize] > 0)
    }

    /// The order of the smallest free block that is not smaller than this one.
    pub(super) fn tightest(&self, order: u8) -> Option<u8> {
        (order..=self.block.order).find(|&order| self.free_blocks[order as usize] > 0)
    }
}

impl PrefixSet {
    /// The numbers of a prefix, by its place among [`PrefixSet::roots`].
    pub(crate) fn counts(&self, root: usize) -> Counts {
        let root = &*self.counted(root);
        let Counts { owned, reserved, cooling, excluded, .. } = root.counts;
        let taken = owned.plus(reserved).plus(cooling).plus(excluded);
        let free = Amount::of_order(root.block.order).minus(taken);
        Counts { free, largest_free: root.largest_free(), ..root.counts }
    }

    /// The order of the largest free block.
    pub(crate) fn largest_free(&self) -> Option<u8> {
        (0..self.roots.len()).filter_map(|root| self.counted(root).largest_free()).max()
    }

    /// Whether anything is free.
    pub(crate) fn has_free(&self) -> bool {
        let is_at_hand = self.at_hand.number != NONE && self.at_hand.node.free() != 0;
        is_at_hand || (0..self.roots.len()).any(|root| !self.counts(root).free.is_zero())
    }

    /// How many free blocks of just this order there are, where free neighbours count as the one that they make.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self, order: u8) -> u64 {
        (0..self.roots.len()).map(|root| self.counted(root).free_blocks[order as usize]).sum()
    }
}
