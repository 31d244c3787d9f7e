//! What threads can do to each other, in every order (loom, on the rows) and in many (shuttle, on the table).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p fdb --lib schedules
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p fdb --lib schedules
//! ```

#[cfg(loom)]
mod rows {
    use loom::{model::Builder, sync::Arc, thread};

    use crate::{rows::Rows, slot::Hit, value::Value};

    /// The hash of a key of these tests: its first bucket is its low bit, its second one the next bit.
    fn hash(key: u64) -> u64 {
        (key >> 17 & 1) << 32 | key >> 16 & 1
    }

    /// A key of a number: keys have 16 zeros below.
    fn key(number: u64) -> u64 {
        number << 16
    }

    fn value(group: u32) -> Value {
        Value::new(0, group)
    }

    fn insert(rows: &Rows, number: u64) {
        rows.insert(key(number), value(number as u32), hash).unwrap();
    }

    fn find(rows: &Rows, number: u64) -> Option<Hit<'_>> {
        rows.find(hash(key(number)), key(number))
    }

    fn remove(rows: &Rows, number: u64) {
        rows.remove(find(rows, number).unwrap());
    }

    /// Every order with up to so many preemptions.
    fn explore(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(test);
    }

    /// One writer moves a row, two readers look for it.
    #[test]
    fn a_row_that_moves_is_always_found() {
        explore(3, || {
            let rows = Arc::new(Rows::default());
            // Its first bucket is 0, its second one 1; then one that has no other place than bucket 0.
            insert(&rows, 2);
            insert(&rows, 4);
            let readers: [_; 2] = core::array::from_fn(|_| {
                let rows = rows.clone();
                thread::spawn(move || assert_eq!(find(&rows, 2).unwrap().value.group(), 2))
            });
            insert(&rows, 8);
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(rows.all().count(), 3);
        });
    }

    /// One writer splits the bucket of a row, two readers look for it.
    #[test]
    fn a_row_is_found_while_the_table_grows() {
        // Two bits for the first bucket: those of key 2 are 10, which is bucket 0 of two and bucket 2 of three.
        let hash = |key: u64| (key >> 20 & 1) << 32 | key >> 16 & 3;
        explore(3, move || {
            let rows = Arc::new(Rows::default());
            for number in [2, 1, 5] {
                rows.insert(key(number), value(number as u32), hash).unwrap();
            }
            assert_eq!(rows.buckets(), 2);
            let readers: [_; 2] = core::array::from_fn(|_| {
                let rows = rows.clone();
                thread::spawn(move || assert_eq!(rows.find(hash(key(2)), key(2)).unwrap().value.group(), 2))
            });
            rows.insert(key(4), value(4), hash).unwrap();
            assert_eq!(rows.buckets(), 3);
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(rows.all().count(), 4);
        });
    }

    /// A slot gets another key under a reader of the first one.
    #[test]
    fn a_reader_never_gets_the_value_of_another_key() {
        explore(3, || {
            let rows = Arc::new(Rows::default());
            insert(&rows, 4);
            let readers: [_; 2] = core::array::from_fn(|_| {
                let rows = rows.clone();
                thread::spawn(move || assert!(find(&rows, 4).is_none_or(|hit| hit.value.group() == 4)))
            });
            remove(&rows, 4);
            insert(&rows, 8);
            for reader in readers {
                reader.join().unwrap();
            }
            assert!(find(&rows, 4).is_none());
            assert_eq!(find(&rows, 8).unwrap().value.group(), 8);
        });
    }

    /// A refresh that was answered with yes is there afterwards, wherever the row moved meanwhile.
    #[test]
    fn a_refresh_is_not_lost() {
        explore(4, || {
            let rows = Arc::new(Rows::default());
            insert(&rows, 2);
            insert(&rows, 4);
            let refresher = {
                let rows = rows.clone();
                thread::spawn(move || find(&rows, 2).is_some_and(|hit| hit.refresh(7)))
            };
            insert(&rows, 8);
            let refreshed = refresher.join().unwrap();
            let tick = find(&rows, 2).unwrap().value.tick();
            assert_eq!(tick, if refreshed { 7 } else { 0 });
        });
    }

    /// A row that is refreshed does not expire, and one that expires was not refreshed.
    #[test]
    fn a_refresh_and_the_end_of_a_row_exclude_each_other() {
        explore(4, || {
            let rows = Arc::new(Rows::default());
            insert(&rows, 4);
            let refresher = {
                let rows = rows.clone();
                thread::spawn(move || find(&rows, 4).is_some_and(|hit| hit.refresh(7)))
            };
            let expired = find(&rows, 4).is_some_and(|hit| hit.value.tick() == 0 && rows.expire(hit));
            assert_ne!(expired, refresher.join().unwrap());
            assert_eq!(find(&rows, 4).is_none(), expired);
        });
    }
}

#[cfg(shuttle)]
mod table {
    use core::time::Duration;

    use overlay_types::MacAddr;
    use shuttle::{sync::Arc, thread};

    use crate::{
        Cursor, Flush, ForwardingTable, Learn, Origin, RemoteId, RowState, SegmentId, SegmentOptions, TableOptions,
    };

    const SCHEDULES: usize = 100_000;

    fn mac(number: u8) -> MacAddr {
        MacAddr::new([2, 0, 0, 0, 0, number])
    }

    fn remote(number: u32) -> RemoteId {
        RemoteId::new(number).unwrap()
    }

    fn blue() -> SegmentId {
        SegmentId::new(1).unwrap()
    }

    fn table(max_learned: u32) -> Arc<ForwardingTable> {
        let table = ForwardingTable::new(TableOptions::new([7; 16]));
        table.add_segment(blue(), SegmentOptions { max_learned, ..SegmentOptions::default() });
        Arc::new(table)
    }

    fn explore(test: impl Fn() + Sync + Send + 'static) {
        shuttle::check_random(test, SCHEDULES);
    }

    /// A static row stays in sight while others learn, move, are evicted, and the table grows.
    #[test]
    fn what_stays_is_found() {
        explore(|| {
            let table = table(6);
            table.insert(blue(), mac(1), remote(1), Origin::Static, Duration::ZERO).unwrap();
            let writers: [_; 2] = core::array::from_fn(|thread| {
                let table = table.clone();
                thread::spawn(move || {
                    for number in 2..8 {
                        let number = number + thread as u8 * 3;
                        let answer = table.learn(blue(), mac(number), remote(2 + thread as u32), Duration::ZERO);
                        assert!(!matches!(answer, Learn::Owned { .. }));
                    }
                })
            });
            let reader = {
                let table = table.clone();
                thread::spawn(move || {
                    let forward = table.lookup(blue(), mac(1)).expect("it is there all the time");
                    assert_eq!((forward.remote(), forward.state()), (Some(remote(1)), RowState::Static));
                    for number in 2..11 {
                        let learned = table.lookup(blue(), mac(number));
                        assert!(
                            learned.is_none_or(|forward| [remote(2), remote(3)].map(Some).contains(&forward.remote()))
                        );
                    }
                    let (rows, _) = table.page(Cursor::default(), 100, Duration::ZERO);
                    assert_eq!(rows.iter().filter(|row| row.mac == mac(1)).count(), 1);
                })
            };
            for thread in writers {
                thread.join().unwrap();
            }
            reader.join().unwrap();
            let (rows, _) = table.page(Cursor::default(), 100, Duration::ZERO);
            assert_eq!(rows.len(), table.len(blue()));
            assert!(table.learned_len(blue()) <= 6);
        });
    }

    /// What was learned before a flush is gone after it, and the counts are right in the end.
    #[test]
    fn a_flush_is_whole() {
        explore(|| {
            let table = table(100);
            for number in 1..4 {
                let _ = table.learn(blue(), mac(number), remote(1), Duration::ZERO);
            }
            let learner = {
                let table = table.clone();
                thread::spawn(move || {
                    for number in 3..6 {
                        let _ = table.learn(blue(), mac(number), remote(2), Duration::ZERO);
                    }
                })
            };
            let sweeper = {
                let table = table.clone();
                thread::spawn(move || table.age(Duration::ZERO, 100))
            };
            table.flush(Flush { remote: Some(remote(1)), ..Flush::default() });
            assert!((1..4).all(|number| {
                table.lookup(blue(), mac(number)).is_none_or(|forward| forward.remote() == Some(remote(2)))
            }));
            learner.join().unwrap();
            sweeper.join().unwrap();
            assert_eq!(table.len(blue()), 3);
            assert!(!table.remote_in_use(remote(1)) && table.remote_in_use(remote(2)));
        });
    }

    /// A segment that is removed and one that gets its place have nothing in common.
    #[test]
    fn a_place_that_changes_hands() {
        explore(|| {
            let table = table(100);
            let red = SegmentId::new(2).unwrap();
            table.insert(blue(), mac(1), remote(1), Origin::Static, Duration::ZERO).unwrap();
            let reader = {
                let table = table.clone();
                thread::spawn(move || {
                    assert!(table.lookup(blue(), mac(1)).is_none_or(|forward| forward.remote() == Some(remote(1))));
                    assert!(table.lookup(red, mac(1)).is_none_or(|forward| forward.remote() == Some(remote(2))));
                })
            };
            let learner = {
                let table = table.clone();
                thread::spawn(move || table.learn(blue(), mac(2), remote(3), Duration::ZERO))
            };
            table.remove_segment(blue());
            table.add_segment(red, SegmentOptions::default());
            table.insert(red, mac(1), remote(2), Origin::Static, Duration::ZERO).unwrap();
            reader.join().unwrap();
            let _ = learner.join().unwrap();
            assert_eq!((table.len(blue()), table.len(red)), (0, 1));
            assert!(table.lookup(red, mac(2)).is_none());
        });
    }
}
