//! Who gets a frame for everybody.

use alloc::vec::Vec;

use crate::remote::RemoteId;

/// The remotes that get broadcast, unknown unicast and multicast of one segment, each once: head-end replication.
///
/// A plain value in the order of the remotes' numbers. The caller puts it into what its own readers see.
///
/// ```
/// use fdb::{FloodList, RemoteId};
///
/// let mut list = FloodList::default();
/// assert!(list.insert(RemoteId::new(5).unwrap()));
/// assert!(!list.insert(RemoteId::new(5).unwrap()));
/// assert_eq!(list.iter().map(RemoteId::get).collect::<Vec<_>>(), [5]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "Vec<RemoteId>", into = "Vec<RemoteId>")
)]
pub struct FloodList {
    remotes: Vec<RemoteId>,
}

impl FloodList {
    /// A list of nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { remotes: Vec::new() }
    }

    /// Adds a remote. `false` where it was there.
    pub fn insert(&mut self, remote: RemoteId) -> bool {
        let place = self.remotes.binary_search(&remote);
        if let Err(place) = place {
            self.remotes.insert(place, remote);
        }
        place.is_err()
    }

    /// Takes a remote away. `false` where it was not there.
    pub fn remove(&mut self, remote: RemoteId) -> bool {
        let place = self.remotes.binary_search(&remote);
        if let Ok(place) = place {
            self.remotes.remove(place);
        }
        place.is_ok()
    }

    /// `true` where a remote is in the list.
    #[must_use]
    pub fn contains(&self, remote: RemoteId) -> bool {
        self.remotes.binary_search(&remote).is_ok()
    }

    /// The remotes in the order of their numbers.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RemoteId> + '_ {
        self.remotes.iter().copied()
    }

    /// The remotes in the order of their numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[RemoteId] {
        &self.remotes
    }

    /// How many remotes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.remotes.len()
    }

    /// `true` for a list of nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }
}

impl FromIterator<RemoteId> for FloodList {
    fn from_iter<I: IntoIterator<Item = RemoteId>>(remotes: I) -> Self {
        let mut remotes: Vec<RemoteId> = remotes.into_iter().collect();
        remotes.sort_unstable();
        remotes.dedup();
        Self { remotes }
    }
}

impl From<Vec<RemoteId>> for FloodList {
    fn from(remotes: Vec<RemoteId>) -> Self {
        remotes.into_iter().collect()
    }
}

impl From<FloodList> for Vec<RemoteId> {
    fn from(list: FloodList) -> Self {
        list.remotes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_set(steps: Vec<(u8, bool)>) {
            let mut list = FloodList::new();
            let mut model = BTreeSet::new();
            for (number, add) in steps {
                let remote = RemoteId::new(u32::from(number)).unwrap();
                if add {
                    prop_assert_eq!(list.insert(remote), model.insert(remote));
                } else {
                    prop_assert_eq!(list.remove(remote), model.remove(&remote));
                }
                prop_assert_eq!(list.contains(remote), model.contains(&remote));
                prop_assert!(list.iter().eq(model.iter().copied()));
                prop_assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(&list, &model.iter().rev().copied().collect::<FloodList>());
            }
        }
    }
}
