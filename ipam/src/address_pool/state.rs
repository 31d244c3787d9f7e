//! What is with the addresses of a pool.

use core::{hash::Hash, iter, net::IpAddr, time::Duration};

use super::{AddressPool, Unusable};
use crate::{
    block::{Family, number},
    grant::Grant,
    owners::AsOwner,
    prefix_set::{Found, Held},
    usage::Usage,
};

/// What is with an address of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AddressState<'a, O> {
    /// It is not part of the pool.
    Unusable(Unusable),
    /// It is to be had.
    Free,
    /// Nobody has it; who asks for it by name gets it.
    Reserved,
    /// It was released.
    Cooling {
        /// When it is free, since the Unix epoch.
        until: Duration,
        /// Whose it was, where that is remembered.
        owner: Option<&'a O>,
    },
    /// Somebody has it.
    Allocated {
        /// Whose it is.
        owner: &'a O,
        /// When it was given: whole seconds since the Unix epoch.
        since: Duration,
    },
}

impl<O: Clone + Eq + Hash> AddressPool<O> {
    /// Who has this address, and since when.
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

    /// What is with this address, as of [`Self::now`].
    #[must_use]
    pub fn state(&self, address: IpAddr) -> AddressState<'_, O> {
        if let Some(reason) = self.options.unusable(address) {
            return AddressState::Unusable(reason);
        }
        let Found::Held(held) = self.space.set.get(number(address)) else { return AddressState::Free };
        match (self.grant(held), self.released.get(number(address))) {
            (Some(Grant { owner, since, .. }), _) => AddressState::Allocated { owner, since },
            (None, Some(entry)) => AddressState::Cooling {
                until: entry.at.saturating_add(self.options.cool_down),
                owner: entry.owner.and_then(|owner| self.owners.get(owner)),
            },
            (None, None) => AddressState::Reserved,
        }
    }

    fn grant(&self, held: Held) -> Option<Grant<'_, O>> {
        let owner = self.owners.get(held.holder)?;
        Some(Grant { prefix: self.family().prefix(held.block), owner, since: Duration::from_secs(held.since.into()) })
    }

    /// All that was given, in the order of the addresses.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_, O>> {
        self.grants_within(0, u128::MAX)
    }

    pub(super) fn grants_within(&self, first: u128, last: u128) -> impl Iterator<Item = Grant<'_, O>> {
        self.space.held_within(first, last).filter_map(|held| self.grant(held))
    }

    /// What this owner has, in the order of the addresses.
    pub fn grants_of(&self, owner: impl AsOwner<O>) -> impl Iterator<Item = Grant<'_, O>> {
        let holder = owner.find(&self.owners);
        let held = holder.into_iter().flat_map(|holder| self.space.set.held_by(holder));
        held.filter_map(|held| self.grant(held))
    }

    /// How full the pool is, as of [`Self::now`].
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::new(iter::once(self.space.set.counts(0)), self.family().width())
    }
}
