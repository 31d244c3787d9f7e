//! What Kubernetes' allocator of node subnets is asked to do, as situations of a pool that gives subnets of one length: pools
//! that are used up, the n-th subnet, ranges that are taken before anybody asks, and what is given or returned twice.

use std::time::Duration;

use ipam::{
    AllocateError, Amount, ClaimError, ConfigError, FlannelNetwork, ReleaseError, SubnetPool, SubnetPoolOptions,
};
use ipnet::IpNet;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A cluster's network, cut into subnets of one length.
fn cluster(network: &str, length: u8) -> SubnetPool<String> {
    let mut options = SubnetPoolOptions::new([net(network)]);
    (options.shortest, options.longest) = (length, Some(length));
    SubnetPool::new(options).unwrap()
}

/// Sets aside whatever subnets a prefix touches, whether it is larger than one or smaller: such as the services' addresses.
fn occupy(pool: &mut SubnetPool<String>, prefix: &str) {
    let whole = pool.options().prefixes[0];
    let touched = net(prefix);
    // A smaller one takes the whole subnet that it lies in.
    let length = pool.options().longest.unwrap().min(touched.prefix_len());
    let touched = IpNet::new(touched.addr(), length).unwrap().trunc();
    let touched = if touched.contains(&whole) { whole } else { touched };
    pool.reserve(touched.into()).unwrap();
}

fn next(pool: &mut SubnetPool<String>) -> String {
    let length = pool.options().longest.unwrap();
    match pool.allocate(length, "node", NOW) {
        Ok(prefix) => prefix.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_pool_of_one_subnet_is_used_up_and_comes_back() {
    for (network, length) in
        [("127.123.234.0/30", 30), ("beef:1234::/30", 30), ("127.123.234.0/32", 32), ("fd00::/128", 128)]
    {
        let mut pool = cluster(network, length);
        assert_eq!(next(&mut pool), network);
        let error = pool.allocate(length, "node", NOW).unwrap_err();
        assert_eq!(error, AllocateError::Exhausted { length, largest_free: None });
        pool.release(net(network)).unwrap();
        assert_eq!(next(&mut pool), network);
        assert!(pool.allocate(length, "node", NOW).is_err());
    }
}

/// Every subnet of the network, by its number.
fn expected(network: &str, length: u8) -> impl Iterator<Item = String> {
    net(network).subnets(length).unwrap().map(|subnet| subnet.to_string())
}

#[test]
fn the_nth_is_the_nth_subnet() {
    let situations = [
        ("127.123.0.0/16", 24, 256),
        ("10.0.0.0/8", 16, 256),
        ("10.0.0.0/8", 24, 65_536),
        ("10.0.0.0/24", 27, 8),
        ("192.168.200.0/24", 30, 64),
        ("fd00:10:20::/48", 64, 65_536),
        ("beef:1234::/32", 40, 256),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120", 128, 256),
    ];
    for (network, length, count) in situations {
        let mut pool = cluster(network, length);
        let id = pool.enroll("node").unwrap();
        let mut given = 0;
        for subnet in expected(network, length) {
            assert_eq!(pool.allocate(length, id, NOW).unwrap().to_string(), subnet);
            given += 1;
        }
        assert_eq!((given, pool.usage().grants), (count, count));
        assert!(pool.usage().free.is_zero(), "{network}");
        assert!(matches!(pool.allocate(length, id, NOW), Err(AllocateError::Exhausted { largest_free: None, .. })));
        assert_eq!(pool.release_all("node").len(), count);
        assert_eq!(pool.usage().largest_free, Some(net(network).prefix_len()));
    }
}

#[test]
fn what_is_behind_the_end_is_nobodys() {
    for (network, length, first_behind) in [
        ("127.123.0.0/16", 24, "127.124.0.0/24"),
        ("10.0.0.0/8", 16, "11.0.0.0/16"),
        ("fd00::/48", 64, "fd00:0:1::/64"),
        ("beef::/48", 64, "10.0.0.0/24"),
    ] {
        let mut pool = cluster(network, length);
        let prefix = net(first_behind);
        assert_eq!(pool.claim(prefix, "node", NOW), Err(ClaimError::Outside { prefix }));
        assert_eq!(pool.release(prefix), Err(ReleaseError::Outside { prefix }));
    }
}

#[test]
fn subnets_of_another_length_are_refused() {
    let mut pool = cluster("10.0.0.0/16", 24);
    for length in [16, 23, 25, 32] {
        let refused = AllocateError::Length { length, shortest: 24, longest: 24 };
        assert_eq!(pool.allocate(length, "node", NOW), Err(refused));
        let prefix = IpNet::new(net("10.0.0.0/16").addr(), length).unwrap();
        assert_eq!(pool.claim(prefix, "node", NOW), Err(ClaimError::Length { prefix, shortest: 24, longest: 24 }));
    }
}

#[test]
fn half_used_then_random_ones_return() {
    for (network, length) in [("127.123.0.0/16", 24), ("10.20.0.0/16", 24), ("fd00:beef::/48", 56)] {
        let mut pool = cluster(network, length);
        let all: Vec<String> = expected(network, length).collect();
        for subnet in &all {
            assert_eq!(&next(&mut pool), subnet);
        }
        // Those in the middle, from the last to the first: given again from the first.
        let middle = &all[all.len() / 4..all.len() / 2];
        for subnet in middle.iter().rev() {
            pool.release(net(subnet)).unwrap();
        }
        assert!(middle.iter().all(|subnet| next(&mut pool) == *subnet));
        assert!(next(&mut pool).ends_with("nothing is free at all"));
    }
}

#[test]
fn occupied_at_the_beginning_the_end_and_in_between() {
    // The network, the length, what is taken before, and what is given then: the first and how many.
    let situations: [(&str, u8, &[&str], &str, usize); 12] = [
        // The whole network, or more than it.
        ("127.0.0.0/8", 16, &["127.0.0.0/8"], "", 0),
        ("127.0.0.0/8", 16, &["0.0.0.0/0"], "", 0),
        ("fd00::/48", 64, &["fd00::/32"], "", 0),
        // At the beginning.
        ("127.0.0.0/8", 16, &["127.0.0.0/16"], "127.1.0.0/16", 255),
        ("127.0.0.0/8", 16, &["127.0.0.0/12"], "127.16.0.0/16", 240),
        // Less than one: all of that one.
        ("127.0.0.0/8", 16, &["127.0.0.5/32"], "127.1.0.0/16", 255),
        ("10.0.0.0/24", 27, &["10.0.0.33/32", "10.0.0.0/29"], "10.0.0.64/27", 6),
        // At the end, and on either side.
        ("127.0.0.0/8", 16, &["127.128.0.0/9"], "127.0.0.0/16", 128),
        ("127.0.0.0/8", 16, &["127.0.0.0/16", "127.255.0.0/16"], "127.1.0.0/16", 254),
        ("fd00::/48", 64, &["fd00:0:0:8000::/49"], "fd00::/64", 32_768),
        // Several that overlap, and those of others.
        ("10.0.0.0/16", 24, &["10.0.0.0/20", "10.0.0.0/24", "10.0.15.0/24"], "10.0.16.0/24", 240),
        ("fd00::/48", 64, &["fd00::/49", "fd00::/52", "fd00::1/128"], "fd00:0:0:8000::/64", 32_768),
    ];
    for (network, length, occupied, first, count) in situations {
        let mut pool = cluster(network, length);
        for prefix in occupied {
            occupy(&mut pool, prefix);
        }
        let mut given: Vec<IpNet> = Vec::new();
        while let Ok(subnet) = pool.allocate(length, "node", NOW) {
            given.push(subnet);
        }
        assert_eq!(given.len(), count, "{network} without {occupied:?}");
        assert_eq!(given.first().map_or_else(String::new, ToString::to_string), first);
        assert!(given.iter().all(|subnet| !occupied.iter().any(|other| net(other).contains(subnet))));
        assert!(pool.usage().free.is_zero());
    }
}

#[test]
fn a_range_across_many_subnets() {
    // From within one to within another: all that it touches.
    let mut pool = cluster("10.0.0.0/8", 16);
    pool.reserve("10.1.200.0-10.4.0.7".parse().unwrap()).unwrap();
    assert_eq!(next(&mut pool), "10.0.0.0/16");
    assert_eq!(next(&mut pool), "10.5.0.0/16");
    // What is left of those at its ends is free, but no subnet.
    assert_eq!(pool.usage().reserved, (56 * 256 + 2 * 65_536 + 8).into());
    pool.claim(net("10.4.0.0/16"), "by name", NOW).unwrap();
    assert_eq!(
        pool.claim(net("10.4.0.0/16"), "again", NOW).unwrap_err().to_string(),
        "10.4.0.0/16 overlaps with 10.4.0.0/16, which is by name's"
    );
}

#[test]
fn occupied_twice_and_released_twice() {
    for (network, length, subnet) in
        [("127.42.0.0/16", 24, "127.42.7.0/24"), ("beef:1234::/36", 40, "beef:1234:200::/40")]
    {
        let mut pool = cluster(network, length);
        let prefix = net(subnet);
        // Setting aside twice is once.
        occupy(&mut pool, subnet);
        let reserved = pool.usage().reserved;
        occupy(&mut pool, subnet);
        assert_eq!((pool.usage().reserved, reserved), (Amount::of_prefix(prefix.max_prefix_len(), length), reserved));
        // Nobody has it: there is nothing to release.
        assert_eq!(pool.release(prefix), Err(ReleaseError::NotAllocated { prefix }));
        pool.unreserve(prefix.into()).unwrap();
        pool.unreserve(prefix.into()).unwrap();
        assert!(pool.usage().reserved.is_zero());

        pool.claim(prefix, "node", NOW).unwrap();
        let overlap = ClaimError::Overlap { prefix, with: prefix, owner: "node".to_owned() };
        assert_eq!(pool.claim(prefix, "node", NOW), Err(overlap), "one's own, too");
        assert_eq!(pool.usage().grants, 1);
        pool.release(prefix).unwrap();
        assert_eq!(pool.release(prefix), Err(ReleaseError::NotAllocated { prefix }));
        assert_eq!((pool.usage().grants, pool.usage().free), (0, pool.usage().total));
    }
}

#[test]
fn a_subnet_that_was_occupied_is_never_counted_twice() {
    // 255 of 256 are claimed by name in another order; the pool finds the last one, and nothing else.
    let mut pool = cluster("10.42.0.0/16", 24);
    let all: Vec<String> = expected("10.42.0.0/16", 24).collect();
    for at in (0..256).map(|at| at * 37 % 256).filter(|&at| at != 129) {
        pool.claim(net(&all[at]), "node", NOW).unwrap();
    }
    let usage = pool.usage();
    assert_eq!((usage.grants, usage.free, usage.largest_free), (255, 256.into(), Some(24)));
    assert_eq!(next(&mut pool), "10.42.129.0/24");
    assert!(next(&mut pool).starts_with("no /24 is free"));
}

#[test]
fn what_can_not_be_cut_is_refused() {
    // Subnets larger than their network.
    let network = FlannelNetwork::new(net("10.0.0.0/16"));
    let mut larger = network;
    larger.subnet_len = Some(8);
    assert_eq!(larger.options(1), Err(ConfigError::TooLarge { network: net("10.0.0.0/16"), length: 8 }));
    // Longer than an address.
    let mut options = SubnetPoolOptions::new([net("10.0.0.0/16")]);
    (options.shortest, options.longest) = (24, Some(33));
    let refused = ConfigError::Lengths { shortest: 24, longest: 33, width: 32 };
    assert_eq!(SubnetPool::<String>::new(options.clone()).unwrap_err(), refused);
    // The wrong way round.
    (options.shortest, options.longest) = (28, Some(24));
    let refused = ConfigError::Lengths { shortest: 28, longest: 24, width: 32 };
    assert_eq!(SubnetPool::<String>::new(options).unwrap_err(), refused);
    // Bits behind the length.
    let options = SubnetPoolOptions::new([net("10.0.0.1/16")]);
    let refused = ConfigError::HostBits { given: net("10.0.0.1/16"), prefix: net("10.0.0.0/16") };
    assert_eq!(SubnetPool::<String>::new(options).unwrap_err(), refused);
    // A pool whose subnets are all larger than it gives none, and says what there is.
    let mut pool = cluster("10.0.0.0/16", 8);
    let exhausted = AllocateError::Exhausted { length: 8, largest_free: Some(16) };
    assert_eq!(pool.allocate(8, "node", NOW), Err(exhausted));
}

#[test]
fn networks_that_others_refuse_for_their_size() {
    // A /16 of IPv6 cut into /64, and all of IPv6 in single addresses: nothing is enumerated.
    let mut pool = cluster("fd00::/16", 64);
    assert_eq!(next(&mut pool), "fd00::/64");
    pool.claim(net("fd00:ffff:ffff:ffff::/64"), "last", NOW).unwrap();
    assert_eq!(next(&mut pool), "fd00:0:0:1::/64");
    let mut pool = cluster("::/0", 128);
    pool.claim(net("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), "last", NOW).unwrap();
    assert_eq!(next(&mut pool), "::/128");
    assert_eq!(pool.usage().total, Amount::of_prefix(128, 0));
}
