//! Pools that change while addresses of them are given.

use alloc::vec::Vec;
use core::{hash::Hash, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{AddressPool, AddressPoolOptions};
use crate::{
    block::Block,
    error::{ChangeError, ConfigError},
    grant::Grant,
    prefix_set::Holder,
    range::{self, AddressRange},
    ranges::Ranges,
    space::{self, Space},
};

/// What can be changed of an [`AddressPool`] in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AddressPoolEdit {
    /// Addresses of this range are part of the pool, too. A pool without ranges has all already.
    AddRange(AddressRange),
    /// Addresses of this range are no more part of the pool; at least one address has to be left in a range.
    RemoveRange(AddressRange),
    /// These are no more part of the pool.
    Exclude(AddressRange),
    /// These are excluded no more. What is not excluded of them stays as it is.
    Include(AddressRange),
    /// These are given only to who asks by name. What somebody has of them stays theirs.
    Reserve(AddressRange),
    /// These are to be had again. What is not reserved of them stays as it is.
    Unreserve(AddressRange),
    /// The pool grows to a subnet that has the one before, or shrinks to one within it. What lies outside of ranges, of what is
    /// excluded and what is reserved is cut off.
    Subnet(IpNet),
    /// The gateway is this one, or there is none.
    Gateway(Option<IpAddr>),
    /// For how long a released address is given to nobody but its last owner. It holds for those released before, too, but for
    /// those that were free already.
    CoolDown(#[cfg_attr(feature = "serde", serde(with = "crate::seconds"))] Duration),
    /// Of how many released addresses the last owner is remembered.
    Sticky(u32),
}

impl AddressPoolOptions {
    /// The options after an edit.
    fn edited(&self, edit: AddressPoolEdit) -> Result<Self, ConfigError> {
        let mut new = self.clone();
        let family = self.family();
        let with = |ranges: &mut Vec<AddressRange>, range| {
            let (first, last) = self.check_range(range)?;
            let mut together: Ranges = ranges.iter().map(AddressRange::numbers).collect();
            together.insert(first, last);
            *ranges = together.addresses(family).collect();
            Ok(())
        };
        let without = |ranges: &mut Vec<AddressRange>, all: Ranges, range| {
            let (first, last) = self.check_range(range)?;
            let mut left = all;
            left.remove(first, last);
            *ranges = left.addresses(family).collect();
            Ok(())
        };
        let all = |ranges: &[AddressRange]| ranges.iter().map(AddressRange::numbers).collect();
        match edit {
            AddressPoolEdit::AddRange(_) if self.ranges.is_empty() => {
                return Err(ConfigError::AllInRange { subnet: self.subnet });
            }
            AddressPoolEdit::AddRange(range) => with(&mut new.ranges, range)?,
            AddressPoolEdit::RemoveRange(range) => {
                without(&mut new.ranges, self.in_ranges(), range)?;
                if new.ranges.is_empty() {
                    return Err(ConfigError::NoRange { subnet: self.subnet });
                }
            }
            AddressPoolEdit::Exclude(range) => with(&mut new.excluded, range)?,
            AddressPoolEdit::Include(range) => without(&mut new.excluded, all(&self.excluded), range)?,
            AddressPoolEdit::Reserve(range) => with(&mut new.reserved, range)?,
            AddressPoolEdit::Unreserve(range) => without(&mut new.reserved, all(&self.reserved), range)?,
            AddressPoolEdit::Subnet(subnet) => new.move_to(subnet)?,
            AddressPoolEdit::Gateway(gateway) => {
                new.gateway = gateway;
                new.check()?;
            }
            AddressPoolEdit::CoolDown(cool_down) => new.cool_down = cool_down,
            AddressPoolEdit::Sticky(sticky) => new.sticky = sticky,
        }
        Ok(new)
    }

    /// Grows or shrinks, and cuts off what is outside then.
    fn move_to(&mut self, subnet: IpNet) -> Result<(), ConfigError> {
        let old = self.subnet;
        if subnet.trunc() != subnet {
            return Err(ConfigError::HostBits { given: subnet, prefix: subnet.trunc() });
        }
        if !old.contains(&subnet) && !subnet.contains(&old) {
            return Err(ConfigError::Unrelated { subnet, old });
        }
        let (all, family, had_ranges) = (Block::of(subnet), self.family(), !self.ranges.is_empty());
        for ranges in [&mut self.ranges, &mut self.excluded, &mut self.reserved] {
            let together: Ranges = ranges.iter().map(AddressRange::numbers).collect();
            *ranges = together.cut(all.base, all.last()).addresses(family).collect();
        }
        self.subnet = subnet;
        if had_ranges && self.ranges.is_empty() {
            return Err(ConfigError::NoRange { subnet });
        }
        self.check()
    }
}

/// What of a subnet is not part of a pool.
fn unusable(options: &AddressPoolOptions) -> Ranges {
    let all = Block::of(options.subnet);
    Ranges::from_iter([(all.base, all.last())]).without(&options.usable())
}

/// The space of a pool in which nothing is given.
pub(super) fn space(options: &AddressPoolOptions) -> Space {
    let mut space = Space::new(options.family(), 0);
    let added = space.set.add_root(Block::of(options.subnet));
    debug_assert_eq!(added, Ok(()), "it is the only one");
    for (first, last) in unusable(options).iter() {
        // All is free.
        let _ = space::mark(&mut space.set, first, last, Holder::EXCLUDED);
    }
    for (first, last) in options.reserved.iter().map(AddressRange::numbers) {
        space.reserve(first, last);
    }
    space
}

impl<O: Clone + Eq + Hash> AddressPool<O> {
    /// What somebody has and would not be part of the pool any more: what [`Self::edit`] would refuse for, in order.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: there can be no such pool at all.
    pub fn plan(&self, edit: AddressPoolEdit) -> Result<impl Iterator<Item = Grant<'_, O>>, ConfigError> {
        Ok(self.orphans(&self.options.edited(edit)?))
    }

    fn orphans(&self, new: &AddressPoolOptions) -> impl Iterator<Item = Grant<'_, O>> + use<'_, O> {
        let lost: Vec<_> = self.options.usable().without(&new.usable()).iter().collect();
        lost.into_iter().flat_map(|(first, last)| self.grants_within(first, last))
    }

    /// Changes the pool; all of the edit is done or nothing.
    ///
    /// What was released and is not part of the pool any more is forgotten.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: there can be no such pool, or somebody has an address that would not be part of it.
    pub fn edit(&mut self, edit: AddressPoolEdit) -> Result<(), ChangeError<O>> {
        let new = self.options.edited(edit)?;
        let mut orphans = self.orphans(&new);
        if let Some(Grant { prefix: grant, owner, .. }) = orphans.next() {
            return Err(ChangeError::Orphans { grant, owner: owner.clone(), others: orphans.count() });
        }
        drop(orphans);
        self.become_as(new);
        Ok(())
    }

    /// Has the pool be as these options say, which orphan nothing.
    fn become_as(&mut self, new: AddressPoolOptions) {
        let (old, usable) = (self.options.usable(), new.usable());
        let (lost, gained) = (old.clone().without(&usable), usable.without(&old));
        let reserved = |options: &AddressPoolOptions| options.reserved.iter().map(AddressRange::numbers).collect();
        let (before, after): (Ranges, Ranges) = (reserved(&self.options), reserved(&new));
        for (first, last) in lost.iter() {
            while let Some(address) = self.released.first_within(first, last) {
                self.unremember(address);
            }
        }
        if new.subnet == self.options.subnet {
            for (first, last) in lost.iter() {
                for block in range::blocks(first, last) {
                    self.space.clear(block, Holder::RESERVED);
                }
                // Nobody has anything of it.
                let _ = space::mark(&mut self.space.set, first, last, Holder::EXCLUDED);
            }
            for (first, last) in gained.iter() {
                for block in range::blocks(first, last) {
                    self.space.clear(block, Holder::EXCLUDED);
                    self.space.mark_reserved(block);
                }
            }
            for (first, last) in before.clone().without(&after).iter() {
                self.space.unreserve(first, last);
            }
            for (first, last) in after.without(&before).iter() {
                self.space.reserve(first, last);
                // What has cooled down is given by name only from now on; what has not, too, once it has.
                for address in self.released.cooled_within(first, last) {
                    self.unremember(address);
                }
            }
        } else {
            let mut space = space(&AddressPoolOptions { reserved: Vec::new(), ..new.clone() });
            for held in self.space.held_within(0, u128::MAX) {
                if !held.holder.is_mark() || held.holder == Holder::COOLING {
                    let occupied = space.set.occupy(held.block, held.holder, held.since);
                    debug_assert_eq!(occupied, Ok(()), "nothing is orphaned");
                }
            }
            for (first, last) in after.iter() {
                space.reserve(first, last);
            }
            self.space = space;
        }
        self.options = new;
        self.advance(self.now);
        self.survey();
    }

    /// Has a range be part of the pool, too.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is not within the subnet, or all of the subnet is in range already.
    pub fn add_range(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::AddRange(range))
    }

    /// Has a range be no more part of the pool.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: somebody has something of it, it is not within the subnet, or nothing would be left.
    pub fn remove_range(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::RemoveRange(range))
    }

    /// Excludes a range from the pool.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: somebody has something of it, or it is not within the subnet.
    pub fn exclude(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Exclude(range))
    }

    /// Excludes a range no more.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is not within the subnet.
    pub fn include(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Include(range))
    }

    /// Sets a range aside: of it only what is claimed is given. What somebody has of it stays theirs, and is reserved once it is
    /// released.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is not within the subnet.
    pub fn reserve(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Reserve(range))
    }

    /// Has a range that was set aside, or a part of one, to be had again.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: it is not within the subnet.
    pub fn unreserve(&mut self, range: AddressRange) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Unreserve(range))
    }

    /// Grows or shrinks the pool. The new subnet has the old one, or is within it.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: it is neither, the gateway would be outside, no range would be left, or somebody has an address that would
    /// not be part of it.
    pub fn set_subnet(&mut self, subnet: IpNet) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Subnet(subnet))
    }

    /// Has another gateway, or none.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: somebody has this address, or it is not within the subnet.
    pub fn set_gateway(&mut self, gateway: Option<IpAddr>) -> Result<(), ChangeError<O>> {
        self.edit(AddressPoolEdit::Gateway(gateway))
    }
}
