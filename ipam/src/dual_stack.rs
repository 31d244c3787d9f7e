//! An IPv4 and an IPv6 address at once.

mod changes;

use alloc::{borrow::ToOwned, vec::Vec};
use core::{
    borrow::Borrow,
    fmt::{self, Display, Formatter},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

pub use self::changes::DualStackChange;
use crate::{
    address_pool::{AddressPool, AddressPoolOptions, AllocateAddressError, ClaimAddressError, ReleaseAddressError},
    block::{Family, number},
    error::ConfigError,
    grant::Grant,
};

/// What a [`DualStack`] is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct DualStackOptions {
    /// The pool of IPv4 addresses.
    pub ipv4: AddressPoolOptions,
    /// The pool of IPv6 addresses.
    pub ipv6: AddressPoolOptions,
}

impl DualStackOptions {
    /// These two pools.
    #[must_use]
    pub const fn new(ipv4: AddressPoolOptions, ipv6: AddressPoolOptions) -> Self {
        Self { ipv4, ipv6 }
    }
}

/// An IPv4 and an IPv6 address that are given and taken back together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DualAddress {
    /// The IPv4 address.
    pub ipv4: Ipv4Addr,
    /// The IPv6 address.
    pub ipv6: Ipv6Addr,
}

impl Display for DualAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.ipv4, self.ipv6)
    }
}

/// What is wrong with one of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{family}: {error}")]
pub struct DualStackError<E> {
    /// With which one.
    pub family: Family,
    /// What is wrong.
    pub error: E,
}

const fn ipv4<E>(error: E) -> DualStackError<E> {
    DualStackError { family: Family::Ipv4, error }
}

const fn ipv6<E>(error: E) -> DualStackError<E> {
    DualStackError { family: Family::Ipv6, error }
}

/// Hands out an IPv4 and an IPv6 address at once: both or none.
///
/// Each of the two is an [`AddressPool`], and can be used as such for who needs one address only.
///
/// ```
/// use core::time::Duration;
/// use ipam::{AddressPoolOptions, DualStack, DualStackOptions};
///
/// let ipv4 = AddressPoolOptions::new("192.0.2.0/30".parse()?);
/// let ipv6 = AddressPoolOptions::new("2001:db8::/64".parse()?);
/// let mut pools = DualStack::<String>::new(DualStackOptions::new(ipv4, ipv6))?;
/// let now = Duration::from_secs(1_700_000_000);
/// let addresses = pools.allocate("pod-1", now)?;
/// assert_eq!(addresses.to_string(), "192.0.2.1 and 2001:db8::1");
/// pools.allocate("pod-2", now)?;
/// assert_eq!(pools.allocate("pod-3", now).unwrap_err().to_string(), "IPv4: no address is free");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DualStack<O> {
    ipv4: AddressPool<O>,
    ipv6: AddressPool<O>,
}

impl<O: Clone + Eq + Hash> DualStack<O> {
    /// Two pools of which nothing is given yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the options, and [`ConfigError::Family`].
    pub fn new(options: DualStackOptions) -> Result<Self, DualStackError<ConfigError>> {
        let pool = |family, options: AddressPoolOptions| {
            let subnet = options.subnet;
            if Family::of(subnet.addr()) != family {
                return Err(DualStackError { family, error: ConfigError::Family { subnet, family } });
            }
            AddressPool::new(options).map_err(|error| DualStackError { family, error })
        };
        Ok(Self { ipv4: pool(Family::Ipv4, options.ipv4)?, ipv6: pool(Family::Ipv6, options.ipv6)? })
    }

    /// The pool of IPv4 addresses.
    #[must_use]
    pub const fn ipv4(&self) -> &AddressPool<O> {
        &self.ipv4
    }

    /// The pool of IPv4 addresses, to change it, or to give one of them only.
    pub const fn ipv4_mut(&mut self) -> &mut AddressPool<O> {
        &mut self.ipv4
    }

    /// The pool of IPv6 addresses.
    #[must_use]
    pub const fn ipv6(&self) -> &AddressPool<O> {
        &self.ipv6
    }

    /// The pool of IPv6 addresses, to change it, or to give one of them only.
    pub const fn ipv6_mut(&mut self) -> &mut AddressPool<O> {
        &mut self.ipv6
    }

    /// Tells both pools what time it is.
    pub fn advance(&mut self, now: Duration) {
        self.ipv4.advance(now);
        self.ipv6.advance(now);
    }

    /// Gives an address of each, as [`AddressPool::allocate`] does.
    ///
    /// # Errors
    ///
    /// [`AllocateAddressError`] of one of them; then nothing is given of the other either.
    pub fn allocate<Q>(&mut self, owner: &Q, now: Duration) -> Result<DualAddress, DualStackError<AllocateAddressError>>
    where
        O: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = O> + ?Sized,
    {
        let first = self.ipv4.prepare(&owner, now).map_err(ipv4)?;
        let second = self.ipv6.prepare(&owner, now).map_err(ipv6).inspect_err(|_| self.ipv4.unenroll(first))?;
        let given = self.ipv4.take(first.0, now).map_err(ipv4);
        let both = given.and_then(|given| match self.ipv6.take(second.0, now) {
            Ok(other) => Ok((given, other)),
            Err(error) => {
                // It is in too many pieces: nothing else is left that could be wrong.
                self.ipv4.vacate(number(given));
                Err(ipv6(error))
            }
        });
        if both.is_err() {
            self.ipv4.unenroll(first);
            self.ipv6.unenroll(second);
        }
        both.map(|(first, second)| DualAddress {
            ipv4: Ipv4Addr::from_bits(number(first) as u32),
            ipv6: Ipv6Addr::from_bits(number(second)),
        })
    }

    /// Gives just these addresses, as [`AddressPool::claim`] does.
    ///
    /// # Errors
    ///
    /// [`ClaimAddressError`] of one of them; then nothing is given of the other either.
    pub fn claim<Q>(
        &mut self,
        addresses: DualAddress,
        owner: &Q,
        now: Duration,
    ) -> Result<(), DualStackError<ClaimAddressError<O>>>
    where
        O: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = O> + ?Sized,
    {
        let first = self.ipv4.prepare_claim(addresses.ipv4.into(), &owner, now, false).map_err(ipv4)?;
        let claimed = self.ipv6.claim(addresses.ipv6.into(), owner, now).map_err(ipv6);
        claimed.inspect_err(|_| self.ipv4.unenroll(first))?;
        self.ipv4.occupy(addresses.ipv4.to_bits().into(), first.0, now).map_err(|_| {
            // It is in too many pieces: nothing else is left that could be wrong.
            self.ipv6.vacate(addresses.ipv6.to_bits());
            self.ipv4.unenroll(first);
            ipv4(ClaimAddressError::Full)
        })
    }

    /// Takes both addresses back.
    ///
    /// # Errors
    ///
    /// [`ReleaseAddressError`] of one of them, or the IPv6 address is not of the IPv4 address' owner; then nothing is taken back.
    pub fn release(
        &mut self,
        addresses: DualAddress,
        now: Duration,
    ) -> Result<(), DualStackError<ReleaseAddressError<O>>> {
        let first = self.ipv4.check_release(addresses.ipv4.into()).map_err(ipv4)?;
        let second = self.ipv6.check_release(addresses.ipv6.into()).map_err(ipv6)?;
        if first.owner != second.owner {
            let (address, owner) = (addresses.ipv6.into(), second.owner.clone());
            return Err(ipv6(ReleaseAddressError::NotTheirs { address, owner }));
        }
        self.ipv4.release(addresses.ipv4.into(), now).map_err(ipv4)?;
        self.ipv6.release(addresses.ipv6.into(), now).map_err(ipv6)
    }

    /// Takes both addresses back if they are this owner's.
    ///
    /// # Errors
    ///
    /// As [`Self::release`], and [`ReleaseAddressError::NotTheirs`].
    pub fn release_from<Q>(
        &mut self,
        addresses: DualAddress,
        owner: &Q,
        now: Duration,
    ) -> Result<(), DualStackError<ReleaseAddressError<O>>>
    where
        O: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = O> + ?Sized,
    {
        let grant = self.ipv4.check_release(addresses.ipv4.into()).map_err(ipv4)?;
        if grant.owner.borrow() != owner {
            let (address, owner) = (addresses.ipv4.into(), grant.owner.clone());
            return Err(ipv4(ReleaseAddressError::NotTheirs { address, owner }));
        }
        self.release(addresses, now)
    }

    /// Takes back all that an owner has of both, and says what it was: the IPv4 addresses first, each in order.
    pub fn release_all<Q>(&mut self, owner: &Q, now: Duration) -> Vec<IpAddr>
    where
        O: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = O> + ?Sized,
    {
        let mut addresses = self.ipv4.release_all(owner, now);
        addresses.extend(self.ipv6.release_all(owner, now));
        addresses
    }

    /// Who has this address, of either family, and since when.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<Grant<'_, O>> {
        match address {
            IpAddr::V4(_) => self.ipv4.get(address),
            IpAddr::V6(_) => self.ipv6.get(address),
        }
    }

    /// All that was given: the IPv4 addresses first, each in order.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_, O>> {
        self.ipv4.grants().chain(self.ipv6.grants())
    }
}

#[cfg(test)]
mod tests;
