use std::{
    string::{String, ToString},
    vec::Vec,
};

use super::*;
use crate::choice::Choice;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn pool(prefixes: &[&str]) -> SubnetPool<String> {
    SubnetPool::new(SubnetPoolOptions::new(prefixes.iter().map(|text| net(text)))).unwrap()
}

fn chosen(choice: Choice, prefixes: &[&str]) -> SubnetPool<String> {
    let options = SubnetPoolOptions { choice, ..SubnetPoolOptions::new(prefixes.iter().map(|text| net(text))) };
    SubnetPool::new(options).unwrap()
}

fn allocate(pool: &mut SubnetPool<String>, length: u8, owner: &str) -> String {
    match pool.allocate(length, owner, NOW) {
        Ok(prefix) => prefix.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_lowest_first_and_neighbours_merge() {
    let mut pool = pool(&["10.0.0.0/22"]);
    let all: Vec<String> = (0..5).map(|_| allocate(&mut pool, 24, "a")).collect();
    let expected =
        ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "no /24 is free: nothing is free at all"];
    assert_eq!(all, expected);
    pool.release(net("10.0.1.0/24")).unwrap();
    pool.release(net("10.0.2.0/24")).unwrap();
    assert_eq!(allocate(&mut pool, 23, "b"), "no /23 is free: the largest free prefix is a /24");
    let usage = pool.usage();
    assert_eq!((usage.free, usage.largest_free, usage.grants), (512.into(), Some(24), 2));
    assert_eq!(usage.fragmentation.to_bits(), 0.5_f64.to_bits());
    pool.release(net("10.0.3.0/24")).unwrap();
    assert_eq!(allocate(&mut pool, 23, "b"), "10.0.2.0/23");
    assert_eq!(pool.release_all("b"), [net("10.0.2.0/23")]);
    assert_eq!(pool.release_all("a"), [net("10.0.0.0/24")]);
    assert_eq!(allocate(&mut pool, 22, "c"), "10.0.0.0/22");
}

#[test]
fn up_to_the_ends_of_the_address_space() {
    for (all, last) in [("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), ("0.0.0.0/0", "255.255.255.255/32")] {
        let mut pool = pool(&[all]);
        assert_eq!(allocate(&mut pool, 0, "all"), all);
        assert!(pool.usage().free.is_zero());
        assert!(matches!(pool.claim(net(last), "last", NOW), Err(ClaimError::Overlap { .. })));
        pool.release(net(all)).unwrap();
        pool.claim(net(last), "last", NOW).unwrap();
        assert_eq!(pool.get(net(last).addr()).unwrap().owner, "last");
        let half = allocate(&mut pool, 1, "half");
        assert_eq!(allocate(&mut pool, 1, "half"), "no /1 is free: the largest free prefix is a /2", "{half}");
        pool.release_all("half");
        pool.release(net(last)).unwrap();
        assert_eq!(pool.usage().largest_free, Some(0));
    }
}

#[test]
fn many_or_none() {
    let mut pool = pool(&["10.0.0.0/22"]);
    assert_eq!(pool.allocate_many(24, 3, "a", NOW).unwrap().len(), 3);
    let before = pool.usage();
    let error = pool.allocate_many(25, 3, "b", NOW).unwrap_err();
    assert_eq!(error.to_string(), "there are no 3 free /25: the largest free prefix is a /24");
    assert_eq!(
        pool.allocate_many(33, 0, "b", NOW).unwrap_err(),
        AllocateError::Length { length: 33, shortest: 0, longest: 32 }
    );
    assert_eq!(pool.allocate_many(25, 0, "b", NOW).unwrap(), []);
    assert!(pool.owners.number_of("b").is_none(), "who got nothing is forgotten");
    assert_eq!((pool.usage(), pool.grants_of("b").count()), (before, 0));
    assert_eq!(pool.allocate_many(25, 2, "a", NOW).unwrap(), [net("10.0.3.0/25"), net("10.0.3.128/25")]);
    pool.release_all("a");
    assert_eq!(pool.usage().largest_free, Some(22));
}

#[test]
fn next_fit_goes_round() {
    let mut pool = chosen(Choice::Next, &["10.0.0.0/30"]);
    assert_eq!(allocate(&mut pool, 32, "a"), "10.0.0.0/32");
    pool.release_all("a");
    let rest: Vec<String> = (0..4).map(|_| allocate(&mut pool, 32, "b")).collect();
    assert_eq!(rest, ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.0/32"]);
}

#[test]
fn best_fit_keeps_large_ones_whole() {
    let mut pool = chosen(Choice::BestFit, &["10.0.0.0/24", "10.2.0.0/28"]);
    assert_eq!(allocate(&mut pool, 30, "a"), "10.2.0.0/30");
    assert_eq!(allocate(&mut pool, 29, "a"), "10.2.0.8/29");
    assert_eq!(allocate(&mut pool, 30, "a"), "10.2.0.4/30");
    assert_eq!(allocate(&mut pool, 30, "a"), "10.0.0.0/30");
}

#[test]
fn random_is_seeded_and_among_the_first() {
    let among = |seed| {
        let mut pool = chosen(Choice::Random { among: 4, seed }, &["10.0.0.0/16"]);
        (0..64).map(|_| allocate(&mut pool, 24, "a")).collect::<Vec<_>>()
    };
    assert_eq!(among(1), among(1));
    assert_ne!(among(1), among(2));
    let first = |seed| among(seed)[0].clone();
    let firsts: std::collections::BTreeSet<String> = (0..100).map(first).collect();
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
}

#[test]
fn random_goes_on_where_the_changes_end() {
    // One subnet in each process: all of them start anew from the changes.
    let options = SubnetPoolOptions {
        choice: Choice::Random { among: 100, seed: 1 },
        ..SubnetPoolOptions::new([net("10.0.0.0/8")])
    };
    let mut changes = std::vec![SubnetPoolChange::Created(options)];
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..32 {
        let mut pool = SubnetPool::restore(changes.iter().cloned()).unwrap();
        let prefix = pool.allocate(24, "a", NOW).unwrap();
        let free_below = Block::of(prefix).base - Block::of(net("10.0.0.0/24")).base;
        places.insert((free_below >> 8) - pool.grants().take_while(|grant| grant.prefix < prefix).count() as u128);
        changes.push(SubnetPoolChange::Granted { prefix, owner: "a".into(), at: NOW });
    }
    assert!(places.len() > 16, "{places:?}");
}

#[test]
fn what_is_reserved_is_given_by_name_only() {
    let mut pool = pool(&["10.0.0.0/28"]);
    pool.reserve("10.0.0.0-10.0.0.4".parse().unwrap()).unwrap();
    assert_eq!(allocate(&mut pool, 32, "a"), "10.0.0.5/32");
    assert_eq!(pool.usage().reserved, 5.into());
    pool.claim(net("10.0.0.1/32"), "b", NOW).unwrap();
    assert_eq!(pool.usage().reserved, 4.into());
    let error = pool.claim(net("10.0.0.0/29"), "c", NOW).unwrap_err();
    assert_eq!(error.to_string(), "10.0.0.0/29 overlaps with 10.0.0.1/32, which is b's");
    assert_eq!(pool.usage().reserved, 4.into(), "a refusal changes nothing");
    assert!(matches!(pool.release(net("10.0.0.2/32")), Err(ReleaseError::NotAllocated { .. })));
    pool.release(net("10.0.0.1/32")).unwrap();
    assert_eq!(pool.usage().reserved, 5.into());
    pool.unreserve("10.0.0.2-10.0.0.3".parse().unwrap()).unwrap();
    assert_eq!(allocate(&mut pool, 31, "c"), "10.0.0.2/31");
    assert_eq!(pool.options().reserved, ["10.0.0.0-10.0.0.1".parse().unwrap(), "10.0.0.4".parse().unwrap()]);
    pool.unreserve("10.0.0.0/28".parse().unwrap()).unwrap();
    pool.release_all("a");
    pool.release_all("c");
    assert_eq!(pool.usage().largest_free, Some(28));
}

#[test]
fn a_release_says_what_is_there_instead() {
    let mut pool = pool(&["10.0.0.0/8"]);
    pool.claim(net("10.1.0.0/16"), "a", NOW).unwrap();
    let release = |pool: &mut SubnetPool<String>, text| pool.release(net(text)).unwrap_err().to_string();
    assert_eq!(release(&mut pool, "10.1.0.0/24"), "10.1.0.0/24 was not given as such: 10.1.0.0/16 is a's");
    assert_eq!(release(&mut pool, "10.0.0.0/12"), "10.0.0.0/12 was not given as such: 10.1.0.0/16 is a's");
    assert_eq!(release(&mut pool, "10.2.0.0/16"), "10.2.0.0/16 is not allocated");
    assert_eq!(release(&mut pool, "11.0.0.0/16"), "11.0.0.0/16 is not within the pool");
    assert_eq!(release(&mut pool, "fc00::/7"), "fc00::/7 is not within the pool");
    assert_eq!(
        release(&mut pool, "10.1.0.5/16"),
        "10.1.0.5/16 has bits set behind its prefix length: 10.1.0.0/16 is meant?"
    );
    let error = pool.release_from(net("10.1.0.5/16"), "b").unwrap_err();
    assert!(matches!(error, ReleaseError::HostBits { .. }));
    pool.reserve("10.4.0.0".parse().unwrap()).unwrap();
    pool.claim(net("10.4.0.8/29"), "a", NOW).unwrap();
    assert_eq!(release(&mut pool, "10.4.0.0/16"), "10.4.0.0/16 was not given as such: 10.4.0.8/29 is a's");
    pool.release(net("10.4.0.8/29")).unwrap();
    assert_eq!(pool.release_from(net("10.1.0.0/16"), "b").unwrap_err().to_string(), "10.1.0.0/16 is a's");
    pool.release_from(net("10.1.0.0/16"), "a").unwrap();
}

#[test]
fn prefixes_come_and_go_but_not_under_somebody() {
    let mut pool = pool(&["10.0.0.0/24"]);
    pool.add_prefix(net("10.0.2.0/24")).unwrap();
    assert_eq!(pool.add_prefix(net("10.0.0.0/16")).unwrap_err().to_string(), "10.0.0.0/16 overlaps with 10.0.0.0/24");
    pool.claim(net("10.0.2.4/30"), "a", NOW).unwrap();
    pool.claim(net("10.0.2.8/30"), "b", NOW).unwrap();
    let error = pool.remove_prefix(net("10.0.2.0/24")).unwrap_err().to_string();
    assert_eq!(error, "10.0.2.4/30, which is a's, would be outside of the pool, and 1 more");
    assert_eq!(pool.orphans(net("10.0.2.0/24")).count(), 2);
    pool.release_all("a");
    pool.release_all("b");
    pool.remove_prefix(net("10.0.2.0/24")).unwrap();
    assert_eq!(pool.usage().total, 256.into());
    assert!(matches!(pool.remove_prefix(net("10.0.0.0/24")), Err(ChangeError::Config(ConfigError::NoPrefix))));
}

#[test]
fn a_number_stands_for_its_owner() {
    let mut pool = pool(&["10.0.0.0/24"]);
    let id = pool.enroll("a").unwrap();
    let prefix = pool.allocate(32, id, NOW).unwrap();
    assert_eq!(pool.get(prefix.addr()).unwrap(), Grant { prefix, owner: &"a".into(), since: NOW });
    pool.release(prefix).unwrap();
    assert_eq!(pool.allocate(32, id, NOW), Err(AllocateError::Owner(UnknownOwner)));
    assert!(pool.grants_of("a").next().is_none());
}

#[test]
fn flannels_networks() {
    let pool = |network: FlannelNetwork| SubnetPool::<String>::new(network.options(1)?);
    // 255 of 256: the first is left out.
    let mut full = pool(FlannelNetwork::new(net("10.42.0.0/16"))).unwrap();
    for _ in 0..255 {
        full.allocate(24, "node", NOW).unwrap();
    }
    assert!(matches!(full.allocate(24, "node", NOW), Err(AllocateError::Exhausted { .. })));
    assert!(full.get("10.42.0.1".parse().unwrap()).is_none());
    assert!(matches!(full.allocate(25, "node", NOW), Err(AllocateError::Length { .. })));

    for (network, length) in [("10.0.0.0/24", 25), ("10.0.0.0/28", 29), ("fc00::/48", 64), ("fc00::/64", 65)] {
        assert_eq!(FlannelNetwork::new(net(network)).length(), Ok(length), "{network}");
    }
    let refused = |network: FlannelNetwork| network.options(1).unwrap_err().to_string();
    assert_eq!(
        refused(FlannelNetwork::new(net("10.0.0.0/29"))),
        "10.0.0.0/29 is too small: the smallest useful network is a /28"
    );
    let network = FlannelNetwork { subnet_len: Some(15), ..FlannelNetwork::new(net("10.0.0.0/16")) };
    assert_eq!(refused(network), "subnets of /15 are larger than their network 10.0.0.0/16");
    let window = |min: &str, max: &str| FlannelNetwork {
        subnet_min: Some(min.parse().unwrap()),
        subnet_max: Some(max.parse().unwrap()),
        ..FlannelNetwork::new(net("10.0.0.0/16"))
    };
    assert_eq!(
        refused(window("10.0.5.1", "10.0.9.0")),
        "10.0.5.1 is not the first address of a /24: 10.0.5.0/24 is meant?"
    );
    assert_eq!(refused(window("10.0.9.0", "10.0.5.0")), "the lowest subnet, 10.0.9.0, is behind the highest, 10.0.5.0");
    assert_eq!(
        refused(window("10.1.0.0", "10.0.5.0")),
        "10.1.0.0 is not within the pool: 10.1.0.0 is in none of its prefixes"
    );
    let five = pool(window("10.0.5.0", "10.0.9.0")).unwrap();
    assert_eq!(five.usage().total, 1280.into());
}
