//! What changes two pools at once, as values that can be written down.

use core::{hash::Hash, iter, time::Duration};

use super::{DualAddress, DualStack, DualStackOptions};
use crate::{address_pool::AddressPoolChange, error::ApplyError};

/// What came out of an operation of a [`DualStack`].
///
/// A grant of two addresses is one change: written down and lost as one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DualStackChange<O> {
    /// The pools are made: the first change.
    Created(DualStackOptions),
    /// Two addresses were given: allocated or claimed.
    Granted {
        /// The addresses.
        addresses: DualAddress,
        /// Whose they are.
        owner: O,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// Two addresses were taken back.
    Released {
        /// The addresses.
        addresses: DualAddress,
        /// When, since the Unix epoch.
        at: Duration,
    },
    /// A change of the pool of IPv4 addresses alone.
    Ipv4(AddressPoolChange<O>),
    /// A change of the pool of IPv6 addresses alone.
    Ipv6(AddressPoolChange<O>),
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
            DualStackChange::Granted { addresses, owner, at } => {
                let granted = |address| AddressPoolChange::Granted { address, owner: owner.clone(), at: *at };
                self.ipv6.check_grant(addresses.ipv6.into())?;
                self.ipv4.apply(&granted(addresses.ipv4.into()))?;
                self.ipv6.apply(&granted(addresses.ipv6.into()))
            }
            DualStackChange::Released { addresses, at } => {
                self.release(*addresses, *at).map_err(|error| ApplyError::NotAllocated {
                    prefix: match error.family {
                        crate::Family::Ipv4 => core::net::IpAddr::from(addresses.ipv4).into(),
                        crate::Family::Ipv6 => core::net::IpAddr::from(addresses.ipv6).into(),
                    },
                })
            }
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
