//! What each owner holds.
//!
//! An owner's list has each of its blocks at least once, and possibly what it held before: who takes a block back would have
//! to search for it, or else to keep its place with it. What is out of date is left out when the list is read, and goes when
//! it is more than seven eighths.

use alloc::vec::Vec;

use super::{Held, Holder, PrefixSet, members, word};

/// A held block by its node and its first slot there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Name(u32);

impl Name {
    const fn new(node: u32, slot: u8) -> Self {
        Self(node << 6 | slot as u32)
    }

    const fn node(self) -> u32 {
        self.0 >> 6
    }

    const fn slot(self) -> u8 {
        self.0 as u8 & 63
    }
}

/// What an owner holds.
#[derive(Clone, Copy, Debug, Default)]
enum Theirs {
    #[default]
    Nothing,
    One(Name),
    /// By the number of the list.
    Many(u32),
}

#[derive(Clone, Debug, Default)]
struct List {
    names: Vec<Name>,
    /// How many blocks the owner holds.
    count: usize,
    /// With fewer, the list is cleaned.
    least: usize,
}

/// What the owners hold, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    theirs: Vec<Theirs>,
    lists: Vec<List>,
    /// Lists that nobody has.
    spare: Vec<u32>,
}

/// A shorter list is not worth cleaning.
const SHORT: usize = 16;

impl Links {
    /// Adds blocks of a node, by their first slots, to what their owner holds.
    #[inline]
    pub(super) fn add(&mut self, holder: Holder, node: u32, firsts: u64) {
        let owner = holder.0 as usize;
        let mut names = word::slots(firsts).map(|slot| Name::new(node, slot));
        if owner >= self.theirs.len() {
            let more = owner + 1 - self.theirs.len();
            members::grow(&mut self.theirs, more);
            self.theirs.resize(owner + 1, Theirs::Nothing);
        }
        let (theirs, count) = (&mut self.theirs[owner], firsts.count_ones() as usize);
        if count == 1
            && let Theirs::Nothing = theirs
        {
            *theirs = names.next().map_or(Theirs::Nothing, Theirs::One);
            return;
        }
        let number = match *theirs {
            Theirs::Many(number) => number,
            Theirs::Nothing => self.begin_list(owner, None),
            Theirs::One(first) => self.begin_list(owner, Some(first)),
        };
        let list = &mut self.lists[number as usize];
        list.names.extend(names);
        list.count += count;
        list.least = least(list.names.len());
    }

    /// A list of an owner who had none.
    fn begin_list(&mut self, owner: usize, first: Option<Name>) -> u32 {
        let number = self.spare.pop().unwrap_or_else(|| {
            self.lists.push(List::default());
            self.lists.len() as u32 - 1
        });
        self.lists[number as usize] =
            List { count: usize::from(first.is_some()), names: first.into_iter().collect(), least: 0 };
        self.theirs[owner] = Theirs::Many(number);
        number
    }

    /// Takes so many blocks away from what an owner holds; says whether their list should be cleaned.
    #[inline]
    pub(super) fn take(&mut self, holder: Holder, blocks: usize) -> bool {
        let theirs = &mut self.theirs[holder.0 as usize];
        let Theirs::Many(number) = *theirs else {
            *theirs = Theirs::Nothing;
            return false;
        };
        let list = &mut self.lists[number as usize];
        list.count -= blocks;
        if list.count == 0 {
            *theirs = Theirs::Nothing;
            list.names = Vec::new();
            self.spare.push(number);
            return false;
        }
        list.count < list.least
    }
}

/// How many names of a list of this length have to be good.
const fn least(length: usize) -> usize {
    if length > SHORT { length / 8 } else { 0 }
}

impl PrefixSet {
    /// Leaves what is out of date out of an owner's list.
    pub(super) fn clean(&mut self, holder: Holder) {
        if let Some(&Theirs::Many(list)) = self.links.theirs.get(holder.0 as usize) {
            let mut names = core::mem::take(&mut self.links.lists[list as usize].names);
            self.keep_held(&mut names, holder);
            names.shrink_to_fit();
            let list = &mut self.links.lists[list as usize];
            list.least = least(names.len());
            list.names = names;
        }
    }

    /// Of these names those of blocks that the owner holds, each once: as many as there are.
    fn keep_held(&self, names: &mut Vec<Name>, holder: Holder) {
        names.retain(|name| {
            let is_first = self.node(name.node()).firsts() >> name.slot() & 1 == 1;
            is_first && self.grant(name.node(), name.slot()).holder == holder.0
        });
        // What the owner held before and holds again is there twice.
        if names.len() > self.count_of(holder) {
            names.sort_unstable();
            names.dedup();
        }
    }

    /// How many blocks this owner holds. Not for marks.
    #[inline]
    pub(crate) fn count_of(&self, holder: Holder) -> usize {
        self.at_hand.count_of(holder).unwrap_or_else(|| self.listed(holder))
    }

    /// How many blocks there are on this owner's list.
    pub(super) fn listed(&self, holder: Holder) -> usize {
        match self.links.theirs.get(holder.0 as usize) {
            Some(Theirs::One(_)) => 1,
            Some(&Theirs::Many(list)) => self.links.lists[list as usize].count,
            _ => 0,
        }
    }

    /// What this owner holds, in order. Not for marks.
    pub(crate) fn held_by(&self, holder: Holder) -> Vec<Held> {
        let mut names = match self.links.theirs.get(holder.0 as usize) {
            Some(&Theirs::One(name)) => alloc::vec![name],
            Some(&Theirs::Many(list)) => self.links.lists[list as usize].names.clone(),
            _ => Vec::new(),
        };
        names.extend(word::slots(self.at_hand.added(holder)).map(|slot| Name::new(self.at_hand.number, slot)));
        self.keep_held(&mut names, holder);
        let mut held: Vec<Held> = names.iter().map(|name| self.held(name.node(), name.slot())).collect();
        held.sort_unstable_by_key(|held| held.block);
        held
    }
}
