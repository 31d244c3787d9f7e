use std::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use ipnet::IpNet;

use super::*;
use crate::{AddressRange, ChangeError, choice::Choice};

const START: u64 = 1_700_000_000;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(START + seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn range(text: &str) -> AddressRange {
    text.parse().unwrap()
}

fn options(subnet: &str) -> AddressPoolOptions {
    AddressPoolOptions::new(subnet.parse().unwrap())
}

fn pool(options: AddressPoolOptions) -> AddressPool<String> {
    AddressPool::new(options).unwrap()
}

fn allocate(pool: &mut AddressPool<String>, owner: &str, now: Duration) -> String {
    match pool.allocate(owner, now) {
        Ok(address) => address.to_string(),
        Err(error) => error.to_string(),
    }
}

/// All that the pool gives, and that it is one free block again afterwards, as far as it can be.
fn all(pool: &mut AddressPool<String>) -> Vec<String> {
    let before = pool.usage();
    let mut all = Vec::new();
    while let Ok(address) = pool.allocate("all", at(0)) {
        all.push(address.to_string());
    }
    assert_eq!(pool.usage().allocated, before.free);
    assert_eq!(pool.release_all("all", at(0)).len(), all.len());
    assert_eq!(pool.usage(), before);
    all
}

#[test]
fn what_is_usable_of_a_subnet() {
    for (subnet, usable) in [
        ("192.0.2.0/29", &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"][..]),
        ("192.0.2.4/30", &["192.0.2.5", "192.0.2.6"]),
        ("192.0.2.4/31", &["192.0.2.4", "192.0.2.5"]),
        ("192.0.2.4/32", &["192.0.2.4"]),
        ("255.255.255.255/32", &["255.255.255.255"]),
        ("255.255.255.252/30", &["255.255.255.253", "255.255.255.254"]),
        ("2001:db8::/126", &["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::2/127", &["2001:db8::2", "2001:db8::3"]),
        ("2001:db8::2/128", &["2001:db8::2"]),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
            &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ),
    ] {
        assert_eq!(all(&mut pool(options(subnet))), usable, "{subnet}");
    }
}

#[test]
fn all_of_the_address_space_costs_nothing() {
    for (all, first, last, total) in [
        ("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX),
        ("0.0.0.0/0", "0.0.0.1", "255.255.255.254", (1 << 32) - 2),
    ] {
        let mut pool = pool(options(all));
        assert_eq!(pool.usage().total, total.into());
        pool.claim(ip(last), "last", at(0)).unwrap();
        assert_eq!(allocate(&mut pool, "first", at(0)), first);
        assert_eq!(pool.grants().map(|grant| grant.prefix.addr()).collect::<Vec<_>>(), [ip(first), ip(last)]);
        pool.release(ip(last), at(0)).unwrap();
        assert_eq!(pool.release(ip(last), at(0)).unwrap_err().to_string(), std::format!("{last} is not allocated"));
    }
}

#[test]
fn ranges_gateway_excluded_and_reserved() {
    let mut options = options("10.0.0.0/24");
    options.gateway = Some(ip("10.0.0.12"));
    options.ranges = vec![range("10.0.0.10-10.0.0.14"), range("10.0.0.14-10.0.0.15"), range("10.0.0.255")];
    options.excluded = vec![range("10.0.0.11")];
    options.reserved = vec![range("10.0.0.0-10.0.0.13")];
    let mut pool = pool(options);
    assert_eq!(pool.options().ranges, [range("10.0.0.10-10.0.0.15"), range("10.0.0.255")]);
    assert_eq!(all(&mut pool), ["10.0.0.14", "10.0.0.15"]);
    let usage = pool.usage();
    assert_eq!((usage.total, usage.reserved, usage.free), (4.into(), 2.into(), 2.into()));

    let claim = |pool: &mut AddressPool<String>, address| match pool.claim(ip(address), "a", at(0)) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    for (address, why) in [
        ("10.0.0.0", "10.0.0.0 is the subnet's own address"),
        ("10.0.0.255", "10.0.0.255 is the subnet's broadcast address"),
        ("10.0.0.12", "10.0.0.12 is the gateway"),
        ("10.0.0.11", "10.0.0.11 is excluded from the pool"),
        ("10.0.0.9", "10.0.0.9 is in none of the pool's ranges"),
        ("10.0.1.9", "10.0.1.9 is not within 10.0.0.0/24"),
        ("2001:db8::", "2001:db8:: is not within 10.0.0.0/24"),
        ("10.0.0.13", ""),
        ("10.0.0.13", "10.0.0.13 is a's"),
    ] {
        assert_eq!(claim(&mut pool, address), why);
        if why.contains(" is ") && !why.ends_with("a's") {
            assert_eq!(pool.release(ip(address), at(0)).unwrap_err().to_string(), why);
        }
    }
    pool.allocate("b", at(0)).unwrap();
    pool.allocate("b", at(0)).unwrap();
    assert_eq!(allocate(&mut pool, "b", at(0)), "no address is free; 1 reserved");
    assert_eq!(pool.release_from(ip("10.0.0.13"), "b", at(0)).unwrap_err().to_string(), "10.0.0.13 is a's");
    pool.release_from(ip("10.0.0.13"), "a", at(0)).unwrap();
    assert_eq!(pool.usage().reserved, 2.into(), "reserved again");

    let anycast = self::pool(self::options("2001:db8::/64")).claim(ip("2001:db8::"), "a", at(0)).unwrap_err();
    assert_eq!(anycast.to_string(), "2001:db8:: is the subnet-router anycast address");
}

#[test]
fn what_can_be_no_pool() {
    let refused = |change: &dyn Fn(&mut AddressPoolOptions)| {
        let mut options = options("10.0.0.0/24");
        change(&mut options);
        AddressPool::<String>::new(options).unwrap_err().to_string()
    };
    let outside = "10.0.1.1 is not within the pool: 10.0.1.1 is in none of its prefixes";
    assert_eq!(refused(&|options| options.gateway = Some(ip("10.0.1.1"))), outside);
    let outside = "10.0.0.9-10.0.1.1 is not within the pool: 10.0.1.0 is in none of its prefixes";
    assert_eq!(refused(&|options| options.ranges = vec![range("10.0.0.9-10.0.1.1")]), outside);
    assert_eq!(refused(&|options| options.excluded = vec![range("::1")]), "::1 is not of the family of 10.0.0.0/24");
    let host_bits = "10.0.0.1/24 has bits set behind its prefix length: 10.0.0.0/24 is meant?";
    assert_eq!(refused(&|options| options.subnet = "10.0.0.1/24".parse().unwrap()), host_bits);
}

#[test]
fn a_released_one_cools_down() {
    let mut pool = pool(AddressPoolOptions { cool_down: Duration::from_secs(60), ..options("10.0.0.0/29") });
    for last in 1..=5 {
        assert_eq!(allocate(&mut pool, "a", at(0)), std::format!("10.0.0.{last}"));
    }
    pool.release(ip("10.0.0.3"), at(0)).unwrap();
    pool.release(ip("10.0.0.2"), at(10)).unwrap();
    assert_eq!(allocate(&mut pool, "b", at(10)), "10.0.0.6", "never given");
    assert_eq!(allocate(&mut pool, "b", at(20)), "no address is free; 2 cooling down, the next one is free in 40s");
    let error = pool.claim(ip("10.0.0.3"), "b", at(59)).unwrap_err().to_string();
    assert_eq!(error, "10.0.0.3 is cooling down, and free in 1s");
    let state = AddressState::Cooling { until: at(60), owner: None };
    assert_eq!((pool.state(ip("10.0.0.3")), pool.usage().cooling), (state, 2.into()));
    // Time does not go back.
    pool.advance(at(60));
    pool.advance(at(0));
    assert_eq!((pool.usage().cooling, pool.usage().free, pool.now()), (1.into(), 1.into(), at(60)));
    pool.claim_cooling(ip("10.0.0.2"), "b", at(60)).unwrap();
    assert_eq!(allocate(&mut pool, "b", at(60)), "10.0.0.3");
    pool.release_all("a", at(60));
    pool.release_all("b", at(60));
    pool.advance(at(120));
    assert_eq!(pool.usage(), self::pool(options("10.0.0.0/29")).usage());
}

#[test]
fn the_one_released_longest_ago_first() {
    let mut pool = pool(AddressPoolOptions { cool_down: Duration::from_secs(1), ..options("10.0.0.0/29") });
    for _ in 0..6 {
        pool.allocate("a", at(0)).unwrap();
    }
    for (second, last) in [4, 2, 5].into_iter().enumerate() {
        pool.release(ip(&std::format!("10.0.0.{last}")), at(second as u64)).unwrap();
    }
    for expected in ["10.0.0.4", "10.0.0.2", "10.0.0.5"] {
        assert_eq!(allocate(&mut pool, "b", at(100)), expected);
    }
}

#[test]
fn memory_is_bounded_where_addresses_come_and_go() {
    let options = options("2001:db8::/64");
    let mut pool =
        pool(AddressPoolOptions { cool_down: Duration::from_secs(10), max_released: 4, sticky: 2, ..options });
    for second in 0..1000 {
        let owner = std::format!("owner {second}");
        let address = pool.allocate(owner.as_str(), at(5 * second)).unwrap();
        pool.release(address, at(5 * second)).unwrap();
        assert!(pool.released.len() <= 4 && pool.released.bound() <= 2);
    }
    for _ in 0..6 {
        pool.allocate("a", at(10_000)).unwrap();
    }
    pool.release_all("a", at(10_000));
    let error = allocate(&mut pool, "b", at(10_001));
    let expected = "6 addresses are cooling down, as many as the pool remembers: the next one is free in 9s";
    assert_eq!(error, expected);
    let error = pool.claim(ip("2001:db8::fffe"), "b", at(10_002)).unwrap_err().to_string();
    let expected = "2001:db8::fffe: 6 others are cooling down, as many as the pool remembers, the next is free in 8s";
    assert_eq!(error, expected);
    // Its own is no new one.
    assert!(pool.allocate("a", at(10_003)).is_ok());
    assert!(pool.allocate("b", at(10_010)).is_ok());
}

#[test]
fn who_comes_again_gets_the_same() {
    for cool_down in [0, 60] {
        let options =
            AddressPoolOptions { cool_down: Duration::from_secs(cool_down), sticky: 2, ..options("10.0.0.0/29") };
        let mut pool = pool(options);
        for owner in ["a", "b", "c", "d"] {
            pool.allocate(owner, at(0)).unwrap();
        }
        for owner in ["a", "b", "c"] {
            pool.release_all(owner, at(1));
        }
        assert_eq!(allocate(&mut pool, "c", at(2)), "10.0.0.3");
        // Others get what was never given; without a cool-down, what is not remembered counts as such.
        assert_eq!(allocate(&mut pool, "e", at(2)), if cool_down == 0 { "10.0.0.1" } else { "10.0.0.5" });
        pool.claim(ip("10.0.0.2"), "b", at(2)).unwrap();
        // Two are remembered, and a's is the third.
        assert_eq!(allocate(&mut pool, "a", at(2)), if cool_down == 0 { "10.0.0.5" } else { "10.0.0.6" });
        pool.release_all("d", at(2));
        assert_eq!(pool.state(ip("10.0.0.4")) == AddressState::Free, cool_down == 0);
        assert_eq!(allocate(&mut pool, "f", at(100)), if cool_down == 0 { "10.0.0.6" } else { "10.0.0.1" });
        assert_eq!(allocate(&mut pool, "g", at(100)), "10.0.0.4");
        // Somebody else has d's by now.
        assert_eq!(allocate(&mut pool, "d", at(100)), "no address is free");
    }
}

#[test]
fn what_is_reserved_is_not_given_again_without_its_name() {
    let mut pool = pool(AddressPoolOptions {
        reserved: vec![range("10.0.0.1")],
        cool_down: Duration::from_secs(60),
        sticky: 10,
        ..options("10.0.0.0/29")
    });
    pool.claim(ip("10.0.0.1"), "a", at(0)).unwrap();
    pool.release_all("a", at(0));
    assert_eq!(allocate(&mut pool, "a", at(1)), "10.0.0.2");
    pool.claim(ip("10.0.0.1"), "a", at(1)).unwrap();
    pool.release(ip("10.0.0.1"), at(1)).unwrap();
    pool.advance(at(61));
    assert_eq!(pool.state(ip("10.0.0.1")), AddressState::Reserved);
    pool.release(ip("10.0.0.2"), at(61)).unwrap();
    pool.reserve(range("10.0.0.2")).unwrap();
    assert!(matches!(pool.state(ip("10.0.0.2")), AddressState::Cooling { .. }));
    assert_eq!(allocate(&mut pool, "a", at(61)), "10.0.0.3");
    pool.advance(at(121));
    assert_eq!((pool.usage().reserved, pool.usage().cooling), (2.into(), 0.into()));
}

#[test]
fn pools_change_but_not_under_somebody() {
    let mut pool = pool(options("10.0.0.0/25"));
    pool.claim(ip("10.0.0.100"), "a", at(0)).unwrap();
    pool.claim(ip("10.0.0.63"), "b", at(0)).unwrap();
    pool.claim(ip("10.0.0.126"), "c", at(0)).unwrap();
    let refused = |pool: &mut AddressPool<String>, edit| {
        let (before, planned) = (pool.usage(), pool.plan(edit).map_or(0, Iterator::count));
        let error = pool.edit(edit).unwrap_err();
        assert_eq!((pool.usage(), planned > 0), (before, matches!(error, ChangeError::Orphans { .. })));
        error.to_string()
    };
    let subnet = |text: &str| AddressPoolEdit::Subnet(text.parse().unwrap());
    assert_eq!(
        refused(&mut pool, subnet("10.0.0.0/26")),
        "10.0.0.63, which is b's, would be outside of the pool, and 2 more"
    );
    assert_eq!(refused(&mut pool, subnet("10.0.1.0/24")), "10.0.1.0/24 neither has 10.0.0.0/25 nor is within it");
    let b = "10.0.0.63, which is b's, would be outside of the pool";
    assert_eq!(refused(&mut pool, AddressPoolEdit::Gateway(Some(ip("10.0.0.63")))), b);
    assert_eq!(refused(&mut pool, AddressPoolEdit::Exclude(range("10.0.0.60-10.0.0.63"))), b);
    assert_eq!(refused(&mut pool, AddressPoolEdit::RemoveRange(range("10.0.0.63"))), b);
    let all = "all of 10.0.0.0/25 is in range already";
    assert_eq!(refused(&mut pool, AddressPoolEdit::AddRange(range("10.0.0.63"))), all);
    let outside = "10.0.0.128 is not within the pool: 10.0.0.128 is in none of its prefixes";
    assert_eq!(refused(&mut pool, AddressPoolEdit::Exclude(range("10.0.0.128"))), outside);
    assert_eq!(pool.plan(subnet("10.0.0.64/26")).unwrap().map(|grant| grant.owner.as_str()).collect::<String>(), "b");

    // 127 was the broadcast address.
    pool.set_subnet("10.0.0.0/24".parse().unwrap()).unwrap();
    pool.claim(ip("10.0.0.127"), "d", at(0)).unwrap();
    assert_eq!((pool.usage().total, pool.usage().allocated), (254.into(), 4.into()));
    assert_eq!(refused(&mut pool, subnet("10.0.0.0/25")), "10.0.0.127, which is d's, would be outside of the pool");
    pool.release_all("d", at(0));
    pool.set_subnet("10.0.0.0/25".parse().unwrap()).unwrap();
    assert_eq!(pool.grants_of("b").count(), 1);

    pool.set_gateway(Some(ip("10.0.0.1"))).unwrap();
    pool.reserve(range("10.0.0.0-10.0.0.9")).unwrap();
    pool.exclude(range("10.0.0.4-10.0.0.15")).unwrap();
    pool.remove_range(range("10.0.0.64/28")).unwrap();
    assert_eq!(pool.options().ranges, [range("10.0.0.0-10.0.0.63"), range("10.0.0.80-10.0.0.127")]);
    assert_eq!((pool.usage().total, pool.usage().reserved), ((126 - 1 - 12 - 16).into(), 2.into()));
    pool.include(range("10.0.0.4-10.0.0.8")).unwrap();
    assert_eq!(pool.usage().reserved, 7.into());
    pool.set_gateway(None).unwrap();
    pool.add_range(range("10.0.0.64-10.0.0.79")).unwrap();
    pool.include(range("10.0.0.0/25")).unwrap();
    pool.unreserve(range("10.0.0.0/25")).unwrap();
    for owner in ["a", "b", "c"] {
        pool.release_all(owner, at(0));
    }
    assert_eq!(pool.usage(), self::pool(options("10.0.0.0/25")).usage());
    let none = "nothing of 10.0.0.0/25 would be left in a range";
    assert_eq!(refused(&mut pool, AddressPoolEdit::RemoveRange(range("10.0.0.0/25"))), none);
}

#[test]
fn a_huge_pool_is_changed_at_once() {
    let mut pool = pool(AddressPoolOptions { cool_down: Duration::from_secs(9), ..options("2001:db8::/32") });
    pool.exclude(range("2001:db8:8000::/33")).unwrap();
    pool.reserve(range("2001:db8:0:1::-2001:db8:4000::")).unwrap();
    pool.set_subnet("2001:db8::/31".parse().unwrap()).unwrap();
    assert_eq!(allocate(&mut pool, "a", at(0)), "2001:db8::1");
    let usage = pool.usage();
    assert_eq!(usage.total, ((1_u128 << 97) - (1 << 95) - 1).into());
}

#[test]
fn choices() {
    let give = |choice, count| {
        let mut pool = pool(AddressPoolOptions { choice, ..options("10.0.0.0/24") });
        pool.claim(ip("10.0.0.129"), "x", at(0)).unwrap();
        let mut given = Vec::new();
        for _ in 0..count {
            let address = pool.allocate("a", at(0)).unwrap();
            given.push(address.to_string());
            pool.release(address, at(0)).unwrap();
        }
        given
    };
    assert_eq!(give(Choice::Lowest, 2), ["10.0.0.1", "10.0.0.1"]);
    assert_eq!(give(Choice::Next, 3), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(give(Choice::BestFit, 1), ["10.0.0.1"]);
    let random = give(Choice::Random { among: 4, seed: 7 }, 50);
    let mut different = random.clone();
    different.sort();
    different.dedup();
    assert_eq!(different, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert_eq!(give(Choice::Random { among: 4, seed: 7 }, 50), random);
}

/// All that can be seen of a pool.
fn seen(pool: &AddressPool<String>, subnet: IpNet) -> String {
    let states = subnet.hosts().map(|address| std::format!("{address} {:?}\n", pool.state(address)));
    std::format!("{:?} {:?}\n{}", pool.usage(), pool.options(), states.collect::<String>())
}

#[test]
fn the_changes_make_the_same_pool() {
    let subnet: IpNet = "10.0.0.0/27".parse().unwrap();
    let mut options = options("10.0.0.0/27");
    options.cool_down = Duration::from_millis(10_500);
    options.sticky = 2;
    options.reserved = vec![range("10.0.0.1-10.0.0.3")];
    options.choice = Choice::Next;
    let mut pool = pool(options);
    for second in 0..30 {
        pool.allocate(["a", "b", "c"][second % 3], at(second as u64)).ok();
        if second % 2 == 1 {
            let first = pool.grants().next().unwrap().prefix.addr();
            pool.release(first, at(second as u64)).unwrap();
        }
    }
    pool.claim(ip("10.0.0.1"), "d", at(30)).unwrap();
    pool.release(ip("10.0.0.1"), at(30)).unwrap();
    pool.exclude(range("10.0.0.4")).unwrap();
    let mut restored = AddressPool::restore(pool.changes()).unwrap();
    assert_eq!(seen(&restored, subnet), seen(&pool, subnet));
    assert_eq!(restored.changes().collect::<Vec<_>>(), pool.changes().collect::<Vec<_>>());
    for second in 31..60 {
        let given = allocate(&mut pool, "b", at(second));
        assert_eq!(allocate(&mut restored, "b", at(second)), given);
    }

    let apply = |pool: &mut AddressPool<String>, change| pool.apply(&change).unwrap_err().to_string();
    let granted = |address| AddressPoolChange::Granted { address: ip(address), owner: "x".into(), at: at(60) };
    let held = pool.grants().next().unwrap().prefix.addr().to_string();
    let taken = std::format!("{held} is given while somebody has {held}");
    assert_eq!(apply(&mut pool, granted(&held)), taken);
    assert_eq!(apply(&mut pool, granted("10.0.0.4")), "10.0.0.4 is given, and not part of the pool");
    let released = AddressPoolChange::Released { address: ip("10.0.0.4"), at: at(60) };
    assert_eq!(apply(&mut pool, released), "10.0.0.4 is released, and nobody has it");
    let edited = AddressPoolChange::Edited { edit: AddressPoolEdit::Exclude(ip(&held).into()), at: at(60) };
    assert_eq!(apply(&mut pool, edited), std::format!("{held} is outside of the changed pool, and somebody has it"));
    let again = pool.changes().next().unwrap();
    assert_eq!(apply(&mut pool, again), "the pool is there already");
    assert_eq!(AddressPool::<String>::restore([]).unwrap_err().to_string(), "there is no pool yet");
}

#[cfg(feature = "std")]
#[test]
fn as_text_and_as_bytes() {
    let text = r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1","ranges":["10.0.0.10-10.0.0.19"],"cool_down":1.5}"#;
    let options: AddressPoolOptions = serde_json::from_str(text).unwrap();
    assert_eq!((options.cool_down, options.sticky), (Duration::from_millis(1500), 0));
    let written = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<AddressPoolOptions>(&written).unwrap(), options);
    let error = serde_json::from_str::<AddressPoolOptions>(r#"{"subnet":"10.0.0.0/24","range":[]}"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `range`"));
    assert!(serde_json::from_str::<AddressPoolOptions>(r#"{"subnet":"10.0.0.0/24","cool_down":-1}"#).is_err());

    let mut pool = pool(AddressPoolOptions { sticky: 1, ..options });
    pool.allocate("a", at(0)).unwrap();
    pool.allocate("b", at(0)).unwrap();
    pool.release_all("a", at(0));
    for change in
        pool.changes().chain([AddressPoolChange::Edited { edit: AddressPoolEdit::CoolDown(at(0)), at: at(0) }])
    {
        let bytes = postcard::to_allocvec(&change).unwrap();
        assert_eq!(postcard::from_bytes::<AddressPoolChange<String>>(&bytes).unwrap(), change);
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<AddressPoolChange<String>>(&text).unwrap(), change);
    }
}
