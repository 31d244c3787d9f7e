//! All kinds of pools as the journal sees them.
#![cfg(feature = "serde")]

use std::{fmt::Debug, time::Duration};

use ipam::{
    AddressPool, AddressPoolOptions, Blocks, BlocksOptions, DualStack, DualStackOptions, Event, EventKind, Journaled,
    SubnetPool, SubnetPoolOptions,
};
use ipnet::IpNet;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// The same state out of its changes, which tell these events.
fn check<S: Journaled<Change: Debug + PartialEq>>(state: &S, events: &[(&str, &str)]) {
    let mut copy = S::empty();
    assert!(copy.changes().next().is_none());
    let changes: Vec<S::Change> = state.changes().collect();
    assert!(copy.apply(changes.last().unwrap()).is_err(), "nothing can come before the first");
    for change in &changes {
        copy.apply(change).unwrap();
    }
    assert_eq!(copy.changes().collect::<Vec<_>>(), changes);
    assert!(copy.apply(&changes[0]).is_err(), "it is made once");
    assert!(state.findings().is_empty());
    let told: Vec<Event> = changes.iter().filter_map(S::event).collect();
    let expected = events.iter().map(|(prefix, owner)| Event {
        prefix: net(prefix),
        at: NOW,
        kind: EventKind::Granted { owner: (*owner).into() },
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn subnets() {
    let mut pool = SubnetPool::<String>::new(SubnetPoolOptions::new([net("10.0.0.0/8")])).unwrap();
    pool.allocate(24, "a", NOW).unwrap();
    check(&Some(pool), &[("10.0.0.0/24", "a")]);
}

#[test]
fn addresses() {
    let mut options = AddressPoolOptions::new(net("10.0.0.0/24"));
    options.sticky = 1;
    let mut pool = AddressPool::<String>::new(options).unwrap();
    pool.allocate("a", NOW).unwrap();
    pool.allocate("b", NOW).unwrap();
    pool.release_all("a", NOW);
    check(&Some(pool), &[("10.0.0.2/32", "b")]);
}

#[test]
fn pairs_of_addresses() {
    let pool = |subnet| AddressPoolOptions::new(net(subnet));
    let options = DualStackOptions::new(pool("10.0.0.0/24"), pool("2001:db8::/64"));
    let mut pools = DualStack::<String>::new(options).unwrap();
    pools.allocate("a", NOW).unwrap();
    check(&Some(pools), &[("10.0.0.1/32", "a"), ("2001:db8::1/128", "a")]);
}

#[test]
fn blocks() {
    let mut blocks = Blocks::<String>::new(BlocksOptions::new([net("10.0.0.0/16")], 26)).unwrap();
    blocks.allocate("node", "a", NOW).unwrap();
    check(&Some(blocks), &[("10.0.0.0/32", "a")]);
}
