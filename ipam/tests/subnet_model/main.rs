//! Pools of subnets against naive ones, under random operations.
//!
//! `PROPTEST_CASES` says how many sequences of up to 200 operations for each kind of pool; a million operations are
//!
//! ```text
//! PROPTEST_CASES=5000 cargo test --release -p ipam --test subnet_model
//! ```

mod model;
mod space;

use ipam::{Choice, SubnetPoolOptions};
use model::{By, OWNERS, Pair, Spot, Step, Written};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// What a pool begins as. The pool and what it should be are in [`Pair`]: steps say where they take place by what is there.
#[derive(Clone, Debug)]
struct World<const SMALL: bool>(SubnetPoolOptions);

fn options(prefixes: &[&str], shortest: u8, longest: Option<u8>, window: Option<&str>) -> SubnetPoolOptions {
    let mut options = SubnetPoolOptions::new(prefixes.iter().map(|text| text.parse().unwrap()));
    (options.shortest, options.longest) = (shortest, longest);
    options.window = window.map(|text| text.parse().unwrap());
    options
}

/// Pools of at most some hundred addresses.
fn small() -> Vec<SubnetPoolOptions> {
    vec![
        options(&["10.0.0.0/28"], 0, None, None),
        options(&["0.0.0.0/29"], 0, None, None),
        options(&["255.255.255.240/28"], 0, None, None),
        options(&["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe0/123"], 0, None, None),
        options(&["fd00::7f/128", "fd00::80/127"], 0, None, None),
        // Neighbours stay two.
        options(&["192.0.2.0/26", "192.0.2.64/26"], 24, None, None),
        // Smaller than what a node of the tree has, where one ends and the next begins.
        options(&["192.0.2.96/27", "192.0.2.64/27", "192.0.2.128/26"], 0, None, None),
        options(&["10.0.0.0/25"], 26, Some(31), None),
        options(&["10.0.0.0/26", "10.0.0.128/26"], 0, None, Some("10.0.0.5-10.0.0.170")),
    ]
}

/// Pools that nobody could enumerate.
fn large() -> Vec<SubnetPoolOptions> {
    let mut reserved = options(&["::/0"], 0, None, None);
    reserved.reserved = vec!["::-::ff".parse().unwrap(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()];
    vec![
        options(&["0.0.0.0/0"], 0, None, None),
        options(&["::/0"], 0, None, None),
        reserved,
        options(&["::/1", "8000::/1"], 0, None, None),
        options(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], 16, Some(32), None),
        options(&["10.0.0.0/8"], 9, Some(30), Some("10.0.255.0-10.127.255.255")),
        options(&["fd00::/32", "fd00:1::/48"], 40, Some(64), None),
        options(&["0.0.0.0/0"], 0, None, Some("0.0.0.1-255.255.255.254")),
        options(&["2001:db8::/32"], 0, None, Some("2001:db8:0:1::-2001:db8:ffff:fffe:ffff:ffff:ffff:ffff")),
        options(&["255.0.0.0/8"], 0, None, None),
    ]
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        3 => Just(Choice::Lowest),
        2 => Just(Choice::Next),
        2 => Just(Choice::BestFit),
        2 => (prop_oneof![Just(0_u32), Just(1), 2..6_u32, Just(100)], any::<u64>())
            .prop_map(|(among, seed)| Choice::Random { among, seed }),
    ]
}

/// Sizes: of a few addresses, and where the levels of a tree of 64 branches meet.
fn order(small: bool) -> BoxedStrategy<u8> {
    if small {
        return prop_oneof![4 => 0..=3_u8, 3 => 0..=7_u8, 1 => 0..=128_u8].boxed();
    }
    prop_oneof![
        3 => 0..=8_u8,
        5 => (0..=21_u8, 0..=2_u8).prop_map(|(level, more)| (level * 6 + more).saturating_sub(1)),
        1 => 0..=128_u8,
    ]
    .boxed()
}

fn nth() -> BoxedStrategy<usize> {
    any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20)).boxed()
}

fn spot(small: bool) -> BoxedStrategy<Spot> {
    // Few different numbers, so that they are met again; and all.
    let number =
        prop_oneof![(0..256_u128, 0..18_u32).prop_map(|(low, level)| low << (level * 6)), 0..256_u128, any::<u128>(),]
            .boxed();
    prop_oneof![
        5 => (nth(), -3..=3_i8).prop_map(|(nth, by)| Spot::Grant(nth, by)),
        3 => nth().prop_map(Spot::Behind),
        3 => nth().prop_map(Spot::Before),
        4 => (nth(), -7..=1_i8).prop_map(|(nth, by)| Spot::Free(nth, by)),
        1 => nth().prop_map(Spot::Whole),
        3 => (nth(), any::<bool>(), order(small)).prop_map(|(nth, last, order)| Spot::End(nth, last, order)),
        5 => (nth(), number.clone(), order(small)).prop_map(|(nth, number, order)| Spot::Within(nth, number, order)),
        1 => (number, order(small)).prop_map(|(number, order)| Spot::Any(number, order)),
    ]
    .boxed()
}

fn by() -> BoxedStrategy<By> {
    (0..OWNERS.len(), prop::bool::weighted(0.2)).prop_map(|(owner, by_number)| By { owner, by_number }).boxed()
}

fn written() -> BoxedStrategy<Written> {
    prop_oneof![20 => Just(Written::Well), 1 => Just(Written::HostBits), 1 => Just(Written::OtherFamily)].boxed()
}

/// Prefixes that are added and taken away; of small pools, such as can be enumerated.
fn end(small: bool) -> BoxedStrategy<Spot> {
    if small {
        return prop_oneof![
            (nth(), any::<bool>(), 0..=6_u8).prop_map(|(nth, last, order)| Spot::End(nth, last, order)),
            nth().prop_map(Spot::Behind),
            (0..256_u128, 0..=6_u8).prop_map(|(number, order)| Spot::Any(number, order)),
        ]
        .boxed();
    }
    spot(false)
}

fn step(small: bool) -> BoxedStrategy<Step> {
    let again = prop_oneof![3 => Just(1_u8), 1 => 2..=if small { 20 } else { 80_u8 }];
    prop_oneof![
        10 => (order(small), again, by()).prop_map(|(order, times, by)| Step::Allocate { order, times, by }),
        2 => (order(small), 0..40_usize, by()).prop_map(|(order, count, by)| Step::AllocateMany { order, count, by }),
        12 => (spot(small), written(), by()).prop_map(|(spot, written, by)| Step::Claim { spot, written, by }),
        6 => nth().prop_map(|nth| Step::Release { spot: Spot::Grant(nth, 0), written: Written::Well }),
        4 => (spot(small), written()).prop_map(|(spot, written)| Step::Release { spot, written }),
        4 => (nth(), written(), by())
            .prop_map(|(nth, written, by)| Step::ReleaseFrom { spot: Spot::Grant(nth, 0), written, by }),
        2 => (spot(small), written(), by()).prop_map(|(spot, written, by)| Step::ReleaseFrom { spot, written, by }),
        1 => by().prop_map(Step::ReleaseAll),
        2 => (0..OWNERS.len()).prop_map(Step::Enroll),
        1 => by().prop_map(Step::Forget),
        2 => (spot(small), spot(small)).prop_map(|(from, to)| Step::Reserve(from, to)),
        1 => spot(small).prop_map(|spot| Step::Reserve(spot, spot)),
        2 => (spot(small), spot(small)).prop_map(|(from, to)| Step::Unreserve(from, to)),
        1 => (end(small), written()).prop_map(|(spot, written)| Step::AddPrefix(spot, written)),
        1 => nth().prop_map(|nth| Step::RemovePrefix(Spot::Whole(nth))),
        1 => end(small).prop_map(Step::RemovePrefix),
        2 => prop_oneof![0..100_u32, any::<u32>()].prop_map(Step::Pass),
    ]
    .boxed()
}

impl<const SMALL: bool> ReferenceStateMachine for World<SMALL> {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let pools = if SMALL { small() } else { large() };
        (prop::sample::select(pools), choice())
            .prop_map(|(mut options, choice)| {
                options.choice = choice;
                Self(options)
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        step(SMALL)
    }

    fn apply(world: Self, _: &Step) -> Self {
        world
    }
}

struct Machine<const SMALL: bool>;

impl<const SMALL: bool> StateMachineTest for Machine<SMALL> {
    type SystemUnderTest = Pair;
    type Reference = World<SMALL>;

    fn init_test(world: &World<SMALL>) -> Pair {
        Pair::new(&world.0, SMALL)
    }

    fn apply(mut pair: Pair, _: &World<SMALL>, step: Step) -> Pair {
        pair.apply(&step);
        pair
    }

    fn check_invariants(pair: &Pair, _: &World<SMALL>) {
        pair.compare();
    }

    fn teardown(pair: Pair, _: World<SMALL>) {
        pair.finish();
    }
}

/// Some seconds' worth of cases, unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 64 };
    ProptestConfig { cases, ..config }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn equals_a_set_of_addresses(sequential 1..200 => Machine<true>);

    #[test]
    fn equals_lists_of_intervals(sequential 1..200 => Machine<false>);
}
