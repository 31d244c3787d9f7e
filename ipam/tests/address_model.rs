//! A pool of addresses against sets of addresses, under random operations with time.
//!
//! `PROPTEST_CASES` says how many sequences of up to 150 operations; a million operations are
//!
//! ```text
//! PROPTEST_CASES=14000 cargo test --release -p ipam --test address_model
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use ipam::{
    AddressPool, AddressPoolChange, AddressPoolEdit, AddressPoolOptions, AddressRange, AddressState,
    AllocateAddressError, Amount, ChangeError, Choice, ClaimAddressError, Grant, ReleaseAddressError,
};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// All that happens is within so many addresses.
const UNIVERSE: u8 = 64;
const OWNERS: u8 = 6;

/// The first address of the universe: up to the last one of the whole address space, too.
const PLACES: [&str; 4] = ["10.0.0.0", "255.255.255.192", "2001:db8::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffc0"];

#[derive(Clone, Debug)]
enum Edit {
    AddRange(u8, u8),
    RemoveRange(u8, u8),
    Exclude(u8, u8),
    Include(u8, u8),
    Reserve(u8, u8),
    Unreserve(u8, u8),
    /// An address, and the order of the subnet that has it.
    Subnet(u8, u8),
    Gateway(Option<u8>),
    CoolDown(u8),
    Sticky(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        owner: u8,
    },
    Claim {
        address: u8,
        owner: u8,
        also_cooling: bool,
    },
    Release {
        address: u8,
    },
    /// One that somebody has: the n-th.
    ReleaseHeld {
        nth: u8,
    },
    ReleaseFrom {
        nth: u8,
        owner: u8,
    },
    ReleaseAll {
        owner: u8,
    },
    Pass {
        seconds: u8,
    },
    Edit(Edit),
    /// The pool goes, and another one is made of its changes.
    Restart,
}

/// What a pool begins with.
#[derive(Clone, Debug)]
struct Start {
    place: usize,
    order: u8,
    cool_down: u8,
    sticky: u8,
    max_released: u8,
    choice: Choice,
}

impl ReferenceStateMachine for Start {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let choice = prop_oneof![
            4 => Just(Choice::Lowest),
            1 => Just(Choice::Next),
            1 => Just(Choice::BestFit),
            1 => (0..9_u32, any::<u64>()).prop_map(|(among, seed)| Choice::Random { among, seed }),
        ];
        let remembers = (prop_oneof![Just(0_u8), 1..20_u8], prop_oneof![Just(0_u8), 1..9_u8], 0..20_u8);
        (0..PLACES.len(), 0..=6_u8, remembers, choice)
            .prop_map(|(place, order, (cool_down, sticky, max_released), choice)| Self {
                place,
                order,
                cool_down,
                sticky,
                max_released,
                choice,
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let (address, owner) = (0..UNIVERSE, 0..OWNERS);
        // Mostly short ones.
        let range = (0..UNIVERSE, prop_oneof![4 => 0..4_u8, 1 => 0..UNIVERSE])
            .prop_map(|(first, more)| (first, (first + more).min(UNIVERSE - 1)));
        let edit = prop_oneof![
            range.clone().prop_map(|(first, last)| Edit::AddRange(first, last)),
            range.clone().prop_map(|(first, last)| Edit::RemoveRange(first, last)),
            range.clone().prop_map(|(first, last)| Edit::Exclude(first, last)),
            range.clone().prop_map(|(first, last)| Edit::Include(first, last)),
            range.clone().prop_map(|(first, last)| Edit::Reserve(first, last)),
            range.prop_map(|(first, last)| Edit::Unreserve(first, last)),
            (address.clone(), 0..=6_u8).prop_map(|(address, order)| Edit::Subnet(address, order)),
            proptest::option::of(address.clone()).prop_map(Edit::Gateway),
            (0..20_u8).prop_map(Edit::CoolDown),
            (0..9_u8).prop_map(Edit::Sticky),
        ];
        prop_oneof![
            30 => owner.clone().prop_map(|owner| Step::Allocate { owner }),
            6 => (address.clone(), owner.clone(), any::<bool>())
                .prop_map(|(address, owner, also_cooling)| Step::Claim { address, owner, also_cooling }),
            2 => address.prop_map(|address| Step::Release { address }),
            15 => any::<u8>().prop_map(|nth| Step::ReleaseHeld { nth }),
            2 => (any::<u8>(), owner.clone()).prop_map(|(nth, owner)| Step::ReleaseFrom { nth, owner }),
            3 => owner.prop_map(|owner| Step::ReleaseAll { owner }),
            10 => (0..15_u8).prop_map(|seconds| Step::Pass { seconds }),
            10 => edit.prop_map(Step::Edit),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn apply(start: Self, _: &Step) -> Self {
        start
    }
}

/// What a pool is made of, as sets.
#[derive(Clone, Debug)]
struct Config {
    is_ipv4: bool,
    /// The first address and the order.
    subnet: (u8, u8),
    gateway: Option<u8>,
    ranges: Option<BTreeSet<u8>>,
    excluded: BTreeSet<u8>,
    reserved: BTreeSet<u8>,
    cool_down: u64,
    sticky: usize,
    max_released: usize,
}

impl Config {
    fn has(&self, address: u8) -> bool {
        address >> self.subnet.1 == self.subnet.0 >> self.subnet.1
    }

    fn last(&self) -> u8 {
        self.subnet.0 + ((1 << self.subnet.1) - 1)
    }

    fn is_usable(&self, address: u8) -> bool {
        let is_own = self.subnet.1 > 1 && (address == self.subnet.0 || (self.is_ipv4 && address == self.last()));
        let in_range = self.ranges.as_ref().is_none_or(|ranges| ranges.contains(&address));
        let is_taken_out = self.gateway == Some(address) || self.excluded.contains(&address);
        self.has(address) && in_range && !is_own && !is_taken_out
    }

    /// How many released addresses are remembered.
    fn limit(&self) -> usize {
        if self.cool_down == 0 { self.sticky } else { self.sticky.max(self.max_released) }
    }

    /// What it is after an edit; nothing if that can't be.
    fn edited(&self, edit: &Edit) -> Option<Self> {
        let mut new = self.clone();
        let within = |&first: &u8, &last: &u8| self.has(first) && self.has(last);
        match edit {
            Edit::AddRange(first, last) => new.ranges.as_mut().filter(|_| within(first, last))?.extend(*first..=*last),
            Edit::RemoveRange(first, last) if within(first, last) => {
                let all = || (self.subnet.0..=self.last()).collect();
                let mut left: BTreeSet<u8> = self.ranges.clone().unwrap_or_else(all);
                left.retain(|address| !(first..=last).contains(&address));
                new.ranges = Some(left);
            }
            Edit::Exclude(first, last) if within(first, last) => new.excluded.extend(*first..=*last),
            Edit::Include(first, last) if within(first, last) => {
                new.excluded.retain(|address| !(first..=last).contains(&address));
            }
            Edit::Reserve(first, last) if within(first, last) => new.reserved.extend(*first..=*last),
            Edit::Unreserve(first, last) if within(first, last) => {
                new.reserved.retain(|address| !(first..=last).contains(&address));
            }
            Edit::Subnet(address, order) => {
                new.subnet = (address >> order << order, *order);
                if !new.has(self.subnet.0) && !self.has(new.subnet.0) {
                    return None;
                }
                let cut = new.clone();
                for addresses in [&mut new.excluded, &mut new.reserved].into_iter().chain(&mut new.ranges) {
                    addresses.retain(|&address| cut.has(address));
                }
            }
            Edit::Gateway(gateway) => new.gateway = *gateway,
            Edit::CoolDown(seconds) => new.cool_down = (*seconds).into(),
            Edit::Sticky(sticky) => new.sticky = (*sticky).into(),
            _ => return None,
        }
        let has_range = new.ranges.as_ref().is_none_or(|ranges| !ranges.is_empty());
        let has_gateway = new.gateway.is_none_or(|gateway| new.has(gateway));
        Some(new).filter(|_| has_range && has_gateway)
    }
}

#[derive(Clone, Copy, Debug)]
struct Released {
    address: u8,
    at: u64,
    owner: Option<u8>,
    cools: bool,
}

/// A pool, another one that only does what the changes of the first say, and what both should be.
#[derive(Debug)]
struct Pair {
    base: IpAddr,
    choice: Choice,
    pool: AddressPool<String>,
    replica: AddressPool<String>,
    config: Config,
    /// Whose, and since when.
    held: BTreeMap<u8, (u8, u64)>,
    /// The one released longest ago first.
    released: Vec<Released>,
    now: u64,
}

impl Pair {
    fn new(start: &Start) -> Self {
        let base: IpAddr = PLACES[start.place].parse().unwrap();
        let mut options = AddressPoolOptions::new(subnet(base, 0, start.order));
        options.cool_down = Duration::from_secs(start.cool_down.into());
        options.sticky = start.sticky.into();
        options.max_released = start.max_released.into();
        options.choice = start.choice;
        Self {
            base,
            choice: start.choice,
            pool: AddressPool::new(options.clone()).unwrap(),
            replica: AddressPool::new(options).unwrap(),
            config: Config {
                is_ipv4: base.is_ipv4(),
                subnet: (0, start.order),
                gateway: None,
                ranges: None,
                excluded: BTreeSet::new(),
                reserved: BTreeSet::new(),
                cool_down: start.cool_down.into(),
                sticky: start.sticky.into(),
                max_released: start.max_released.into(),
            },
            held: BTreeMap::new(),
            released: Vec::new(),
            now: 1_700_000_000,
        }
    }

    fn at(&self) -> Duration {
        Duration::from_secs(self.now)
    }

    fn address(&self, small: u8) -> IpAddr {
        address(self.base, small)
    }

    fn small(&self, address: IpAddr) -> u8 {
        (0..UNIVERSE).find(|&small| self.address(small) == address).unwrap()
    }

    fn edit(&self, edit: &Edit) -> AddressPoolEdit {
        let range = |first, last| AddressRange::new(self.address(first), self.address(last)).unwrap();
        match *edit {
            Edit::AddRange(first, last) => AddressPoolEdit::AddRange(range(first, last)),
            Edit::RemoveRange(first, last) => AddressPoolEdit::RemoveRange(range(first, last)),
            Edit::Exclude(first, last) => AddressPoolEdit::Exclude(range(first, last)),
            Edit::Include(first, last) => AddressPoolEdit::Include(range(first, last)),
            Edit::Reserve(first, last) => AddressPoolEdit::Reserve(range(first, last)),
            Edit::Unreserve(first, last) => AddressPoolEdit::Unreserve(range(first, last)),
            Edit::Subnet(address, order) => AddressPoolEdit::Subnet(subnet(self.base, address, order)),
            Edit::Gateway(gateway) => AddressPoolEdit::Gateway(gateway.map(|gateway| self.address(gateway))),
            Edit::CoolDown(seconds) => AddressPoolEdit::CoolDown(Duration::from_secs(seconds.into())),
            Edit::Sticky(sticky) => AddressPoolEdit::Sticky(sticky.into()),
        }
    }

    /// What time does to the model.
    fn advance(&mut self) {
        let is_over =
            |released: &Released, config: &Config, now| released.cools && released.at + config.cool_down <= now;
        while let Some(at) = self.released.iter().position(|released| is_over(released, &self.config, self.now)) {
            self.released[at].cools = false;
            if self.config.reserved.contains(&self.released[at].address) {
                self.released.remove(at);
            }
            self.trim();
        }
        // What is reserved by now is given by name only.
        let reserved = &self.config.reserved;
        self.released.retain(|released| released.cools || !reserved.contains(&released.address));
        self.trim();
    }

    fn trim(&mut self) {
        let config = &self.config;
        let bound = self.released.iter().filter(|released| released.owner.is_some()).count();
        let too_many = bound.saturating_sub(config.sticky);
        for released in self.released.iter_mut().filter(|released| released.owner.is_some()).take(too_many) {
            released.owner = None;
        }
        while self.released.len() > config.limit() && !self.released[0].cools {
            self.released.remove(0);
        }
    }

    fn cooling(&self) -> usize {
        self.released.iter().filter(|released| released.cools).count()
    }

    fn next_free_in(&self) -> Option<Duration> {
        let next = self.released.iter().find(|released| released.cools)?;
        Some(Duration::from_secs(next.at + self.config.cool_down - self.now))
    }

    fn too_many_cooling(&self) -> bool {
        self.cooling() > 0 && self.cooling() >= self.config.limit()
    }

    fn was_released(&self, address: u8) -> Option<&Released> {
        self.released.iter().find(|released| released.address == address)
    }

    fn is_untouched(&self, address: u8) -> bool {
        let is_given = self.held.contains_key(&address) || self.was_released(address).is_some();
        self.config.is_usable(address) && !self.config.reserved.contains(&address) && !is_given
    }

    /// How many reserved ones nobody has.
    fn reserved(&self) -> usize {
        let is_cooling = |address| self.was_released(address).is_some_and(|released| released.cools);
        let reserved = self.config.reserved.iter().filter(|&&address| {
            self.config.is_usable(address) && !self.held.contains_key(&address) && !is_cooling(address)
        });
        reserved.count()
    }

    fn give(&mut self, address: u8, owner: u8) {
        self.released.retain(|released| released.address != address);
        assert!(self.config.is_usable(address), "{address} is not part of the pool");
        assert!(self.held.insert(address, (owner, self.now)).is_none(), "{address} is given twice");
        let change = AddressPoolChange::Granted { address: self.address(address), owner: name(owner), at: self.at() };
        self.replica.apply(&change).unwrap();
    }

    fn take(&mut self, address: u8) {
        let (owner, _) = self.held.remove(&address).unwrap();
        let cools = self.config.cool_down > 0;
        if cools || (self.config.sticky > 0 && !self.config.reserved.contains(&address)) {
            let owner = Some(owner).filter(|_| self.config.sticky > 0);
            self.released.push(Released { address, at: self.now, owner, cools });
        }
        self.advance();
        let change = AddressPoolChange::Released { address: self.address(address), at: self.at() };
        self.replica.apply(&change).unwrap();
    }

    fn allocate(&mut self, owner: u8) {
        let given = self.pool.allocate(name(owner).as_str(), self.at());
        let is_theirs =
            |released: &&Released| released.owner == Some(owner) && !self.config.reserved.contains(&released.address);
        let last = self.released.iter().rev().find(is_theirs);
        let mut expected: Vec<u8> = (0..UNIVERSE).filter(|&address| self.is_untouched(address)).collect();
        if let Some(last) = last {
            expected = vec![last.address];
        } else if self.too_many_cooling() {
            let (cooling, free_in) = (self.cooling(), self.next_free_in().unwrap());
            assert_eq!(given, Err(AllocateAddressError::Cooling { cooling, free_in }));
            return;
        } else if !expected.is_empty() {
            // All that the choice may give.
            match self.choice {
                Choice::Lowest => expected.truncate(1),
                Choice::Random { among, .. } => expected.truncate(among.max(1) as usize),
                _ => {}
            }
        } else {
            expected.extend(self.released.first().filter(|released| !released.cools).map(|released| released.address));
        }
        if expected.is_empty() {
            let reserved = Amount::from(self.reserved() as u128);
            let (cooling, free_in) = (self.cooling(), self.next_free_in());
            assert_eq!(given, Err(AllocateAddressError::Exhausted { reserved, cooling, free_in }));
            return;
        }
        let given = self.small(given.unwrap());
        assert!(expected.contains(&given), "{given} is given, and one of {expected:?} expected");
        self.give(given, owner);
    }

    fn claim(&mut self, small: u8, owner: u8, also_cooling: bool) {
        let (address, at) = (self.address(small), self.at());
        let claimed = if also_cooling {
            self.pool.claim_cooling(address, name(owner).as_str(), at)
        } else {
            self.pool.claim(address, name(owner).as_str(), at)
        };
        let released = self.was_released(small).copied();
        let for_others = released.filter(|released| released.cools && !also_cooling && released.owner != Some(owner));
        if !self.config.is_usable(small) {
            assert!(matches!(claimed, Err(ClaimAddressError::Unusable { .. })), "{claimed:?}");
        } else if let Some(&(owner, _)) = self.held.get(&small) {
            assert_eq!(claimed, Err(ClaimAddressError::Taken { address, owner: name(owner) }));
        } else if let Some(released) = for_others {
            let free_in = Duration::from_secs(released.at + self.config.cool_down - self.now);
            assert_eq!(claimed, Err(ClaimAddressError::Cooling { address, free_in }));
        } else if released.is_none() && self.too_many_cooling() {
            assert!(matches!(claimed, Err(ClaimAddressError::TooManyCooling { .. })), "{claimed:?}");
        } else {
            assert_eq!(claimed, Ok(()));
            self.give(small, owner);
        }
    }

    fn release(&mut self, small: u8) {
        let address = self.address(small);
        let released = self.pool.release(address, self.at());
        if self.held.contains_key(&small) {
            assert_eq!(released, Ok(()));
            self.take(small);
        } else if self.config.is_usable(small) {
            assert_eq!(released, Err(ReleaseAddressError::NotAllocated { address }));
        } else {
            assert!(matches!(released, Err(ReleaseAddressError::Unusable { .. })), "{released:?}");
        }
    }

    fn nth_held(&self, nth: u8) -> Option<u8> {
        let count = self.held.len().max(1);
        self.held.keys().nth(usize::from(nth) % count).copied()
    }

    fn release_from(&mut self, small: u8, owner: u8) {
        let (address, theirs) = (self.address(small), self.held[&small].0);
        let released = self.pool.release_from(address, name(owner).as_str(), self.at());
        if theirs == owner {
            assert_eq!(released, Ok(()));
            self.take(small);
        } else {
            assert_eq!(released, Err(ReleaseAddressError::NotTheirs { address, owner: name(theirs) }));
        }
    }

    fn release_all(&mut self, owner: u8) {
        let released = self.pool.release_all(name(owner).as_str(), self.at());
        let theirs = self.held.iter().filter(|(_, held)| held.0 == owner);
        let theirs: Vec<u8> = theirs.map(|(&address, _)| address).collect();
        assert_eq!(released, theirs.iter().map(|&small| self.address(small)).collect::<Vec<_>>());
        for address in theirs {
            self.take(address);
        }
    }

    fn change(&mut self, edit: &Edit) {
        let asked = self.edit(edit);
        let orphan = |grant: Grant<'_, String>| (grant.prefix.addr(), grant.owner.clone());
        let planned = self.pool.plan(asked).map(|orphans| orphans.map(orphan).collect::<Vec<_>>());
        let changed = self.pool.edit(asked);
        let Some(new) = self.config.edited(edit) else {
            assert!(planned.is_err() && matches!(changed, Err(ChangeError::Config(_))), "{edit:?} {changed:?}");
            return;
        };
        let orphans = self.held.iter().filter(|&(&address, _)| !new.is_usable(address));
        let named: Vec<_> = orphans.map(|(&address, held)| (self.address(address), name(held.0))).collect();
        assert_eq!(planned.as_ref(), Ok(&named));
        if let Some((address, owner)) = named.first().cloned() {
            let refused = ChangeError::Orphans { grant: address.into(), owner, others: named.len() - 1 };
            assert_eq!(changed, Err(refused));
            return;
        }
        assert_eq!(changed, Ok(()));
        self.released.retain(|released| new.is_usable(released.address));
        self.config = new;
        self.advance();
        self.replica.apply(&AddressPoolChange::Edited { edit: asked, at: self.pool.now() }).unwrap();
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Allocate { owner } => self.allocate(owner),
            Step::Claim { address, owner, also_cooling } => self.claim(address, owner, also_cooling),
            Step::Release { address } => self.release(address),
            Step::ReleaseHeld { nth } => self.nth_held(nth).into_iter().for_each(|address| self.release(address)),
            Step::ReleaseFrom { nth, owner } => {
                self.nth_held(nth).into_iter().for_each(|address| self.release_from(address, owner));
            }
            Step::ReleaseAll { owner } => self.release_all(owner),
            Step::Pass { seconds } => {
                self.now += u64::from(seconds);
                self.pool.advance(self.at());
                self.advance();
            }
            Step::Edit(ref edit) => self.change(edit),
            Step::Restart => {
                let restored = AddressPool::restore(self.pool.changes()).unwrap();
                assert!(restored.changes().eq(self.pool.changes()));
                self.pool = restored;
            }
        }
    }

    /// The addresses that are free, where each one is as it should be.
    fn free(&self) -> BTreeSet<u8> {
        let mut free = BTreeSet::new();
        for small in 0..UNIVERSE {
            let state = self.pool.state(self.address(small));
            if !self.config.is_usable(small) {
                assert!(matches!(state, AddressState::Unusable(_)));
            } else if let Some(&(owner, at)) = self.held.get(&small) {
                let allocated = AddressState::Allocated { owner: &name(owner), since: Duration::from_secs(at) };
                assert_eq!(state, allocated);
            } else if let Some(released) = self.was_released(small).filter(|released| released.cools) {
                let until = Duration::from_secs(released.at + self.config.cool_down);
                let owner = released.owner.map(name);
                assert_eq!(state, AddressState::Cooling { until, owner: owner.as_ref() });
            } else if self.config.reserved.contains(&small) {
                assert_eq!(state, AddressState::Reserved);
            } else {
                assert_eq!(state, AddressState::Free);
                free.insert(small);
            }
        }
        free
    }

    fn compare(&self) {
        let grants = self.pool.grants().map(|grant| (grant.prefix.addr(), grant.owner.clone(), grant.since));
        let expected = self.held.iter().map(|(&small, &(owner, at))| {
            let since = Duration::from_secs(at);
            (self.address(small), name(owner), since)
        });
        assert!(grants.eq(expected));
        for owner in 0..OWNERS {
            let by = name(owner);
            let theirs = self.pool.grants_of(by.as_str()).map(|grant| grant.prefix.addr());
            let expected = self.held.iter().filter(|(_, held)| held.0 == owner).map(|(&small, _)| self.address(small));
            assert!(theirs.eq(expected));
        }

        let (free, usage) = (self.free(), self.pool.usage());
        let amount = |count: usize| Amount::from(count as u128);
        let usable = (0..UNIVERSE).filter(|&small| self.config.is_usable(small)).count();
        assert_eq!((usage.total, usage.allocated), (amount(usable), amount(self.held.len())));
        assert_eq!((usage.free, usage.cooling), (amount(free.len()), amount(self.cooling())));
        assert_eq!((usage.reserved, usage.grants), (amount(self.reserved()), self.held.len()));
        let is_free = |first: u8, order: u8| (first..=first + ((1 << order) - 1)).all(|small| free.contains(&small));
        let has_free = |order: u8| (0..UNIVERSE).step_by(1 << order).any(|first| is_free(first, order));
        let largest = (0..=6_u8).rev().find(|&order| has_free(order));
        let width = if self.config.is_ipv4 { 32 } else { 128 };
        assert_eq!(usage.largest_free, largest.map(|order| width - order));

        let mut replica = self.replica.clone();
        replica.advance(self.pool.now());
        // But for where the next one is looked for.
        let told = |pool: &AddressPool<String>| -> Vec<_> {
            pool.changes().filter(|change| !matches!(change, AddressPoolChange::Passed { .. })).collect()
        };
        assert_eq!(told(&replica), told(&self.pool));
        assert_eq!(replica.usage(), usage);
    }
}

fn name(owner: u8) -> String {
    format!("owner {owner}")
}

fn address(base: IpAddr, small: u8) -> IpAddr {
    match base {
        IpAddr::V4(base) => IpAddr::V4((base.to_bits() | u32::from(small)).into()),
        IpAddr::V6(base) => IpAddr::V6((base.to_bits() | u128::from(small)).into()),
    }
}

fn subnet(base: IpAddr, small: u8, order: u8) -> IpNet {
    let width = if base.is_ipv4() { 32 } else { 128 };
    IpNet::new(address(base, small >> order << order), width - order).unwrap()
}

impl StateMachineTest for Pair {
    type SystemUnderTest = Self;
    type Reference = Start;

    fn init_test(start: &Start) -> Self {
        Self::new(start)
    }

    fn apply(mut pair: Self, _: &Start, step: Step) -> Self {
        Self::apply(&mut pair, &step);
        pair
    }

    fn check_invariants(pair: &Self, _: &Start) {
        pair.compare();
    }

    /// All that is released and has cooled down is as if it had never been given.
    fn teardown(mut pair: Self, _: Start) {
        for owner in 0..OWNERS {
            pair.pool.release_all(name(owner).as_str(), pair.at());
        }
        pair.now += 100;
        pair.pool.advance(pair.at());
        let new = AddressPool::<String>::new(pair.pool.options().clone()).unwrap();
        assert_eq!(pair.pool.usage(), new.usage());
    }
}

/// Some seconds' worth of cases, unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 256 };
    ProptestConfig { cases, ..config }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn equals_sets_of_addresses(sequential 1..150 => Pair);
}
