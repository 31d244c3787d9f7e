//! The node at hand: a copy of one that is likely to change next.
//!
//! Who takes one block after the other finds the next one there, and so does who gives them back. Only the copy changes then;
//! all else is counted, listed and told to the node's parents when it is put back: when another node has its turn. A node is
//! taken in hand when it changes twice in a row, gave the lowest free block, or lies behind one that was just emptied.

use alloc::borrow::Cow;

use super::{Grant, Holder, NONE, Node, PrefixSet, counts::Root, members::Members, word};
use crate::block::Block;

#[derive(Clone, Debug)]
pub(super) struct AtHand {
    pub(super) number: u32,
    root: u32,
    pub(super) node: Node,
    /// What its slots carry, those that are the first ones of held blocks.
    pub(super) grants: [Grant; 64],
    /// What was free when it was counted last.
    counted: u64,
    /// How many slots more, or less, owners hold since.
    slots: i64,
    /// How many blocks more, or less, owners hold since.
    blocks: i64,
    /// Whose list the following are to be done to; a mark where it is nobody's.
    owner: Holder,
    /// How many blocks are on it.
    listed: usize,
    /// The first slots of the blocks to be added to it.
    added: u64,
    /// How many these are.
    more: u32,
    /// How many blocks are to be taken off it.
    less: u32,
}

impl AtHand {
    pub(super) const NONE: Self = Self {
        number: NONE,
        root: 0,
        node: Node {
            base: 0,
            held: 0,
            more: 0,
            parent: NONE,
            grants: Members::NONE,
            children: Members::NONE,
            slot_order: 0,
            bits: 0,
            told: 0,
            limit: 0,
        },
        grants: [Grant { holder: 0, since: 0 }; 64],
        counted: 0,
        slots: 0,
        blocks: 0,
        owner: Holder::EXCLUDED,
        listed: 0,
        added: 0,
        more: 0,
        less: 0,
    };

    /// How many blocks this owner holds, if it is known here.
    #[inline]
    pub(super) fn count_of(&self, holder: Holder) -> Option<usize> {
        (self.owner == holder).then(|| self.listed + self.more as usize - self.less as usize)
    }

    /// The first slots of the blocks that are still to be added to this owner's list.
    pub(super) fn added(&self, holder: Holder) -> u64 {
        if self.owner == holder { self.added } else { 0 }
    }

    /// The run of slots that a block is there, as its first slot and the power of two.
    #[inline]
    fn run(&self, block: Block) -> Option<(u8, u8)> {
        let run = self.node.run(block.order)?;
        let is_there = self.number != NONE && (block.base ^ self.node.base) >> self.node.order() == 0;
        is_there.then(|| (self.node.slot(block.base), run))
    }
}

impl PrefixSet {
    /// Has the lowest free block of this order held, if it is at hand.
    #[inline]
    pub(super) fn occupy_lowest_at_hand(&mut self, order: u8, holder: Holder, since: u32) -> Option<Block> {
        let (known, lowest) = self.lowest?;
        let node = &self.at_hand.node;
        let run = node.run(order)?;
        if lowest != self.at_hand.number || order < known || holder.is_mark() {
            return None;
        }
        let slot = word::lowest(word::runs(node.free(), run))?;
        let base = node.slot_block(slot).base;
        self.hold_at_hand(slot, run, holder, since);
        Some(Block { base, order })
    }

    /// Has a block held, if it is at hand and free.
    pub(super) fn occupy_at_hand(&mut self, block: Block, holder: Holder, since: u32) -> Option<()> {
        let (slot, run) = self.at_hand.run(block)?;
        let taken = word::run_at(slot, run);
        if self.at_hand.node.free() & taken != taken || holder.is_mark() {
            return None;
        }
        self.hold_at_hand(slot, run, holder, since);
        Some(())
    }

    #[inline]
    fn hold_at_hand(&mut self, slot: u8, run: u8, holder: Holder, since: u32) {
        self.list_for(holder);
        let hand = &mut self.at_hand;
        let taken = word::run_at(slot, run);
        hand.grants[slot as usize & 63] = Grant { holder: holder.0, since };
        hand.node.held |= taken;
        hand.node.more |= taken & (taken - 1);
        hand.added |= 1 << slot;
        hand.more += 1;
        hand.slots += 1 << run;
        hand.blocks += 1;
    }

    /// Frees a block that an owner holds, if it is at hand and the node stays.
    #[inline]
    pub(super) fn vacate_at_hand(&mut self, block: Block) -> Option<Holder> {
        let (slot, run) = self.at_hand.run(block)?;
        let node = &self.at_hand.node;
        let taken = word::run_at(slot, run);
        // All of it and nothing more is one block.
        let rest = node.held & node.more;
        let behind = rest.unbounded_shr(u32::from(slot) + (1 << run)) & 1;
        if node.held & taken != taken
            || rest & taken != taken & (taken - 1)
            || behind == 1
            || node.held == taken | node.outside()
        {
            return None;
        }
        let holder = Holder(self.at_hand.grants[slot as usize & 63].holder);
        if holder.is_mark() {
            return None;
        }
        self.list_for(holder);
        let hand = &mut self.at_hand;
        hand.node.held &= !taken;
        hand.node.more &= !taken;
        // What is not on the list yet need not be taken off it.
        let is_new = (hand.added >> slot & 1) as u32;
        hand.added &= !(1 << slot);
        hand.more -= is_new;
        hand.less += 1 - is_new;
        hand.slots -= 1 << run;
        hand.blocks -= 1;
        let (number, base) = (hand.number, hand.node.base);
        if let Some((_, lowest)) = self.lowest
            && lowest != number
            && base < self.node(lowest).base
        {
            self.lowest = None;
        }
        Some(holder)
    }

    /// Has the changes of lists be those of this owner's.
    #[inline]
    fn list_for(&mut self, holder: Holder) {
        if self.at_hand.owner != holder {
            self.list();
            self.at_hand.owner = holder;
            self.at_hand.listed = self.listed(holder);
        }
    }

    /// Does what is to be done to an owner's list.
    fn list(&mut self) {
        let AtHand { number, owner, added, less, .. } = self.at_hand;
        (self.at_hand.added, self.at_hand.more, self.at_hand.less) = (0, 0, 0);
        self.at_hand.owner = Holder::EXCLUDED;
        let is_stale = less > 0 && self.links.take(owner, less as usize);
        if added != 0 {
            self.links.add(owner, number, added);
        }
        if is_stale {
            self.clean(owner);
        }
    }

    /// Has this node at hand, if it was the last one that changed.
    pub(super) fn take_in_hand(&mut self, number: u32, root: usize) {
        if self.last != number || self.at_hand.number == number {
            self.last = number;
            return;
        }
        let node = self.nodes[number as usize].clone();
        // A topmost one may be larger than its root, and one without any is not worth it.
        if node.parent != NONE && node.firsts() != 0 {
            let hand = &mut self.at_hand;
            self.grants.load(node.grants, node.firsts(), &mut hand.grants);
            (hand.number, hand.root, hand.counted, hand.slots, hand.blocks) = (number, root as u32, node.free(), 0, 0);
            hand.node = node;
        }
    }

    /// Has no node at hand.
    pub(super) fn put_back(&mut self) {
        if self.at_hand.number == NONE {
            return;
        }
        self.list();
        let AtHand { number, root, counted, slots, blocks, .. } = self.at_hand;
        let hand = &mut self.at_hand;
        self.roots[root as usize].count(hand.node.slot_order, counted, hand.node.free(), slots, blocks);
        let firsts = hand.node.firsts();
        self.grants.store(&mut hand.node.grants, firsts, &hand.grants);
        self.nodes[number as usize] = hand.node.clone();
        hand.number = NONE;
        self.last = number;
        self.tell_own(number);
    }

    /// A root with all counted.
    pub(super) fn counted(&self, root: usize) -> Cow<'_, Root> {
        let AtHand { number, root: of, ref node, counted, slots, blocks, .. } = self.at_hand;
        let known = &self.roots[root];
        if number == NONE || of as usize != root {
            return Cow::Borrowed(known);
        }
        let mut known = known.clone();
        known.count(node.slot_order, counted, node.free(), slots, blocks);
        Cow::Owned(known)
    }
}
