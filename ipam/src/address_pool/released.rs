//! Addresses that were released, in that order: those that cool down, and those that others get last.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use crate::prefix_set::Holder;

/// An address that was released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) address: u128,
    pub(super) at: Duration,
    /// Its last owner, as long as it is remembered.
    pub(super) owner: Option<Holder>,
}

/// What was released and not given again since.
#[derive(Clone, Debug, Default)]
pub(super) struct Released {
    /// By a number that counts up: the one released longest ago is the first.
    entries: BTreeMap<u64, Entry>,
    by_address: BTreeMap<u128, u64>,
    /// Those whose owner is remembered.
    by_owner: BTreeSet<(u32, u64)>,
    next: u64,
    /// Those before it have cooled down.
    cooling_from: u64,
    cooling: usize,
    /// Those before it have no owner.
    bound_from: u64,
}

impl Released {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them cool down.
    pub(super) const fn cooling(&self) -> usize {
        self.cooling
    }

    /// Of how many the last owner is remembered.
    pub(super) fn bound(&self) -> usize {
        self.by_owner.len()
    }

    /// All, the one released longest ago first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Adds one that cools down from now on.
    pub(super) fn push(&mut self, entry: Entry) {
        let number = self.next;
        self.next += 1;
        self.entries.insert(number, entry);
        self.by_address.insert(entry.address, number);
        if let Some(owner) = entry.owner {
            self.by_owner.insert((owner.0, number));
        }
        self.cooling += 1;
    }

    pub(super) fn get(&self, address: u128) -> Option<&Entry> {
        self.entries.get(self.by_address.get(&address)?)
    }

    /// Whether this one cools down.
    pub(super) fn is_cooling(&self, address: u128) -> bool {
        self.by_address.get(&address).is_some_and(|&number| number >= self.cooling_from)
    }

    pub(super) fn remove(&mut self, address: u128) -> Option<Entry> {
        let number = self.by_address.remove(&address)?;
        let entry = self.entries.remove(&number)?;
        if let Some(owner) = entry.owner {
            self.by_owner.remove(&(owner.0, number));
        }
        if number >= self.cooling_from {
            self.cooling -= 1;
        }
        Some(entry)
    }

    /// The one of those that cool down which was released longest ago.
    pub(super) fn next_cooling(&self) -> Option<&Entry> {
        self.entries.range(self.cooling_from..).next().map(|(_, entry)| entry)
    }

    /// Has the one that [`Self::next_cooling`] names be cool.
    pub(super) fn cool(&mut self) {
        if let Some((&number, _)) = self.entries.range(self.cooling_from..).next() {
            self.cooling_from = number + 1;
            self.cooling -= 1;
        }
    }

    /// The one of those that have cooled down which was released longest ago.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.first_key_value().filter(|&(&number, _)| number < self.cooling_from).map(|(_, entry)| entry)
    }

    /// Whether the owner is remembered with one.
    pub(super) fn is_bound(&self, owner: Holder) -> bool {
        self.last_of(owner).next().is_some()
    }

    /// What this owner had, the latest first.
    pub(super) fn last_of(&self, owner: Holder) -> impl Iterator<Item = u128> {
        let theirs = self.by_owner.range((owner.0, 0)..=(owner.0, u64::MAX)).rev();
        theirs.filter_map(|(_, number)| self.entries.get(number)).map(|entry| entry.address)
    }

    /// Forgets the owner of the one released longest ago whose owner is remembered, and says who it was.
    pub(super) fn unbind_oldest(&mut self) -> Option<Holder> {
        let (&number, entry) = self.entries.range_mut(self.bound_from..).find(|(_, entry)| entry.owner.is_some())?;
        let owner = entry.owner.take()?;
        self.by_owner.remove(&(owner.0, number));
        self.bound_from = number + 1;
        Some(owner)
    }

    /// The lowest address from `first` to `last`.
    pub(super) fn first_within(&self, first: u128, last: u128) -> Option<u128> {
        self.by_address.range(first..=last).next().map(|(&address, _)| address)
    }

    /// The addresses from `first` to `last` that have cooled down.
    pub(super) fn cooled_within(&self, first: u128, last: u128) -> Vec<u128> {
        let within = self.by_address.range(first..=last).filter(|&(_, &number)| number < self.cooling_from);
        within.map(|(&address, _)| address).collect()
    }
}
