use std::{collections::BTreeSet, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

fn member(number: u32, weight: u16) -> EqualCostMember {
    EqualCostMember { remote: RemoteId::new(number).unwrap(), weight }
}

fn holders(table: &EqualCostTable, group: EqualCostId) -> Vec<Option<RemoteId>> {
    let group = table.groups.get(group.0 as usize).unwrap();
    (0..BUCKETS).map(|bucket| group.holder(bucket)).collect()
}

fn held(table: &EqualCostTable, group: EqualCostId, number: u32) -> usize {
    holders(table, group).iter().filter(|&&holder| holder == RemoteId::new(number)).count()
}

#[test]
fn every_bucket_is_somebodys() {
    let table = EqualCostTable::new(4);
    let group = table.insert(&[]).unwrap();
    assert_eq!(table.choose(group, 7), None);
    for members in 1..=64 {
        table.set(group, &(0..members).map(|number| member(number, 1)).collect::<Vec<_>>()).unwrap();
        for number in 0..members {
            let held = held(&table, group, number);
            assert!((BUCKETS / members as usize..=BUCKETS.div_ceil(members as usize)).contains(&held));
        }
    }
    table.set(group, &[]).unwrap();
    assert_eq!(table.choose(group, 7), None);
}

#[test]
fn weights() {
    let table = EqualCostTable::new(4);
    let group = table.insert(&[member(1, 1), member(2, 3)]).unwrap();
    assert_eq!((held(&table, group, 1), held(&table, group, 2)), (128, 384));
    // Even who has next to no weight gets something.
    let group = table.insert(&[member(1, 1), member(2, u16::MAX)]).unwrap();
    assert_eq!((held(&table, group, 1), held(&table, group, 2)), (1, 511));
}

#[test]
fn each_remote_has_flows_of_all_source_ports() {
    let table = EqualCostTable::new(4);
    let group = table.insert(&(0..8).map(|number| member(number, 1)).collect::<Vec<_>>()).unwrap();
    let mut ports = vec![BTreeSet::new(); 8];
    let mut flows = [0u32; 8];
    for flow in 0..1u32 << 16 {
        let hash = FlowHash::new(flow << 16 | flow.wrapping_mul(0x9e37) >> 7 & 0xffff);
        let remote = table.choose(group, hash).unwrap().get() as usize;
        ports[remote].insert(hash.udp_source_port(49152..=65535) >> 6);
        flows[remote] += 1;
    }
    assert!(ports.iter().all(|ports| ports.len() == 256));
    assert!(flows.iter().all(|flows| (7000..9400).contains(flows)), "{flows:?}");
}

#[test]
fn what_is_refused() {
    let table = EqualCostTable::new(1);
    let many: Vec<_> = (0..65).map(|number| member(number, 1)).collect();
    assert_eq!(table.insert(&many), Err(EqualCostError::TooManyMembers { members: 65 }));
    let twice = [member(1, 1), member(1, 2)];
    assert_eq!(table.insert(&twice), Err(EqualCostError::Duplicate { remote: RemoteId::new(1).unwrap() }));
    let nothing = [member(1, 0)];
    assert_eq!(table.insert(&nothing), Err(EqualCostError::NoWeight { remote: RemoteId::new(1).unwrap() }));
    let group = table.insert(&[member(1, 1)]).unwrap();
    assert_eq!(table.insert(&[]), Err(EqualCostError::TableFull { max: 1 }));
    assert_eq!(table.set(EqualCostId::MAX, &[]), Err(EqualCostError::UnknownGroup));
    assert!(table.remote_in_use(RemoteId::new(1).unwrap()) && table.ids() == [group]);
    assert!(table.remove(group) && !table.remove(group));
    assert_eq!((table.choose(group, 1), table.members(group)), (None, None));
    assert_eq!(table.insert(&[member(2, 1)]), Ok(group));
    assert_eq!(table.remove_remote(RemoteId::new(2).unwrap()), 1);
    assert_eq!((table.choose(group, 1), table.members(group)), (None, Some(vec![])));
    assert_eq!((EqualCostId::new(65536), EqualCostId::new(65535)), (None, Some(EqualCostId::MAX)));
}

fn members() -> impl Strategy<Value = Vec<EqualCostMember>> {
    proptest::collection::btree_map(0..200u32, prop_oneof![Just(1u16), 1..5u16, 1..=u16::MAX], 1..=63)
        .prop_map(|members| members.into_iter().map(|(number, weight)| member(number, weight)).collect())
}

proptest! {
    #[test]
    fn one_that_leaves_moves_its_own_flows_only(before in members(), index: prop::sample::Index) {
        let table = EqualCostTable::new(1);
        let group = table.insert(&before).unwrap();
        let old = holders(&table, group);
        let mut after = before.clone();
        let left = after.remove(index.index(before.len())).remote;
        table.set(group, &after).unwrap();
        for (old, new) in old.into_iter().zip(holders(&table, group)) {
            let moved = new != old && new.is_none() == after.is_empty();
            prop_assert_eq!(moved, old == Some(left));
        }
    }

    #[test]
    fn one_that_comes_takes_and_nobody_else_does(before in members(), weight in 1..=u16::MAX) {
        let table = EqualCostTable::new(1);
        let group = table.insert(&before).unwrap();
        let old = holders(&table, group);
        let newcomer = member(1000, weight);
        let mut after = before;
        after.push(newcomer);
        table.set(group, &after).unwrap();
        for (old, new) in old.into_iter().zip(holders(&table, group)) {
            prop_assert!(new == old || new == Some(newcomer.remote));
        }
        prop_assert!(held(&table, group, 1000) >= 1);
    }

    #[test]
    fn shares_do_not_depend_on_the_way_there(steps in proptest::collection::vec(members(), 1..6)) {
        let table = EqualCostTable::new(2);
        let group = table.insert(&[]).unwrap();
        for members in &steps {
            table.set(group, members).unwrap();
        }
        let last = steps.last().unwrap();
        let fresh = table.insert(last).unwrap();
        let total: u64 = last.iter().map(|member| u64::from(member.weight)).sum();
        for member in last {
            let number = member.remote.get();
            let held = held(&table, group, number);
            prop_assert_eq!(held, self::held(&table, fresh, number));
            prop_assert!(held >= 1);
            if last.len() == 1 || u64::from(member.weight) * 2 == total {
                prop_assert_eq!(held * if last.len() == 1 { 1 } else { 2 } / BUCKETS, 1);
            }
        }
        prop_assert!(holders(&table, group).iter().all(Option::is_some));
    }
}
