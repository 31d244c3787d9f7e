//! The node that changed last. Who takes one block after the other finds the next one there, and who gives them back, too:
//! then only its slots change, and all else is counted and told to its parents when another node has its turn.

use alloc::borrow::Cow;

use super::{Grant, Holder, NONE, PrefixSet, counts::Root, word};
use crate::block::Block;

#[derive(Clone, Copy, Debug)]
pub(super) struct AtHand {
    pub(super) node: u32,
    root: u32,
    /// What was free when it was counted last.
    pub(super) counted: u64,
    /// How many slots more, or less, owners hold since.
    slots: i64,
    /// How many blocks more, or less, owners hold since.
    blocks: i64,
}

impl AtHand {
    pub(super) const NONE: Self = Self { node: NONE, root: 0, counted: 0, slots: 0, blocks: 0 };
}

impl PrefixSet {
    /// Has the lowest free block of this order held, if it is at hand.
    #[inline]
    pub(super) fn occupy_at_hand(&mut self, order: u8, holder: Holder, since: u32) -> Option<Block> {
        let (known, lowest) = self.lowest?;
        if lowest != self.at_hand.node || order < known || holder.is_mark() {
            return None;
        }
        let node = self.nodes.get_mut(lowest as usize)?;
        let run = order.wrapping_sub(node.slot_order());
        if run >= 6 {
            return None;
        }
        let slot = word::lowest(word::runs(node.free(), run))?;
        let (firsts, taken) = (node.firsts(), word::run_at(slot, run));
        self.grants.insert(&mut node.grants, firsts, slot, Grant { holder: holder.0, since });
        node.held |= taken;
        node.more |= taken & (taken - 1);
        let block = Block { base: node.slot_block(slot).base, order };
        self.at_hand.slots += 1 << run;
        self.at_hand.blocks += 1;
        self.links.add(holder, lowest, slot);
        Some(block)
    }

    /// Frees a block that an owner holds, if it is at hand and the node stays.
    #[inline]
    pub(super) fn vacate_at_hand(&mut self, block: Block) -> Option<Holder> {
        let number = self.at_hand.node;
        let node = self.nodes.get_mut(number as usize)?;
        let run = block.order.wrapping_sub(node.slot_order());
        if run >= 6 || node.parent == NONE || (block.base ^ node.base) >> node.order() != 0 {
            return None;
        }
        let slot = node.slot(block.base);
        let (firsts, taken) = (node.firsts(), word::run_at(slot, run));
        // All of it and nothing more is one block.
        let rest = node.held & node.more;
        let behind = rest.unbounded_shr(u32::from(slot) + (1 << run)) & 1;
        if firsts & taken != 1 << slot || rest & taken != taken & (taken - 1) || behind == 1 || node.held == taken {
            return None;
        }
        let holder = Holder(self.grants.get(node.grants, firsts, slot).holder);
        if holder.is_mark() {
            return None;
        }
        self.grants.remove(&mut node.grants, firsts, slot);
        node.held &= !taken;
        node.more &= !taken;
        let base = node.base;
        self.at_hand.slots -= 1 << run;
        self.at_hand.blocks -= 1;
        if self.links.take(holder) {
            self.clean(holder);
        }
        if let Some((_, lowest)) = self.lowest
            && lowest != number
            && base < self.node(lowest).base
        {
            self.lowest = None;
        }
        Some(holder)
    }

    /// Has this node at hand, all counted.
    pub(super) fn take_in_hand(&mut self, node: u32, root: usize) {
        if self.at_hand.node == node {
            self.count();
        } else {
            self.settle();
            self.at_hand = AtHand { node, root: root as u32, counted: self.node(node).free(), slots: 0, blocks: 0 };
        }
    }

    /// Counts what changed in the slots of the node at hand.
    fn count(&mut self) {
        let AtHand { node, root, counted, slots, blocks } = self.at_hand;
        if blocks != 0 || self.node(node).free() != counted {
            let node = &self.nodes[node as usize];
            self.roots[root as usize].count(node.slot_order(), counted, node.free(), slots, blocks);
            self.at_hand = AtHand { counted: node.free(), slots: 0, blocks: 0, ..self.at_hand };
        }
    }

    /// Has no node at hand: all is counted, and known to the parents.
    pub(super) fn settle(&mut self) {
        let node = self.at_hand.node;
        if node != NONE {
            self.count();
            self.at_hand = AtHand::NONE;
            let fit = &mut self.nodes[node as usize];
            let firsts = fit.firsts();
            self.grants.fit(&mut fit.grants, firsts);
            self.tell(node, self.node(node).own_orders());
        }
    }

    /// A root with all counted.
    pub(super) fn counted(&self, root: usize) -> Cow<'_, Root> {
        let AtHand { node, root: of, counted, slots, blocks } = self.at_hand;
        let known = &self.roots[root];
        match self.nodes.get(node as usize) {
            Some(node) if of as usize == root => {
                let mut known = known.clone();
                known.count(node.slot_order(), counted, node.free(), slots, blocks);
                Cow::Owned(known)
            }
            _ => Cow::Borrowed(known),
        }
    }
}
