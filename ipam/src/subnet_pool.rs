//! Subnets of any length out of one or several prefixes.

mod changes;
mod flannel;
mod options;

use alloc::vec::Vec;
use core::{hash::Hash, iter, net::IpAddr, time::Duration};

use ipnet::IpNet;

pub use self::{changes::SubnetPoolChange, flannel::FlannelNetwork, options::SubnetPoolOptions};
use crate::{
    block::{Block, Family, number},
    choice::{Choice, Chooser},
    error::{AllocateError, ChangeError, ClaimError, ConfigError, ReleaseError},
    grant::{Grant, seconds},
    owners::{AsOwner, OwnerId, Owners, UnknownOwner},
    prefix_set::{Conflict, Found, Held, Holder},
    range::AddressRange,
    space::Space,
    usage::Usage,
};

/// Hands out subnets of any length out of one or several prefixes, and takes them back.
///
/// Nothing is enumerated: a pool costs what its grants cost, whether it is a /28 or `::/0`. Free neighbours are one free
/// prefix again at once, but for those of two prefixes that were given apart.
///
/// ```
/// use core::time::Duration;
/// use ipam::{SubnetPool, SubnetPoolOptions};
///
/// let mut pool = SubnetPool::<String>::new(SubnetPoolOptions::new(["10.0.0.0/8".parse()?]))?;
/// let now = Duration::from_secs(1_700_000_000); // since the Unix epoch
/// assert_eq!(pool.allocate(24, "first", now)?.to_string(), "10.0.0.0/24");
/// assert_eq!(pool.allocate(16, "second", now)?.to_string(), "10.1.0.0/16");
/// pool.claim("10.0.1.0/24".parse()?, "third", now)?;
///
/// let error = pool.claim("10.0.0.0/23".parse()?, "fourth", now).unwrap_err();
/// assert_eq!(error.to_string(), "10.0.0.0/23 overlaps with 10.0.0.0/24, which is first's");
///
/// pool.release("10.0.0.0/24".parse()?)?;
/// let error = pool.release("10.0.0.0/24".parse()?).unwrap_err();
/// assert_eq!(error.to_string(), "10.0.0.0/24 is not allocated");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SubnetPool<O> {
    options: SubnetPoolOptions,
    space: Space,
    owners: Owners<O>,
    chooser: Chooser,
}

impl<O: Clone + Eq + Hash> SubnetPool<O> {
    /// A pool in which nothing is given yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the options.
    pub fn new(options: SubnetPoolOptions) -> Result<Self, ConfigError> {
        let space = options.space()?;
        let chooser = Chooser::new(options.choice);
        Ok(Self { options, space, owners: Owners::new(), chooser })
    }

    /// What the pool was made of, with all changes since.
    #[must_use]
    pub const fn options(&self) -> &SubnetPoolOptions {
        &self.options
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.space.family
    }

    /// Makes sure that the owner has a number, for many calls with the same one.
    ///
    /// # Errors
    ///
    /// There are numbers for four billion owners.
    pub fn enroll(&mut self, owner: impl AsOwner<O>) -> Result<OwnerId, UnknownOwner> {
        let (holder, _) = owner.enroll(&mut self.owners)?;
        Ok(self.owners.id(holder))
    }

    /// Forgets an owner that has a number and nothing else. One who has something is not forgotten.
    pub fn forget(&mut self, owner: impl AsOwner<O>) {
        if let Some(holder) = owner.find(&self.owners) {
            self.forget_without_grants(holder);
        }
    }

    fn forget_without_grants(&mut self, holder: Holder) {
        if self.space.set.count_of(holder) == 0 {
            self.owners.forget(holder);
        }
    }

    /// Gives a free subnet of this prefix length, chosen as the options say. `now` is the time since the Unix epoch; of it
    /// the whole seconds are kept.
    ///
    /// # Errors
    ///
    /// [`AllocateError`]: the length is none that the pool gives, or nothing of it is free.
    #[inline]
    pub fn allocate(&mut self, length: u8, owner: impl AsOwner<O>, now: Duration) -> Result<IpNet, AllocateError> {
        self.check_length(length)?;
        let order = self.family().width() - length;
        let (holder, is_new) = owner.enroll(&mut self.owners)?;
        let given = if self.options.choice == Choice::Lowest {
            self.space.set.occupy_lowest(order, holder, seconds(now))
        } else {
            self.chooser
                .choose(&mut self.space.set, order)
                .filter(|&block| self.space.set.occupy(block, holder, seconds(now)).is_ok())
        };
        if let Some(block) = given {
            return Ok(self.family().prefix(block));
        }
        if is_new {
            self.owners.forget(holder);
        }
        Err(self.exhausted(length))
    }

    /// Gives `count` free subnets of this prefix length, or none at all.
    ///
    /// # Errors
    ///
    /// As [`Self::allocate`].
    pub fn allocate_many(
        &mut self,
        length: u8,
        count: usize,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<Vec<IpNet>, AllocateError> {
        let (holder, is_new) = owner.enroll(&mut self.owners)?;
        let (id, chooser) = (self.owners.id(holder), self.chooser.clone());
        let mut given = Vec::new();
        let mut refused = self.check_length(length).err();
        while refused.is_none() && given.len() < count {
            match self.allocate(length, id, now) {
                Ok(prefix) => given.push(prefix),
                Err(error) => refused = Some(error),
            }
        }
        if refused.is_some() {
            for prefix in given.drain(..) {
                let vacated = self.space.vacate(Block::of(prefix));
                debug_assert_eq!(vacated, Ok(holder), "what was just given can be taken back");
            }
            self.chooser = chooser;
        }
        if is_new && given.is_empty() {
            self.owners.forget(holder);
        }
        match refused {
            None => Ok(given),
            Some(AllocateError::Exhausted { .. }) => {
                Err(AllocateError::TooFew { length, count, largest_free: self.largest_free() })
            }
            Some(error) => Err(error),
        }
    }

    /// The length of the largest free prefix.
    fn largest_free(&self) -> Option<u8> {
        self.space.set.largest_free().map(|order| self.family().width() - order)
    }

    /// The shortest and the longest prefix length that the pool gives.
    #[inline]
    fn lengths(&self) -> (u8, u8) {
        (self.options.shortest, self.options.longest.unwrap_or(self.family().width()))
    }

    #[inline]
    fn check_length(&self, length: u8) -> Result<(), AllocateError> {
        let (shortest, longest) = self.lengths();
        let is_given = (shortest..=longest).contains(&length);
        if is_given { Ok(()) } else { Err(AllocateError::Length { length, shortest, longest }) }
    }

    fn exhausted(&self, length: u8) -> AllocateError {
        let largest_free = self.largest_free();
        // There are numbers for all pieces, but for very many.
        if largest_free.is_some_and(|largest| largest <= length) {
            return AllocateError::Full;
        }
        AllocateError::Exhausted { length, largest_free }
    }

    /// Gives just this subnet, also if it is reserved.
    ///
    /// # Errors
    ///
    /// [`ClaimError`]: it is not within the pool, or it overlaps with what somebody has.
    pub fn claim(&mut self, prefix: IpNet, owner: impl AsOwner<O>, now: Duration) -> Result<(), ClaimError<O>> {
        self.check(prefix)?;
        let (holder, is_new) = owner.enroll(&mut self.owners)?;
        let block = Block::of(prefix);
        self.space.occupy(block, holder, seconds(now)).map_err(|conflict| {
            if is_new {
                self.owners.forget(holder);
            }
            match conflict {
                Conflict::Outside => ClaimError::Outside { prefix },
                Conflict::Full => ClaimError::Full,
                Conflict::Held(held) => self.overlap(prefix, held),
            }
        })
    }

    /// Whether the prefix is one that the pool could give.
    fn check(&self, prefix: IpNet) -> Result<(), ClaimError<O>> {
        if prefix.trunc() != prefix {
            return Err(ClaimError::HostBits { given: prefix, prefix: prefix.trunc() });
        }
        if Family::of(prefix.addr()) != self.family() {
            return Err(ClaimError::Outside { prefix });
        }
        let (shortest, longest) = self.lengths();
        let is_given = (shortest..=longest).contains(&prefix.prefix_len());
        if is_given { Ok(()) } else { Err(ClaimError::Length { prefix, shortest, longest }) }
    }

    fn overlap(&self, prefix: IpNet, held: Held) -> ClaimError<O> {
        let with = self.family().prefix(held.block);
        match self.owners.get(held.holder) {
            Some(owner) => ClaimError::Overlap { prefix, with, owner: owner.clone() },
            None => ClaimError::Excluded { prefix, with },
        }
    }

    /// Takes a subnet back.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`]: nobody has it, or not as such.
    #[inline]
    pub fn release(&mut self, prefix: IpNet) -> Result<(), ReleaseError<O>> {
        if Family::of(prefix.addr()) != self.family() {
            return Err(ReleaseError::Outside { prefix });
        }
        let Some(block) = Block::exact(prefix) else {
            return Err(ReleaseError::HostBits { given: prefix, prefix: prefix.trunc() });
        };
        match self.space.vacate(block) {
            Ok(holder) => self.forget_without_grants(holder),
            Err(found) => return Err(self.not_released(prefix, found)),
        }
        Ok(())
    }

    fn not_released(&self, prefix: IpNet, found: Found) -> ReleaseError<O> {
        let inside = |held: Held| {
            let owner = self.owners.get(held.holder)?;
            Some(ReleaseError::Differs { prefix, with: self.family().prefix(held.block), owner: owner.clone() })
        };
        if found == Found::Outside {
            return ReleaseError::Outside { prefix };
        }
        // A larger one, or smaller ones, may have been given.
        let block = Block::of(prefix);
        let mut within = self.space.held_within(block.base, block.last()).filter(|held| held.block != block);
        within.find_map(inside).unwrap_or(ReleaseError::NotAllocated { prefix })
    }

    /// Takes a subnet back if it is this owner's.
    ///
    /// # Errors
    ///
    /// As [`Self::release`], and [`ReleaseError::NotTheirs`].
    pub fn release_from(&mut self, prefix: IpNet, owner: impl AsOwner<O>) -> Result<(), ReleaseError<O>> {
        if let Some(grant) = self.get(prefix.addr())
            && grant.prefix == prefix
            && owner.find(&self.owners) != self.owners.number_of(grant.owner)
        {
            return Err(ReleaseError::NotTheirs { prefix, owner: grant.owner.clone() });
        }
        self.release(prefix)
    }

    /// Takes back all that an owner has, and says what it was: in order.
    pub fn release_all(&mut self, owner: impl AsOwner<O>) -> Vec<IpNet> {
        let Some(holder) = owner.find(&self.owners) else { return Vec::new() };
        let held = self.space.set.held_by(holder);
        for held in &held {
            let vacated = self.space.vacate(held.block);
            debug_assert_eq!(vacated, Ok(holder), "what somebody has can be taken back");
        }
        self.owners.forget(holder);
        held.into_iter().map(|held| self.family().prefix(held.block)).collect()
    }

    /// What was given and has this address.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<Grant<'_, O>> {
        if Family::of(address) != self.family() {
            return None;
        }
        match self.space.set.get(number(address)) {
            Found::Held(held) => self.grant(held),
            _ => None,
        }
    }

    fn grant(&self, held: Held) -> Option<Grant<'_, O>> {
        let owner = self.owners.get(held.holder)?;
        Some(Grant { prefix: self.family().prefix(held.block), owner, since: Duration::from_secs(held.since.into()) })
    }

    /// All that was given, in the order of the addresses.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_, O>> {
        self.space.held_within(0, u128::MAX).filter_map(|held| self.grant(held))
    }

    /// What this owner has, in the order of the addresses.
    pub fn grants_of(&self, owner: impl AsOwner<O>) -> impl Iterator<Item = Grant<'_, O>> {
        let holder = owner.find(&self.owners);
        let held = holder.into_iter().flat_map(|holder| self.space.set.held_by(holder));
        held.filter_map(|held| self.grant(held))
    }

    /// Sets a range aside: of it only what is claimed is given. What somebody has of it stays theirs, and is reserved once
    /// it is released.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Families`], [`ConfigError::Outside`].
    pub fn reserve(&mut self, range: AddressRange) -> Result<(), ConfigError> {
        let (first, last) = self.options.check_range(&self.space, range)?;
        self.space.reserve(first, last);
        self.options.reserved = self.space.reserved().collect();
        Ok(())
    }

    /// Has a range that was set aside, or a part of one, to be had again. What is not reserved of it stays as it is.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Families`], [`ConfigError::Outside`].
    pub fn unreserve(&mut self, range: AddressRange) -> Result<(), ConfigError> {
        let (first, last) = self.options.check_range(&self.space, range)?;
        self.space.unreserve(first, last);
        self.options.reserved = self.space.reserved().collect();
        Ok(())
    }

    /// Adds a prefix. With a window of subnets ([`SubnetPoolOptions::window`]) what lies outside of it is not given.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is of the other family, or overlaps with one that is there.
    pub fn add_prefix(&mut self, prefix: IpNet) -> Result<(), ConfigError> {
        self.options.add_prefix(&mut self.space, prefix)?;
        self.options.prefixes.push(prefix);
        Ok(())
    }

    /// What would be outside of the pool without this prefix, in order: what [`Self::remove_prefix`] would refuse for.
    pub fn orphans(&self, prefix: IpNet) -> impl Iterator<Item = Grant<'_, O>> {
        let block = Block::of(prefix);
        let is_ours = self.options.prefixes.contains(&prefix);
        let held = is_ours.then(|| self.space.held_within(block.base, block.last()));
        held.into_iter().flatten().filter_map(|held| self.grant(held))
    }

    /// Takes a prefix of the pool away of which nothing is given.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: the pool has no such prefix, it is the last, or somebody has something of it.
    pub fn remove_prefix(&mut self, prefix: IpNet) -> Result<(), ChangeError<O>> {
        let Some(at) = self.options.prefixes.iter().position(|&other| other == prefix) else {
            return Err(ChangeError::NoSuchPrefix { prefix });
        };
        if self.options.prefixes.len() == 1 {
            return Err(ConfigError::NoPrefix.into());
        }
        let mut orphans = self.orphans(prefix);
        if let Some(Grant { prefix: grant, owner, .. }) = orphans.next() {
            return Err(ChangeError::Orphans { grant, owner: owner.clone(), others: orphans.count() });
        }
        drop(orphans);
        let block = Block::of(prefix);
        self.space.unreserve(block.base, block.last());
        self.space.clear(block, Holder::EXCLUDED);
        let removed = self.space.set.remove_root(block);
        debug_assert_eq!(removed, Ok(()), "nothing is held in it");
        self.options.prefixes.remove(at);
        self.options.reserved = self.space.reserved().collect();
        Ok(())
    }

    /// How full the pool is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let roots = 0..self.space.set.roots().len();
        Usage::new(roots.map(|root| self.space.set.counts(root)), self.family().width())
    }

    /// How full each prefix of the pool is, in order.
    pub fn usage_by_prefix(&self) -> impl Iterator<Item = (IpNet, Usage)> {
        self.space.set.roots().enumerate().map(|(at, root)| {
            let usage = Usage::new(iter::once(self.space.set.counts(at)), self.family().width());
            (self.family().prefix(root), usage)
        })
    }
}

#[cfg(test)]
mod tests;
