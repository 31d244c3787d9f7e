//! A node of the tree: what its slots are.

use super::{members::Members, word};
use crate::block::Block;

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The address of its first slot.
    pub(super) base: u128,
    /// Slots that belong to held blocks, or are outside of the root. Of these, `more` are not the first of their block.
    pub(super) held: u64,
    /// Together with `held`: see there. Without: slots with children.
    pub(super) more: u64,
    pub(super) parent: u32,
    /// What the first slots of held blocks carry.
    pub(super) grants: Members,
    /// The children, and what is known of them: two arrays of the same name, one of each kind.
    pub(super) children: Members,
    /// The order of its slots.
    pub(super) slot_order: u8,
    /// It has 2^`bits` slots: 64, but for the smallest ones.
    pub(super) bits: u8,
    /// Of its own free blocks those that the parents know of: bit i for runs of 2^i slots.
    pub(super) told: u8,
    /// No block is a run of more than 2^`limit` slots here: 6, and less where the root is not all of its topmost node.
    pub(super) limit: u8,
}

/// What is known of a held block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grant {
    pub(super) holder: u32,
    pub(super) since: u32,
}

impl Node {
    /// The order of all of it. The topmost one may be larger than its root: what is outside is never free.
    pub(super) const fn order(&self) -> u8 {
        self.slot_order + self.bits
    }

    pub(super) const fn block(&self) -> Block {
        Block { base: self.base, order: self.order() }
    }

    /// The slot of an address that it has.
    pub(super) const fn slot(&self, address: u128) -> u8 {
        (address >> self.slot_order) as u8 & ((1 << self.bits) - 1)
    }

    /// Slots that look like held ones: the smallest nodes have less than 64. (Of the topmost ones of a root this is not all.)
    pub(super) const fn outside(&self) -> u64 {
        !word::run_at(0, self.bits)
    }

    /// Whether nothing is held in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.held == self.outside() && self.more == self.outside()
    }

    /// The run of slots that a block is here, if it may be one: the power of two.
    #[inline]
    pub(super) const fn run(&self, order: u8) -> Option<u8> {
        let run = order.wrapping_sub(self.slot_order);
        if run < self.bits { Some(run) } else { None }
    }

    pub(super) const fn slot_block(&self, slot: u8) -> Block {
        Block { base: self.base + ((slot as u128) << self.slot_order), order: self.slot_order }
    }

    pub(super) const fn free(&self) -> u64 {
        !(self.held | self.more)
    }

    /// The first slots of held blocks.
    pub(super) const fn firsts(&self) -> u64 {
        self.held & !self.more
    }

    /// The slots with children.
    pub(super) const fn parents(&self) -> u64 {
        self.more & !self.held
    }

    /// The held block whose first slot this is. A run that ends the root is followed by slots outside, which look like more of
    /// it: but it is no larger than its place and the root allow.
    pub(super) fn held_block(&self, first: u8) -> Block {
        let more = (self.held & self.more).unbounded_shr(u32::from(first) + 1).trailing_ones() + 1;
        let run = more.ilog2().min(first.trailing_zeros()).min(self.limit.into()) as u8;
        Block { base: self.slot_block(first).base, order: self.slot_order + run }
    }

    /// The first slot of the held block that has this slot.
    pub(super) const fn first_of(&self, slot: u8) -> u8 {
        63 - (self.firsts() & (u64::MAX >> (63 - slot))).leading_zeros() as u8
    }
}
