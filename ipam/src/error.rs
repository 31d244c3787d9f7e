//! What can be wrong, with the names of the things.

use core::net::IpAddr;

use ipnet::IpNet;

use crate::{block::Family, owners::UnknownOwner, range::AddressRange};

/// Why a pool can't be as it is described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A pool needs a prefix.
    #[error("a pool needs at least one prefix")]
    NoPrefix,
    /// A pool has addresses of one family.
    #[error("{found} is not of the family of {first}")]
    Families {
        /// The pool's first prefix.
        first: IpNet,
        /// The first address that is not of its family.
        found: IpAddr,
    },
    /// A pool of two families has one subnet of each.
    #[error("{subnet} is no {family} subnet")]
    Family {
        /// The subnet.
        subnet: IpNet,
        /// What it has to be.
        family: Family,
    },
    /// There are bits set behind the prefix length.
    #[error("{given} has bits set behind its prefix length: {prefix} is meant?")]
    HostBits {
        /// As it was given.
        given: IpNet,
        /// The prefix without these bits.
        prefix: IpNet,
    },
    /// Two prefixes of the pool overlap.
    #[error("{prefix} overlaps with {with}")]
    Overlap {
        /// The later of the two.
        prefix: IpNet,
        /// The one that was there.
        with: IpNet,
    },
    /// The shortest length is longer than the longest, or the longest longer than an address.
    #[error(
        "subnets of /{shortest} to /{longest} can't be: the shortest has to come first, and /{width} is the longest"
    )]
    Lengths {
        /// The shortest prefix length.
        shortest: u8,
        /// The longest prefix length.
        longest: u8,
        /// How many bits an address has.
        width: u8,
    },
    /// Something that has to be within the pool is not.
    #[error("{range} is not within the pool: {outside} is in none of its prefixes")]
    Outside {
        /// What was given.
        range: AddressRange,
        /// Its first address outside.
        outside: IpAddr,
    },
    /// A pool without ranges has the whole subnet.
    #[error("all of {subnet} is in range already")]
    AllInRange {
        /// The pool's subnet.
        subnet: IpNet,
    },
    /// A pool with ranges needs one.
    #[error("nothing of {subnet} would be left in a range")]
    NoRange {
        /// The pool's subnet.
        subnet: IpNet,
    },
    /// A pool grows to a subnet that has the one before, or shrinks to one within it.
    #[error("{subnet} neither has {old} nor is within it")]
    Unrelated {
        /// The new subnet.
        subnet: IpNet,
        /// The one before.
        old: IpNet,
    },
    /// A network in Flannel's sense is too small to be cut up.
    #[error("{network} is too small: the smallest useful network is a /{longest}")]
    TooSmall {
        /// The network.
        network: IpNet,
        /// The longest prefix length it may have.
        longest: u8,
    },
    /// Flannel's subnets are not larger than its network.
    #[error("subnets of /{length} are larger than their network {network}")]
    TooLarge {
        /// The network.
        network: IpNet,
        /// The prefix length of the subnets.
        length: u8,
    },
    /// Flannel's `SubnetMin` and `SubnetMax` are the first addresses of subnets.
    #[error("{address} is not the first address of a /{length}: {subnet} is meant?")]
    Boundary {
        /// As it was given.
        address: IpAddr,
        /// The prefix length of the subnets.
        length: u8,
        /// The subnet that it is in.
        subnet: IpNet,
    },
    /// `SubnetMin` is behind `SubnetMax`.
    #[error("the lowest subnet, {min}, is behind the highest, {max}")]
    Window {
        /// The lowest.
        min: IpAddr,
        /// The highest.
        max: IpAddr,
    },
}

/// Why nothing is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The pool does not give subnets of this length.
    #[error("the pool gives subnets of /{shortest} to /{longest}, not of /{length}")]
    Length {
        /// The length asked for.
        length: u8,
        /// The shortest length that the pool gives.
        shortest: u8,
        /// The longest length that the pool gives.
        longest: u8,
    },
    /// Nothing is free that is large enough.
    #[error("no /{length} is free{}", Largest(*largest_free))]
    Exhausted {
        /// The length asked for.
        length: u8,
        /// The length of the largest free prefix; `None` where nothing at all is free.
        largest_free: Option<u8>,
    },
    /// Less are free than were asked for at once.
    #[error("there are no {count} free /{length}{}", Largest(*largest_free))]
    TooFew {
        /// The length asked for.
        length: u8,
        /// How many of it.
        count: usize,
        /// The length of the largest free prefix; `None` where nothing at all is free.
        largest_free: Option<u8>,
    },
    /// The number is none of an owner.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
}

struct Largest(Option<u8>);

impl core::fmt::Display for Largest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(length) => write!(f, ": the largest free prefix is a /{length}"),
            None => f.write_str(": nothing is free at all"),
        }
    }
}

/// Why what was asked for by name is not given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError<O> {
    /// The pool does not give subnets of this length.
    #[error("{prefix}: the pool gives subnets of /{shortest} to /{longest}")]
    Length {
        /// What was asked for.
        prefix: IpNet,
        /// The shortest length that the pool gives.
        shortest: u8,
        /// The longest length that the pool gives.
        longest: u8,
    },
    /// There are bits set behind the prefix length.
    #[error("{given} has bits set behind its prefix length: {prefix} is meant?")]
    HostBits {
        /// As it was given.
        given: IpNet,
        /// The prefix without these bits.
        prefix: IpNet,
    },
    /// It is not within the pool's prefixes.
    #[error("{prefix} is not within the pool")]
    Outside {
        /// What was asked for.
        prefix: IpNet,
    },
    /// It is excluded from the pool.
    #[error("{prefix} overlaps with {with}, which is excluded from the pool")]
    Excluded {
        /// What was asked for.
        prefix: IpNet,
        /// The excluded prefix.
        with: IpNet,
    },
    /// Somebody has it, or a part of it, or more than it.
    #[error("{prefix} overlaps with {with}, which is {owner}'s")]
    Overlap {
        /// What was asked for.
        prefix: IpNet,
        /// What somebody has: the lowest one of several.
        with: IpNet,
        /// Whose it is.
        owner: O,
    },
    /// The number is none of an owner.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
}

/// Why something can't be released.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError<O> {
    /// There are bits set behind the prefix length.
    #[error("{given} has bits set behind its prefix length: {prefix} is meant?")]
    HostBits {
        /// As it was given.
        given: IpNet,
        /// The prefix without these bits.
        prefix: IpNet,
    },
    /// It is not within the pool's prefixes.
    #[error("{prefix} is not within the pool")]
    Outside {
        /// What was to be released.
        prefix: IpNet,
    },
    /// Nobody has it: it was never given, or is released already.
    #[error("{prefix} is not allocated")]
    NotAllocated {
        /// What was to be released.
        prefix: IpNet,
    },
    /// It is not what was given: that is larger, or smaller.
    #[error("{prefix} was not given as such: {with} is {owner}'s")]
    Differs {
        /// What was to be released.
        prefix: IpNet,
        /// What somebody has.
        with: IpNet,
        /// Whose it is.
        owner: O,
    },
    /// It is somebody else's.
    #[error("{prefix} is {owner}'s")]
    NotTheirs {
        /// What was to be released.
        prefix: IpNet,
        /// Whose it is.
        owner: O,
    },
}

/// Why a pool can't be changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError<O> {
    /// The pool would not be one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The pool has no such prefix.
    #[error("{prefix} is no prefix of the pool")]
    NoSuchPrefix {
        /// What was given.
        prefix: IpNet,
    },
    /// What somebody has would be outside of the pool.
    #[error("{}, which is {owner}'s, would be outside of the pool{}", Short(*grant), Others(*others))]
    Orphans {
        /// What somebody has: the lowest one of several.
        grant: IpNet,
        /// Whose it is.
        owner: O,
        /// How many more there are.
        others: usize,
    },
}

/// A prefix; one of a single address as that address.
pub(crate) struct Short(pub(crate) IpNet);

impl core::fmt::Display for Short {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Why a change that was written down can't be done again: it is not one of this state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The first change has to be the one that says what the pool is made of.
    #[error("there is no pool yet")]
    NotCreated,
    /// Another one says what the pool is made of.
    #[error("the pool is there already")]
    Created,
    /// The pool would not be one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is given, and not part of the pool.
    #[error("{} is given, and not part of the pool", Short(*prefix))]
    Outside {
        /// What is given.
        prefix: IpNet,
    },
    /// It is given while somebody has it, or a part of it, or more than it.
    #[error("{} is given while somebody has {}", Short(*prefix), Short(*with))]
    Taken {
        /// What is given.
        prefix: IpNet,
        /// What somebody has.
        with: IpNet,
    },
    /// It is released, and nobody has it.
    #[error("{} is released, and nobody has it", Short(*prefix))]
    NotAllocated {
        /// What is released.
        prefix: IpNet,
    },
    /// It is said to have been released before, in a pool that would not know.
    #[error("{} is remembered as released, and can't be", Short(*prefix))]
    Remembered {
        /// What was released.
        prefix: IpNet,
    },
    /// The pool is changed, and somebody has something that is outside of it then.
    #[error("{} is outside of the changed pool, and somebody has it", Short(*prefix))]
    Orphan {
        /// What somebody has.
        prefix: IpNet,
    },
    /// The pool is changed, and has no such prefix.
    #[error("{prefix} is no prefix of the pool")]
    NoSuchPrefix {
        /// The prefix.
        prefix: IpNet,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// There are more owners than numbers for them.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

impl<O> From<ChangeError<O>> for ApplyError {
    fn from(error: ChangeError<O>) -> Self {
        match error {
            ChangeError::Config(error) => Self::Config(error),
            ChangeError::NoSuchPrefix { prefix } => Self::NoSuchPrefix { prefix },
            ChangeError::Orphans { grant, .. } => Self::Orphan { prefix: grant },
        }
    }
}

struct Others(usize);

impl core::fmt::Display for Others {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}
