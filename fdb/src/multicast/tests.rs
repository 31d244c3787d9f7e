use std::{string::ToString as _, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

fn remote(number: u8) -> RemoteId {
    RemoteId::new(u32::from(number)).unwrap()
}

fn segment(number: u8) -> SegmentId {
    SegmentId::new(u32::from(number)).unwrap()
}

#[test]
fn macs_of_groups() {
    for (group, mac) in [
        ("224.0.0.1", "01:00:5e:00:00:01"),
        ("239.255.255.255", "01:00:5e:7f:ff:ff"),
        ("225.128.1.2", "01:00:5e:00:01:02"),
        ("ff02::1", "33:33:00:00:00:01"),
        ("ff3e::8000:1", "33:33:80:00:00:01"),
        ("01:80:c2:00:00:0e", "01:80:c2:00:00:0e"),
    ] {
        let parsed: MulticastGroup = group.parse().unwrap();
        assert_eq!((parsed.mac().to_string().as_str(), parsed.to_string().as_str()), (mac, group));
    }
    for text in ["10.0.0.1", "255.255.255.255", "fe80::1", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "", "blue"] {
        assert_eq!(text.parse::<MulticastGroup>(), Err(NotAGroup), "{text}");
    }
}

#[test]
fn what_everybody_gets() {
    for (group, expected) in [
        ("224.0.0.251", true),
        ("224.0.1.1", false),
        ("225.0.0.5", true),
        ("ff02::1", true),
        ("ff01::5", true),
        ("ff11::5", true),
        ("ff02::2", false),
        ("ff02::1:ff00:1", false),
        ("01:80:c2:00:00:0e", false),
    ] {
        assert_eq!(group.parse::<MulticastGroup>().unwrap().is_always_flooded(), expected, "{group}");
    }
    let mut groups = MulticastGroups::new(9);
    groups.set_unregistered(segment(1), Unregistered::Routers);
    groups.join(segment(1), "224.0.0.5".parse().unwrap(), remote(1)).unwrap();
    for mac in ["01:00:5e:00:00:05", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01"] {
        assert!(groups.receivers(segment(1), mac.parse().unwrap()).is_none(), "{mac}");
    }
    let nobody = groups.receivers(segment(1), "01:00:5e:01:00:05".parse().unwrap()).unwrap();
    assert_eq!(nobody.count(), 0);
    groups.set_unregistered(segment(1), Unregistered::Flood);
    assert!(groups.receivers(segment(1), "01:00:5e:01:00:05".parse().unwrap()).is_none());
}

#[test]
fn who_leaves_one_of_two_groups_with_one_mac_still_gets_it() {
    let (one, other): (MulticastGroup, MulticastGroup) = ("239.1.2.3".parse().unwrap(), "239.129.2.3".parse().unwrap());
    assert_eq!(one.mac(), other.mac());
    let mut groups = MulticastGroups::new(9);
    groups.join(segment(1), one, remote(1)).unwrap();
    groups.join(segment(1), other, remote(1)).unwrap();
    assert!(groups.leave(segment(1), one, remote(1)));
    assert_eq!(groups.receivers(segment(1), one.mac()).unwrap().collect::<Vec<_>>(), [remote(1)]);
    assert!(groups.leave(segment(1), other, remote(1)) && !groups.leave(segment(1), other, remote(1)));
    assert!(groups.receivers(segment(1), one.mac()).is_none());
    assert_eq!(groups, MulticastGroups::new(9));
}

#[test]
fn memberships_are_bounded_and_copies_are_apart() {
    let mut groups = MulticastGroups::new(2);
    let group = "239.1.2.3".parse().unwrap();
    groups.join(segment(1), group, remote(1)).unwrap();
    let before = groups.clone();
    groups.join_all(segment(2), remote(1)).unwrap();
    assert_eq!(groups.join(segment(1), group, remote(2)), Err(MulticastGroupsFull { max: 2 }));
    assert_eq!((groups.len(), before.len(), groups.all_groups(segment(2))), (2, 1, &[remote(1)][..]));
    groups.remove_remote(remote(1));
    assert!(groups.is_empty() && groups == MulticastGroups::new(2));
    assert_eq!(before.members().collect::<Vec<_>>(), vec![(segment(1), group, remote(1))]);
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, u8, u8),
    Leave(u8, u8, u8),
    JoinAll(u8, u8),
    LeaveAll(u8, u8),
    RemoveRemote(u8),
    RemoveSegment(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (segment, group, remote) = (0..2u8, 0..4u8, 0..4u8);
    prop_oneof![
        6 => (segment.clone(), group.clone(), remote.clone()).prop_map(|(s, g, r)| Step::Join(s, g, r)),
        4 => (segment.clone(), group, remote.clone()).prop_map(|(s, g, r)| Step::Leave(s, g, r)),
        2 => (segment.clone(), remote.clone()).prop_map(|(s, r)| Step::JoinAll(s, r)),
        2 => (segment.clone(), remote.clone()).prop_map(|(s, r)| Step::LeaveAll(s, r)),
        1 => remote.prop_map(Step::RemoveRemote),
        1 => segment.prop_map(Step::RemoveSegment),
    ]
}

/// Two of them have one MAC address.
fn group(number: u8) -> MulticastGroup {
    ["239.1.2.3", "239.129.2.3", "ff0e::5", "33:33:00:00:00:06"][usize::from(number)].parse().unwrap()
}

proptest! {
    #[test]
    fn equals_a_set(steps in proptest::collection::vec(step(), 0..100)) {
        const MAX: usize = 12;
        let mut groups = MulticastGroups::new(MAX);
        let mut model: BTreeSet<(u8, Option<u8>, u8)> = BTreeSet::new();
        for step in steps {
            let full = model.len() >= MAX;
            match step {
                Step::Join(s, g, r) => {
                    let joined = groups.join(segment(s), group(g), remote(r));
                    let known = model.contains(&(s, Some(g), r));
                    prop_assert_eq!(joined.ok(), (known || !full).then(|| model.insert((s, Some(g), r))));
                }
                Step::JoinAll(s, r) => {
                    let joined = groups.join_all(segment(s), remote(r));
                    let known = model.contains(&(s, None, r));
                    prop_assert_eq!(joined.ok(), (known || !full).then(|| model.insert((s, None, r))));
                }
                Step::Leave(s, g, r) => {
                    let left = groups.leave(segment(s), group(g), remote(r));
                    prop_assert_eq!(left, model.remove(&(s, Some(g), r)));
                }
                Step::LeaveAll(s, r) => {
                    prop_assert_eq!(groups.leave_all(segment(s), remote(r)), model.remove(&(s, None, r)));
                }
                Step::RemoveRemote(r) => {
                    groups.remove_remote(remote(r));
                    model.retain(|&(_, _, other)| other != r);
                }
                Step::RemoveSegment(s) => {
                    groups.remove_segment(segment(s));
                    model.retain(|&(other, _, _)| other != s);
                }
            }
            prop_assert_eq!(groups.len(), model.len());
            for s in 0..2 {
                for g in 0..4 {
                    let mac = group(g).mac();
                    let joined = |number: Option<u8>| number.is_some_and(|other| group(other).mac() == mac);
                    let registered = model.iter().any(|&(other, number, _)| other == s && joined(number));
                    let expected: BTreeSet<RemoteId> = (model.iter())
                        .filter(|&&(other, number, _)| other == s && (number.is_none() || joined(number)))
                        .map(|&(_, _, r)| remote(r))
                        .collect();
                    let receivers = groups.receivers(segment(s), mac).map(Iterator::collect::<Vec<_>>);
                    prop_assert_eq!(receivers, registered.then(|| expected.into_iter().collect()));
                }
            }
        }
        #[cfg(feature = "serde")]
        {
            let text = serde_json::to_string(&groups).unwrap();
            prop_assert_eq!(serde_json::from_str::<MulticastGroups>(&text).unwrap(), groups);
        }
    }
}
