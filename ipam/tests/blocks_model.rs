//! Blocks of nodes against sets of addresses, under random operations.
//!
//! `PROPTEST_CASES` says how many sequences of up to 150 operations.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use ipam::{
    AddressRange, AllocateFromBlocksError, Amount, Blocks, BlocksChange, BlocksOptions, ClaimBlockError,
    ClaimFromBlocksError, ReleaseBlockError, ReleaseFromBlocksError,
};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// All that happens is within so many addresses: eight blocks of four.
const UNIVERSE: u8 = 32;
const ORDER: u8 = 2;
const NODES: u8 = 4;
const OWNERS: u8 = 4;
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// The first address: up to the last one of the whole address space, too.
const PLACES: [&str; 3] = ["10.0.0.0", "255.255.255.224", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe0"];

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        node: u8,
        owner: u8,
    },
    Claim {
        address: u8,
        node: u8,
        owner: u8,
    },
    Release {
        address: u8,
    },
    ReleaseFrom {
        address: u8,
        owner: u8,
    },
    ReleaseAll {
        owner: u8,
    },
    ClaimBlock {
        block: u8,
        node: u8,
    },
    ReleaseBlock {
        block: u8,
    },
    ReleaseNode {
        node: u8,
    },
    Reclaim,
    /// They go, and others are made of their changes.
    Restart,
}

#[derive(Clone, Debug)]
struct Start {
    place: usize,
    max_blocks: Option<u32>,
    borrow: bool,
    reclaim: bool,
    reserved: Vec<(u8, u8)>,
}

impl ReferenceStateMachine for Start {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let reserved = (0..UNIVERSE, 0..9_u8).prop_map(|(first, more)| (first, (first + more).min(UNIVERSE - 1)));
        let reserved = proptest::collection::vec(reserved, 0..3);
        (0..PLACES.len(), proptest::option::of(0..4_u32), any::<bool>(), any::<bool>(), reserved)
            .prop_map(|(place, max_blocks, borrow, reclaim, reserved)| Self {
                place,
                max_blocks,
                borrow,
                reclaim,
                reserved,
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let (address, node, owner, block) = (0..UNIVERSE, 0..NODES, 0..OWNERS, 0..UNIVERSE >> ORDER);
        prop_oneof![
            40 => (node.clone(), owner.clone()).prop_map(|(node, owner)| Step::Allocate { node, owner }),
            10 => (address.clone(), node.clone(), owner.clone())
                .prop_map(|(address, node, owner)| Step::Claim { address, node, owner }),
            20 => address.clone().prop_map(|address| Step::Release { address }),
            4 => (address, owner.clone()).prop_map(|(address, owner)| Step::ReleaseFrom { address, owner }),
            2 => owner.prop_map(|owner| Step::ReleaseAll { owner }),
            3 => (block.clone(), node.clone()).prop_map(|(block, node)| Step::ClaimBlock { block, node }),
            3 => block.prop_map(|block| Step::ReleaseBlock { block }),
            3 => node.prop_map(|node| Step::ReleaseNode { node }),
            2 => Just(Step::Reclaim),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn apply(start: Self, _: &Step) -> Self {
        start
    }
}

#[derive(Debug)]
struct Pair {
    base: IpAddr,
    start: Start,
    blocks: Blocks<String>,
    /// Does only what the changes of the other say.
    replica: Blocks<String>,
    reserved: BTreeSet<u8>,
    /// Whose each block is; nobody's are those of nodes that were released.
    given: BTreeMap<u8, Option<u8>>,
    /// For which node, and whose.
    held: BTreeMap<u8, (u8, u8)>,
}

impl Pair {
    fn new(start: &Start) -> Self {
        let base: IpAddr = PLACES[start.place].parse().unwrap();
        let width = if base.is_ipv4() { 32 } else { 128 };
        let mut options = BlocksOptions::new([IpNet::new(base, width - 5).unwrap()], width - ORDER);
        options.max_blocks = start.max_blocks;
        options.borrow = start.borrow;
        options.reclaim = start.reclaim;
        let range = |&(first, last)| AddressRange::new(address(base, first), address(base, last)).unwrap();
        options.reserved = start.reserved.iter().map(range).collect();
        Self {
            base,
            start: start.clone(),
            blocks: Blocks::new(options.clone()).unwrap(),
            replica: Blocks::new(options).unwrap(),
            reserved: start.reserved.iter().flat_map(|&(first, last)| first..=last).collect(),
            given: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    fn address(&self, small: u8) -> IpAddr {
        address(self.base, small)
    }

    fn prefix(&self, block: u8) -> IpNet {
        let width = if self.base.is_ipv4() { 32 } else { 128 };
        IpNet::new(self.address(block << ORDER), width - ORDER).unwrap()
    }

    /// The lowest address of a block that is to be had without its name.
    fn room(&self, block: u8) -> Option<u8> {
        addresses(block).find(|address| !self.reserved.contains(address) && !self.held.contains_key(address))
    }

    fn held_in(&self, block: u8) -> usize {
        addresses(block).filter(|address| self.held.contains_key(address)).count()
    }

    fn count(&self, node: u8) -> usize {
        self.given.values().filter(|&&of| of == Some(node)).count()
    }

    fn full(&self, node: u8) -> Option<u32> {
        self.start.max_blocks.filter(|&max_blocks| self.count(node) >= max_blocks as usize)
    }

    fn give(&mut self, address: u8, node: u8, owner: u8) {
        self.given.entry(address >> ORDER).or_insert(Some(node));
        assert!(self.held.insert(address, (node, owner)).is_none(), "{address} is given twice");
        let (node, owner) = (node_name(node), owner_name(owner));
        let change = BlocksChange::Granted { address: self.address(address), node, owner, at: NOW };
        self.replica.apply(&change).unwrap();
    }

    /// Says whether the block went, too.
    fn take(&mut self, address: u8) -> bool {
        self.held.remove(&address).unwrap();
        let block = address >> ORDER;
        let goes = self.held_in(block) == 0 && (self.start.reclaim || self.given[&block].is_none());
        if goes {
            self.given.remove(&block);
        }
        goes
    }

    fn tell_released(&mut self, address: u8) {
        self.replica.apply(&BlocksChange::Released { address: self.address(address), at: NOW }).unwrap();
    }

    fn allocate(&mut self, node: u8, owner: u8) {
        let given = self.blocks.allocate(node_name(node).as_str(), owner_name(owner).as_str(), NOW);
        let of = |of: Option<u8>| self.given.iter().filter(move |(_, node)| **node == of).map(|(&block, _)| block);
        let own = of(Some(node)).find_map(|block| self.room(block));
        let is_free = |&block: &u8| !self.given.contains_key(&block) && self.room(block).is_some();
        let new = (0..UNIVERSE >> ORDER).find(is_free).filter(|_| self.full(node).is_none());
        let others = self.given.iter().filter(|(_, node)| node.is_some());
        let other = others.map(|(&block, _)| block).find_map(|block| self.room(block)).filter(|_| self.start.borrow);
        let borrow = self.start.borrow;
        let expected = own.or(new.and_then(|block| self.room(block))).or(other);
        let Some(expected) = expected else {
            let error = match self.full(node) {
                Some(max_blocks) => AllocateFromBlocksError::MaxBlocks { max_blocks, borrow },
                None => AllocateFromBlocksError::NoBlock { blocks: self.count(node), borrow },
            };
            assert_eq!(given, Err(error));
            return;
        };
        let given = given.unwrap();
        assert_eq!(given.address, self.address(expected));
        assert_eq!(given.block, self.prefix(expected >> ORDER));
        assert_eq!((given.is_new, given.is_borrowed), (own.is_none() && new.is_some(), own.is_none() && new.is_none()));
        self.give(expected, node, owner);
    }

    fn claim(&mut self, small: u8, node: u8, owner: u8) {
        let (address, block) = (self.address(small), self.prefix(small >> ORDER));
        let claimed = self.blocks.claim(address, node_name(node).as_str(), owner_name(owner).as_str(), NOW);
        let of = self.given.get(&(small >> ORDER)).copied();
        if let Some(&(_, owner)) = self.held.get(&small) {
            assert_eq!(claimed, Err(ClaimFromBlocksError::Taken { address, owner: owner_name(owner) }));
            return;
        }
        let error = match of {
            None => self.full(node).map(|max_blocks| ClaimFromBlocksError::MaxBlocks { address, block, max_blocks }),
            Some(of) if of == Some(node) || self.start.borrow => None,
            Some(None) => Some(ClaimFromBlocksError::NoNode { address, block }),
            Some(Some(of)) => Some(ClaimFromBlocksError::OtherNode { address, block, node: node_name(of) }),
        };
        if let Some(error) = error {
            assert_eq!(claimed, Err(error));
            return;
        }
        let claimed = claimed.unwrap();
        let is_borrowed = of.is_some_and(|of| of != Some(node));
        assert_eq!((claimed.address, claimed.block), (address, block));
        assert_eq!((claimed.is_new, claimed.is_borrowed), (of.is_none(), is_borrowed));
        self.give(small, node, owner);
    }

    fn release(&mut self, small: u8, released: &Result<Option<IpNet>, ReleaseFromBlocksError<String>>) {
        if self.held.contains_key(&small) {
            let goes = self.take(small);
            assert_eq!(*released, Ok(goes.then(|| self.prefix(small >> ORDER))));
            self.tell_released(small);
        } else {
            assert_eq!(*released, Err(ReleaseFromBlocksError::NotAllocated { address: self.address(small) }));
        }
    }

    fn claim_block(&mut self, small: u8, node: u8) {
        let block = self.prefix(small);
        let claimed = self.blocks.claim_block(block, node_name(node).as_str(), NOW);
        let error = match (self.given.get(&small), self.full(node)) {
            (Some(&Some(of)), _) => Some(ClaimBlockError::Taken { block, node: node_name(of) }),
            (Some(None), _) => Some(ClaimBlockError::NoNode { block, addresses: self.held_in(small) }),
            (None, Some(max_blocks)) => Some(ClaimBlockError::MaxBlocks { block, max_blocks }),
            (None, None) => None,
        };
        assert_eq!(claimed, error.clone().map_or(Ok(()), Err));
        if error.is_none() {
            self.given.insert(small, Some(node));
            let change = BlocksChange::BlockGranted { block, node: Some(node_name(node)), at: NOW };
            self.replica.apply(&change).unwrap();
        }
    }

    fn release_block(&mut self, small: u8) {
        let block = self.prefix(small);
        let released = self.blocks.release_block(block);
        let first = addresses(small).find(|address| self.held.contains_key(address));
        if !self.given.contains_key(&small) {
            assert_eq!(released, Err(ReleaseBlockError::NotAllocated { block }));
        } else if let Some(first) = first {
            let (address, owner) = (self.address(first), owner_name(self.held[&first].1));
            let others = self.held_in(small) - 1;
            assert_eq!(released, Err(ReleaseBlockError::Held { block, address, owner, others }));
        } else {
            assert_eq!(released, Ok(()));
            self.given.remove(&small);
            self.replica.apply(&BlocksChange::BlockReleased { block, at: NOW }).unwrap();
        }
    }

    fn release_node(&mut self, node: u8) {
        let released = self.blocks.release_node(node_name(node).as_str());
        let theirs: Vec<u8> =
            self.held.iter().filter(|(_, held)| held.0 == node).map(|(&address, _)| address).collect();
        let before: BTreeSet<u8> = self.given.keys().copied().collect();
        for &address in &theirs {
            self.take(address);
        }
        let of: Vec<u8> = self.given.iter().filter(|(_, of)| **of == Some(node)).map(|(&block, _)| block).collect();
        let (kept, empty): (Vec<u8>, Vec<u8>) = of.into_iter().partition(|&block| self.held_in(block) > 0);
        for &block in &kept {
            self.given.insert(block, None);
        }
        for block in empty {
            self.given.remove(&block);
        }
        let gone = before.into_iter().filter(|block| !self.given.contains_key(block));
        assert!(released.blocks.iter().copied().eq(gone.map(|block| self.prefix(block))));
        assert!(released.kept.iter().copied().eq(kept.iter().map(|&block| self.prefix(block))));
        assert!(released.addresses.iter().copied().eq(theirs.iter().map(|&address| self.address(address))));
        for change in released.changes(node_name(node), NOW) {
            self.replica.apply(&change).unwrap();
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Allocate { node, owner } => self.allocate(node, owner),
            Step::Claim { address, node, owner } => self.claim(address, node, owner),
            Step::Release { address } => {
                let released = self.blocks.release(self.address(address));
                self.release(address, &released);
            }
            Step::ReleaseFrom { address, owner } => {
                let (at, theirs) = (self.address(address), self.held.get(&address).map(|held| held.1));
                let released = self.blocks.release_from(at, owner_name(owner).as_str());
                match theirs.filter(|&theirs| theirs != owner) {
                    Some(theirs) => {
                        let (address, owner) = (at, owner_name(theirs));
                        assert_eq!(released, Err(ReleaseFromBlocksError::NotTheirs { address, owner }));
                    }
                    None => self.release(address, &released),
                }
            }
            Step::ReleaseAll { owner } => {
                let released = self.blocks.release_all(owner_name(owner).as_str());
                let theirs = self.held.iter().filter(|(_, held)| held.1 == owner);
                let theirs: Vec<u8> = theirs.map(|(&address, _)| address).collect();
                assert!(released.into_iter().eq(theirs.iter().map(|&address| self.address(address))));
                for address in theirs {
                    self.take(address);
                    self.tell_released(address);
                }
            }
            Step::ClaimBlock { block, node } => self.claim_block(block, node),
            Step::ReleaseBlock { block } => self.release_block(block),
            Step::ReleaseNode { node } => self.release_node(node),
            Step::Reclaim => {
                let reclaimed = self.blocks.reclaim();
                let empty: Vec<u8> = self.given.keys().copied().filter(|&block| self.held_in(block) == 0).collect();
                assert!(reclaimed.iter().copied().eq(empty.iter().map(|&block| self.prefix(block))));
                for small in empty {
                    self.given.remove(&small);
                    let change = BlocksChange::BlockReleased { block: self.prefix(small), at: NOW };
                    self.replica.apply(&change).unwrap();
                }
            }
            Step::Restart => self.blocks = Blocks::restore(self.blocks.changes()).unwrap(),
        }
    }

    fn compare(&self) {
        let grants = self.blocks.grants().map(|grant| {
            let address = grant.prefix.addr();
            (address, self.blocks.node_of(address).cloned(), grant.owner.clone())
        });
        let expected = self
            .held
            .iter()
            .map(|(&address, &(node, owner))| (self.address(address), Some(node_name(node)), owner_name(owner)));
        assert!(grants.eq(expected));
        let amount = |count: usize| Amount::from(count as u128);
        let free = |block: &u8| addresses(*block).filter(|small| self.is_free(*small)).count();
        let lent = |block: u8, of: Option<u8>| {
            let held = addresses(block).filter_map(|address| self.held.get(&address));
            held.filter(|held| Some(held.0) != of).count()
        };

        let mut given = self.blocks.blocks();
        for (&block, &of) in &self.given {
            let grant = given.next().unwrap();
            assert_eq!((grant.block, grant.node.cloned()), (self.prefix(block), of.map(node_name)));
            let (usage, held) = (grant.usage, self.held_in(block));
            assert_eq!((usage.total, usage.allocated, usage.lent), (4.into(), held, lent(block, of)));
            assert_eq!((usage.free, usage.reserved), (amount(free(&block)), amount(4 - held - free(&block))));
            assert!(of.is_some() || held > 0, "a block of nobody without addresses");
        }
        assert!(given.next().is_none());

        for node in 0..NODES {
            let own = || self.given.iter().filter(|(_, of)| **of == Some(node)).map(|(&block, _)| block);
            let borrowed = self
                .held
                .iter()
                .filter(|(address, held)| held.0 == node && self.given[&(**address >> ORDER)] != Some(node));
            let borrowed = borrowed.count();
            assert!(self.start.max_blocks.is_none_or(|max_blocks| own().count() <= max_blocks as usize));
            assert!(self.start.borrow || borrowed == 0);
            let name = node_name(node);
            assert!(self.blocks.blocks_of(name.as_str()).map(|grant| grant.block).eq(own().map(|at| self.prefix(at))));
            let Some(usage) = self.blocks.usage_of(name.as_str()) else {
                assert_eq!((own().count(), borrowed), (0, 0));
                continue;
            };
            let held: usize = own().map(|block| self.held_in(block)).sum();
            let addresses = usage.addresses;
            assert_eq!((usage.blocks, usage.borrowed, addresses.allocated), (own().count(), borrowed, held));
            assert_eq!(addresses.lent, own().map(|block| lent(block, Some(node))).sum());
            assert_eq!(addresses.free, amount(own().map(|block| free(&block)).sum()));
            assert!(usage.blocks + usage.borrowed > 0, "a node that has nothing");
        }

        let usage = self.blocks.usage();
        let all_free = (0..UNIVERSE).filter(|&small| self.is_free(small)).count();
        assert_eq!((usage.addresses.free, usage.addresses.grants), (amount(all_free), self.held.len()));
        assert_eq!(usage.addresses.total, amount(UNIVERSE.into()));
        assert_eq!(usage.blocks.grants, self.given.len());
        assert!(self.replica.changes().eq(self.blocks.changes()));
        assert_eq!(self.replica.usage(), usage);
    }

    fn is_free(&self, address: u8) -> bool {
        !self.reserved.contains(&address) && !self.held.contains_key(&address)
    }
}

fn addresses(block: u8) -> impl Iterator<Item = u8> {
    block << ORDER..(block + 1) << ORDER
}

fn node_name(node: u8) -> String {
    format!("node {node}")
}

fn owner_name(owner: u8) -> String {
    format!("owner {owner}")
}

fn address(base: IpAddr, small: u8) -> IpAddr {
    match base {
        IpAddr::V4(base) => IpAddr::V4((base.to_bits() | u32::from(small)).into()),
        IpAddr::V6(base) => IpAddr::V6((base.to_bits() | u128::from(small)).into()),
    }
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

    /// All that is released is as if it had never been given.
    fn teardown(mut pair: Self, _: Start) {
        for node in 0..NODES {
            pair.blocks.release_node(node_name(node).as_str());
        }
        let new = Blocks::<String>::new(pair.blocks.options().clone()).unwrap();
        assert_eq!(pair.blocks.usage(), new.usage());
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
