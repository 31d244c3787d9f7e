//! Which blocks of an address space are held, and by whom: a tree that branches 64-fold and skips what is not there.
//!
//! A node has 64 slots of 2^s addresses each; the slots of others are 64 times as large, or a 64th. A slot is free, or belongs
//! to a held block (a run of 1, 2, 4 … 64 slots), or has a child in which some of its addresses are held. A child may be much
//! smaller than the slot: in between, all but the child is free. What is free throughout costs nothing, and what is held
//! costs one member of an array of its node.
//!
//! For each child its node keeps the orders of the free blocks in that slot, as a set: a search passes over what can't have
//! the block. The set may have orders of which nothing is left; the search that finds out takes them away.

mod at_hand;
mod counts;
mod links;
mod members;
mod node;
mod search;
mod walk;
mod word;

use alloc::vec::Vec;

pub(crate) use self::counts::Counts;
use self::{
    at_hand::AtHand,
    counts::Root,
    links::Links,
    members::{Arrays, Members},
    node::{Grant, Node},
};
use crate::block::{Block, mask};

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
    /// The set has as many nodes as it can count.
    Full,
}

/// Blocks that are held, within some prefixes (roots). Blocks never overlap.
#[derive(Clone, Debug)]
pub(crate) struct PrefixSet {
    /// Slots have the orders 6 L − `lift`; those of the smallest nodes have the order 0.
    lift: u8,
    roots: Vec<Root>,
    nodes: Vec<Node>,
    spare: Vec<u32>,
    grants: Arrays<Grant>,
    children: Arrays<u32>,
    /// For each child the orders of the free blocks that may be in its slot, as a set.
    orders: Arrays<u128>,
    links: Links,
    /// A copy of a node, which may have changed since.
    at_hand: AtHand,
    /// The node that changed last.
    last: u32,
    /// The address behind the node that was emptied last.
    behind: Option<u128>,
    /// No free block of this order or a larger one lies below the first address of this node.
    lowest: Option<(u8, u32)>,
}

/// No node.
const NONE: u32 = u32::MAX;

/// How many nodes there can be: a held block is known by its node and slot, in 32 bits together.
const MAX_NODES: usize = 1 << 26;

impl PrefixSet {
    /// Without prefixes: everything is outside. It is quickest with blocks of the order `grain`: as many of these as there can
    /// be have a node in common.
    pub(crate) fn new(grain: u8) -> Self {
        Self {
            lift: (6 - grain % 6) % 6,
            roots: Vec::new(),
            nodes: Vec::new(),
            spare: Vec::new(),
            grants: Arrays::new(),
            children: Arrays::new(),
            orders: Arrays::new(),
            links: Links::default(),
            at_hand: AtHand::NONE,
            last: NONE,
            behind: None,
            lowest: None,
        }
    }

    /// A node as it is now.
    #[inline]
    fn node(&self, number: u32) -> &Node {
        if number == self.at_hand.number { &self.at_hand.node } else { &self.nodes[number as usize] }
    }

    /// A node to be changed: there must be none at hand.
    fn node_mut(&mut self, number: u32) -> &mut Node {
        debug_assert_eq!(self.at_hand.number, NONE);
        &mut self.nodes[number as usize]
    }

    /// What the first slot of a held block carries.
    fn grant(&self, number: u32, first: u8) -> Grant {
        if number == self.at_hand.number {
            return self.at_hand.grants[first as usize];
        }
        let node = &self.nodes[number as usize];
        *self.grants.get(node.grants, node.firsts(), first)
    }

    /// The root that has an address.
    fn root_of(&self, address: u128) -> Option<usize> {
        let at = match &*self.roots {
            [_] => 0,
            roots => roots.partition_point(|root| root.block.base <= address).checked_sub(1)?,
        };
        self.roots.get(at)?.block.has(address).then_some(at)
    }

    /// The prefixes, in order. They never overlap; neighbours stay apart.
    pub(crate) fn roots(&self) -> impl ExactSizeIterator<Item = Block> {
        self.roots.iter().map(|root| root.block)
    }

    /// Adds a prefix, all of it free; or says with which one it overlaps.
    pub(crate) fn add_root(&mut self, block: Block) -> Result<(), Block> {
        if let Some(other) = self.roots().find(|other| other.overlaps(block)) {
            return Err(other);
        }
        self.put_back();
        let node = self.add_node(NONE, block.base, self.slot_order(block.order));
        let top = self.node_mut(node);
        top.limit = block.order - top.slot_order;
        let outside = !word::run_at(top.slot(block.base), top.limit);
        (top.held, top.more) = (outside, outside);
        let at = self.roots.partition_point(|other| other.block.base < block.base);
        self.roots.insert(at, Root::new(block, node));
        self.lowest = None;
        Ok(())
    }

    /// Takes a prefix away in which nothing is held, or says the first that is held in it. One that is none is no matter.
    pub(crate) fn remove_root(&mut self, block: Block) -> Result<(), Held> {
        if let Some(held) = self.next_held(block.base).filter(|held| held.block.overlaps(block)) {
            return Err(held);
        }
        self.put_back();
        if let Some(at) = self.roots.iter().position(|root| root.block == block) {
            let root = self.roots.remove(at);
            self.drop_node(root.node);
        }
        Ok(())
    }

    /// The order of the slots of the nodes where a block of this order is a run of slots.
    const fn slot_order(&self, order: u8) -> u8 {
        let whole = order + self.lift;
        let slot_order = (whole - whole % 6).saturating_sub(self.lift);
        // The whole of the largest address space is 64 slots of its node.
        if slot_order < 128 { slot_order } else { slot_order - 6 }
    }

    /// Adds a node with slots of this order that has the address.
    fn add_node(&mut self, parent: u32, address: u128, slot_order: u8) -> u32 {
        let bits = if slot_order == 0 { 6 - self.lift } else { 6 };
        let none = Members::NONE;
        let base = address & !mask(slot_order + bits);
        let mut node = Node {
            base,
            held: 0,
            more: 0,
            parent,
            grants: none,
            children: none,
            slot_order,
            bits,
            told: 0,
            limit: bits,
        };
        (node.held, node.more) = (node.outside(), node.outside());
        if let Some(number) = self.spare.pop() {
            self.nodes[number as usize] = node;
            return number;
        }
        members::grow(&mut self.nodes, 1);
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn drop_node(&mut self, node: u32) {
        if self.last == node {
            self.last = NONE;
        }
        if self.lowest.is_some_and(|(_, lowest)| lowest == node) {
            self.lowest = None;
        }
        self.spare.push(node);
    }

    fn child(&self, node: &Node, slot: u8) -> u32 {
        *self.children.get(node.children, node.parents(), slot)
    }

    /// The orders of the free blocks that may be in a slot with a child.
    fn orders(&self, node: &Node, slot: u8) -> u128 {
        *self.orders.get(node.children, node.parents(), slot)
    }

    /// Makes a node the child in a free slot of another.
    fn add_to_parent(&mut self, parent: u32, slot: u8, child: u32, orders: u128) {
        let node = &mut self.nodes[parent as usize];
        let parents = node.parents();
        // Both take and give back their arrays in the same order: they have the same name.
        let mut same = node.children;
        self.orders.insert(&mut same, parents, slot, orders);
        self.children.insert(&mut node.children, parents, slot, child);
        debug_assert_eq!(same, node.children);
        node.more |= 1 << slot;
    }

    /// Has a slot with a child be free.
    fn remove_from_parent(&mut self, parent: u32, slot: u8) {
        let node = &mut self.nodes[parent as usize];
        let parents = node.parents();
        let mut same = node.children;
        self.orders.remove(&mut same, parents, slot);
        self.children.remove(&mut node.children, parents, slot);
        debug_assert_eq!(same, node.children);
        node.more &= !(1 << slot);
    }

    /// Another child, or other orders of it.
    fn set_child(&mut self, parent: u32, slot: u8, child: u32, orders: u128) {
        let node = &self.nodes[parent as usize];
        let parents = node.parents();
        *self.children.get_mut(node.children, parents, slot) = child;
        *self.orders.get_mut(node.children, parents, slot) = orders;
    }

    fn held(&self, number: u32, first: u8) -> Held {
        let grant = self.grant(number, first);
        Held { block: self.node(number).held_block(first), holder: Holder(grant.holder), since: grant.since }
    }

    /// The smallest node that has the whole block; the search starts at one that has it.
    fn descend(&self, mut at: u32, block: Block) -> u32 {
        loop {
            let node = self.node(at);
            let slot = node.slot(block.base);
            if node.parents() >> slot & 1 == 0 {
                return at;
            }
            let child = self.child(node, slot);
            if !self.node(child).block().contains(block) {
                return at;
            }
            at = child;
        }
    }

    /// Where to look for a block: at the node that changed last, if it is there, else at the top.
    fn start(&self, root: usize, block: Block) -> u32 {
        match self.nodes.get(self.last as usize) {
            // A topmost one may reach beyond its root.
            Some(node) if node.parent != NONE && node.block().contains(block) => self.last,
            _ => self.roots[root].node,
        }
    }

    /// What is at the address.
    pub(crate) fn get(&self, address: u128) -> Found {
        let Some(root) = self.root_of(address) else { return Found::Outside };
        let at = self.descend(self.start(root, Block::single(address)), Block::single(address));
        let node = self.node(at);
        let slot = node.slot(address);
        if node.held >> slot & 1 == 0 { Found::Free } else { Found::Held(self.held(at, node.first_of(slot))) }
    }

    /// Has the block held.
    pub(crate) fn occupy(&mut self, block: Block, holder: Holder, since: u32) -> Result<(), Conflict> {
        if self.occupy_at_hand(block, holder, since).is_some() {
            return Ok(());
        }
        self.put_back();
        let root = self.root_of(block.base).filter(|&root| self.roots[root].block.contains(block));
        let Some(root) = root else { return Err(Conflict::Outside) };
        let mut at = self.descend(self.start(root, block), block);
        let slot_order = self.slot_order(block.order);
        let node = self.node(at);
        let slot = node.slot(block.base);
        // The free block that it is taken out of.
        let whole;
        if slot_order >= node.slot_order {
            // It is a run of slots here: all of them have to be free.
            let taken = word::run_at(slot, block.order - node.slot_order);
            if node.free() & taken != taken {
                return Err(self.conflict(block));
            }
            whole = node.slot_order + word::run_around(node.free(), slot);
        } else {
            if node.held >> slot & 1 == 1 {
                return Err(Conflict::Held(self.held(at, node.first_of(slot))));
            }
            if self.nodes.len() - self.spare.len() + 2 > MAX_NODES {
                return Err(Conflict::Full);
            }
            if node.parents() >> slot & 1 == 0 {
                whole = node.slot_order + word::run_around(node.free(), slot);
            } else {
                let child = self.child(node, slot);
                if block.contains(self.node(child).block()) {
                    return Err(self.conflict(block));
                }
                // They part at their highest different bit: a node for both of them is made there.
                whole = 127 - (block.base ^ self.node(child).base).leading_zeros() as u8;
                at = self.split(at, slot, child, self.slot_order(whole));
            }
            if self.node(at).slot_order > slot_order {
                at = self.add_child(at, block.base, slot_order);
            }
        }
        self.hold(at, block, holder, since);
        self.roots[root].take(whole, block.order, holder);
        self.tell_own(at);
        self.take_in_hand(at, root);
        Ok(())
    }

    /// Has the lowest free block of this order held.
    #[inline]
    pub(crate) fn occupy_lowest(&mut self, order: u8, holder: Holder, since: u32) -> Option<Block> {
        if let Some(block) = self.occupy_lowest_at_hand(order, holder, since) {
            return Some(block);
        }
        let block = self.find(order, 0, u128::MAX)?;
        self.occupy(block, holder, since).ok()?;
        // The next one will be there, too.
        if let Some(root) = self.root_of(block.base).filter(|_| self.last != NONE) {
            self.take_in_hand(self.last, root);
        }
        Some(block)
    }

    /// What the block overlaps with.
    fn conflict(&self, block: Block) -> Conflict {
        match self.next_held(block.base) {
            Some(held) => Conflict::Held(held),
            // There is something, or there would be no conflict.
            None => Conflict::Outside,
        }
    }

    /// Marks the slots of the block, all of them free, as held.
    fn hold(&mut self, at: u32, block: Block, holder: Holder, since: u32) {
        let node = &mut self.nodes[at as usize];
        let slot = node.slot(block.base);
        let taken = word::run_at(slot, block.order - node.slot_order);
        let grant = Grant { holder: holder.0, since };
        let firsts = node.firsts();
        self.grants.insert(&mut node.grants, firsts, slot, grant);
        node.held |= taken;
        node.more |= taken & !(1 << slot);
        if !holder.is_mark() {
            self.links.add(holder, at, 1 << slot);
        }
    }

    /// Puts a node with slots of this order between a node and the child in its slot.
    fn split(&mut self, above: u32, slot: u8, below: u32, slot_order: u8) -> u32 {
        let between = self.add_node(above, self.node(below).base, slot_order);
        let orders = self.orders(self.node(above), slot);
        self.set_child(above, slot, between, orders);
        self.node_mut(below).parent = between;
        let slot = self.node(between).slot(self.node(below).base);
        self.add_to_parent(between, slot, below, orders & mask(slot_order));
        between
    }

    /// Makes a child with slots of this order in the free slot of an address.
    fn add_child(&mut self, at: u32, address: u128, slot_order: u8) -> u32 {
        let child = self.add_node(at, address, slot_order);
        // The blocks in between are halves, of which the child is in the other.
        let order = self.node(at).slot_order;
        let halves = mask(order) & !mask(self.node(child).order());
        self.add_to_parent(at, self.node(at).slot(address), child, halves);
        self.tell(at, halves);
        self.tell_own(at);
        child
    }

    /// Frees a block that is held as just this one, and says whose it was; or what is at its first address.
    pub(crate) fn vacate(&mut self, block: Block) -> Result<Holder, Found> {
        self.vacate_if(block, |_| true)
    }

    /// Frees a block that an owner holds as just this one; of one with a mark it says so.
    #[inline]
    pub(crate) fn vacate_owned(&mut self, block: Block) -> Result<Holder, Found> {
        match self.vacate_at_hand(block) {
            Some(holder) => Ok(holder),
            None => self.vacate_if(block, |holder| !holder.is_mark()),
        }
    }

    /// Frees a block that is held as just this one, if who holds it may lose it.
    fn vacate_if(&mut self, block: Block, may: impl Fn(Holder) -> bool) -> Result<Holder, Found> {
        self.put_back();
        let Some(root) = self.root_of(block.base) else { return Err(Found::Outside) };
        let mut at = self.start(root, block);
        at = self.descend(at, Block::single(block.base));
        let node = self.node(at);
        let mut slot = node.slot(block.base);
        let firsts = node.firsts();
        if firsts >> slot & 1 == 0 || node.held_block(slot) != block {
            return Err(self.get(block.base));
        }
        let holder = Holder(self.grants.get(node.grants, firsts, slot).holder);
        if !may(holder) {
            return Err(Found::Held(self.held(at, slot)));
        }
        let node = &mut self.nodes[at as usize];
        let freed = word::run_at(slot, block.order - node.slot_order);
        self.grants.remove(&mut node.grants, firsts, slot);
        node.held &= !freed;
        node.more &= !freed;
        if !holder.is_mark() && self.links.take(holder, 1) {
            self.clean(holder);
        }
        if self.lowest.is_some_and(|(_, lowest)| block.base < self.node(lowest).base) {
            self.lowest = None;
        }
        // It is one with its free neighbours now; a node without anything goes.
        let mut whole;
        loop {
            let node = self.node(at);
            whole = node.slot_order + word::run_around(node.free(), slot);
            if !node.is_empty() || node.parent == NONE {
                break;
            }
            let parent = node.parent;
            self.behind = node.block().last().checked_add(1);
            slot = self.node(parent).slot(block.base);
            self.drop_node(at);
            self.remove_from_parent(parent, slot);
            at = parent;
        }
        self.roots[root].give(whole, block.order, holder);
        self.tell_own(at);
        if !self.skip(at) {
            // Who gives back one node's blocks goes on with the next one's.
            if self.behind == Some(block.base) {
                self.last = at;
            }
            self.take_in_hand(at, root);
        }
        Ok(holder)
    }

    /// Takes a node away that has nothing but one child, and says so: its parent gets the child.
    fn skip(&mut self, at: u32) -> bool {
        let node = self.node(at);
        if node.parent == NONE || node.held != 0 || node.more.count_ones() != 1 {
            return false;
        }
        let (parent, base, inner) = (node.parent, node.base, node.more.trailing_zeros() as u8);
        let below = self.child(node, inner);
        self.remove_from_parent(at, inner);
        self.drop_node(at);
        let above = self.node(parent);
        let slot = above.slot(base);
        self.set_child(parent, slot, below, self.orders(above, slot));
        self.node_mut(below).parent = parent;
        true
    }

    /// Tells the parents of a node of its own free blocks, if there are any that they don't know of.
    fn tell_own(&mut self, at: u32) {
        let node = &mut self.nodes[at as usize];
        let runs = word::largest_runs(node.free());
        if runs & !node.told != 0 {
            node.told |= runs;
            let orders = u128::from(runs) << node.slot_order;
            self.tell(at, orders);
        }
    }

    /// Tells the parents of a node that there are free blocks of these orders in it. What there is no more, who searches finds.
    fn tell(&mut self, at: u32, orders: u128) {
        let Node { mut parent, mut base, .. } = *self.node(at);
        while parent != NONE {
            let above = &self.nodes[parent as usize];
            let known = self.orders.get_mut(above.children, above.parents(), above.slot(base));
            if *known & orders == orders {
                return;
            }
            *known |= orders;
            (parent, base) = (above.parent, above.base);
        }
    }

    /// Notes that there is no free block of these orders in a slot with a child.
    fn forget(&mut self, at: u32, slot: u8, orders: u128) {
        let node = &self.nodes[at as usize];
        *self.orders.get_mut(node.children, node.parents(), slot) &= !orders;
        let child = *self.children.get(node.children, node.parents(), slot);
        self.node_mut(child).told = 0;
    }
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
