//! What the pool chooses.

use ipam::{AllocateError, Choice, UnknownOwner};
use ipnet::IpNet;

use super::{By, OWNERS, Pair, mask, span};

impl Pair {
    /// The lowest free blocks, from an address on.
    fn lowest(&self, order: u8, from: u128, count: usize) -> Vec<u128> {
        let mut found = Vec::new();
        for prefix in self.prefixes() {
            let mut from = Some(from.max(prefix.0));
            while let Some(base) = from.filter(|_| found.len() < count).and_then(|from| {
                if mask(order) > prefix.1 - prefix.0 { None } else { self.space.lowest(prefix, order, from) }
            }) {
                found.push(base);
                from = base.checked_add(mask(order)).and_then(|last| last.checked_add(1));
            }
        }
        found
    }

    fn largest_free(&self) -> Option<u8> {
        let blocks = self.prefixes().into_iter().flat_map(|prefix| self.space.free_blocks(prefix));
        blocks.map(|(_, order)| self.width - order).min()
    }

    pub(super) fn allocate(&mut self, order: u8, by: By) {
        let length = self.width - order;
        let (id, now) = (self.id(by), self.now());
        let answer = match id {
            Some((id, _)) => self.both(|pool| pool.allocate(length, id, now)),
            None => self.both(|pool| pool.allocate(length, OWNERS[by.owner], now)),
        };
        let (shortest, longest) = self.lengths();
        if !self.gives(length) {
            assert_eq!(answer, Err(AllocateError::Length { length, shortest, longest }));
            return;
        }
        if let Some((_, false)) = id {
            assert_eq!(answer, Err(AllocateError::Owner(UnknownOwner)));
            return;
        }
        let candidates = self.candidates(order);
        if candidates.is_empty() {
            assert_eq!(answer, Err(AllocateError::Exhausted { length, largest_free: self.largest_free() }));
            return;
        }
        self.follow(answer.unwrap(), order, &candidates, by.owner);
    }

    /// Takes over what the pool chose.
    fn follow(&mut self, prefix: IpNet, order: u8, candidates: &[u128], owner: usize) {
        let (base, last) = span(prefix);
        assert_eq!(prefix, self.prefix(base, order));
        assert!(candidates.contains(&base), "{prefix} is none of {candidates:x?}");
        self.next = last.checked_add(1).unwrap_or(0);
        self.give(prefix, owner);
    }

    pub(super) fn allocate_many(&mut self, order: u8, count: usize, by: By) {
        let length = self.width - order;
        let (id, now) = (self.id(by), self.now());
        let answer = match id {
            Some((id, _)) => self.both(|pool| pool.allocate_many(length, count, id, now)),
            None => self.both(|pool| pool.allocate_many(length, count, OWNERS[by.owner], now)),
        };
        if let Some((_, false)) = id {
            assert_eq!(answer, Err(AllocateError::Owner(UnknownOwner)));
            return;
        }
        if !self.gives(length) {
            let (shortest, longest) = self.lengths();
            assert_eq!(answer, Err(AllocateError::Length { length, shortest, longest }));
            return;
        }
        match answer {
            Ok(given) => {
                assert_eq!(given.len(), count);
                for prefix in given {
                    self.follow(prefix, order, &self.candidates(order), by.owner);
                }
            }
            Err(error) => {
                assert_eq!(error, AllocateError::TooFew { length, count, largest_free: self.largest_free() });
                // Whichever are chosen, as many come out; then all of them go back.
                let (was_known, next) = (self.known.get(&by.owner).copied(), self.next);
                let mut given = Vec::new();
                while given.len() < count {
                    let Some(&base) = self.candidates(order).first() else { break };
                    self.follow(self.prefix(base, order), order, &[base], by.owner);
                    given.push(base);
                }
                assert!(given.len() < count, "{} are free", given.len());
                for base in given {
                    self.take(base);
                }
                self.next = next;
                if let Some(since) = was_known {
                    self.known.insert(by.owner, since);
                }
            }
        }
    }

    /// Which of the free blocks may be given.
    fn candidates(&self, order: u8) -> Vec<u128> {
        match self.options.choice {
            Choice::Next => {
                let ahead = self.lowest(order, self.next, 1);
                if ahead.is_empty() { self.lowest(order, 0, 1) } else { ahead }
            }
            Choice::BestFit => {
                let free = self.prefixes().into_iter().flat_map(|prefix| self.space.free_blocks(prefix));
                let tightest = free.filter(|free| free.1 >= order).min_by_key(|&(base, order)| (order, base));
                tightest.map(|(base, _)| base).into_iter().collect()
            }
            Choice::Random { among, .. } => self.lowest(order, 0, among.max(1) as usize),
            _ => self.lowest(order, 0, 1),
        }
    }
}
