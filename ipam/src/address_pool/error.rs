//! What can be wrong with an address.

use core::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use crate::{amount::Amount, owners::UnknownOwner};

/// Why an address is not part of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Unusable {
    /// It is not of the subnet.
    #[error("is not within {subnet}")]
    Outside {
        /// The pool's subnet.
        subnet: IpNet,
    },
    /// It is the subnet's own.
    #[error("is the subnet's own address")]
    Network,
    /// It is the broadcast address.
    #[error("is the subnet's broadcast address")]
    Broadcast,
    /// It is the one of all routers of the subnet (RFC 4291, section 2.6.1).
    #[error("is the subnet-router anycast address")]
    Anycast,
    /// It is the gateway's.
    #[error("is the gateway")]
    Gateway,
    /// The pool has ranges, and it is in none.
    #[error("is in none of the pool's ranges")]
    OutOfRanges,
    /// It is excluded.
    #[error("is excluded from the pool")]
    Excluded,
}

/// Why no address is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateAddressError {
    /// None is free.
    #[error("no address is free{}", Why { reserved, cooling, free_in })]
    Exhausted {
        /// How many are reserved, and have nobody.
        reserved: Amount,
        /// How many are cooling down.
        cooling: usize,
        /// When the next one of them is free, from now on.
        free_in: Option<Duration>,
    },
    /// As many cool down as the pool remembers ([`AddressPoolOptions::max_released`](crate::AddressPoolOptions::max_released)).
    #[error("{cooling} addresses are cooling down, as many as the pool remembers: the next one is free in {free_in:?}")]
    Cooling {
        /// How many.
        cooling: usize,
        /// When the next one of them is free, from now on.
        free_in: Duration,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// The number is none of an owner.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

struct Why<'a> {
    reserved: &'a Amount,
    cooling: &'a usize,
    free_in: &'a Option<Duration>,
}

impl core::fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if !self.reserved.is_zero() {
            write!(f, "; {} reserved", self.reserved)?;
        }
        match self.free_in {
            Some(free_in) => write!(f, "; {} cooling down, the next one is free in {free_in:?}", self.cooling),
            None => Ok(()),
        }
    }
}

/// Why an address that was asked for by name is not given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimAddressError<O> {
    /// It is not part of the pool.
    #[error("{address} {reason}")]
    Unusable {
        /// What was asked for.
        address: IpAddr,
        /// Why it is not.
        reason: Unusable,
    },
    /// Somebody has it.
    #[error("{address} is {owner}'s")]
    Taken {
        /// What was asked for.
        address: IpAddr,
        /// Whose it is.
        owner: O,
    },
    /// It was released, and is not its last owner's who asks.
    #[error("{address} is cooling down, and free in {free_in:?}")]
    Cooling {
        /// What was asked for.
        address: IpAddr,
        /// When it is free, from now on.
        free_in: Duration,
    },
    /// As many cool down as the pool remembers ([`AddressPoolOptions::max_released`](crate::AddressPoolOptions::max_released)).
    #[error(
        "{address}: {cooling} others are cooling down, as many as the pool remembers, the next is free in {free_in:?}"
    )]
    TooManyCooling {
        /// What was asked for.
        address: IpAddr,
        /// How many.
        cooling: usize,
        /// When the next one of them is free, from now on.
        free_in: Duration,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// The number is none of an owner.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

/// Why an address can't be released.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseAddressError<O> {
    /// It is not part of the pool.
    #[error("{address} {reason}")]
    Unusable {
        /// What was to be released.
        address: IpAddr,
        /// Why it is not.
        reason: Unusable,
    },
    /// Nobody has it: it was never given, or is released already.
    #[error("{address} is not allocated")]
    NotAllocated {
        /// What was to be released.
        address: IpAddr,
    },
    /// It is somebody else's.
    #[error("{address} is {owner}'s")]
    NotTheirs {
        /// What was to be released.
        address: IpAddr,
        /// Whose it is.
        owner: O,
    },
}
