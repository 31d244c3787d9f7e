//! Readers beside writers: a row that is there all the time is found all the time, and leads where it should.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use fdb::{
    Cursor, EqualCostMember, EqualCostTable, Flush, ForwardingTable, Learn, Origin, Remote, RemoteId, RemoteTable,
    RestoreLimits, RowState, SegmentId, SegmentOptions, TableOptions, Tables,
};
use overlay_types::MacAddr;

fn mac(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::new([2, 0, a, b, c, d])
}

fn remote(number: u32) -> RemoteId {
    RemoteId::new(number).unwrap()
}

#[test]
fn rows_that_stay_are_always_found() {
    let table = ForwardingTable::new(TableOptions::new([5; 16]));
    let blue = SegmentId::new(42).unwrap();
    table.add_segment(blue, SegmentOptions { max_learned: 50_000, ..SegmentOptions::default() });
    for number in 0..100 {
        table.insert(blue, mac(number), remote(1), Origin::Static, Duration::ZERO).unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = || {
            while !done.load(Ordering::Relaxed) {
                for number in 0..100 {
                    let forward = table.lookup(blue, mac(number)).expect("a static row is always there");
                    assert_eq!((forward.remote(), forward.state()), (Some(remote(1)), RowState::Static));
                    // Those that come and go lead to the remote of their number, or nowhere.
                    let other = 1000 + number * 97;
                    if let Some(forward) = table.lookup(blue, mac(other)) {
                        assert_eq!(forward.remote(), Some(remote(other % 7 + 2)));
                    }
                }
            }
        };
        let pages = || {
            while !done.load(Ordering::Relaxed) {
                let mut seen = BTreeSet::new();
                let mut cursor = Some(Cursor::default());
                while let Some(from) = cursor {
                    let (page, next) = table.page(from, 5000, Duration::ZERO);
                    for row in page {
                        assert!(seen.insert(row.mac), "{} twice", row.mac);
                    }
                    cursor = next;
                }
                assert!((0..100).all(|number| seen.contains(&mac(number))));
            }
        };
        let reading = [scope.spawn(reader), scope.spawn(pages)];
        // The table grows, its cap is reached, it is flushed and swept, again and again.
        for round in 0..4u64 {
            for number in 1000..61_000 {
                let second = Duration::from_secs(round * 1000 + u64::from(number / 1000));
                let _ = table.learn(blue, mac(number), remote(number % 7 + 2), second);
            }
            assert!(table.learned_len(blue) <= 50_000);
            match round {
                0 => table.flush(Flush { segment: Some(blue), learned_only: true, ..Flush::default() }),
                1 => table.flush(Flush { remote: Some(remote(3)), ..Flush::default() }),
                _ => {}
            }
            table.age(Duration::from_secs(round * 1000 + 330), 200_000);
        }
        done.store(true, Ordering::Relaxed);
        for thread in reading {
            thread.join().unwrap();
        }
    });
    assert_eq!(table.len(blue) - table.learned_len(blue), 100);
}

#[test]
fn many_learn_at_once() {
    let table = ForwardingTable::new(TableOptions::new([5; 16]));
    let blue = SegmentId::new(42).unwrap();
    table.add_segment(blue, SegmentOptions { max_learned: 10_000, dampening: None, ..SegmentOptions::default() });
    thread::scope(|scope| {
        for thread in 0..3 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..20u64 {
                    for number in 0..2000 {
                        let answer = table.learn(blue, mac(number), remote(thread), Duration::from_secs(round));
                        assert!(!matches!(answer, Learn::Owned { .. } | Learn::NotLearned(_)));
                    }
                }
            });
        }
    });
    assert_eq!((table.len(blue), table.learned_len(blue)), (2000, 2000));
    let (rows, next) = table.page(Cursor::default(), usize::MAX, Duration::from_secs(19));
    assert_eq!((rows.len(), next), (2000, None));
    assert!(rows.iter().all(|row| row.age == Some(Duration::ZERO)));
}

#[test]
fn segments_come_and_go_under_readers() {
    let table = ForwardingTable::new(TableOptions::new([5; 16]));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for segment in 0..8 {
                    // The remote of a row says which segment it is of.
                    let forward = table.lookup(SegmentId::new(segment).unwrap(), mac(1));
                    assert!(forward.is_none_or(|forward| forward.remote() == Some(remote(segment))));
                }
            }
        });
        for round in 0..20_000u32 {
            let segment = SegmentId::new(round % 8).unwrap();
            table.add_segment(segment, SegmentOptions::default());
            table.insert(segment, mac(1), remote(round % 8), Origin::Static, Duration::ZERO).unwrap();
            table.remove_segment(segment);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(table.segments(), []);
    assert!((0..8).all(|segment| !table.remote_in_use(remote(segment))));
}

#[test]
fn remotes_come_and_go_under_readers() {
    let remotes = RemoteTable::new([5; 16], 64);
    let address = |number: u32| std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for number in 0..64 {
                    let found = remotes.id_of(address(number)).and_then(|id| remotes.get(id));
                    // A number may be another remote's between the two, but never half of one.
                    assert!(found.is_none_or(|remote| (0..64).any(|number| remote == Remote::new(address(number)))));
                }
            }
        });
        for round in 0..3000u32 {
            let now = Duration::from_secs(u64::from(round));
            let id = remotes.intern(address(round % 64), now).unwrap();
            remotes.record_received(id, 1, now);
            remotes.reclaim(now, Duration::from_secs(10), |_| false);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert!(remotes.ids().len() < 20);
}

#[test]
fn a_snapshot_under_traffic_is_consistent() {
    let table = ForwardingTable::new(TableOptions::new([5; 16]));
    let remotes = RemoteTable::new([5; 16], 64);
    let blue = SegmentId::new(42).unwrap();
    table.add_segment(blue, SegmentOptions { dampening: None, ..SegmentOptions::default() });
    let address = |number: u32| std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
    for number in 0..100 {
        let id = remotes.insert(Remote::new(address(number % 10))).unwrap();
        table.insert(blue, mac(number), id, Origin::Static, Duration::ZERO).unwrap();
    }
    let tables = Tables { remotes: Some(&remotes), ..Tables::new(&table) };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let snapshot = tables.snapshot(Duration::ZERO);
                let found: BTreeSet<_> = snapshot.rows.iter().map(|row| row.mac).collect();
                assert_eq!(found.len(), snapshot.rows.len());
                assert!((0..100).all(|number| found.contains(&mac(number))));
                // Whatever numbers remotes had when: a station is at the remote of its own number.
                for row in &snapshot.rows {
                    let remote = snapshot.remotes.iter().find(|remote| Some(remote.id) == row.to.remote()).unwrap();
                    let [.., high, low] = row.mac.octets();
                    let number = u32::from(high) << 8 | u32::from(low);
                    let expected = if number < 100 { number % 10 } else { number };
                    assert_eq!(remote.remote.address, address(expected));
                }
                let (there, others) = (ForwardingTable::new(TableOptions::new([6; 16])), RemoteTable::new([6; 16], 64));
                let restored = Tables { remotes: Some(&others), ..Tables::new(&there) }
                    .restore(&snapshot, RestoreLimits::default(), Duration::ZERO)
                    .unwrap();
                assert_eq!((restored.rows, restored.refused), (snapshot.rows.len(), vec![]));
            }
        });
        for round in 0..20_000u32 {
            let (number, now) = (1000 + round % 5000, Duration::from_secs(u64::from(round)));
            let id = remotes.intern(address(number), now).unwrap();
            let _ = table.learn(blue, mac(number), id, now);
            table.flush(Flush { remote: (round % 3 == 0).then_some(id), learned_only: true, ..Flush::default() });
            table.age(now, 4096);
            remotes.reclaim(now, Duration::from_secs(1), |id| table.remote_in_use(id));
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn flows_stay_with_members_that_stay() {
    let table = EqualCostTable::new(4);
    let all: Vec<EqualCostMember> = (0..8).map(|number| EqualCostMember::new(remote(number))).collect();
    let group = table.insert(&all).unwrap();
    let firm: Vec<u32> =
        (0..4000u32).filter(|&flow| table.choose(group, flow).is_some_and(|chosen| chosen.get() < 4)).collect();
    let chosen: Vec<_> = firm.iter().map(|&flow| table.choose(group, flow)).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Only members 4 to 7 come and go, one by one, and never all of them are gone.
                for flow in 0..4000u32 {
                    assert!(table.choose(group, flow).is_some_and(|chosen| chosen.get() < 8));
                }
            }
        });
        for round in 0..2000usize {
            let mut members = all.clone();
            members.remove(4 + round % 4);
            table.set(group, &members).unwrap();
            table.set(group, &all).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(table.members(group), Some(all));
    // Who left and came back may have taken flows of others, but each still has its eighth.
    let kept = firm.iter().zip(chosen).filter(|&(&flow, chosen)| table.choose(group, flow) == chosen).count();
    assert!(kept > 0);
    for number in 0..8 {
        let flows = (0..1u32 << 14).filter(|&flow| table.choose(group, flow) == Some(remote(number))).count();
        assert!((1500..2600).contains(&flows), "{flows}");
    }
}
