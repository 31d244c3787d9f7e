use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    vec,
    vec::Vec,
};

use overlay_types::{MacAddr, Vni};
use proptest::prelude::*;

use super::*;
use crate::{Dampening, Destination, Forward, Neighbor, Origin, TableOptions};

const SECOND: Duration = Duration::from_secs(1);

/// All tables, of their own secret.
struct All {
    forwarding: ForwardingTable,
    remotes: RemoteTable,
    neighbors: NeighborTable,
    equal_cost: EqualCostTable,
}

impl All {
    fn new(secret: u8) -> Self {
        let secret = [secret; 16];
        Self {
            forwarding: ForwardingTable::new(TableOptions { max_learned: 64, ..TableOptions::new(secret) }),
            remotes: RemoteTable::new(secret, 32),
            neighbors: NeighborTable::new(secret, 32),
            equal_cost: EqualCostTable::new(4),
        }
    }

    fn tables(&self) -> Tables<'_> {
        Tables {
            forwarding: &self.forwarding,
            remotes: Some(&self.remotes),
            neighbors: Some(&self.neighbors),
            equal_cost: Some(&self.equal_cost),
        }
    }
}

fn segment(number: u8) -> SegmentId {
    SegmentId::new(u32::from(number) * 4000).unwrap()
}

fn mac(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, number])
}

fn address(number: u8) -> IpAddr {
    if number.is_multiple_of(2) {
        Ipv4Addr::new(192, 0, 2, number).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Segment(u8, Option<u64>),
    Learn(u8, u8, u8),
    Insert(u8, u8, u8, bool),
    Remote(u8, Option<u16>),
    Mtu(u8, u16),
    Neighbor(u8, u8, u8, Option<bool>),
    StaticNeighbor(u8, u8, u8),
    Group(Vec<(u8, u16)>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (segment, mac, remote) = (0..4u8, 1..30u8, 0..6u8);
    prop_oneof![
        3 => (segment.clone(), proptest::option::of(1000..4000u64)).prop_map(|(s, ageing)| Step::Segment(s, ageing)),
        9 => (segment.clone(), mac.clone(), remote.clone()).prop_map(|(s, m, r)| Step::Learn(s, m, r)),
        4 => (segment.clone(), mac.clone(), remote.clone(), any::<bool>())
            .prop_map(|(s, m, r, registry)| Step::Insert(s, m, r, registry)),
        2 => (remote.clone(), any::<Option<u16>>()).prop_map(|(r, port)| Step::Remote(r, port)),
        1 => (remote.clone(), any::<u16>()).prop_map(|(r, mtu)| Step::Mtu(r, mtu)),
        5 => (segment.clone(), 0..8u8, mac.clone(), any::<Option<bool>>())
            .prop_map(|(s, i, m, router)| Step::Neighbor(s, i, m, router)),
        2 => (segment, 0..8u8, mac).prop_map(|(s, i, m)| Step::StaticNeighbor(s, i, m)),
        1 => proptest::collection::btree_map(remote, 1..9u16, 0..4)
            .prop_map(|members| Step::Group(members.into_iter().collect())),
        4 => (0..100u64).prop_map(Step::Pass),
    ]
}

fn fill(all: &All, steps: &[Step]) -> Duration {
    let mut now = Duration::ZERO;
    for step in steps {
        match step {
            Step::Segment(s, ageing) => {
                let options = SegmentOptions { ageing: ageing.map(Duration::from_secs), ..SegmentOptions::default() };
                all.forwarding.add_segment(segment(*s), options);
            }
            Step::Learn(s, m, r) => {
                let remote = all.remotes.intern(address(*r), now).unwrap();
                let _ = all.forwarding.learn(segment(*s), mac(*m), remote, now);
            }
            Step::Insert(s, m, r, registry) => {
                let remote = all.remotes.insert(Remote::new(address(*r))).unwrap();
                let origin = if *registry { Origin::Registry } else { Origin::Static };
                // Some of them lead nowhere.
                let to = if m % 7 == 0 { Destination::BLACKHOLE } else { remote.into() };
                let _ = all.forwarding.insert(segment(*s), mac(*m), to, origin, now);
            }
            Step::Remote(r, port) => {
                let vni = port.map(|port| Vni::new(port.into()).unwrap());
                all.remotes.insert(Remote { port: *port, vni, ..Remote::new(address(*r)) }).unwrap();
            }
            Step::Mtu(r, mtu) => {
                all.remotes.set_path_mtu(all.remotes.intern(address(*r), now).unwrap(), Some(*mtu));
            }
            Step::Neighbor(s, i, m, router) if all.forwarding.segments().contains(&segment(*s)) => {
                let _ = all.neighbors.learn(segment(*s), address(*i), mac(*m), *router, now);
            }
            Step::StaticNeighbor(s, i, m) if all.forwarding.segments().contains(&segment(*s)) => {
                let _ = all.neighbors.insert(segment(*s), address(*i), Neighbor::new(mac(*m), Origin::Static));
            }
            Step::Neighbor(..) | Step::StaticNeighbor(..) => {}
            Step::Group(members) => {
                let member = |&(r, weight)| {
                    let remote = all.remotes.intern(address(r), now).unwrap();
                    EqualCostMember { remote, weight }
                };
                let _ = all.equal_cost.insert(&members.iter().map(member).collect::<Vec<_>>());
            }
            Step::Pass(seconds) => now += Duration::from_secs(*seconds),
        }
    }
    now
}

/// The snapshot under the numbers that its remotes and groups have elsewhere.
fn renumbered(mut snapshot: Snapshot, restored: &Restored) -> Snapshot {
    for remote in &mut snapshot.remotes {
        remote.id = restored.remote(remote.id).unwrap();
    }
    for group in &mut snapshot.groups {
        group.id = restored.group(group.id).unwrap();
        for member in &mut group.members {
            member.remote = restored.remote(member.remote).unwrap();
        }
    }
    for row in &mut snapshot.rows {
        row.to = row.to.remote().map_or(row.to, |remote| restored.remote(remote).unwrap().into());
    }
    snapshot.remotes.sort_by_key(|remote| remote.id);
    snapshot.groups.sort_by_key(|group| group.id);
    snapshot
}

proptest! {
    #[test]
    fn there_and_back(
        steps in proptest::collection::vec(step(), 0..150),
        later in prop_oneof![Just(0u64), 0..10_000u64, any::<u32>().prop_map(u64::from)],
    ) {
        let old = All::new(1);
        let now = fill(&old, &steps);
        let snapshot = old.tables().snapshot(now);
        let rows: usize = old.forwarding.segments().into_iter().map(|segment| old.forwarding.len(segment)).sum();
        prop_assert_eq!(snapshot.rows.len(), rows);
        #[cfg(feature = "serde")]
        {
            let text = serde_json::to_string(&snapshot).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Snapshot>(&text).unwrap(), &snapshot);
        }

        let new = All::new(2);
        // So that numbers differ.
        new.remotes.insert(Remote::new(address(200))).unwrap();
        let now = Duration::from_secs(later);
        let restored = new.tables().restore(&snapshot, RestoreLimits::default(), now).unwrap();
        let old_ones = |row: &&Row| {
            let options = old.forwarding.segment_options(row.segment).unwrap();
            row.state == RowState::Learned && options.ageing.is_some_and(|ageing| row.age.unwrap() >= ageing)
        };
        prop_assert_eq!(restored.aged, snapshot.rows.iter().filter(old_ones).count());
        prop_assert_eq!(restored.rows + restored.aged, snapshot.rows.len());
        prop_assert_eq!(restored.neighbors, snapshot.neighbors.len());
        prop_assert_eq!((&restored.refused, restored.kept), (&vec![], 0));

        let mut expected = renumbered(snapshot.clone(), &restored);
        expected.rows.retain(|row| !old_ones(&row));
        let mut again = new.tables().snapshot(now);
        again.remotes.retain(|remote| remote.remote.address != address(200));
        prop_assert_eq!(&again, &expected);
        // The ages go on.
        expected.pass(7 * SECOND);
        let mut again = new.tables().snapshot(now + 7 * SECOND);
        again.remotes.retain(|remote| remote.remote.address != address(200));
        prop_assert_eq!(again, expected);

        // Once more: the tables know all of it, but for the groups, which get numbers of their own or no place.
        let twice = new.tables().restore(&snapshot, RestoreLimits::default(), now).unwrap();
        prop_assert_eq!(twice.kept, restored.rows + restored.neighbors);
        prop_assert_eq!((twice.rows, twice.neighbors, twice.aged), (0, 0, restored.aged));
    }

    #[test]
    fn nonsense_is_refused_by_name(snapshot in nonsense(), now: u64) {
        let all = All::new(1);
        let limits = RestoreLimits { max_segments: 3, max_learned: 1000 };
        let restored = all.tables().restore(&snapshot, limits, Duration::from_secs(now)).unwrap();
        let refused = |wanted: fn(&Refused) -> bool| restored.refused.iter().filter(|refused| wanted(refused)).count();
        let rows = refused(|refused| matches!(refused, Refused::Row { .. }));
        let neighbors = refused(|refused| matches!(refused, Refused::Neighbor { .. }));
        let fates = restored.rows + restored.neighbors + restored.aged + restored.kept + rows + neighbors;
        prop_assert_eq!(fates, snapshot.rows.len() + snapshot.neighbors.len());
        prop_assert!(all.forwarding.segments().len() <= 3 && all.remotes.ids().len() <= 32);
        for segment in all.forwarding.segments() {
            prop_assert!(all.forwarding.learned_len(segment) <= 64);
        }
        let lens = all.forwarding.segments().into_iter().map(|segment| all.forwarding.len(segment));
        prop_assert_eq!(lens.sum::<usize>(), restored.rows);
        // And what is there can be taken and restored again.
        let again = all.tables().snapshot(Duration::from_secs(now));
        let restored = All::new(2).tables().restore(&again, limits, Duration::ZERO).unwrap();
        prop_assert_eq!(restored.refused, vec![]);
    }
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..2000u64).prop_map(Duration::from_secs),
        any::<Duration>()
    ]
}

fn nonsense() -> impl Strategy<Value = Snapshot> {
    let segment =
        || prop_oneof![3 => 0..4u32, 1 => Just(SegmentId::MAX.get())].prop_map(|n| SegmentId::new(n).unwrap());
    let remote = || prop_oneof![5 => 0..4u32, 1 => Just(RemoteId::MAX.get())].prop_map(|n| RemoteId::new(n).unwrap());
    let group = || (0..6u32).prop_map(|n| EqualCostId::new(n).unwrap());
    let mac = || prop_oneof![4 => (0..100u8).prop_map(mac), 1 => any::<[u8; 6]>().prop_map(MacAddr::new), 1 => Just(MacAddr::ZERO)];
    let age = || proptest::option::of(duration());
    let options = (prop_oneof![Just(0u32), 1..100u32, any::<u32>()], age(), proptest::option::of(duration())).prop_map(
        |(max_learned, ageing, hold)| SegmentOptions {
            max_learned,
            ageing,
            dampening: hold.map(|hold| Dampening { moves: 0, within: hold, hold }),
        },
    );
    let segments = (segment(), options).prop_map(|(segment, options)| SnapshotSegment { segment, options });
    let remotes = (remote(), any::<IpAddr>(), any::<Option<u16>>(), any::<u32>(), any::<Option<u16>>()).prop_map(
        |(id, address, port, pins, path_mtu)| SnapshotRemote {
            id,
            remote: Remote { port, ..Remote::new(address) },
            pins: if pins % 2 == 0 { pins } else { 0 },
            path_mtu,
        },
    );
    let member = (remote(), 0..3u16).prop_map(|(remote, weight)| EqualCostMember { remote, weight });
    let groups =
        (group(), proptest::collection::vec(member, 0..70)).prop_map(|(id, members)| SnapshotGroup { id, members });
    let state = prop_oneof![4 => Just(RowState::Learned), 1 => Just(RowState::Registry), 1 => Just(RowState::Static)];
    let to = prop_oneof![5 => remote().prop_map(Destination::from), 1 => Just(Destination::BLACKHOLE)];
    let rows = (segment(), mac(), to, state, age()).prop_map(|(segment, mac, to, state, age)| Row {
        segment,
        mac,
        to,
        state,
        age,
    });
    let state = prop_oneof![Just(NeighborState::Learned), Just(NeighborState::Registry), Just(NeighborState::Static)];
    let neighbors = (segment(), any::<IpAddr>(), mac(), state, any::<bool>(), age()).prop_map(
        |(segment, address, mac, state, router, age)| NeighborRow {
            segment,
            address,
            neighbor: Neighbor { mac, state, router },
            age,
        },
    );
    (
        proptest::collection::vec(segments, 0..6),
        proptest::collection::vec(remotes, 0..40),
        proptest::collection::vec(groups, 0..6),
        proptest::collection::vec(rows, 0..120),
        proptest::collection::vec(neighbors, 0..40),
    )
        .prop_map(|(segments, remotes, groups, rows, neighbors)| Snapshot {
            segments,
            remotes,
            groups,
            rows,
            neighbors,
            ..Snapshot::default()
        })
}

#[test]
fn another_version_is_an_error() {
    let all = All::new(1);
    let snapshot = Snapshot { version: 2, ..Snapshot::default() };
    let error = all.tables().restore(&snapshot, RestoreLimits::default(), Duration::ZERO);
    assert_eq!(error, Err(RestoreError::Version { version: 2 }));
}

#[test]
fn the_youngest_come_first_and_nothing_goes_for_them() {
    let old = All::new(1);
    let blue = segment(1);
    old.forwarding.add_segment(blue, SegmentOptions::default());
    let remote = old.remotes.intern(address(1), Duration::ZERO).unwrap();
    for number in 0..10 {
        let _ = old.forwarding.learn(blue, mac(number), remote, u32::from(number) * SECOND);
    }
    old.forwarding.insert(blue, mac(20), remote, Origin::Static, Duration::ZERO).unwrap();
    let mut snapshot = old.tables().snapshot(10 * SECOND);
    snapshot.segments[0].options.max_learned = 4;

    let new = All::new(2);
    new.forwarding.add_segment(blue, SegmentOptions { max_learned: 5, ..SegmentOptions::default() });
    let there = new.remotes.intern(address(2), Duration::ZERO).unwrap();
    for number in [8, 30] {
        let _ = new.forwarding.learn(blue, mac(number), there, Duration::ZERO);
    }
    let restored = new.tables().restore(&snapshot, RestoreLimits::default(), Duration::ZERO).unwrap();
    // 8 is there already, elsewhere; of the others 9, 7 and 6 are the youngest.
    assert_eq!((restored.rows, restored.kept, restored.refused.len()), (4, 1, 6));
    assert!(restored.refused.iter().all(|refused| {
        matches!(refused, Refused::Row { row, reason: NotRestored::TableFull } if row.age >= Some(5 * SECOND))
    }));
    assert_eq!(new.forwarding.lookup(blue, mac(8)), Some(Forward::new(there.into(), RowState::Learned)));
    assert!(new.forwarding.lookup(blue, mac(20)).is_some() && new.forwarding.lookup(blue, mac(30)).is_some());
    assert_eq!(new.forwarding.counters(blue).evicted, 0);
}

#[test]
fn each_refusal_has_its_reason() {
    let all = All::new(1);
    let (first, second) = (RemoteId::new(1).unwrap(), RemoteId::new(2).unwrap());
    let (id, other) = (EqualCostId::new(1).unwrap(), EqualCostId::new(2).unwrap());
    let big = SegmentOptions { max_learned: u32::MAX, ..SegmentOptions::default() };
    let in_segment = |number, options| SnapshotSegment { segment: segment(number), options };
    let remote = SnapshotRemote { id: first, remote: Remote::new(address(1)), pins: 0, path_mtu: None };
    let row = Row { segment: segment(1), mac: mac(1), to: first.into(), state: RowState::Learned, age: None };
    let neighbor = Neighbor::new(mac(1), Origin::Static);
    let neighbor = NeighborRow { segment: segment(1), address: address(1), neighbor, age: None };
    let snapshot = Snapshot {
        segments: vec![
            in_segment(1, SegmentOptions::default()),
            in_segment(1, SegmentOptions::default()),
            in_segment(2, big),
            in_segment(3, SegmentOptions::default()),
        ],
        remotes: vec![remote, remote],
        groups: vec![
            SnapshotGroup { id, members: vec![EqualCostMember::new(first)] },
            SnapshotGroup { id, members: vec![] },
            SnapshotGroup { id: other, members: vec![EqualCostMember::new(second)] },
            SnapshotGroup { id: other, members: vec![EqualCostMember::new(first); 2] },
        ],
        rows: vec![
            row,
            Row { segment: segment(2), ..row },
            Row { to: second.into(), mac: mac(2), ..row },
            Row { to: Destination::BLACKHOLE, mac: mac(3), ..row },
            Row { mac: MacAddr::BROADCAST, ..row },
            Row { mac: MacAddr::BROADCAST, state: RowState::Static, ..row },
        ],
        neighbors: vec![neighbor, NeighborRow { address: Ipv4Addr::BROADCAST.into(), ..neighbor }],
        ..Snapshot::default()
    };
    let limits = RestoreLimits { max_segments: 1, max_learned: 1 << 20 };
    let restored = all.tables().restore(&snapshot, limits, Duration::ZERO).unwrap();
    let mut reasons: BTreeMap<std::string::String, usize> = BTreeMap::new();
    for refused in &restored.refused {
        let (Refused::Segment { reason, .. }
        | Refused::Remote { reason, .. }
        | Refused::Group { reason, .. }
        | Refused::Row { reason, .. }
        | Refused::Neighbor { reason, .. }) = refused;
        *reasons.entry(std::string::ToString::to_string(reason)).or_default() += 1;
    }
    let expected = [
        ("no place for one more segment: there are 1", 2),
        ("the number is there twice", 3),
        ("no remote 2", 2),
        ("remote 0 is a member twice", 1),
        ("no such segment", 1),
        ("learned, and leads to no remote", 1),
        ("not the address of a station", 2),
        ("not the IP address of a neighbour", 1),
    ];
    let found: BTreeMap<&str, usize> = reasons.iter().map(|(reason, &count)| (reason.as_str(), count)).collect();
    assert_eq!(found, expected.into());

    let alone = Tables::new(&all.forwarding).restore(&snapshot, limits, Duration::ZERO).unwrap();
    let no_table = |refused: &&Refused| {
        matches!(
            refused,
            Refused::Group { reason: NotRestored::NoTable, .. }
                | Refused::Neighbor { reason: NotRestored::NoTable, .. }
        )
    };
    assert_eq!(alone.refused.iter().filter(no_table).count(), 6);
}

#[test]
fn what_was_learned_alone() {
    let all = All::new(1);
    let blue = segment(1);
    all.forwarding.add_segment(blue, SegmentOptions::default());
    let remote = all.remotes.insert(Remote::new(address(1))).unwrap();
    let _ = all.forwarding.learn(blue, mac(1), remote, Duration::ZERO);
    all.forwarding.insert(blue, mac(2), remote, Origin::Registry, Duration::ZERO).unwrap();
    all.equal_cost.insert(&[EqualCostMember::new(remote)]).unwrap();
    let mut snapshot = all.tables().snapshot(Duration::ZERO);
    snapshot.retain_learned();
    assert_eq!((snapshot.rows.len(), snapshot.groups.len(), snapshot.remotes[0].pins), (1, 0, 0));
}

#[cfg(feature = "serde")]
#[test]
fn text_that_is_no_snapshot() {
    let text = serde_json::to_string(&Snapshot::default()).unwrap();
    assert_eq!(text, r#"{"version":1,"segments":[],"remotes":[],"groups":[],"rows":[],"neighbors":[]}"#);
    for (part, with) in [
        (
            "\"rows\":[]",
            r#""rows":[{"segment":16777216,"mac":"02:00:00:00:00:01","to":{"remote":0},"state":"learned","age":null}]"#,
        ),
        (
            "\"rows\":[]",
            r#""rows":[{"segment":1,"mac":"02:00:00:00:00","to":{"remote":0},"state":"learned","age":null}]"#,
        ),
        (
            "\"rows\":[]",
            r#""rows":[{"segment":1,"mac":"02:00:00:00:00:01","to":{"remote":0},"state":"here","age":null}]"#,
        ),
        (
            "\"rows\":[]",
            r#""rows":[{"segment":1,"mac":"02:00:00:00:00:01","to":{"remote":0},"state":"learned","age":{"secs":18446744073709551615,"nanos":1000000000}}]"#,
        ),
        ("\"rows\":[]", r#""secret":[]"#),
        ("\"version\":1", r#""version":-1"#),
    ] {
        assert!(serde_json::from_str::<Snapshot>(&text.replace(part, with)).is_err(), "{with}");
    }
}

#[test]
fn rows_to_groups_and_to_nowhere_come_back() {
    let (before, after) = (All::new(1), All::new(2));
    let id = before.remotes.insert(Remote::new(address(2))).unwrap();
    let group = before.equal_cost.insert(&[EqualCostMember { remote: id, weight: 1 }]).unwrap();
    before.forwarding.add_segment(segment(1), SegmentOptions::default());
    let rows = [(mac(1), Destination::from(group)), (mac(2), Destination::BLACKHOLE), (mac(3), id.into())];
    for (mac, to) in rows {
        before.forwarding.insert(segment(1), mac, to, Origin::Static, SECOND).unwrap();
    }
    // Other numbers: a remote and a group more before those.
    let other = after.remotes.insert(Remote::new(address(4))).unwrap();
    after.equal_cost.insert(&[EqualCostMember { remote: other, weight: 1 }]).unwrap();
    let mut snapshot = before.tables().snapshot(SECOND);
    let restored = after.tables().restore(&snapshot, RestoreLimits::default(), SECOND).unwrap();
    assert_eq!((restored.rows, restored.refused.len()), (3, 0));
    let to = |number| after.forwarding.lookup(segment(1), mac(number)).unwrap().to();
    let now = to(1).equal_cost().unwrap();
    assert_eq!(restored.group(group), Some(now));
    let chosen = after.equal_cost.choose(now, 5u32).unwrap();
    assert_eq!(after.remotes.get(chosen).unwrap().address, address(2));
    assert!(to(2).is_blackhole());
    assert_eq!(to(3).remote(), Some(chosen));
    // A group that is not in the snapshot.
    snapshot.groups.clear();
    let third = All::new(3);
    let restored = third.tables().restore(&snapshot, RestoreLimits::default(), SECOND).unwrap();
    assert_eq!(restored.rows, 2);
    let reason = NotRestored::UnknownGroup { group };
    assert!(matches!(restored.refused[..], [Refused::Row { reason: found, .. }] if found == reason));
}
