//! Owners by number: each is kept once, and forgotten when nothing is theirs.

use alloc::{borrow::ToOwned, vec::Vec};
use core::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::prefix_set::Holder;

/// An owner's number in one pool: saves looking the owner up each time.
///
/// It is good until all that the owner held is released, or until it is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OwnerId {
    number: u32,
    generation: u32,
}

/// The number is none of the pool's, or its owner was forgotten since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no owner of this pool has that number (any more)")]
pub struct UnknownOwner;

/// Names an owner: a reference to it (`&str` for a `String`), or its number.
pub trait AsOwner<O>: sealed::Sealed<O> + Copy {}

impl<O, T: sealed::Sealed<O> + Copy> AsOwner<O> for T {}

mod sealed {
    use super::{Holder, Owners, UnknownOwner};

    pub trait Sealed<O> {
        /// The number, where the owner is known.
        fn find(&self, owners: &Owners<O>) -> Option<Holder>;
        /// The number, and whether it is a new one: the owner was not known.
        fn enroll(&self, owners: &mut Owners<O>) -> Result<(Holder, bool), UnknownOwner>;
    }
}
pub(crate) use sealed::Sealed as Named;

impl<O: Eq + Hash + Borrow<Q>, Q: Eq + Hash + ToOwned<Owned = O> + ?Sized> Named<O> for &Q {
    fn find(&self, owners: &Owners<O>) -> Option<Holder> {
        owners.number_of(*self)
    }

    fn enroll(&self, owners: &mut Owners<O>) -> Result<(Holder, bool), UnknownOwner> {
        match owners.number_of(*self) {
            Some(number) => Ok((number, false)),
            None => Ok((owners.add((*self).to_owned())?, true)),
        }
    }
}

impl<O> Named<O> for OwnerId {
    #[inline]
    fn find(&self, owners: &Owners<O>) -> Option<Holder> {
        owners.holder(*self)
    }

    #[inline]
    fn enroll(&self, owners: &mut Owners<O>) -> Result<(Holder, bool), UnknownOwner> {
        Ok((owners.holder(*self).ok_or(UnknownOwner)?, false))
    }
}

#[derive(Clone, Debug)]
struct Entry<O> {
    owner: Option<O>,
    generation: u32,
}

/// The owners of a pool.
#[derive(Clone, Debug)]
pub struct Owners<O> {
    entries: Vec<Entry<O>>,
    /// Numbers that nobody has.
    spare: Vec<u32>,
    by_hash: HashTable<u32>,
    hasher: RandomState,
}

impl<O> Owners<O> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), spare: Vec::new(), by_hash: HashTable::new(), hasher: RandomState::default() }
    }

    /// The number that the pool's blocks are held by.
    fn holder(&self, id: OwnerId) -> Option<Holder> {
        let entry = self.entries.get(id.number as usize)?;
        (entry.generation == id.generation && entry.owner.is_some()).then_some(Holder(id.number))
    }

    /// The owner of this number; `None` for marks and numbers without owner.
    pub(crate) fn get(&self, holder: Holder) -> Option<&O> {
        self.entries.get(holder.0 as usize)?.owner.as_ref()
    }

    /// The number to hand out.
    pub(crate) fn id(&self, holder: Holder) -> OwnerId {
        OwnerId { number: holder.0, generation: self.entries[holder.0 as usize].generation }
    }
}

impl<O: Eq + Hash> Owners<O> {
    /// The number of this owner, if it has one.
    pub(crate) fn number_of<Q: Eq + Hash + ?Sized>(&self, owner: &Q) -> Option<Holder>
    where
        O: Borrow<Q>,
    {
        let is_same =
            |&number: &u32| self.entries[number as usize].owner.as_ref().is_some_and(|other| other.borrow() == owner);
        self.by_hash.find(self.hasher.hash_one(owner), is_same).map(|&number| Holder(number))
    }

    /// Adds an owner that is not there yet. There are numbers for some four billion.
    fn add(&mut self, owner: O) -> Result<Holder, UnknownOwner> {
        let number = match self.spare.pop() {
            Some(number) => number,
            None => {
                u32::try_from(self.entries.len()).ok().filter(|&number| number <= Holder::MAX.0).ok_or(UnknownOwner)?
            }
        };
        let hash = self.hasher.hash_one(&owner);
        if number as usize == self.entries.len() {
            self.entries.push(Entry { owner: Some(owner), generation: 0 });
        } else {
            self.entries[number as usize].owner = Some(owner);
        }
        let (entries, hasher) = (&self.entries, &self.hasher);
        // A number in the table has its owner.
        let rehash = |&number: &u32| entries[number as usize].owner.as_ref().map_or(0, |owner| hasher.hash_one(owner));
        self.by_hash.insert_unique(hash, number, rehash);
        Ok(Holder(number))
    }

    /// Forgets an owner. Marks and numbers without owner are no matter.
    pub(crate) fn forget(&mut self, holder: Holder) {
        let Some(entry) = self.entries.get_mut(holder.0 as usize) else { return };
        let Some(owner) = entry.owner.take() else { return };
        entry.generation = entry.generation.wrapping_add(1);
        if let Ok(found) = self.by_hash.find_entry(self.hasher.hash_one(&owner), |&number| number == holder.0) {
            found.remove();
        }
        self.spare.push(holder.0);
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_number_is_good_until_its_owner_is_forgotten() {
        let mut owners = Owners::<String>::new();
        let (first, is_new) = "first".enroll(&mut owners).unwrap();
        assert!(is_new);
        assert_eq!("first".enroll(&mut owners), Ok((first, false)));
        let id = owners.id(first);
        assert_eq!((Named::<String>::find(&id, &owners), owners.get(first).unwrap().as_str()), (Some(first), "first"));

        owners.forget(first);
        owners.forget(first);
        assert_eq!((Named::<String>::find(&id, &owners), Named::<String>::find(&"first", &owners)), (None, None));
        let (second, _) = "second".enroll(&mut owners).unwrap();
        assert_eq!(second, first, "numbers are used again");
        assert_eq!(id.enroll(&mut owners), Err(UnknownOwner));
        assert_eq!(owners.get(Holder::RESERVED), None);
    }
}
