//! What each owner holds: its blocks are linked with each other.

use alloc::vec::Vec;
use core::iter;

use super::{Grant, Held, Holder, NONE, PrefixSet};

/// The blocks of one owner.
#[derive(Clone, Copy, Debug)]
struct Theirs {
    /// The one that was occupied last.
    newest: u32,
    count: u32,
}

/// The blocks of all owners, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Vec<Theirs>);

/// A held block by its node and first slot.
const fn name(node: u32, slot: u8) -> u32 {
    node << 6 | slot as u32
}

impl PrefixSet {
    pub(super) fn grant(&self, node: u32, slot: u8) -> &Grant {
        let node = self.node(node);
        self.grants.get(node.grants, node.firsts(), slot)
    }

    fn grant_mut(&mut self, name: u32) -> &mut Grant {
        let node = &self.nodes[(name >> 6) as usize];
        self.grants.get_mut(node.grants, node.firsts(), name as u8 & 63)
    }

    /// Adds a block to what its owner holds.
    pub(super) fn link(&mut self, node: u32, slot: u8, holder: Holder) {
        let (owner, new) = (holder.0 as usize, name(node, slot));
        if owner >= self.links.0.len() {
            let more = owner + 1 - self.links.0.len();
            super::members::grow(&mut self.links.0, more);
            self.links.0.resize(owner + 1, Theirs { newest: NONE, count: 0 });
        }
        let theirs = &mut self.links.0[owner];
        theirs.count += 1;
        let older = core::mem::replace(&mut theirs.newest, new);
        if older != NONE {
            self.grant_mut(older).newer = new;
            self.grant_mut(new).older = older;
        }
    }

    /// Takes a block away from what its owner holds.
    pub(super) fn unlink(&mut self, node: u32, slot: u8) {
        let Grant { holder, older, newer, .. } = *self.grant(node, slot);
        let theirs = &mut self.links.0[holder as usize];
        theirs.count -= 1;
        if newer == NONE {
            theirs.newest = older;
        } else {
            self.grant_mut(newer).older = older;
        }
        if older != NONE {
            self.grant_mut(older).newer = newer;
        }
    }

    /// How many blocks this owner holds. Not for marks.
    pub(crate) fn count_of(&self, holder: Holder) -> usize {
        self.links.0.get(holder.0 as usize).map_or(0, |theirs| theirs.count as usize)
    }

    /// What this owner holds, the latest first. Not for marks.
    pub(crate) fn held_by(&self, holder: Holder) -> impl Iterator<Item = Held> {
        let mut next = self.links.0.get(holder.0 as usize).map_or(NONE, |theirs| theirs.newest);
        iter::from_fn(move || {
            let name = Some(next).filter(|&name| name != NONE)?;
            let (node, slot) = (name >> 6, name as u8 & 63);
            next = self.grant(node, slot).older;
            Some(self.held(self.node(node), slot))
        })
    }
}
