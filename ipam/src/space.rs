//! Blocks of a pool's address space: what is reserved is given by name only, and is reserved again afterwards.

use crate::{
    block::{Block, Family},
    prefix_set::{Conflict, Found, Held, Holder, PrefixSet},
    range::{self, AddressRange},
    ranges::Ranges,
};

/// A set of held blocks that remembers what is reserved.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    pub(crate) family: Family,
    pub(crate) set: PrefixSet,
    /// What is reserved, whether somebody has it or not.
    reserved: Ranges,
}

impl Space {
    /// Without prefixes. It is quickest with blocks of the order `grain`.
    pub(crate) fn new(family: Family, grain: u8) -> Self {
        Self { family, set: PrefixSet::new(grain), reserved: Ranges::default() }
    }

    /// The reserved ranges, in order.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = AddressRange> {
        self.reserved.addresses(self.family)
    }

    /// Whether the address is reserved, whoever has it.
    pub(crate) fn is_reserved(&self, address: u128) -> bool {
        self.reserved.contains(address, address)
    }

    /// Gives a block to an owner who asks for it by name, also if it is reserved.
    pub(crate) fn occupy(&mut self, block: Block, holder: Holder, since: u32) -> Result<(), Conflict> {
        match self.set.occupy(block, holder, since) {
            Err(Conflict::Held(Held { holder: Holder::RESERVED, .. })) => {}
            done => return done,
        }
        // All that is in its way has to be reserved, before anything changes.
        let mut from = Some(block.base);
        while let Some(held) = from.and_then(|from| self.set.next_held(from)).filter(|held| held.block.overlaps(block))
        {
            if held.holder != Holder::RESERVED {
                return Err(Conflict::Held(held));
            }
            from = held.block.last().checked_add(1).filter(|&next| next <= block.last());
        }
        self.clear(block, Holder::RESERVED);
        self.set.occupy(block, holder, since)
    }

    /// Takes back a block that an owner holds as just this one, and says whose it was; or what is at its first address.
    #[inline]
    pub(crate) fn vacate(&mut self, block: Block) -> Result<Holder, Found> {
        let holder = self.set.vacate_owned(block)?;
        if !self.reserved.is_empty() {
            self.mark_reserved(block);
        }
        Ok(holder)
    }

    /// Marks the reserved parts of a block that was just freed.
    pub(crate) fn mark_reserved(&mut self, block: Block) {
        for (first, last) in self.reserved.within(block.base, block.last()) {
            // It is free: nothing can be in the way.
            let _ = mark(&mut self.set, first, last, Holder::RESERVED);
        }
    }

    /// Frees what has this mark of a block; what of a marked block lies outside of it stays marked.
    pub(crate) fn clear(&mut self, block: Block, which: Holder) {
        let mut from = Some(block.base);
        while let Some(held) = from.and_then(|from| self.set.next_held(from)).filter(|held| held.block.overlaps(block))
        {
            from = held.block.last().checked_add(1).filter(|&next| next <= block.last());
            if held.holder != which || self.set.vacate(held.block).is_err() {
                continue;
            }
            let (first, last) = (held.block.base, held.block.last());
            if first < block.base {
                let _ = mark(&mut self.set, first, block.base - 1, which);
            }
            if last > block.last() {
                let _ = mark(&mut self.set, block.last() + 1, last, which);
            }
        }
    }

    /// Reserves what is not reserved yet of a range that lies within the prefixes. What an owner holds of it stays theirs,
    /// and is reserved once it is released.
    pub(crate) fn reserve(&mut self, first: u128, last: u128) {
        for root in self.set.roots().collect::<alloc::vec::Vec<_>>() {
            if root.base <= last && root.last() >= first {
                self.each_gap(root.base.max(first), root.last().min(last), |set, first, last| {
                    // Nothing is held there.
                    let _ = mark(set, first, last, Holder::RESERVED);
                });
            }
        }
        self.reserved.insert(first, last);
    }

    /// Has what is reserved of a range free again.
    pub(crate) fn unreserve(&mut self, first: u128, last: u128) {
        for block in range::blocks(first, last) {
            self.clear(block, Holder::RESERVED);
        }
        self.reserved.remove(first, last);
    }

    /// The first address of a range that is in no prefix.
    pub(crate) fn first_outside(&self, first: u128, last: u128) -> Option<u128> {
        let mut from = first;
        for root in self.set.roots() {
            if root.has(from) {
                if root.last() >= last {
                    return None;
                }
                from = root.last() + 1;
            }
        }
        Some(from)
    }

    /// What is held of a range, marks included, in order.
    pub(crate) fn held_within(&self, first: u128, last: u128) -> impl Iterator<Item = Held> {
        let mut from = Some(first);
        core::iter::from_fn(move || {
            let held = self.set.next_held(from?).filter(|held| held.block.base <= last)?;
            from = held.block.last().checked_add(1);
            Some(held)
        })
    }

    /// Calls for each piece of the range where nothing is held.
    fn each_gap(&mut self, first: u128, last: u128, mut each: impl FnMut(&mut PrefixSet, u128, u128)) {
        let mut from = Some(first);
        while let Some(start) = from.filter(|&start| start <= last) {
            let (end, next) = match self.set.next_held(start).filter(|held| held.block.base <= last) {
                Some(held) => (held.block.base.checked_sub(1), held.block.last().checked_add(1)),
                None => (Some(last), None),
            };
            if let Some(end) = end.filter(|&end| end >= start) {
                each(&mut self.set, start, end);
            }
            from = next;
        }
    }
}

/// Marks a range of which nothing is held.
pub(crate) fn mark(set: &mut PrefixSet, first: u128, last: u128, mark: Holder) -> Result<(), Conflict> {
    range::blocks(first, last).try_for_each(|block| set.occupy(block, mark, 0))
}
