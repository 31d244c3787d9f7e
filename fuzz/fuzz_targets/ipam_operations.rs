//! Any sequence of operations on a pool of subnets, against a naive one: what is given, refused and counted.

#![no_main]

use arbitrary::Arbitrary;
use ipam::{Choice, SubnetPoolOptions};
use libfuzzer_sys::fuzz_target;

// The same that the crate's own test has.
#[path = "../../ipam/tests/subnet_model"]
mod subnet_model {
    pub(crate) mod model;
    pub(crate) mod space;
}

use subnet_model::model::{By, OWNERS, Pair, Spot, Step, Written};

#[derive(Arbitrary, Debug)]
enum Chosen {
    Lowest,
    Next,
    Random { among: u8, seed: u64 },
    BestFit,
}

#[derive(Arbitrary, Debug)]
enum At {
    Grant(u8, i8),
    Behind(u8),
    Before(u8),
    Free(u16, i8),
    Whole(u8),
    End(u8, bool, u8),
    Near(u8, u8, u8),
    Within(u8, u128, u8),
    Any(u128, u8),
}

#[derive(Arbitrary, Debug)]
enum Act {
    Allocate { order: u8, times: u8, owner: u8 },
    AllocateMany { order: u8, count: u8, owner: u8 },
    Claim { at: At, odd: u8, owner: u8 },
    Release { at: At, odd: u8 },
    ReleaseGrant(u8),
    ReleaseFrom { at: At, owner: u8 },
    ReleaseAll(u8),
    Enroll(u8),
    Forget(u8),
    Reserve(At, At),
    Unreserve(At, At),
    AddPrefix(At, u8),
    RemovePrefix(At),
    Pass(u32),
}

/// Small pools, and such as nobody could enumerate.
const POOLS: [(&[&str], Option<&str>, bool); 8] = [
    (&["10.0.0.0/28"], None, true),
    (&["255.255.255.192/27", "255.255.255.224/27"], None, true),
    (&["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff80/121"], None, true),
    (&["10.0.0.0/26", "10.0.0.128/26"], Some("10.0.0.5-10.0.0.170"), true),
    (&["0.0.0.0/0"], None, false),
    (&["::/0"], None, false),
    (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], Some("10.0.255.0-192.168.254.255"), false),
    (&["fd00::/32", "fd00:1::/48"], None, false),
];

fn spot(at: &At) -> Spot {
    match *at {
        At::Grant(nth, by) => Spot::Grant(nth.into(), by % 8),
        At::Behind(nth) => Spot::Behind(nth.into()),
        At::Before(nth) => Spot::Before(nth.into()),
        At::Free(nth, by) => Spot::Free(nth.into(), by % 8),
        At::Whole(nth) => Spot::Whole(nth.into()),
        At::End(nth, last, order) => Spot::End(nth.into(), last, order % 129),
        // Where the levels of a tree of 64 branches meet.
        At::Near(nth, low, level) => Spot::Within(nth.into(), u128::from(low) << (level % 20 * 6), level % 22 * 6),
        At::Within(nth, number, order) => Spot::Within(nth.into(), number, order % 129),
        At::Any(number, order) => Spot::Any(number, order % 129),
    }
}

/// Prefixes that are added to small pools are small.
fn end(at: &At, is_small: bool) -> Spot {
    match spot(at) {
        Spot::Any(number, order) if is_small => Spot::Any(number, order % 8),
        Spot::Grant(nth, _) if is_small => Spot::Grant(nth, 0),
        Spot::Free(nth, _) if is_small => Spot::Free(nth, 0),
        Spot::End(nth, last, order) if is_small => Spot::End(nth, last, order % 8),
        spot => spot,
    }
}

fn written(odd: u8) -> Written {
    match odd {
        0 => Written::HostBits,
        1 => Written::OtherFamily,
        _ => Written::Well,
    }
}

fn by(owner: u8) -> By {
    By { owner: usize::from(owner % 8) % OWNERS.len(), by_number: owner >= 192 }
}

fn step(act: &Act, is_small: bool) -> Step {
    match act {
        Act::Allocate { order, times, owner } => {
            Step::Allocate { order: order % 129, times: times % 70, by: by(*owner) }
        }
        Act::AllocateMany { order, count, owner } => {
            Step::AllocateMany { order: order % 129, count: usize::from(*count), by: by(*owner) }
        }
        Act::Claim { at, odd, owner } => Step::Claim { spot: spot(at), written: written(*odd), by: by(*owner) },
        Act::Release { at, odd } => Step::Release { spot: spot(at), written: written(*odd) },
        Act::ReleaseGrant(nth) => Step::Release { spot: Spot::Grant(usize::from(*nth), 0), written: Written::Well },
        Act::ReleaseFrom { at, owner } => Step::ReleaseFrom { spot: spot(at), written: Written::Well, by: by(*owner) },
        Act::ReleaseAll(owner) => Step::ReleaseAll(by(*owner)),
        Act::Enroll(owner) => Step::Enroll(by(*owner).owner),
        Act::Forget(owner) => Step::Forget(by(*owner)),
        Act::Reserve(from, to) => Step::Reserve(spot(from), spot(to)),
        Act::Unreserve(from, to) => Step::Unreserve(spot(from), spot(to)),
        Act::AddPrefix(at, odd) => Step::AddPrefix(end(at, is_small), written(*odd)),
        Act::RemovePrefix(at) => Step::RemovePrefix(spot(at)),
        Act::Pass(seconds) => Step::Pass(*seconds),
    }
}

fuzz_target!(|input: (u8, Chosen, Vec<Act>)| {
    let (pool, chosen, acts) = input;
    let (prefixes, window, is_small) = POOLS[usize::from(pool) % POOLS.len()];
    let mut options = SubnetPoolOptions::new(prefixes.iter().map(|text| text.parse().expect("a prefix")));
    options.window = window.map(|text| text.parse().expect("a range"));
    options.choice = match chosen {
        Chosen::Lowest => Choice::Lowest,
        Chosen::Next => Choice::Next,
        Chosen::Random { among, seed } => Choice::Random { among: among.into(), seed },
        Chosen::BestFit => Choice::BestFit,
    };
    let mut pair = Pair::new(&options, is_small);
    for act in acts.iter().take(300) {
        pair.apply(&step(act, is_small));
        pair.compare();
    }
    pair.finish();
});
