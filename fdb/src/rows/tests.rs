use std::{collections::BTreeMap, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::hash::KeyedHash;

fn value(group: u32) -> Value {
    Value::new(1, 0, group)
}

#[test]
fn value_holds_its_fields() {
    for (state, tick, group) in [(0, 0, 0), (7, Value::TICKS - 1, 0xff_ffff), (1, 5, 0), (0, 0, 0xff_ffff), (0, 9, 0)] {
        let value = Value::new(state, tick, group).with_tag(0xffff);
        assert_eq!((value.state(), value.tick(), value.group(), value.tag()), (state, tick, group, 0xffff));
        let other = value.with_tick(77).with_tag(1);
        assert_eq!((other.state(), other.tick(), other.group(), other.tag()), (state, 77, group, 1));
        assert!(value.same_row(value.with_tick(3)));
        assert!(!value.same_row(other));
    }
    assert_eq!(Value::new(8, Value::TICKS + 1, 1 << 24), Value::new(0, 1, 0));
}

#[test]
fn addresses_are_those_of_linear_hashing() {
    for buckets in 8..2000u32 {
        let mut hit = alloc::vec![false; buckets as usize];
        for hash in 0..4096u64 {
            let before = Shape::new(buckets, 0).address(hash);
            hit[before as usize] = true;
            // One more bucket takes from one bucket only.
            let after = Shape::new(buckets + 1, 0).address(hash);
            let source = buckets - (1 << buckets.ilog2());
            assert!(after == before || before == source && after == buckets);
        }
        assert!(hit.iter().all(|&hit| hit));
    }
}

#[test]
fn each_bucket_has_a_place_of_its_own() {
    for first in [8, 64] {
        let mut places = std::collections::BTreeSet::new();
        for bucket in first..first * 64 {
            let (doubling, offset) = Buckets::place(bucket, first);
            assert!(offset < first << doubling && places.insert((doubling, offset)));
        }
    }
    let buckets = Buckets::default();
    assert!(buckets.get(0).is_none());
    for bucket in [20, 7, 8, 15, 16, 63] {
        let made = buckets.get_or_grow(bucket, 8).unwrap().slots;
        assert!(core::ptr::eq(made, buckets.get(bucket).unwrap().slots));
        assert_eq!(made.as_ptr().addr() % 64, 0);
    }
    assert!(buckets.get(64).is_none());
}

#[test]
fn shape_holds_its_fields() {
    let shape = Shape::new(8, 0);
    assert_eq!((shape.buckets(), shape.mask()), (8, 7));
    let shape = shape.moved(9);
    assert_eq!((shape.buckets(), shape.mask()), (9, 15));
    assert_ne!(shape, shape.moved(9));
    assert_eq!(Shape::new(5, u32::MAX).moved(5), Shape::new(5, 0));
    assert_eq!(Shape::new(u32::MAX, 0).mask(), u64::from(u32::MAX));
}

#[test]
fn holds_many_at_its_load() {
    let rows = Rows::default();
    rows.expect(1000);
    let hash = KeyedHash::new([9; 16]);
    for key in 1..=200_000u64 {
        rows.insert(key, value(key as u32), |key| hash.word(key)).unwrap();
    }
    for key in 1..=200_000u64 {
        assert_eq!(rows.find(hash.word(key), key).unwrap().value.group(), key as u32);
    }
    assert!(rows.find(hash.word(200_001), 200_001).is_none());
    assert_eq!(rows.occupied(), 200_000);
    // No more buckets than the load asks for, but for a few that made a place.
    let wanted = 200_000 * LOAD.1 / LOAD.0 / WIDTH;
    assert!((rows.buckets() as usize) < wanted + wanted / 100, "{} {wanted}", rows.buckets());
    let mut all: Vec<u64> = rows.all().map(|(key, _)| key).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=200_000));
}

#[test]
fn equal_hashes_end_in_a_refusal() {
    let rows = Rows::default();
    for key in 1..=2 * WIDTH as u64 {
        rows.insert(key, value(1), |_| 5 << 32 | 3).unwrap();
    }
    let before = rows.buckets();
    assert_eq!(rows.insert(99, value(1), |_| 5 << 32 | 3), Err(NoPlace));
    assert!(rows.buckets() <= before + EXTRA_SPLITS as u32 + 2);
    assert_eq!(rows.all().count(), 2 * WIDTH);
}

#[test]
fn refresh_is_for_the_row_that_was_seen() {
    let rows = Rows::default();
    let hash = |key: u64| key;
    rows.insert(5, value(1), hash).unwrap();
    let hit = rows.find(5, 5).unwrap();
    assert!(hit.refresh(7));
    let hit = rows.find(5, 5).unwrap();
    assert_eq!(hit.value.tick(), 7);
    hit.replace(value(2));
    assert!(!hit.unchanged() && !hit.refresh(8));
    let hit = rows.find(5, 5).unwrap();
    assert_eq!(rows.remove(hit).group(), 2);
    assert!(!hit.unchanged() && !hit.refresh(8));
    rows.insert(5, value(2), hash).unwrap();
    // The same key and value again: another row, by its tag.
    assert!(!hit.unchanged() && !hit.refresh(8));
}

proptest! {
    #[test]
    fn equals_a_map(steps: Vec<(u8, bool)>, secret: [u8; 16], narrow: bool) {
        let hash = KeyedHash::new(secret);
        // A narrow hash fills the same buckets over and over.
        let hash_of = |key: u64| if narrow { hash.word(key) & 0x0000_000f_0000_000f } else { hash.word(key) };
        let rows = Rows::default();
        let mut model = BTreeMap::new();
        for (step, (key, add)) in steps.into_iter().enumerate() {
            let key = u64::from(key) + 1;
            match (rows.find(hash_of(key), key), add) {
                (Some(hit), true) => {
                    prop_assert_eq!(model.insert(key, step as u32), Some(hit.value.group()));
                    hit.replace(value(step as u32));
                }
                (Some(hit), false) => prop_assert_eq!(model.remove(&key), Some(rows.remove(hit).group())),
                (None, true) => {
                    prop_assert!(!model.contains_key(&key));
                    if rows.insert(key, value(step as u32), hash_of).is_ok() {
                        model.insert(key, step as u32);
                    } else {
                        prop_assert!(narrow);
                    }
                }
                (None, false) => prop_assert!(!model.contains_key(&key)),
            }
            let all: BTreeMap<u64, u32> = rows.all().map(|(key, value)| (key, value.group())).collect();
            prop_assert_eq!(&all, &model);
            prop_assert_eq!(rows.occupied() as usize, model.len());
        }
    }
}
