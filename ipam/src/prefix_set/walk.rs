//! What is held, in order.

use super::{Held, PrefixSet, word};

impl PrefixSet {
    /// The first held block, marks included, whose last address is `from` or higher: walks in order.
    pub(crate) fn next_held(&self, from: u128) -> Option<Held> {
        let first = self.roots.partition_point(|root| root.block.last() < from);
        self.roots[first..].iter().find_map(|root| self.next_held_in(root.node, from))
    }

    fn next_held_in(&self, at: u32, from: u128) -> Option<Held> {
        let node = self.node(at);
        if node.block().last() < from {
            return None;
        }
        let from_slot = if from <= node.base { 0 } else { node.slot(from) };
        // A block that has the slot may start before it.
        let firsts = node.firsts();
        if node.held >> from_slot & 1 == 1 && firsts & (u64::MAX >> (63 - from_slot)) != 0 {
            let held = self.held(at, node.first_of(from_slot));
            if held.block.last() >= from {
                return Some(held);
            }
        }
        let mut slots = (firsts | node.parents()) & !word::below(from_slot);
        while let Some(slot) = word::lowest(slots) {
            if firsts >> slot & 1 == 1 {
                return Some(self.held(at, slot));
            }
            if let Some(held) = self.next_held_in(self.child(node, slot), from) {
                return Some(held);
            }
            slots &= slots - 1;
        }
        None
    }
}
