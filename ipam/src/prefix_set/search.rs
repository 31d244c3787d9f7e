//! Where something is free.

use super::{Node, PrefixSet, word};
use crate::block::{Block, mask};

impl PrefixSet {
    /// The lowest free block of this order from `from` on and up to `to`, both included.
    pub(crate) fn find(&mut self, order: u8, from: u128, to: u128) -> Option<Block> {
        let known = self.lowest.filter(|&(known, node)| order >= known && from <= self.node(node).base);
        let at_node = known.and_then(|(_, node)| find_in_slots(self.node(node), order));
        let found = if let Some(found) = at_node {
            found
        } else {
            let from = known.map_or(from, |(_, node)| self.node(node).base);
            let (found, node) = self.find_from(order, from)?;
            // Before one that is larger than its root there may be other roots.
            let at = self.node(node);
            if (known.is_some() || from == 0) && at.run(order).is_some() && at.limit == at.bits {
                self.lowest = Some((order, node));
            }
            found
        };
        (found.last() <= to).then_some(found)
    }

    /// The lowest free block of this order from `from` on, and the node whose slots it lies in.
    fn find_from(&mut self, order: u8, from: u128) -> Option<(Block, u32)> {
        self.put_back();
        let first = self.roots.partition_point(|root| root.block.last() < from);
        (first..self.roots.len()).find_map(|root| {
            let root = &self.roots[root];
            if root.largest_free() >= Some(order) { self.find_in(root.node, order, from) } else { None }
        })
    }

    /// The lowest free block of this order in a node, from `from` on; and the node whose slots it lies in.
    fn find_in(&mut self, at: u32, order: u8, from: u128) -> Option<(Block, u32)> {
        let node = self.node(at);
        if node.block().last() < from {
            return None;
        }
        let slot_order = node.slot_order;
        let from_slot = if from <= node.base { 0 } else { node.slot(from) };
        if order >= slot_order {
            let run = order - slot_order;
            let starts = if run > 6 { 0 } else { word::runs(node.free(), run) & !word::below(from_slot) };
            let is_behind = |slot: &u8| node.slot_block(*slot).base >= from;
            // The first may begin before `from`, in the same slot.
            let slot = word::slots(starts).find(is_behind)?;
            return Some((Block { base: node.slot_block(slot).base, order }, at));
        }
        let (free, parents) = (node.free(), node.parents());
        for slot in word::slots((free | parents) & !word::below(from_slot)) {
            let node = self.node(at);
            let whole = node.slot_block(slot);
            let start = from.max(whole.base);
            if free >> slot & 1 == 1 {
                if let Some(free) = align(start, order).filter(|free| whole.has(free.base)) {
                    return Some((free, at));
                }
            } else if self.orders(node, slot) >> order != 0 {
                let found = self.find_around(whole, self.child(node, slot), order, start);
                if let Some((free, inner)) = found {
                    return Some((free, inner.unwrap_or(at)));
                }
                if start == whole.base {
                    self.forget(at, slot, !mask(order));
                }
            }
        }
        None
    }

    /// The lowest free block of this order in a slot with a child, from `from` on; and the node whose slots it lies in, if it
    /// is in the child.
    fn find_around(&mut self, slot: Block, child: u32, order: u8, from: u128) -> Option<(Block, Option<u32>)> {
        let inner = self.node(child).block();
        let mut next = align(from, order)?;
        // What is not in the child is free: at most twice the child is in the way.
        while slot.has(next.base) {
            if !next.overlaps(inner) {
                return Some((next, None));
            }
            let mut behind = next.last();
            if inner.order > order {
                if let Some((free, node)) = self.find_in(child, order, next.base) {
                    return Some((free, Some(node)));
                }
                behind = inner.last();
            }
            next = align(behind.checked_add(1)?, order)?;
        }
        None
    }

    /// The lowest block of this order in the smallest free block that has room for it.
    pub(crate) fn find_tightest(&mut self, order: u8) -> Option<Block> {
        self.put_back();
        let (tightest, root) = self
            .roots
            .iter()
            .filter_map(|root| Some((root.tightest(order)?, root.block.base, root.node)))
            .min()
            .map(|(tightest, _, node)| (tightest, node))?;
        let found = self.find_whole(root, tightest)?;
        Some(Block { base: found.base, order })
    }

    /// The lowest free block of just this order in a node: one that is part of no larger free block.
    fn find_whole(&mut self, at: u32, order: u8) -> Option<Block> {
        let node = self.node(at);
        let slot_order = node.slot_order;
        if order >= slot_order {
            let slot = word::lowest(word::largest_runs_of(node.free(), (order - slot_order).min(6)))?;
            return Some(Block { base: node.slot_block(slot).base, order });
        }
        for slot in word::slots(node.parents()) {
            let node = self.node(at);
            if self.orders(node, slot) >> order & 1 == 0 {
                continue;
            }
            let child = self.child(node, slot);
            let inner = self.node(child);
            if order >= inner.order() {
                // The half of its parent that the child is not in.
                return Some(Block::around(inner.base ^ (mask(order) + 1), order));
            }
            if let Some(found) = self.find_whole(child, order) {
                return Some(found);
            }
            self.forget(at, slot, mask(order + 1) & !mask(order));
        }
        None
    }
}

/// The lowest free block of this order that is a run of a node's slots.
fn find_in_slots(node: &Node, order: u8) -> Option<Block> {
    let slot = word::lowest(word::runs(node.free(), node.run(order)?))?;
    Some(Block { base: node.slot_block(slot).base, order })
}

/// The first block of this order from an address on.
fn align(from: u128, order: u8) -> Option<Block> {
    let base = from.checked_add(mask(order))? & !mask(order);
    Some(Block { base, order })
}
