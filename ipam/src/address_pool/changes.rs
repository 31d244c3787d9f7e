//! What changes an address pool, as values that can be written down.

#[cfg(feature = "serde")]
use alloc::string::ToString;
#[cfg(feature = "serde")]
use core::fmt::Display;
use core::{hash::Hash, iter, net::IpAddr, time::Duration};

#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use super::{AddressPool, AddressPoolEdit, AddressPoolOptions, Entry, Full, TOUCHED};
#[cfg(feature = "serde")]
use crate::journaled::{Event, EventKind, Journaled};
use crate::{
    block::{Block, Family, number},
    choice::Choice,
    error::ApplyError,
    owners::Named as _,
    prefix_set::Holder,
};

/// What came out of an operation of an [`AddressPool`].
///
/// Each operation is one change, made of its arguments and its result. The same changes, in the same order, make the same pool.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AddressPoolChange<O> {
    /// The pool is made: the first change.
    Created(AddressPoolOptions),
    /// An address was given: allocated or claimed.
    Granted {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: O,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// An address was taken back.
    Released {
        /// The address.
        address: IpAddr,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// The pool was changed.
    Edited {
        /// What of it.
        edit: AddressPoolEdit,
        /// When, since the Unix epoch: what [`AddressPool::now`] says.
        at: Duration,
    },
    /// An address that was released before, and is remembered. Only [`AddressPool::changes`] says so.
    Remembered {
        /// The address.
        address: IpAddr,
        /// Its last owner, where that is remembered.
        owner: Option<O>,
        /// When it was released, since the Unix epoch.
        at: Duration,
        /// Whether it cools down.
        cooling: bool,
    },
    /// Time passed. [`AddressPool::changes`] says last what time it was, and behind which address [`Choice::Next`] goes on.
    Passed {
        /// What time it is, since the Unix epoch.
        now: Duration,
        /// The first address that is looked at next.
        next: Option<IpAddr>,
    },
}

impl<O: Clone + Eq + Hash> AddressPool<O> {
    /// The pool that these changes make; the first says what it is made of.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: these are not the changes of a pool.
    pub fn restore(changes: impl IntoIterator<Item = AddressPoolChange<O>>) -> Result<Self, ApplyError> {
        let mut changes = changes.into_iter();
        let Some(AddressPoolChange::Created(options)) = changes.next() else { return Err(ApplyError::NotCreated) };
        let mut pool = Self::new(options)?;
        changes.try_for_each(|change| pool.apply(&change)).map(|()| pool)
    }

    /// Does what a change says.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: it is no change of this pool. Then nothing is changed but the time.
    pub fn apply(&mut self, change: &AddressPoolChange<O>) -> Result<(), ApplyError> {
        match change {
            AddressPoolChange::Created(_) => Err(ApplyError::Created),
            AddressPoolChange::Granted { address, owner, at } => {
                self.advance(*at);
                self.check_grant(*address)?;
                let enrolled = owner.enroll(&mut self.owners)?;
                let occupied = self.occupy(number(*address), enrolled.0, *at);
                occupied.map_err(|Full| ApplyError::Full).inspect_err(|_| self.unenroll(enrolled))?;
                self.chooser.follow(Block::single(number(*address)));
                Ok(())
            }
            AddressPoolChange::Released { address, at } => {
                self.release(*address, *at).map_err(|_| ApplyError::NotAllocated { prefix: (*address).into() })
            }
            AddressPoolChange::Edited { edit, at } => {
                self.advance(*at);
                Ok(self.edit(*edit)?)
            }
            AddressPoolChange::Remembered { address, owner, at, cooling } => {
                self.remember(*address, owner.as_ref(), *at, *cooling)
            }
            AddressPoolChange::Passed { now, next } => {
                self.advance(*now);
                self.chooser.next = next.filter(|&next| Family::of(next) == self.family()).map_or(0, number);
                Ok(())
            }
        }
    }

    /// Whether an address can be given that somebody was given once.
    pub(crate) fn check_grant(&self, address: IpAddr) -> Result<(), ApplyError> {
        let prefix = address.into();
        if self.options.unusable(address).is_some() {
            return Err(ApplyError::Outside { prefix });
        }
        match self.get(address) {
            Some(grant) => Err(ApplyError::Taken { prefix, with: grant.prefix }),
            None => Ok(()),
        }
    }

    /// Has an address be one that was released.
    fn remember(&mut self, address: IpAddr, owner: Option<&O>, at: Duration, cooling: bool) -> Result<(), ApplyError> {
        self.check_grant(address)?;
        let (prefix, block) = (address.into(), Block::single(number(address)));
        let is_known = self.released.get(block.base).is_some();
        // Those that have cooled down come first, and none of them is reserved.
        let is_cool = self.released.cooling() == 0 && !self.space.is_reserved(block.base);
        let may = if cooling { !self.options.cool_down.is_zero() } else { self.options.remembers() && is_cool };
        if is_known || !may {
            return Err(ApplyError::Remembered { prefix });
        }
        let owner =
            owner.filter(|_| self.options.sticky > 0).map(|owner| owner.enroll(&mut self.owners)).transpose()?;
        let owner = owner.map(|(owner, _)| owner);
        if cooling {
            // It is free, or reserved.
            let occupied = self.space.occupy(block, Holder::COOLING, 0);
            debug_assert_eq!(occupied, Ok(()));
        }
        if let Some(untouched) = &mut self.untouched {
            // One that is reserved is held there already.
            let _ = untouched.occupy(block, TOUCHED, 0);
        }
        self.released.push(Entry { address: block.base, at, owner });
        if !cooling {
            self.released.cool();
        }
        self.advance(self.now);
        Ok(())
    }

    /// The changes that make this pool, in order. Times of grants are in whole seconds.
    pub fn changes(&self) -> impl Iterator<Item = AddressPoolChange<O>> + '_ {
        let family = self.family();
        let grants = self.grants().map(|grant| AddressPoolChange::Granted {
            address: grant.prefix.addr(),
            owner: grant.owner.clone(),
            at: grant.since,
        });
        let released = self.released.iter().map(move |entry| AddressPoolChange::Remembered {
            address: family.address(entry.address),
            owner: entry.owner.and_then(|owner| self.owners.get(owner)).cloned(),
            at: entry.at,
            cooling: self.released.is_cooling(entry.address),
        });
        let next = (self.options.choice == Choice::Next && Block::of(self.options.subnet).has(self.chooser.next))
            .then(|| family.address(self.chooser.next));
        iter::once(AddressPoolChange::Created(self.options.clone()))
            .chain(grants)
            .chain(released)
            .chain(iter::once(AddressPoolChange::Passed { now: self.now, next }))
    }
}

#[cfg(feature = "serde")]
impl<O: Clone + Eq + Hash + Display + Serialize + DeserializeOwned> Journaled for Option<AddressPool<O>> {
    type Change = AddressPoolChange<O>;
    type Error = ApplyError;

    const FORM: u32 = 0x6950_0002;

    fn empty() -> Self {
        None
    }

    fn apply(&mut self, change: &AddressPoolChange<O>) -> Result<(), ApplyError> {
        match self {
            Some(pool) => pool.apply(change),
            None => AddressPool::restore([change.clone()]).map(|pool| *self = Some(pool)),
        }
    }

    fn changes(&self) -> impl Iterator<Item = AddressPoolChange<O>> + '_ {
        self.iter().flat_map(AddressPool::changes)
    }

    fn event(change: &AddressPoolChange<O>) -> Option<Event> {
        match change {
            AddressPoolChange::Granted { address, owner, at } => {
                let kind = EventKind::Granted { owner: owner.to_string() };
                Some(Event { prefix: (*address).into(), at: *at, kind })
            }
            AddressPoolChange::Released { address, at } => {
                Some(Event { prefix: (*address).into(), at: *at, kind: EventKind::Released })
            }
            _ => None,
        }
    }
}
