use std::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn options(ipv4: &str, ipv6: &str) -> DualStackOptions {
    let pool = |subnet: &str| AddressPoolOptions::new(subnet.parse().unwrap());
    DualStackOptions::new(pool(ipv4), pool(ipv6))
}

fn pools(ipv4: &str, ipv6: &str) -> DualStack<String> {
    DualStack::new(options(ipv4, ipv6)).unwrap()
}

fn both(ipv4: &str, ipv6: &str) -> DualAddress {
    DualAddress { ipv4: ipv4.parse().unwrap(), ipv6: ipv6.parse().unwrap() }
}

/// All that can be seen of the pools but the time.
fn seen(pools: &DualStack<String>) -> String {
    let changes = pools.changes().filter(|change| !format!("{change:?}").contains("Passed"));
    let changes: Vec<_> = changes.collect();
    format!("{changes:?} {:?} {:?}", pools.ipv4.usage(), pools.ipv6.usage())
}

#[test]
fn when_the_second_fails_nothing_is_left_of_the_first() {
    for (ipv4, ipv6, family) in [("10.0.0.0/31", "2001:db8::/64", "IPv4"), ("10.0.0.0/24", "2001:db8::/127", "IPv6")] {
        for cool_down in [0, 60] {
            let mut options = options(ipv4, ipv6);
            for options in [&mut options.ipv4, &mut options.ipv6] {
                options.cool_down = Duration::from_secs(cool_down);
                options.sticky = 9;
                options.choice = crate::Choice::Next;
            }
            let mut pools = DualStack::<String>::new(options).unwrap();
            pools.allocate("a", NOW).unwrap();
            pools.allocate("b", NOW).unwrap();
            let before = seen(&pools);
            let error = pools.allocate("c", NOW).unwrap_err();
            assert_eq!(error.to_string(), format!("{family}: no address is free"));
            assert_eq!(seen(&pools), before);
            let next = |pools: &DualStack<String>| pools.changes().collect::<Vec<_>>();
            let (mut twice, after) = (pools.clone(), next(&pools));
            twice.allocate("c", NOW).unwrap_err();
            assert_eq!(next(&twice), after);
        }
    }
}

#[test]
fn a_claim_is_of_both_or_none() {
    let mut pools = pools("10.0.0.0/24", "2001:db8::/64");
    pools.claim(both("10.0.0.9", "2001:db8::9"), "a", NOW).unwrap();
    let before = seen(&pools);
    let claim =
        |pools: &mut DualStack<String>, ipv4, ipv6| pools.claim(both(ipv4, ipv6), "b", NOW).unwrap_err().to_string();
    assert_eq!(claim(&mut pools, "10.0.0.9", "2001:db8::8"), "IPv4: 10.0.0.9 is a's");
    assert_eq!(claim(&mut pools, "10.0.0.8", "2001:db8::9"), "IPv6: 2001:db8::9 is a's");
    assert_eq!(claim(&mut pools, "10.0.0.8", "fc00::9"), "IPv6: fc00::9 is not within 2001:db8::/64");
    assert_eq!(seen(&pools), before);
    let id = pools.ipv4_mut().enroll("b").unwrap();
    assert!(pools.ipv4().grants_of(id).next().is_none());
}

#[test]
fn a_release_is_of_both_or_none() {
    let mut pools = pools("10.0.0.0/24", "2001:db8::/64");
    let a = pools.allocate("a", NOW).unwrap();
    let b = pools.allocate("b", NOW).unwrap();
    let before = seen(&pools);
    let release = |pools: &mut DualStack<String>, addresses| pools.release(addresses, NOW).unwrap_err().to_string();
    assert_eq!(release(&mut pools, DualAddress { ipv6: b.ipv6, ..a }), "IPv6: 2001:db8::2 is b's");
    assert_eq!(release(&mut pools, both("10.0.0.9", "2001:db8::1")), "IPv4: 10.0.0.9 is not allocated");
    assert_eq!(release(&mut pools, both("10.0.0.1", "2001:db8::9")), "IPv6: 2001:db8::9 is not allocated");
    assert_eq!(pools.release_from(a, "b", NOW).unwrap_err().to_string(), "IPv4: 10.0.0.1 is a's");
    assert_eq!(seen(&pools), before);
    pools.release_from(a, "a", NOW).unwrap();
    assert_eq!(pools.get(a.ipv6.into()), None);
    assert_eq!(pools.release_all("b", NOW), [IpAddr::from(b.ipv4), b.ipv6.into()]);
    assert_eq!(seen(&pools), seen(&self::pools("10.0.0.0/24", "2001:db8::/64")));
}

#[test]
fn each_family_in_its_place() {
    let error = DualStack::<String>::new(options("10.0.0.0/24", "10.0.1.0/24")).unwrap_err();
    assert_eq!(error.to_string(), "IPv6: 10.0.1.0/24 is no IPv6 subnet");
}

#[test]
fn the_changes_make_the_same_pools() {
    let mut pools = pools("10.0.0.0/24", "2001:db8::/64");
    let mut copy = DualStack::restore(pools.changes()).unwrap();
    let apply = |copy: &mut DualStack<String>, changes: [DualStackChange<String>; 2]| {
        for change in changes {
            copy.apply(&change).unwrap();
        }
    };
    for owner in ["a", "b", "c"] {
        let addresses = pools.allocate(owner, NOW).unwrap();
        apply(&mut copy, DualStackChange::granted(addresses, &owner.into(), NOW));
    }
    let addresses = both("10.0.0.2", "2001:db8::2");
    pools.release(addresses, NOW).unwrap();
    apply(&mut copy, DualStackChange::released(addresses, NOW));
    assert_eq!(seen(&copy), seen(&pools));
    assert_eq!(seen(&DualStack::restore(pools.changes()).unwrap()), seen(&pools));
}
