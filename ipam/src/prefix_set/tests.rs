//! The set against a list of held blocks: at random, in all states of a small space, and with many blocks.
//!
//! `PROPTEST_CASES` says how many sequences of up to 300 operations; a million operations are
//!
//! ```text
//! PROPTEST_CASES=7000 cargo test --release -p ipam --lib prefix_set
//! ```

use std::{
    collections::{BTreeSet, VecDeque},
    vec,
    vec::Vec,
};

use fastrand::Rng;
use proptest::prelude::*;

use super::{naive::NaiveSet, *};
use crate::{amount::Amount, block::mask};

const OWNERS: u32 = 4;
/// Owners, and the marks.
const HOLDERS: [Holder; 7] =
    [Holder(0), Holder(1), Holder(2), Holder(3), Holder::RESERVED, Holder::COOLING, Holder::EXCLUDED];

/// The set, and what it should be. Every answer of both is compared.
#[derive(Clone)]
struct Twin {
    set: PrefixSet,
    naive: NaiveSet,
}

impl Twin {
    fn new(roots: &[Block], grain: u8) -> Self {
        let mut twin = Self { set: PrefixSet::new(grain), naive: NaiveSet::default() };
        for &root in roots {
            assert_eq!(twin.add_root(root), Ok(()));
        }
        twin
    }

    fn add_root(&mut self, root: Block) -> Result<(), Block> {
        let (ours, expected) = (self.set.add_root(root), self.naive.add_root(root));
        match (ours, expected) {
            // Any of them will do.
            (Err(other), Err(_)) => assert!(self.naive.roots().contains(&other) && other.overlaps(root)),
            _ => assert_eq!(ours, expected, "{root:?}"),
        }
        expected
    }

    fn remove_root(&mut self, root: Block) {
        assert_eq!(self.set.remove_root(root), self.naive.remove_root(root), "{root:?}");
    }

    fn occupy(&mut self, block: Block, holder: Holder, since: u32) -> bool {
        let expected = self.naive.occupy(block, holder, since);
        assert_eq!(self.set.occupy(block, holder, since), expected, "{block:?}");
        expected.is_ok()
    }

    fn vacate(&mut self, block: Block) -> bool {
        let expected = self.naive.vacate(block);
        assert_eq!(self.set.vacate(block), expected, "{block:?}");
        expected.is_ok()
    }

    fn vacate_owned(&mut self, block: Block) {
        assert_eq!(self.set.vacate_owned(block), self.naive.vacate_owned(block), "{block:?}");
    }

    fn find(&mut self, order: u8, from: u128, to: u128) -> Option<Block> {
        let expected = self.naive.find(order, from, to);
        assert_eq!(self.set.find(order, from, to), expected, "of order {order} from {from:#x} to {to:#x}");
        expected
    }

    fn find_tightest(&mut self, order: u8) -> Option<Block> {
        let expected = self.naive.find_tightest(order);
        assert_eq!(self.set.find_tightest(order), expected, "of order {order}");
        expected
    }

    fn occupy_lowest(&mut self, order: u8, holder: Holder, since: u32) -> Option<Block> {
        let expected = self.naive.find(order, 0, u128::MAX);
        assert_eq!(self.set.occupy_lowest(order, holder, since), expected, "of order {order}");
        if let Some(block) = expected {
            assert_eq!(self.naive.occupy(block, holder, since), Ok(()));
        }
        expected
    }

    /// What can be asked without changing anything: who holds what, and all the numbers.
    fn compare_held(&self) {
        let mut from = Some(0);
        for held in self.naive.held() {
            assert_eq!(from.and_then(|from| self.set.next_held(from)), Some(held));
            from = held.block.last().checked_add(1);
        }
        assert_eq!(from.and_then(|from| self.set.next_held(from)), None);
        for owner in (0..OWNERS).map(Holder) {
            let theirs: Vec<Held> = self.set.held_by(owner);
            assert_eq!(theirs, self.naive.held_by(owner));
            assert_eq!(self.set.count_of(owner), theirs.len());
        }
        for at in 0..self.naive.roots().len() {
            assert_eq!(self.set.counts(at), self.naive.counts(at), "{:?}", self.naive.roots()[at]);
        }
        let free = self.naive.free();
        assert_eq!(self.set.largest_free(), free.iter().map(|free| free.order).max());
        let mut counts = [0; 129];
        for free in &free {
            counts[usize::from(free.order)] += 1;
        }
        for (order, count) in (0..).zip(counts) {
            assert_eq!(self.set.free_blocks(order), count, "of order {order}");
        }
    }

    /// What is at an address, and behind it.
    fn compare_at(&self, address: u128) {
        assert_eq!(self.set.get(address), self.naive.get(address), "{address:#x}");
        assert_eq!(self.set.next_held(address), self.naive.next_held(address), "{address:#x}");
    }

    /// All that matters about each block: its ends, and what is beside them.
    fn compare_ends(&self) {
        let ends = |block: Block| {
            [block.base.checked_sub(1), Some(block.base), Some(block.last()), block.last().checked_add(1)]
        };
        let blocks = self.naive.held().map(|held| held.block).chain(self.naive.roots().iter().copied());
        for address in blocks.flat_map(ends).flatten() {
            self.compare_at(address);
        }
    }

    /// All searches from the start, and some from each block's ends.
    fn compare_searches(&mut self, orders: impl Iterator<Item = u8>) {
        for order in orders {
            self.find(order, 0, u128::MAX);
            self.find_tightest(order);
        }
        let free = self.naive.free();
        for pair in free.windows(2).take(8) {
            let (low, high) = (pair[0], pair[1]);
            for order in [low.order, high.order] {
                self.find(order, low.base, high.last());
                self.find(order, low.base, high.last() - 1);
                self.find(order, low.base + 1, u128::MAX);
                self.find(order, low.last(), high.last());
            }
        }
    }

    /// Everything, on a copy: so the set itself goes on as if nobody had asked.
    fn compare(&self) {
        self.compare_with(0..=128);
    }

    fn compare_with(&self, orders: impl Iterator<Item = u8>) {
        let mut copy = self.clone();
        copy.compare_held();
        copy.compare_ends();
        copy.compare_searches(orders);
        copy.compare_held();
    }

    /// Gives all back, and has each root whole again.
    fn empty(mut self) {
        let blocks: Vec<Block> = self.naive.held().map(|held| held.block).collect();
        for block in blocks {
            self.vacate(block);
        }
        self.compare();
        for (at, &root) in self.naive.roots().iter().enumerate() {
            assert_eq!(self.set.counts(at).largest_free, Some(root.order));
            assert_eq!(self.set.counts(at).free, Amount::of_order(root.order));
        }
        for root in self.naive.roots().to_vec() {
            self.remove_root(root);
        }
        assert_eq!((self.set.largest_free(), self.set.get(0)), (None, Found::Outside));
    }
}

/// Where a step takes place: by what is there, so that the steps meet.
#[derive(Clone, Debug)]
enum Spot {
    /// At the first address of a held block, of as many orders more or less.
    Held(usize, i8),
    /// Just behind a held block.
    Behind(usize, u8),
    /// Just before it.
    Before(usize, u8),
    /// So many bits away from it.
    Off(usize, u8, u8),
    /// In a free block, of as many orders less; of more.
    Free(usize, i8),
    /// At the start or at the end of a root.
    End(usize, bool, u8),
    /// Anywhere in a root.
    Any(usize, u128, u8),
    /// Anywhere at all.
    Wild(u128, u8),
}

impl Spot {
    fn block(&self, naive: &NaiveSet) -> Block {
        let held = |nth: usize| naive.held().nth(nth % naive.len().max(1)).map(|held| held.block);
        let root = |nth: usize| naive.roots().get(nth % naive.roots().len().max(1)).copied();
        let off = |order: u8, by: i8| order.saturating_add_signed(by).min(128);
        let found = match *self {
            Self::Held(nth, by) => held(nth).map(|block| Block::around(block.base, off(block.order, by))),
            Self::Behind(nth, order) => {
                held(nth).map(|block| Block::around(block.last().wrapping_add(1), order.min(block.order + 1)))
            }
            Self::Before(nth, order) => {
                held(nth).map(|block| Block::around(block.base.wrapping_sub(1), order.min(block.order + 1)))
            }
            Self::Off(nth, bit, order) => held(nth).map(|block| Block::around(block.base ^ (1 << (bit % 128)), order)),
            Self::Free(nth, by) => {
                let free = naive.free();
                free.get(nth % free.len().max(1)).map(|block| Block::around(block.base, off(block.order, by)))
            }
            Self::End(nth, true, order) => root(nth).map(|root| Block::around(root.last(), order.min(root.order))),
            Self::End(nth, false, order) => root(nth).map(|root| Block::around(root.base, order.min(root.order))),
            Self::Any(nth, number, order) => {
                root(nth).map(|root| Block::around(root.base | number & mask(root.order), order.min(root.order)))
            }
            Self::Wild(number, order) => Some(Block::around(number, order)),
        };
        found.unwrap_or(Block::single(0))
    }
}

#[derive(Clone, Debug)]
enum Step {
    AddRoot(Spot),
    RemoveRoot(usize),
    Occupy(Spot, usize),
    Vacate(Spot),
    /// Occupies the lowest, or the tightest, so many times.
    Fill {
        order: u8,
        times: usize,
        tight: bool,
        holder: usize,
    },
    /// Unless it has a mark.
    VacateOwned(Spot),
    /// Vacates all of an owner.
    Clear(u32),
    Find {
        order: u8,
        from: Spot,
        to: Option<Spot>,
    },
    FindTightest(u8),
    /// Asks the set itself for everything, not a copy of it.
    Compare,
}

impl Twin {
    fn step(&mut self, step: &Step, now: u32) {
        match step {
            Step::AddRoot(spot) => {
                let root = spot.block(&self.naive);
                let _ = self.add_root(root);
            }
            Step::RemoveRoot(nth) => {
                let roots = self.naive.roots();
                if let Some(&root) = roots.get(nth % roots.len().max(1)) {
                    self.remove_root(root);
                }
            }
            Step::Occupy(spot, holder) => {
                self.occupy(spot.block(&self.naive), HOLDERS[holder % HOLDERS.len()], now);
            }
            Step::Vacate(spot) => {
                self.vacate(spot.block(&self.naive));
            }
            Step::VacateOwned(spot) => self.vacate_owned(spot.block(&self.naive)),
            &Step::Fill { order, times, tight, holder } => {
                let holder = HOLDERS[holder % HOLDERS.len()];
                for nth in 0..times {
                    // The lowest in two ways.
                    if !tight && nth % 4 < 3 {
                        self.occupy_lowest(order, holder, now);
                        continue;
                    }
                    let found = if tight { self.find_tightest(order) } else { self.find(order, 0, u128::MAX) };
                    let Some(block) = found else { break };
                    assert!(self.occupy(block, holder, now));
                }
            }
            &Step::Clear(owner) => {
                let theirs: Vec<Held> = self.set.held_by(Holder(owner));
                for held in theirs {
                    assert!(self.vacate(held.block));
                }
                assert_eq!(self.set.count_of(Holder(owner)), 0);
            }
            Step::Find { order, from, to } => {
                let (from, to) = (from.block(&self.naive), to.as_ref().map(|to| to.block(&self.naive)));
                self.find(*order, from.base, to.map_or(u128::MAX, Block::last));
            }
            &Step::FindTightest(order) => {
                self.find_tightest(order);
            }
            Step::Compare => {
                self.compare_held();
                self.compare_searches(0..=20);
            }
        }
    }
}

fn order() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => 0..=8u8,
        // A node has 64 slots: what is just as large, a little larger or smaller than one, on every level.
        4 => (0..=21u8, 0..=2u8).prop_map(|(level, more)| (level * 6 + more).saturating_sub(1)),
        1 => 0..=128u8,
    ]
}

fn spot() -> impl Strategy<Value = Spot> {
    let nth = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20)).boxed();
    // Few different numbers, so that they are met again; and all.
    let number = prop_oneof![0..256u128, (0..64u128, 0..128u8).prop_map(|(low, by)| low << by), any::<u128>()].boxed();
    prop_oneof![
        6 => (nth.clone(), -3..=3i8).prop_map(|(nth, by)| Spot::Held(nth, by)),
        4 => (nth.clone(), order()).prop_map(|(nth, order)| Spot::Behind(nth, order)),
        4 => (nth.clone(), order()).prop_map(|(nth, order)| Spot::Before(nth, order)),
        3 => (nth.clone(), any::<u8>(), order()).prop_map(|(nth, bit, order)| Spot::Off(nth, bit, order)),
        4 => (nth.clone(), -7..=1i8).prop_map(|(nth, by)| Spot::Free(nth, by)),
        3 => (nth.clone(), any::<bool>(), order()).prop_map(|(nth, last, order)| Spot::End(nth, last, order)),
        6 => (nth, number.clone(), order()).prop_map(|(nth, number, order)| Spot::Any(nth, number, order)),
        1 => (number, order()).prop_map(|(number, order)| Spot::Wild(number, order)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let nth = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20)).boxed();
    let holder = 0..HOLDERS.len();
    prop_oneof![
        1 => spot().prop_map(Step::AddRoot),
        1 => nth.clone().prop_map(Step::RemoveRoot),
        12 => (spot(), holder.clone()).prop_map(|(spot, holder)| Step::Occupy(spot, holder)),
        6 => nth.prop_map(|nth| Step::Vacate(Spot::Held(nth, 0))),
        2 => spot().prop_map(Step::Vacate),
        3 => spot().prop_map(Step::VacateOwned),
        3 => (order(), 1..80usize, any::<bool>(), holder)
            .prop_map(|(order, times, tight, holder)| Step::Fill { order, times, tight, holder }),
        1 => (0..OWNERS).prop_map(Step::Clear),
        4 => (order(), spot(), prop::option::of(spot())).prop_map(|(order, from, to)| Step::Find { order, from, to }),
        3 => order().prop_map(Step::FindTightest),
        1 => Just(Step::Compare),
    ]
}

/// What the sequences begin with: small and whole spaces, neighbours, far ones, and the last address.
fn roots() -> impl Strategy<Value = Vec<Block>> {
    let v6 = |text: &str| Block::of(text.parse().unwrap());
    prop_oneof![
        Just(vec![Block { base: 0, order: 3 }]),
        Just(vec![Block { base: 0, order: 6 }, Block { base: 64, order: 6 }]),
        Just(vec![Block { base: 64, order: 5 }, Block { base: 96, order: 5 }, Block { base: 128, order: 7 }]),
        Just(vec![Block { base: 4096, order: 12 }, Block { base: 8192, order: 13 }]),
        Just(vec![
            Block { base: 0x0a00_0000, order: 24 },
            Block::single(0x0b00_0000),
            Block { base: 1 << 31, order: 8 }
        ]),
        Just(vec![Block { base: 0, order: 32 }]),
        Just(vec![Block { base: 0, order: 128 }]),
        Just(vec![v6("::/1"), v6("8000::/1")]),
        Just(vec![v6("fd00::/32"), v6("fd00:1::/48"), v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120")]),
        Just(vec![]),
    ]
}

/// Some seconds' worth of cases, unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 8 };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn equals_a_list(roots in roots(), grain in 0..=128_u8, steps in prop::collection::vec(step(), 1..300)) {
        let mut twin = Twin::new(&roots, grain);
        for (step, now) in steps.iter().zip(0..) {
            twin.step(step, now);
            // Small ones, those of whole nodes and their neighbours, and the largest.
            twin.compare_with([0, 1, 2, 4, 5, 6, 7, 11, 12, 13, 18, 24, 32, 66, 126, 127, 128].into_iter());
        }
        twin.empty();
    }
}

/// The 15 blocks of a space of eight times 2^`scale` addresses.
fn tiny(base: u128, scale: u8) -> Vec<Block> {
    let of_order = |order: u8| (0..8_u128 >> order).map(move |at| (base + (at << order << scale), order + scale));
    (0..=3).flat_map(of_order).map(|(base, order)| Block { base, order }).collect()
}

/// Every state that the blocks of a tiny space can be in, and from each every change: 677 states, 20,310 changes.
fn each_state(twin: Twin, blocks: &[Block]) {
    let held = |twin: &Twin| twin.naive.held().map(|held| held.block).collect::<Vec<_>>();
    let mut known = BTreeSet::from([held(&twin)]);
    let mut ahead = VecDeque::from([twin]);
    let mut states = 0;
    while let Some(twin) = ahead.pop_front() {
        states += 1;
        twin.compare_with(blocks[0].order.saturating_sub(2)..=(blocks[0].order + 5).min(128));
        for &block in blocks {
            for vacate in [false, true] {
                let mut next = twin.clone();
                if !(if vacate { next.vacate(block) } else { next.occupy(block, Holder(1), 0) }) {
                    continue;
                }
                if vacate {
                    // Another way to a state that is known.
                    next.compare_held();
                    next.find(blocks[0].order, 0, u128::MAX);
                } else if known.insert(held(&next)) {
                    ahead.push_back(next);
                }
            }
        }
    }
    assert_eq!(states, 677);
}

#[test]
fn each_state_of_a_tiny_space() {
    // As a root of its own; within one; with a neighbour; where nodes meet; as large as there is.
    let alone = |base, scale: u8, grain| Twin::new(&[Block { base, order: 3 + scale }], grain);
    for (base, scale, grain) in [(0, 0, 0), (0, 0, 2), (56, 0, 0), (0, 4, 0), (0, 4, 4), (0, 125, 0), (0, 125, 2)] {
        each_state(alone(base, scale, grain), &tiny(base, scale));
    }
    each_state(alone(u128::MAX - 7, 0, 0), &tiny(u128::MAX - 7, 0));
    // Between two addresses that are held, so that the nodes around it stay.
    for (scale, grain) in [(2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (9, 0), (10, 0), (2, 1), (2, 2), (3, 3), (0, 2)] {
        let (first, behind) = (8 << scale, 16 << scale);
        let mut twin = Twin::new(&[Block { base: 0, order: 24 }], grain);
        assert!(twin.occupy(Block::single(first - 1), Holder(0), 0));
        assert!(twin.occupy(Block::single(behind), Holder::RESERVED, 0));
        each_state(twin, &tiny(first, scale));
    }
}

/// All sequences of so many changes.
fn each_sequence(twin: &Twin, blocks: &[Block], depth: u32) {
    if depth == 0 {
        twin.compare_held();
        return;
    }
    for &block in blocks {
        for vacate in [false, true] {
            let mut next = twin.clone();
            if vacate {
                next.vacate(block)
            } else {
                next.occupy(block, Holder(depth % OWNERS), depth)
            };
            next.find(blocks[0].order, 0, u128::MAX);
            each_sequence(&next, blocks, depth - 1);
        }
    }
}

#[test]
fn each_sequence_of_four() {
    // A /30 as such, one whose addresses are larger than nodes, and a quarter of all addresses.
    for (base, scale, order, grain) in [(4, 0, 2, 0), (4, 0, 2, 5), (64, 4, 12, 0), (64, 4, 12, 5), (0, 124, 128, 2)] {
        let whole = Block { base, order: 2 + scale };
        let blocks: Vec<Block> = tiny(base, scale).into_iter().filter(|block| whole.contains(*block)).collect();
        each_sequence(&Twin::new(&[Block::around(base, order)], grain), &blocks, 4);
    }
}

/// Tens of thousands of blocks at random, and back, in another order.
fn many(roots: &[Block], orders: &[u8], count: usize, seed: u64) {
    // The list is slow where nothing is optimized.
    let count = if cfg!(debug_assertions) { count / 4 } else { count };
    let mut twin = Twin::new(roots, seed as u8);
    let mut random = Rng::with_seed(seed);
    let any_block = |random: &mut Rng| {
        let root = roots[random.usize(0..roots.len())];
        Block::around(root.base | random.u128(..) & mask(root.order), orders[random.usize(0..orders.len())])
    };
    for round in 0..3 {
        let mut held = Vec::new();
        for now in 0..count {
            let block = any_block(&mut random);
            if twin.occupy(block, HOLDERS[random.usize(0..HOLDERS.len())], now as u32) {
                held.push(block);
            }
            // The next one from there on, as next fit looks for it; and within a little.
            let from = any_block(&mut random).base;
            twin.compare_at(from);
            twin.find(block.order, from, from.saturating_add(mask(block.order.saturating_add(3).min(127))));
            // Naively the next one is far where it is crowded.
            if random.u8(..) < 8 {
                twin.find(block.order, from, u128::MAX);
            }
            // Some come back at once.
            if random.u8(..) < 64 {
                let block = held.swap_remove(random.usize(0..held.len()));
                assert!(twin.vacate(block));
                assert!(!twin.vacate(block));
            }
        }
        twin.compare_with(orders.iter().copied());
        random.shuffle(&mut held);
        let left = if round == 2 { 0 } else { held.len() / 4 };
        for block in held.drain(left..) {
            assert!(twin.vacate(block));
            twin.compare_at(block.base);
        }
        twin.compare_with(orders.iter().copied());
        for block in held {
            assert!(twin.vacate(block));
        }
    }
    twin.empty();
}

#[test]
fn many_at_random() {
    let v6 = |text: &str| Block::of(text.parse().unwrap());
    many(&[v6("fd00::/64")], &[0], 20_000, 1);
    many(&[v6("::/0")], &[0, 6, 64, 80], 10_000, 2);
    many(&[Block { base: 0x0a00_0000, order: 24 }], &[0, 1, 2, 3, 4, 8], 20_000, 3);
    many(&[Block { base: 0, order: 17 }], &[0, 1, 2], 20_000, 4);
    many(&[Block { base: 1 << 16, order: 16 }, Block { base: 1 << 17, order: 14 }], &[0, 0, 0, 5, 6, 7], 20_000, 5);
}

/// A full space, filled from the bottom, emptied and filled again in parts: what pools do that give the lowest.
#[test]
fn full_and_empty_again() {
    for (order, unit, seed) in [(14, 0, 1), (24, 10, 2), (128, 114, 3), (13, 1, 4)] {
        let mut twin = Twin::new(&[Block { base: 0, order }], unit);
        let mut random = Rng::with_seed(seed);
        let count = 1_u128 << (order - unit);
        for at in 0..count {
            // Naively found it would be walked to each time.
            let block = Block { base: at << unit, order: unit };
            assert_eq!(twin.set.find(unit, 0, u128::MAX), Some(block));
            assert!(twin.occupy(block, Holder(at as u32 % OWNERS), at as u32));
        }
        assert_eq!(twin.set.find(unit, 0, u128::MAX), None);
        twin.compare_held();
        for _ in 0..3 {
            let mut gone: Vec<u128> = (0..count).filter(|_| random.u8(..) < 40).collect();
            random.shuffle(&mut gone);
            for &at in &gone {
                assert!(twin.vacate(Block { base: at << unit, order: unit }));
            }
            twin.compare_with([unit, unit + 1, unit + 6].into_iter());
            gone.sort_unstable();
            for at in gone {
                let (block, holder) = (Block { base: at << unit, order: unit }, Holder(at as u32 % OWNERS));
                assert_eq!(twin.set.occupy_lowest(unit, holder, 0), Some(block));
                assert_eq!(twin.naive.occupy(block, holder, 0), Ok(()));
            }
            assert_eq!(twin.set.find(unit, 0, u128::MAX), None);
        }
        // All of an owner at once.
        for owner in 0..OWNERS {
            twin.step(&Step::Clear(owner), 0);
        }
        twin.empty();
    }
}

/// Blocks of a few nodes, taken and given back close together: mostly of the node at hand. What is given back is often more
/// or less than what is held there.
#[test]
fn at_hand_as_in_a_list() {
    for (order, grain, seed) in [(7, 0, 1), (9, 0, 2), (12, 0, 3), (10, 2, 4), (8, 5, 5)] {
        let mut twin = Twin::new(&[Block { base: 0, order }], grain);
        let mut random = Rng::with_seed(seed);
        let mut place = 0;
        for now in 0..3_000 {
            // Stays in a node for a while.
            if random.u8(..) < 16 {
                place = random.u128(..) & mask(order) & !63;
            }
            let block = Block::around(place | random.u128(0..64), random.u8(0..4));
            let holder = Holder(u32::from(random.u8(..) < 64));
            match random.u8(0..8) {
                0..3 => _ = twin.occupy(block, holder, now),
                3..5 => _ = twin.occupy_lowest(block.order, holder, now),
                5 => twin.vacate_owned(block),
                _ => {
                    // What is held around there, one address of it, or twice as much.
                    if let Found::Held(held) = twin.set.get(block.base) {
                        let as_well = [held.block.order, held.block.order, 0, (held.block.order + 1).min(order)];
                        twin.vacate_owned(Block::around(held.block.base, as_well[random.usize(0..4)]));
                    }
                }
            }
            assert_eq!(twin.set.count_of(holder), twin.naive.held_by(holder).len());
            if now % 8 == 0 {
                // Of what is at hand, as it is.
                twin.compare_held();
            }
        }
        twin.compare_with(0..=12);
        for owner in 0..OWNERS {
            for held in twin.naive.held_by(Holder(owner)) {
                twin.vacate_owned(held.block);
            }
        }
        twin.empty();
    }
}

/// Where the lowest free block was found, nothing lower was free; what is given back at hand may be lower.
#[test]
fn the_lowest_is_what_came_back_at_hand() {
    let mut twin = Twin::new(&[Block { base: 0, order: 7 }], 0);
    let four = |base| Block { base, order: 2 };
    for base in (0..60).step_by(4) {
        assert!(twin.occupy(four(base), Holder(0), 0));
    }
    assert!(twin.occupy(Block::single(60), Holder(0), 0));
    for base in [64, 68] {
        assert_eq!(twin.occupy_lowest(2, Holder(0), 0), Some(four(base)));
    }
    // Twice in the lower node: it is at hand, and has no room for four.
    for address in [61, 62] {
        assert!(twin.occupy(Block::single(address), Holder(0), 0));
    }
    twin.vacate_owned(four(8));
    assert_eq!(twin.occupy_lowest(2, Holder(0), 0), Some(four(8)));
    assert_eq!(twin.occupy_lowest(2, Holder(0), 0), Some(four(72)));
}

#[test]
fn whether_anything_is_free() {
    let mut twin = Twin::new(&[Block { base: 0, order: 7 }], 0);
    for at in 0..128 {
        assert!(twin.set.has_free());
        assert!(twin.set.occupy_lowest(0, Holder(0), 0).is_some(), "{at}");
    }
    assert!(!twin.set.has_free());
    assert_eq!(twin.set.vacate_owned(Block::single(5)), Ok(Holder(0)));
    assert!(twin.set.has_free());
}

#[test]
fn a_node_is_small() {
    // Sparse pools have a node for each block.
    assert_eq!(size_of::<Node>(), 48);
}
