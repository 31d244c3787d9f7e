use ipam::EventKind;

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn pools() -> [Pool; 4] {
    let addresses = |subnet| AddressPoolOptions::new(net(subnet));
    [
        Options::Subnets(SubnetPoolOptions::new([net("10.0.0.0/24")])),
        Options::Addresses(addresses("10.0.0.0/24")),
        Options::DualStack(DualStackOptions::new(addresses("10.0.0.0/24"), addresses("2001:db8::/64"))),
        Options::Blocks(BlocksOptions::new([net("10.0.0.0/24")], 28)),
    ]
    .map(|options| Pool::new(options).unwrap())
}

fn request(pool: &Pool) -> Request<'static> {
    let kind = pool.kind();
    let (length, node) = ((kind == Some(Kind::Subnets)).then_some(32), (kind == Some(Kind::Blocks)).then_some("node"));
    Request { owner: "owner", length, node, count: 3 }
}

#[test]
fn what_was_written_down_makes_the_same_pool() {
    for mut pool in pools() {
        let mut copy = Pool::empty();
        pool.changes().for_each(|change| copy.apply(&change).unwrap());
        let mut changes = pool.allocate(&request(&pool), NOW).unwrap();
        let prefix = pool.grants().next().unwrap().prefix;
        changes.extend(pool.release(prefix, Some("owner"), NOW).unwrap());
        changes.extend(pool.claim(prefix, Some("other"), request(&pool).node, NOW).unwrap());
        changes.extend(pool.release_all("owner", NOW).unwrap());
        for change in &changes {
            copy.apply(change).unwrap();
        }
        assert!(pool.grants().eq(copy.grants()), "{changes:?}");
        assert_eq!(pool.grants().map(|row| row.owner).collect::<Vec<_>>(), ["other"]);
        assert_eq!((pool.findings(), copy.findings()), (Vec::new(), Vec::new()));
        for other in pools().into_iter().filter(|other| std::mem::discriminant(other) != std::mem::discriminant(&pool))
        {
            assert!(other.changes().all(|change| copy.apply(&change).is_err()), "of another kind");
        }
    }
    assert_eq!(Pool::empty().findings(), ["the file says nothing of a pool"]);
}

#[test]
fn no_grant_ends_before_it_begins() {
    let earlier = Duration::from_secs(1_600_000_000);
    for mut pool in pools() {
        pool.allocate(&request(&pool), NOW).unwrap();
        let prefix = pool.grants().next().unwrap().prefix;
        let mut changes = pool.release(prefix, None, earlier).unwrap();
        changes.extend(pool.release_all("owner", earlier).unwrap());
        let events: Vec<Event> = changes.iter().filter_map(Pool::event).collect();
        assert!(events.len() >= 3 && events.iter().all(|event| event.kind == EventKind::Released));
        assert!(events.iter().all(|event| event.at >= NOW), "{events:?}");
    }
}

#[test]
fn wrong_grants_are_found() {
    let owner = "a".to_owned();
    let grants = |prefixes: &[&str]| -> Vec<String> {
        let grant = |prefix: &&str| Grant { prefix: net(prefix), owner: &owner, since: NOW };
        let Pool::Subnets(mut pool) = pools()[0].clone() else { panic!("the first is of subnets") };
        pool.claim(net("10.0.0.0/25"), "a", NOW).unwrap();
        grant_findings(prefixes.iter().map(grant), &[net("10.0.0.0/24")], &pool.usage())
    };
    assert_eq!(grants(&["10.0.0.0/25"]), [""; 0]);
    assert_eq!(grants(&["10.0.0.0/26", "10.0.0.64/26"]), [""; 0]);
    assert_eq!(
        grants(&["10.0.0.0/25", "10.0.0.64/26", "10.0.1.0/24"]),
        [
            "10.0.0.64/26, which is a's, overlaps with 10.0.0.0/25",
            "10.0.1.0/24, which is a's, is outside of the pool",
            "128 addresses count as allocated, the grants have 448",
        ],
    );
    let total = |ranges: &[&str], holes: &[&str], total: Amount| {
        let ranges_of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        total_finding(&ranges_of(ranges), ranges_of(holes), total)
    };
    assert_eq!(total(&["::/0"], &[], Amount::of_prefix(128, 0)), None);
    let rest = u128::MAX - (1 << 112);
    assert_eq!(total(&["::/0"], &["::", "ffff::/16"], rest.into()), None);
    assert_eq!(total(&["10.0.0.0/24", "10.1.0.0/24"], &[], 512.into()), None);
    assert_eq!(total(&["10.0.0.0/24"], &["10.0.0.9", "10.0.0.0-10.0.0.9", "10.0.0.250-10.0.1.7"], 240.into()), None);
    assert_eq!(
        total(&["10.0.0.0/24"], &["10.0.1.0"], 255.into()).unwrap(),
        "the pool has 256 addresses, 255 are accounted for"
    );
}
