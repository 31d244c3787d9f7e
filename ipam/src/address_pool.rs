//! Single addresses of a subnet.

mod changes;
mod edit;
mod error;
mod options;
mod released;
mod state;

use alloc::vec::Vec;
use core::{hash::Hash, net::IpAddr, time::Duration};

use self::released::{Entry, Released};
pub use self::{
    changes::AddressPoolChange,
    edit::AddressPoolEdit,
    error::{AllocateAddressError, ClaimAddressError, ReleaseAddressError, Unusable},
    options::AddressPoolOptions,
    state::AddressState,
};
use crate::{
    block::{Block, Family, number},
    choice::{Choice, Chooser},
    error::ConfigError,
    grant::{Grant, seconds},
    owners::{AsOwner, OwnerId, Owners, UnknownOwner},
    prefix_set::{Conflict, Found, Holder, PrefixSet},
    ranges::Ranges,
    space::Space,
};

/// What holds an address of [`AddressPool::untouched`] that was given.
const TOUCHED: Holder = Holder::EXCLUDED;

/// The pool is in too many pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// Hands out the addresses of a subnet, and takes them back.
///
/// Nothing is enumerated: a /64 costs what its grants cost. Ranges are blocks.
///
/// **Cool-down.** A released address is given to nobody before its time is over; then it is free as all others. Addresses that
/// were never given go first, then the one that was released longest ago. Of the addresses that have cooled down the latest
/// [`max_released`](AddressPoolOptions::max_released) are known as given; an older one counts as never given. That bounds the
/// memory also where addresses of a /64 come and go for ever: it is that of the grants, and of as many released addresses,
/// and never of more than there once were grants on top.
///
/// **Sticky addresses.** Who comes again gets the address that was released last of those that were theirs, unless somebody
/// else has it by now; the cool-down does not hold against its own last owner. The latest [`sticky`](AddressPoolOptions::sticky)
/// released addresses are known with their owner, and others get them last.
///
/// **Time** is told with each call, since the Unix epoch. For what cools down it never goes back: an earlier one counts as the
/// latest.
///
/// ```
/// use core::time::Duration;
/// use ipam::{AddressPool, AddressPoolOptions};
///
/// let mut options = AddressPoolOptions::new("192.0.2.0/29".parse()?);
/// options.gateway = Some("192.0.2.1".parse()?);
/// options.cool_down = Duration::from_secs(60);
/// let mut pool = AddressPool::<String>::new(options)?;
///
/// let now = Duration::from_secs(1_700_000_000);
/// assert_eq!(pool.allocate("first", now)?.to_string(), "192.0.2.2");
/// pool.claim("192.0.2.5".parse()?, "second", now)?;
/// let error = pool.claim("192.0.2.1".parse()?, "third", now).unwrap_err();
/// assert_eq!(error.to_string(), "192.0.2.1 is the gateway");
///
/// pool.release("192.0.2.2".parse()?, now)?;
/// assert_eq!(pool.allocate("third", now)?.to_string(), "192.0.2.3");
/// let error = pool.claim("192.0.2.2".parse()?, "third", now).unwrap_err();
/// assert_eq!(error.to_string(), "192.0.2.2 is cooling down, and free in 60s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AddressPool<O> {
    options: AddressPoolOptions,
    space: Space,
    owners: Owners<O>,
    chooser: Chooser,
    /// Free in it is what was never given, or so long ago that it is forgotten. Only where released ones are remembered.
    untouched: Option<PrefixSet>,
    released: Released,
    now: Duration,
}

impl<O: Clone + Eq + Hash> AddressPool<O> {
    /// A pool of which nothing is given yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the options.
    pub fn new(mut options: AddressPoolOptions) -> Result<Self, ConfigError> {
        options.check()?;
        let family = options.family();
        for ranges in [&mut options.ranges, &mut options.excluded, &mut options.reserved] {
            let together: Ranges = ranges.iter().map(crate::AddressRange::numbers).collect();
            *ranges = together.addresses(family).collect();
        }
        let mut pool = Self {
            space: edit::space(&options),
            owners: Owners::new(),
            chooser: Chooser::new(options.choice),
            untouched: None,
            released: Released::default(),
            now: Duration::ZERO,
            options,
        };
        pool.survey();
        Ok(pool)
    }

    /// Finds out what is untouched.
    fn survey(&mut self) {
        self.untouched = self.options.remembers().then(|| {
            let mut untouched = self.space.set.clone();
            for entry in self.released.iter() {
                // Those that cool down are held already.
                let _ = untouched.occupy(Block::single(entry.address), TOUCHED, 0);
            }
            untouched
        });
    }

    /// What the pool was made of, with all edits since.
    #[must_use]
    pub const fn options(&self) -> &AddressPoolOptions {
        &self.options
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.space.family
    }

    /// The latest time that the pool was told.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
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

    /// Forgets an owner that has a number and nothing else. One who has something, or whose last address is remembered, is not
    /// forgotten.
    pub fn forget(&mut self, owner: impl AsOwner<O>) {
        if let Some(holder) = owner.find(&self.owners) {
            self.forget_idle(holder);
        }
    }

    pub(crate) fn forget_idle(&mut self, holder: Holder) {
        if self.space.set.count_of(holder) == 0 && !self.released.is_bound(holder) {
            self.owners.forget(holder);
        }
    }

    /// Tells the pool what time it is: what has cooled down until then is free.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some(&Entry { address, at, .. }) = self.released.next_cooling()
            && at.saturating_add(self.options.cool_down) <= self.now
        {
            self.released.cool();
            let vacated = self.space.set.vacate(Block::single(address));
            debug_assert_eq!(vacated, Ok(Holder::COOLING), "what cools down is marked");
            if self.space.is_reserved(address) {
                // It is given by name only.
                self.space.mark_reserved(Block::single(address));
                self.unremember(address);
            }
            // Each time, so that it does not matter how often the time is told.
            self.trim();
        }
        self.trim();
    }

    /// Forgets what was released longest ago, as much as there is too much of it.
    fn trim(&mut self) {
        while self.released.bound() > self.options.sticky as usize {
            let Some(owner) = self.released.unbind_oldest() else { break };
            self.forget_idle(owner);
        }
        while self.released.len() > self.options.remembered() {
            let Some(&Entry { address, .. }) = self.released.oldest() else { break };
            self.unremember(address);
            if let Some(untouched) = &mut self.untouched {
                let vacated = untouched.vacate(Block::single(address));
                debug_assert!(vacated.is_ok(), "what was given is marked");
            }
        }
    }

    /// Takes an address out of those that were released: it does not cool down any more, and has no last owner.
    fn unremember(&mut self, address: u128) {
        let is_cooling = self.released.is_cooling(address);
        let Some(entry) = self.released.remove(address) else { return };
        if is_cooling {
            let vacated = self.space.set.vacate(Block::single(address));
            debug_assert_eq!(vacated, Ok(Holder::COOLING), "what cools down is marked");
        }
        if let Some(owner) = entry.owner {
            self.forget_idle(owner);
        }
    }

    /// Gives an address: the last one of this owner's that is to be had, else one that was never given, chosen as the options
    /// say, else of those that have cooled down the one that was released longest ago.
    ///
    /// # Errors
    ///
    /// [`AllocateAddressError`]: none is free.
    pub fn allocate(&mut self, owner: impl AsOwner<O>, now: Duration) -> Result<IpAddr, AllocateAddressError> {
        let enrolled = self.prepare(&owner, now)?;
        self.take(enrolled.0, now).inspect_err(|_| self.unenroll(enrolled))
    }

    /// Makes sure that [`Self::take`] gives something to this owner, whose number it is, and whether that is a new one.
    pub(crate) fn prepare(
        &mut self,
        owner: &impl AsOwner<O>,
        now: Duration,
    ) -> Result<(Holder, bool), AllocateAddressError> {
        self.advance(now);
        let enrolled = owner.enroll(&mut self.owners)?;
        let has_one = self.last_of(enrolled.0).is_some();
        let error = match self.too_many_cooling() {
            _ if has_one => return Ok(enrolled),
            Some((cooling, free_in)) => AllocateAddressError::Cooling { cooling, free_in },
            None if self.untouched.as_ref().unwrap_or(&self.space.set).has_free() => {
                return Ok(enrolled);
            }
            None if self.released.oldest().is_some() => return Ok(enrolled),
            None => self.exhausted(),
        };
        self.unenroll(enrolled);
        Err(error)
    }

    /// Forgets an owner whose number is a new one.
    pub(crate) fn unenroll(&mut self, (holder, is_new): (Holder, bool)) {
        if is_new {
            self.forget_idle(holder);
        }
    }

    /// How many cool down and when the first is free, where there are so many that no more are given.
    fn too_many_cooling(&self) -> Option<(usize, Duration)> {
        let cooling = self.released.cooling();
        let next = self.released.next_cooling().filter(|_| cooling >= self.options.remembered())?;
        Some((cooling, self.free_in(next)))
    }

    fn free_in(&self, entry: &Entry) -> Duration {
        entry.at.saturating_add(self.options.cool_down).saturating_sub(self.now)
    }

    fn exhausted(&self) -> AllocateAddressError {
        AllocateAddressError::Exhausted {
            reserved: self.space.set.counts(0).reserved,
            cooling: self.released.cooling(),
            free_in: self.released.next_cooling().map(|entry| self.free_in(entry)),
        }
    }

    /// The last address of this owner's that is to be had without naming it.
    fn last_of(&self, holder: Holder) -> Option<u128> {
        self.released.last_of(holder).find(|&address| !self.space.is_reserved(address))
    }

    /// Gives the address that [`Self::prepare`] has found to be there.
    pub(crate) fn take(&mut self, holder: Holder, now: Duration) -> Result<IpAddr, AllocateAddressError> {
        let address = if let Some(last) = self.last_of(holder) {
            last
        } else if self.untouched.is_none() && self.options.choice == Choice::Lowest {
            let lowest = self.space.set.occupy_lowest(0, holder, seconds(now));
            // There is one, if there are not too many pieces.
            let address = lowest.ok_or(AllocateAddressError::Full)?.base;
            return Ok(self.family().address(address));
        } else {
            let set = self.untouched.as_mut().unwrap_or(&mut self.space.set);
            let chosen = self.chooser.choose(set, 0).map(|block| block.base);
            let oldest = || self.released.oldest().map(|entry| entry.address);
            chosen.or_else(oldest).ok_or_else(|| self.exhausted())?
        };
        self.occupy(address, holder, now).map_err(|Full| AllocateAddressError::Full)?;
        Ok(self.family().address(address))
    }

    /// Has an address that nobody has be somebody's, since then.
    pub(crate) fn occupy(&mut self, address: u128, holder: Holder, since: Duration) -> Result<(), Full> {
        let block = Block::single(address);
        let entry = self.released.remove(address);
        if entry.is_some() {
            // If it cools down.
            let _ = self.space.set.vacate(block);
        }
        let mut occupied = self.space.occupy(block, holder, seconds(since));
        if let (Ok(()), Some(untouched)) = (occupied, &mut self.untouched) {
            occupied = match untouched.occupy(block, TOUCHED, 0) {
                // It was given before, or is reserved.
                Ok(()) | Err(Conflict::Held(_)) => Ok(()),
                Err(full) => self.space.vacate(block).map_or(Err(full), |_| Err(full)),
            };
        }
        if let Some(owner) = entry.and_then(|entry| entry.owner) {
            self.forget_idle(owner);
        }
        occupied.map_err(|conflict| {
            debug_assert_eq!(conflict, Conflict::Full, "nobody has it");
            Full
        })
    }

    /// Gives just this address, also if it is reserved. One that cools down is given only to its last owner, where that is
    /// remembered ([`AddressPoolOptions::sticky`]).
    ///
    /// # Errors
    ///
    /// [`ClaimAddressError`]: it is not part of the pool, or somebody has it, or it cools down.
    pub fn claim(
        &mut self,
        address: IpAddr,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<(), ClaimAddressError<O>> {
        self.claim_as(address, owner, now, false)
    }

    /// Gives just this address as [`Self::claim`] does, also if it cools down.
    ///
    /// # Errors
    ///
    /// As [`Self::claim`], but for those that cool down.
    pub fn claim_cooling(
        &mut self,
        address: IpAddr,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<(), ClaimAddressError<O>> {
        self.claim_as(address, owner, now, true)
    }

    fn claim_as(
        &mut self,
        address: IpAddr,
        owner: impl AsOwner<O>,
        now: Duration,
        also_cooling: bool,
    ) -> Result<(), ClaimAddressError<O>> {
        let enrolled = self.prepare_claim(address, &owner, now, also_cooling)?;
        self.occupy(number(address), enrolled.0, now).map_err(|Full| {
            self.unenroll(enrolled);
            ClaimAddressError::Full
        })
    }

    /// Makes sure that this owner may [`Self::occupy`] the address.
    pub(crate) fn prepare_claim(
        &mut self,
        address: IpAddr,
        owner: &impl AsOwner<O>,
        now: Duration,
        also_cooling: bool,
    ) -> Result<(Holder, bool), ClaimAddressError<O>> {
        self.advance(now);
        self.check_claim(address, owner.find(&self.owners), also_cooling)?;
        if self.released.get(number(address)).is_none()
            && let Some((cooling, free_in)) = self.too_many_cooling()
        {
            return Err(ClaimAddressError::TooManyCooling { address, cooling, free_in });
        }
        Ok(owner.enroll(&mut self.owners)?)
    }

    fn check_claim(
        &self,
        address: IpAddr,
        holder: Option<Holder>,
        also_cooling: bool,
    ) -> Result<(), ClaimAddressError<O>> {
        if let Some(reason) = self.options.unusable(address) {
            return Err(ClaimAddressError::Unusable { address, reason });
        }
        let Found::Held(held) = self.space.set.get(number(address)) else { return Ok(()) };
        if let Some(owner) = self.owners.get(held.holder) {
            return Err(ClaimAddressError::Taken { address, owner: owner.clone() });
        }
        match self.released.get(number(address)) {
            Some(entry) if held.holder == Holder::COOLING && !also_cooling => {
                if holder.is_some() && holder == entry.owner {
                    return Ok(());
                }
                Err(ClaimAddressError::Cooling { address, free_in: self.free_in(entry) })
            }
            _ => Ok(()),
        }
    }

    /// Takes an address back.
    ///
    /// # Errors
    ///
    /// [`ReleaseAddressError`]: nobody has it.
    pub fn release(&mut self, address: IpAddr, now: Duration) -> Result<(), ReleaseAddressError<O>> {
        self.check_release(address)?;
        self.advance(now);
        self.vacate(number(address));
        Ok(())
    }

    /// What somebody has.
    pub(crate) fn check_release(&self, address: IpAddr) -> Result<Grant<'_, O>, ReleaseAddressError<O>> {
        match self.options.unusable(address) {
            Some(reason) => Err(ReleaseAddressError::Unusable { address, reason }),
            None => self.get(address).ok_or(ReleaseAddressError::NotAllocated { address }),
        }
    }

    /// Takes back what somebody has.
    pub(crate) fn vacate(&mut self, address: u128) {
        let (block, cools) = (Block::single(address), !self.options.cool_down.is_zero());
        let vacated = if cools { self.space.set.vacate(block) } else { self.space.vacate(block) };
        let Ok(holder) = vacated else {
            debug_assert!(false, "somebody has it");
            return;
        };
        if cools {
            let marked = self.space.set.occupy(block, Holder::COOLING, seconds(self.now));
            debug_assert_eq!(marked, Ok(()), "it was just freed");
        }
        if self.untouched.is_some() && (cools || !self.space.is_reserved(address)) {
            let owner = (self.options.sticky > 0).then_some(holder);
            self.released.push(Entry { address, at: self.now, owner });
            if !cools {
                self.released.cool();
            }
            self.trim();
        }
        self.forget_idle(holder);
    }

    /// Takes an address back if it is this owner's.
    ///
    /// # Errors
    ///
    /// As [`Self::release`], and [`ReleaseAddressError::NotTheirs`].
    pub fn release_from(
        &mut self,
        address: IpAddr,
        owner: impl AsOwner<O>,
        now: Duration,
    ) -> Result<(), ReleaseAddressError<O>> {
        let grant = self.check_release(address)?;
        if owner.find(&self.owners) != self.owners.number_of(grant.owner) {
            return Err(ReleaseAddressError::NotTheirs { address, owner: grant.owner.clone() });
        }
        self.release(address, now)
    }

    /// Takes back all that an owner has, and says what it was: in order.
    pub fn release_all(&mut self, owner: impl AsOwner<O>, now: Duration) -> Vec<IpAddr> {
        self.advance(now);
        let Some(holder) = owner.find(&self.owners) else { return Vec::new() };
        let held = self.space.set.held_by(holder);
        for held in &held {
            self.vacate(held.block.base);
        }
        held.into_iter().map(|held| self.family().address(held.block.base)).collect()
    }
}

#[cfg(test)]
mod tests;
