//! What changes two pools at once, as values that can be written down.

#[cfg(feature = "serde")]
use core::fmt::Display;
use core::{hash::Hash, iter, time::Duration};

#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use super::{DualAddress, DualStack, DualStackOptions};
#[cfg(feature = "serde")]
use crate::{
    address_pool::AddressPool,
    journaled::{Event, Journaled},
};
use crate::{address_pool::AddressPoolChange, error::ApplyError};

/// What came out of an operation of a [`DualStack`].
///
/// A grant of two addresses is two changes, which have to be written down together or not at all: as the
/// journal does with the changes of one call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DualStackChange<O> {
    /// The pools are made: the first change.
    Created(DualStackOptions),
    /// A change of the pool of IPv4 addresses.
    Ipv4(AddressPoolChange<O>),
    /// A change of the pool of IPv6 addresses.
    Ipv6(AddressPoolChange<O>),
}

impl<O: Clone> DualStackChange<O> {
    /// Both addresses were given: allocated or claimed.
    #[must_use]
    pub fn granted(addresses: DualAddress, owner: &O, at: Duration) -> [Self; 2] {
        let granted = |address| AddressPoolChange::Granted { address, owner: owner.clone(), at };
        [Self::Ipv4(granted(addresses.ipv4.into())), Self::Ipv6(granted(addresses.ipv6.into()))]
    }

    /// Both addresses were taken back.
    #[must_use]
    pub fn released(addresses: DualAddress, at: Duration) -> [Self; 2] {
        let released = |address| AddressPoolChange::Released { address, at };
        [Self::Ipv4(released(addresses.ipv4.into())), Self::Ipv6(released(addresses.ipv6.into()))]
    }
}

impl<O: Clone + Eq + Hash> DualStack<O> {
    /// The pools that these changes make; the first says what they are made of.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: these are not the changes of two pools.
    pub fn restore(changes: impl IntoIterator<Item = DualStackChange<O>>) -> Result<Self, ApplyError> {
        let mut changes = changes.into_iter();
        let Some(DualStackChange::Created(options)) = changes.next() else { return Err(ApplyError::NotCreated) };
        let mut pools = Self::new(options).map_err(|error| error.error)?;
        changes.try_for_each(|change| pools.apply(&change)).map(|()| pools)
    }

    /// Does what a change says.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: it is no change of these pools. Then nothing is changed but the time.
    pub fn apply(&mut self, change: &DualStackChange<O>) -> Result<(), ApplyError> {
        match change {
            DualStackChange::Created(_) => Err(ApplyError::Created),
            DualStackChange::Ipv4(change) => self.ipv4.apply(change),
            DualStackChange::Ipv6(change) => self.ipv6.apply(change),
        }
    }

    /// The changes that make these pools, in order: each address by itself.
    pub fn changes(&self) -> impl Iterator<Item = DualStackChange<O>> + '_ {
        let options = DualStackOptions::new(self.ipv4.options().clone(), self.ipv6.options().clone());
        // The first of each says what it is made of.
        let ipv4 = self.ipv4.changes().skip(1).map(DualStackChange::Ipv4);
        let ipv6 = self.ipv6.changes().skip(1).map(DualStackChange::Ipv6);
        iter::once(DualStackChange::Created(options)).chain(ipv4).chain(ipv6)
    }
}

#[cfg(feature = "serde")]
impl<O: Clone + Eq + Hash + Display + Serialize + DeserializeOwned> Journaled for Option<DualStack<O>> {
    type Change = DualStackChange<O>;
    type Error = ApplyError;

    const FORM: u32 = 0x6950_0003;

    fn empty() -> Self {
        None
    }

    fn apply(&mut self, change: &DualStackChange<O>) -> Result<(), ApplyError> {
        match self {
            Some(pools) => pools.apply(change),
            None => DualStack::restore([change.clone()]).map(|pools| *self = Some(pools)),
        }
    }

    fn changes(&self) -> impl Iterator<Item = DualStackChange<O>> + '_ {
        self.iter().flat_map(DualStack::changes)
    }

    fn event(change: &DualStackChange<O>) -> Option<Event> {
        match change {
            DualStackChange::Ipv4(change) | DualStackChange::Ipv6(change) => <Option<AddressPool<O>>>::event(change),
            DualStackChange::Created(_) => None,
        }
    }
}
