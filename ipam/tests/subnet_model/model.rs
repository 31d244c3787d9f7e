//! The pool and what it should be: every answer, every refusal and every number is foretold.

mod allocate;
mod compare;
mod spot;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipam::{
    AddressRange, Amount, ChangeError, ClaimError, ConfigError, OwnerId, ReleaseError, SubnetPool, SubnetPoolOptions,
    UnknownOwner,
};
use ipnet::IpNet;

pub(crate) use self::spot::{Spot, Written};
use super::space::{Cell, Space, Span, blocks, mask};

pub(crate) const OWNERS: [&str; 5] = ["ann", "bob", "cyd", "dan", "eve"];

/// An owner: by name, or by the number that they got last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) owner: usize,
    pub(crate) by_number: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Of this order, as many times.
    Allocate {
        order: u8,
        times: u8,
        by: By,
    },
    /// As many at once, or none.
    AllocateMany {
        order: u8,
        count: usize,
        by: By,
    },
    Claim {
        spot: Spot,
        written: Written,
        by: By,
    },
    Release {
        spot: Spot,
        written: Written,
    },
    ReleaseFrom {
        spot: Spot,
        written: Written,
        by: By,
    },
    ReleaseAll(By),
    Enroll(usize),
    Forget(By),
    Reserve(Spot, Spot),
    Unreserve(Spot, Spot),
    AddPrefix(Spot, Written),
    RemovePrefix(Spot),
    Pass(u32),
}

#[derive(Clone, Copy, Debug)]
struct Given {
    prefix: IpNet,
    owner: usize,
    since: Duration,
}

/// The pool, and what it should be.
pub(crate) struct Pair {
    pool: SubnetPool<String>,
    /// One with the same seed: it has to do the same.
    twin: SubnetPool<String>,
    width: u8,
    options: SubnetPoolOptions,
    space: Space,
    /// By first address.
    grants: BTreeMap<u128, Given>,
    /// The owners that have a number, and since when.
    known: BTreeMap<usize, u64>,
    numbers: BTreeMap<usize, (OwnerId, u64)>,
    steps: u64,
    next: u128,
    now: u64,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn span(prefix: IpNet) -> Span {
    (number(prefix.network()), number(prefix.broadcast()))
}

impl Pair {
    /// `is_small`: the model has a set of addresses, else intervals.
    pub(crate) fn new(options: &SubnetPoolOptions, is_small: bool) -> Self {
        let pool = || SubnetPool::new(options.clone()).unwrap();
        let mut pair = Self {
            pool: pool(),
            twin: pool(),
            width: options.prefixes[0].max_prefix_len(),
            options: options.clone(),
            space: Space::new(is_small),
            grants: BTreeMap::new(),
            known: BTreeMap::new(),
            numbers: BTreeMap::new(),
            steps: 0,
            next: 0,
            now: 1_700_000_000,
        };
        pair.options.prefixes.clear();
        options.prefixes.iter().for_each(|&prefix| pair.include(prefix));
        for range in &options.reserved {
            pair.space.change((number(range.start()), number(range.end())), |cell| cell.reserved = true);
        }
        pair
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.width == 32 { Ipv4Addr::from_bits(number as u32).into() } else { Ipv6Addr::from_bits(number).into() }
    }

    fn prefix(&self, base: u128, order: u8) -> IpNet {
        IpNet::new(self.address(base), self.width - order).unwrap()
    }

    /// The prefixes of the pool, in order.
    fn prefixes(&self) -> Vec<Span> {
        let mut prefixes: Vec<Span> = self.options.prefixes.iter().map(|&prefix| span(prefix)).collect();
        prefixes.sort_unstable();
        prefixes
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now * 1000 + 999)
    }

    /// Has both pools do the same.
    fn both<T: PartialEq + Debug>(&mut self, act: impl Fn(&mut SubnetPool<String>) -> T) -> T {
        let answer = act(&mut self.pool);
        assert_eq!(act(&mut self.twin), answer, "of the same seed");
        answer
    }

    fn include(&mut self, prefix: IpNet) {
        let span = span(prefix);
        self.options.prefixes.push(prefix);
        self.space.add(span);
        for excluded in self.excluded(span) {
            self.space.change(excluded, |cell| cell.excluded = true);
        }
    }

    /// What of a prefix is outside of the window.
    fn excluded(&self, (first, last): Span) -> Vec<Span> {
        let Some(window) = self.options.window else { return Vec::new() };
        let (start, end) = (number(window.start()), number(window.end()));
        let before = (first < start).then(|| (first, last.min(start - 1)));
        let behind = (last > end).then(|| (first.max(end + 1), last));
        before.into_iter().chain(behind).collect()
    }

    /// The number of an owner, if one is meant and they had one; and whether it is still theirs.
    fn id(&self, by: By) -> Option<(OwnerId, bool)> {
        let &(id, since) = self.numbers.get(&by.owner).filter(|_| by.by_number)?;
        Some((id, self.known.get(&by.owner) == Some(&since)))
    }

    fn give(&mut self, prefix: IpNet, owner: usize) {
        let since = Duration::from_secs(self.now.min(u32::MAX.into()));
        let (first, last) = span(prefix);
        let before = self.grants.insert(first, Given { prefix, owner, since });
        assert!(before.is_none());
        self.space.change((first, last), |cell| cell.owner = Some(owner as u8));
        self.known.entry(owner).or_insert(self.steps);
    }

    fn take(&mut self, first: u128) -> Given {
        let given = self.grants.remove(&first).unwrap();
        self.space.change(span(given.prefix), |cell| cell.owner = None);
        if self.grants.values().all(|other| other.owner != given.owner) {
            self.known.remove(&given.owner);
        }
        given
    }

    /// The grant that has the address.
    fn given(&self, address: u128) -> Option<Given> {
        self.grants
            .range(..=address)
            .next_back()
            .map(|(_, given)| *given)
            .filter(|given| span(given.prefix).1 >= address)
    }

    fn within(&self, (first, last): Span) -> bool {
        self.prefixes().iter().any(|&(start, end)| start <= first && last <= end)
    }

    fn lengths(&self) -> (u8, u8) {
        (self.options.shortest, self.options.longest.unwrap_or(self.width))
    }

    fn gives(&self, length: u8) -> bool {
        let (shortest, longest) = self.lengths();
        shortest <= length && length <= longest
    }

    fn claim(&mut self, prefix: IpNet, by: By) {
        let (id, now) = (self.id(by), self.now());
        let answer = match id {
            Some((id, _)) => self.both(|pool| pool.claim(prefix, id, now)),
            None => self.both(|pool| pool.claim(prefix, OWNERS[by.owner], now)),
        };
        let (shortest, longest) = self.lengths();
        let expected = if prefix.trunc() != prefix {
            Err(ClaimError::HostBits { given: prefix, prefix: prefix.trunc() })
        } else if prefix.max_prefix_len() != self.width {
            Err(ClaimError::Outside { prefix })
        } else if !self.gives(prefix.prefix_len()) {
            Err(ClaimError::Length { prefix, shortest, longest })
        } else if let Some((_, false)) = id {
            Err(ClaimError::Owner(UnknownOwner))
        } else if !self.within(span(prefix)) {
            Err(ClaimError::Outside { prefix })
        } else {
            // What is reserved is no obstacle.
            let pieces = self.space.pieces(span(prefix));
            match pieces.iter().find(|(_, cell)| cell.excluded || cell.owner.is_some()) {
                None => Ok(()),
                Some(&((first, _), cell)) => Err(self.in_the_way(prefix, first, cell)),
            }
        };
        assert_eq!(answer, expected, "{prefix}");
        if answer.is_ok() {
            self.give(prefix, by.owner);
        }
    }

    fn in_the_way(&self, prefix: IpNet, first: u128, cell: Cell) -> ClaimError<String> {
        if cell.excluded {
            let mut parts = self.prefixes().into_iter().flat_map(|prefix| self.excluded(prefix)).flat_map(blocks);
            let (base, order) = parts.find(|&(base, order)| base <= first && first <= base | mask(order)).unwrap();
            return ClaimError::Excluded { prefix, with: self.prefix(base, order) };
        }
        let given = self.given(first).unwrap();
        ClaimError::Overlap { prefix, with: given.prefix, owner: OWNERS[given.owner].into() }
    }

    /// What a release should say.
    fn released(&self, prefix: IpNet) -> Result<(), ReleaseError<String>> {
        let (first, last) = span(prefix);
        let differs =
            |given: Given| ReleaseError::Differs { prefix, with: given.prefix, owner: OWNERS[given.owner].into() };
        if prefix.max_prefix_len() != self.width {
            return Err(ReleaseError::Outside { prefix });
        }
        if prefix.trunc() != prefix {
            return Err(ReleaseError::HostBits { given: prefix, prefix: prefix.trunc() });
        }
        if !self.within((first, first)) {
            return Err(ReleaseError::Outside { prefix });
        }
        match self.given(first) {
            Some(given) if given.prefix == prefix => return Ok(()),
            Some(given) => return Err(differs(given)),
            None => {}
        }
        // Perhaps smaller ones were given out of it, behind what is free.
        let pieces = self.space.pieces((first, last));
        let taken = pieces.iter().find(|(_, cell)| cell.owner.is_some());
        Err(taken.and_then(|&((first, _), _)| self.given(first)).map_or(ReleaseError::NotAllocated { prefix }, differs))
    }

    fn release(&mut self, prefix: IpNet) {
        let expected = self.released(prefix);
        let answer = self.both(|pool| pool.release(prefix));
        assert_eq!(answer, expected, "{prefix}");
        if answer.is_ok() {
            self.take(span(prefix).0);
        }
    }

    fn release_from(&mut self, prefix: IpNet, by: By) {
        let id = self.id(by);
        let answer = match id {
            Some((id, _)) => self.both(|pool| pool.release_from(prefix, id)),
            None => self.both(|pool| pool.release_from(prefix, OWNERS[by.owner])),
        };
        let theirs = self.grants.get(&span(prefix).0).filter(|given| given.prefix == prefix);
        let is_other = |given: &&Given| given.owner != by.owner || matches!(id, Some((_, false)));
        let expected = match theirs.filter(is_other) {
            Some(given) => Err(ReleaseError::NotTheirs { prefix, owner: OWNERS[given.owner].into() }),
            None => self.released(prefix),
        };
        assert_eq!(answer, expected, "{prefix}");
        if answer.is_ok() {
            self.take(span(prefix).0);
        }
    }

    fn release_all(&mut self, by: By) {
        let id = self.id(by);
        let answer = match id {
            Some((id, _)) => self.both(|pool| pool.release_all(id)),
            None => self.both(|pool| pool.release_all(OWNERS[by.owner])),
        };
        if let Some((_, false)) = id {
            assert_eq!(answer, []);
            return;
        }
        let theirs: Vec<u128> =
            self.grants.iter().filter(|(_, given)| given.owner == by.owner).map(|(&first, _)| first).collect();
        let expected: Vec<IpNet> = theirs.into_iter().map(|first| self.take(first).prefix).collect();
        assert_eq!(answer, expected);
        self.known.remove(&by.owner);
    }

    /// What is wrong with a range, if anything is.
    fn outside(&self, range: AddressRange) -> Option<ConfigError> {
        let mut from = number(range.start());
        for (first, last) in self.prefixes() {
            if first <= from && from <= last {
                from = match last.checked_add(1) {
                    Some(next) if next <= number(range.end()) => next,
                    _ => return None,
                };
            }
        }
        Some(ConfigError::Outside { range, outside: self.address(from) })
    }

    fn reserve(&mut self, range: AddressRange, reserved: bool) {
        let answer = self.both(|pool| if reserved { pool.reserve(range) } else { pool.unreserve(range) });
        let expected = self.outside(range).map_or(Ok(()), Err);
        assert_eq!(answer, expected, "{range}");
        if answer.is_ok() {
            self.space.change((number(range.start()), number(range.end())), |cell| cell.reserved = reserved);
        }
    }

    fn add_prefix(&mut self, prefix: IpNet) {
        let answer = self.both(|pool| pool.add_prefix(prefix));
        let (first, last) = span(prefix);
        let overlaps = |other: &&IpNet| span(**other).0 <= last && first <= span(**other).1;
        let ours = self.options.prefixes[0];
        if prefix.max_prefix_len() != self.width {
            assert_eq!(answer, Err(ConfigError::Families { first: ours, found: prefix.addr() }));
        } else if prefix.trunc() != prefix {
            assert_eq!(answer, Err(ConfigError::HostBits { given: prefix, prefix: prefix.trunc() }));
        } else if self.options.prefixes.iter().any(|other| overlaps(&other)) {
            let Err(ConfigError::Overlap { prefix: given, with }) = answer else { panic!("{answer:?}") };
            assert!(given == prefix && self.options.prefixes.contains(&with) && overlaps(&&with));
        } else {
            assert_eq!(answer, Ok(()));
            self.include(prefix);
        }
    }

    fn remove_prefix(&mut self, prefix: IpNet) {
        let answer = self.both(|pool| pool.remove_prefix(prefix));
        let (first, last) = span(prefix);
        let orphans: Vec<Given> = self.grants.range(first..=last).map(|(_, given)| *given).collect();
        let expected = if !self.options.prefixes.contains(&prefix) {
            Err(ChangeError::NoSuchPrefix { prefix })
        } else if self.options.prefixes.len() == 1 {
            Err(ChangeError::Config(ConfigError::NoPrefix))
        } else if let Some(orphan) = orphans.first() {
            let (grant, owner) = (orphan.prefix, OWNERS[orphan.owner].into());
            Err(ChangeError::Orphans { grant, owner, others: orphans.len() - 1 })
        } else {
            Ok(())
        };
        assert_eq!(answer, expected, "{prefix}");
        if answer.is_ok() {
            self.options.prefixes.retain(|other| *other != prefix);
            self.space.remove((first, last));
        }
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.steps += 1;
        match *step {
            Step::Allocate { order, times, by } => (0..times).for_each(|_| self.allocate(order.min(self.width), by)),
            Step::AllocateMany { order, count, by } => self.allocate_many(order.min(self.width), count, by),
            Step::Claim { spot, written, by } => self.claim(self.written(spot, written), by),
            Step::Release { spot, written } => self.release(self.written(spot, written)),
            Step::ReleaseFrom { spot, written, by } => self.release_from(self.written(spot, written), by),
            Step::ReleaseAll(by) => self.release_all(by),
            Step::Enroll(owner) => {
                let id = self.both(|pool| pool.enroll(OWNERS[owner])).unwrap();
                let since = *self.known.entry(owner).or_insert(self.steps);
                self.numbers.insert(owner, (id, since));
            }
            Step::Forget(by) => {
                let id = self.id(by);
                self.both(|pool| match id {
                    Some((id, _)) => pool.forget(id),
                    None => pool.forget(OWNERS[by.owner]),
                });
                let has_none = self.grants.values().all(|given| given.owner != by.owner);
                if has_none && !matches!(id, Some((_, false))) {
                    self.known.remove(&by.owner);
                }
            }
            Step::Reserve(from, to) => self.reserve(self.range(from, to), true),
            Step::Unreserve(from, to) => self.reserve(self.range(from, to), false),
            Step::AddPrefix(spot, written) => self.add_prefix(self.written(spot, written)),
            Step::RemovePrefix(spot) => self.remove_prefix(self.written(spot, Written::Well)),
            Step::Pass(seconds) => self.now += u64::from(seconds),
        }
    }

    /// Takes everything back: each prefix is whole again.
    pub(crate) fn finish(mut self) {
        for owner in 0..OWNERS.len() {
            self.release_all(By { owner, by_number: false });
        }
        for (first, last) in self.prefixes() {
            self.reserve(AddressRange::new(self.address(first), self.address(last)).unwrap(), false);
        }
        self.compare();
        for (prefix, usage) in self.pool.usage_by_prefix() {
            assert_eq!((usage.free, usage.grants), (usage.total, 0));
            if self.options.window.is_none() {
                assert_eq!(usage.largest_free, Some(prefix.prefix_len()));
                assert_eq!(usage.free, Amount::of_prefix(self.width, prefix.prefix_len()));
            }
        }
    }
}
