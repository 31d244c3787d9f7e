//! What changes a pool of subnets, as values that can be written down.

#[cfg(feature = "serde")]
use alloc::string::ToString;
#[cfg(feature = "serde")]
use core::fmt::Display;
use core::{hash::Hash, iter, net::IpAddr, time::Duration};

use ipnet::IpNet;
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use super::{SubnetPool, SubnetPoolOptions};
#[cfg(feature = "serde")]
use crate::journaled::{Event, EventKind, Journaled};
use crate::{
    block::{Family, number},
    choice::Choice,
    error::{ApplyError, ClaimError},
    range::AddressRange,
};

/// What came out of an operation of a [`SubnetPool`].
///
/// Each operation is one change, made of its arguments and its result. The same changes, in the same order, make the same pool.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SubnetPoolChange<O> {
    /// The pool is made: the first change.
    Created(SubnetPoolOptions),
    /// A subnet was given: allocated or claimed.
    Granted {
        /// The subnet.
        prefix: IpNet,
        /// Whose it is.
        owner: O,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A subnet was taken back.
    Released {
        /// The subnet.
        prefix: IpNet,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A range was set aside.
    Reserved(AddressRange),
    /// A range is to be had again.
    Unreserved(AddressRange),
    /// A prefix was added.
    PrefixAdded(IpNet),
    /// A prefix was taken away.
    PrefixRemoved(IpNet),
    /// At which address [`Choice::Next`] goes on. Only [`SubnetPool::changes`] says so.
    Next(IpAddr),
}

impl<O: Clone + Eq + Hash> SubnetPool<O> {
    /// The pool that these changes make; the first says what it is made of.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: these are not the changes of a pool.
    pub fn restore(changes: impl IntoIterator<Item = SubnetPoolChange<O>>) -> Result<Self, ApplyError> {
        let mut changes = changes.into_iter();
        let Some(SubnetPoolChange::Created(options)) = changes.next() else { return Err(ApplyError::NotCreated) };
        let mut pool = Self::new(options)?;
        changes.try_for_each(|change| pool.apply(&change)).map(|()| pool)
    }

    /// Does what a change says.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: it is no change of this pool. Then nothing is changed.
    pub fn apply(&mut self, change: &SubnetPoolChange<O>) -> Result<(), ApplyError> {
        match change {
            SubnetPoolChange::Created(_) => Err(ApplyError::Created),
            SubnetPoolChange::Granted { prefix, owner, at } => {
                self.claim(*prefix, owner, *at).map_err(|error| match error {
                    ClaimError::Overlap { prefix, with, .. } => ApplyError::Taken { prefix, with },
                    ClaimError::Owner(error) => ApplyError::Owner(error),
                    ClaimError::Full => ApplyError::Full,
                    ClaimError::Length { prefix, .. }
                    | ClaimError::HostBits { given: prefix, .. }
                    | ClaimError::Outside { prefix }
                    | ClaimError::Excluded { prefix, .. } => ApplyError::Outside { prefix },
                })?;
                self.chooser.follow(crate::block::Block::of(*prefix));
                Ok(())
            }
            SubnetPoolChange::Released { prefix, .. } => {
                self.release(*prefix).map_err(|_| ApplyError::NotAllocated { prefix: *prefix })
            }
            SubnetPoolChange::Reserved(range) => Ok(self.reserve(*range)?),
            SubnetPoolChange::Unreserved(range) => Ok(self.unreserve(*range)?),
            SubnetPoolChange::PrefixAdded(prefix) => Ok(self.add_prefix(*prefix)?),
            SubnetPoolChange::PrefixRemoved(prefix) => Ok(self.remove_prefix(*prefix)?),
            SubnetPoolChange::Next(address) => {
                self.chooser.next = if Family::of(*address) == self.family() { number(*address) } else { 0 };
                Ok(())
            }
        }
    }

    /// The changes that make this pool, in order. Times are in whole seconds.
    pub fn changes(&self) -> impl Iterator<Item = SubnetPoolChange<O>> + '_ {
        let grants = self.grants().map(|grant| SubnetPoolChange::Granted {
            prefix: grant.prefix,
            owner: grant.owner.clone(),
            at: grant.since,
        });
        let next = (self.options.choice == Choice::Next).then(|| self.family().address(self.chooser.next));
        iter::once(SubnetPoolChange::Created(self.options.clone()))
            .chain(grants)
            .chain(next.map(SubnetPoolChange::Next))
    }
}

#[cfg(feature = "serde")]
impl<O: Clone + Eq + Hash + Display + Serialize + DeserializeOwned> Journaled for Option<SubnetPool<O>> {
    type Change = SubnetPoolChange<O>;
    type Error = ApplyError;

    const FORM: u32 = 0x6950_0001;

    fn empty() -> Self {
        None
    }

    fn apply(&mut self, change: &SubnetPoolChange<O>) -> Result<(), ApplyError> {
        match self {
            Some(pool) => pool.apply(change),
            None => SubnetPool::restore([change.clone()]).map(|pool| *self = Some(pool)),
        }
    }

    fn changes(&self) -> impl Iterator<Item = SubnetPoolChange<O>> + '_ {
        self.iter().flat_map(SubnetPool::changes)
    }

    fn event(change: &SubnetPoolChange<O>) -> Option<Event> {
        match change {
            SubnetPoolChange::Granted { prefix, owner, at } => {
                let kind = EventKind::Granted { owner: owner.to_string() };
                Some(Event { prefix: *prefix, at: *at, kind })
            }
            SubnetPoolChange::Released { prefix, at } => {
                Some(Event { prefix: *prefix, at: *at, kind: EventKind::Released })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    #[test]
    fn the_changes_make_the_same_pool() {
        let mut options = SubnetPoolOptions::new(["10.0.0.0/16".parse().unwrap(), "10.2.0.0/16".parse().unwrap()]);
        options.choice = Choice::Next;
        let mut pool = SubnetPool::<String>::new(options).unwrap();
        let mut copy = SubnetPool::restore(pool.changes()).unwrap();
        let mut both = |pool: &mut SubnetPool<String>, change: Option<SubnetPoolChange<String>>| {
            let change = change.unwrap_or_else(|| {
                let prefix = pool.allocate(24, "a", Duration::from_secs(7)).unwrap();
                SubnetPoolChange::Granted { prefix, owner: "a".into(), at: Duration::from_secs(7) }
            });
            copy.apply(&change).unwrap();
            if !matches!(change, SubnetPoolChange::Granted { .. }) {
                pool.apply(&change).unwrap();
            }
            let restored = SubnetPool::restore(pool.changes()).unwrap();
            for other in [&copy, &restored] {
                assert!(other.changes().eq(pool.changes()), "{change:?}");
                assert_eq!(other.usage(), pool.usage());
            }
        };
        let range: AddressRange = "10.0.3.0-10.0.5.255".parse().unwrap();
        both(&mut pool, None);
        both(&mut pool, None);
        both(&mut pool, Some(SubnetPoolChange::Reserved(range)));
        both(&mut pool, Some(SubnetPoolChange::PrefixAdded("10.4.0.0/16".parse().unwrap())));
        both(&mut pool, None);
        both(
            &mut pool,
            Some(SubnetPoolChange::Released { prefix: "10.0.1.0/24".parse().unwrap(), at: Duration::ZERO }),
        );
        both(&mut pool, Some(SubnetPoolChange::Unreserved("10.0.4.0/24".parse().unwrap())));
        both(&mut pool, Some(SubnetPoolChange::PrefixRemoved("10.2.0.0/16".parse().unwrap())));
        both(&mut pool, None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let options = SubnetPoolOptions::new(["10.0.0.0/16".parse().unwrap()]);
        let mut pool = SubnetPool::<String>::new(options.clone()).unwrap();
        pool.claim("10.0.1.0/24".parse().unwrap(), "a", Duration::ZERO).unwrap();
        let mut apply = |change| pool.apply(&change).unwrap_err().to_string();
        let granted = |prefix: &str| {
            let (prefix, owner) = (prefix.parse().unwrap(), "b".into());
            SubnetPoolChange::Granted { prefix, owner, at: Duration::ZERO }
        };
        assert_eq!(apply(granted("10.0.0.0/16")), "10.0.0.0/16 is given while somebody has 10.0.1.0/24");
        assert_eq!(apply(granted("10.1.0.1/32")), "10.1.0.1 is given, and not part of the pool");
        let released = SubnetPoolChange::Released { prefix: "10.0.0.0/24".parse().unwrap(), at: Duration::ZERO };
        assert_eq!(apply(released), "10.0.0.0/24 is released, and nobody has it");
        assert_eq!(apply(SubnetPoolChange::Created(options)), "the pool is there already");
        let gone = SubnetPoolChange::PrefixRemoved("10.1.0.0/16".parse().unwrap());
        assert_eq!(apply(gone), "10.1.0.0/16 is no prefix of the pool");
    }

    #[cfg(feature = "std")]
    #[test]
    fn as_bytes() {
        let mut options = SubnetPoolOptions::new(["10.0.0.0/16".parse().unwrap()]);
        options.window = Some("10.0.0.0-10.0.0.255".parse().unwrap());
        options.choice = Choice::Next;
        let mut pool = SubnetPool::<String>::new(options).unwrap();
        pool.allocate(30, "a", Duration::ZERO).unwrap();
        for change in pool.changes() {
            let bytes = postcard::to_allocvec(&change).unwrap();
            assert_eq!(postcard::from_bytes::<SubnetPoolChange<String>>(&bytes).unwrap(), change);
        }
    }
}
