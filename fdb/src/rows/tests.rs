use std::{collections::BTreeMap, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::hash::KeyedHash;

/// A key of a number: keys have 16 zeros below.
fn key(number: u64) -> u64 {
    number << 16
}

fn value(group: u32) -> Value {
    Value::new(0, group)
}

#[test]
fn rows_go_home_when_there_is_room() {
    let rows = Rows::default();
    // All want bucket 0; the second one is 1.
    let hash = |_| 1 << 32;
    let full = WIDTH as u64;
    for number in 1..=full + 1 {
        rows.insert(key(number), value(number as u32), hash).unwrap();
    }
    assert!(rows.find(hash(0), key(full + 1)).unwrap().value.is_away());
    assert!(rows.at_hand().unwrap().get(hash(0)).unwrap().find(key(full + 1)).is_none());
    rows.remove(rows.find(hash(0), key(2)).unwrap());
    rows.send_home(1, &hash).unwrap();
    let home = rows.at_hand().unwrap().get(hash(0)).unwrap().find(key(full + 1)).unwrap();
    assert_eq!((home.value.is_away(), home.value.group()), (false, full as u32 + 1));
    assert_eq!(rows.all().count() as u64, full);
}

#[test]
fn few_rows_are_away() {
    let rows = Rows::default();
    rows.expect(100_000);
    let hash = KeyedHash::new([9; 16]);
    for number in 1..=100_000u64 {
        rows.insert(key(number), value(1), |key| hash.word(key)).unwrap();
        if number.is_power_of_two() || number % 10_000 == 0 {
            let away = rows.all().filter(|(_, value)| value.is_away()).count();
            assert!(away as u64 <= 8 + number / 10, "{away} of {number}");
        }
    }
    for (key, value) in rows.all() {
        let home = rows.at_hand().unwrap().get(hash.word(key)).and_then(|bucket| bucket.find(key));
        assert_eq!(home.is_none(), value.is_away());
    }
}

#[test]
fn holds_many_at_its_load() {
    let rows = Rows::default();
    rows.expect(1000);
    let hash = KeyedHash::new([9; 16]);
    for number in 1..=200_000u64 {
        rows.insert(key(number), value(number as u32), |key| hash.word(key)).unwrap();
    }
    for number in 1..=200_000u64 {
        assert_eq!(rows.find(hash.word(key(number)), key(number)).unwrap().value.group(), number as u32);
    }
    assert!(rows.find(hash.word(key(200_001)), key(200_001)).is_none());
    assert_eq!(rows.occupied(), 200_000);
    // No more buckets than the load asks for, but for a few that made a place.
    let wanted = 200_000 * 32 / LOADS[1].1 / WIDTH;
    assert!((rows.buckets() as usize) < wanted + wanted / 100, "{} {wanted}", rows.buckets());
    let mut all: Vec<u64> = rows.all().map(|(key, _)| key >> 16).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=200_000));
}

#[test]
fn equal_hashes_end_in_a_refusal() {
    let rows = Rows::default();
    for number in 1..=2 * WIDTH as u64 {
        rows.insert(key(number), value(1), |_| 5 << 32 | 3).unwrap();
    }
    let before = rows.buckets();
    assert_eq!(rows.insert(key(99), value(1), |_| 5 << 32 | 3), Err(NoPlace));
    assert!(rows.buckets() <= before + EXTRA_SPLITS as u32 + 2);
    assert_eq!(rows.all().count(), 2 * WIDTH);
}

#[test]
fn refresh_is_for_the_row_that_was_seen() {
    let rows = Rows::default();
    let hash = |_| 5;
    rows.insert(key(5), value(1), hash).unwrap();
    let hit = rows.find(5, key(5)).unwrap();
    assert!(hit.refresh(7));
    let hit = rows.find(5, key(5)).unwrap();
    assert_eq!(hit.value.tick(), 7);
    hit.replace(value(2));
    assert!(!hit.unchanged() && !hit.refresh(8));
    let hit = rows.find(5, key(5)).unwrap();
    assert_eq!(rows.remove(hit).group(), 2);
    assert!(!hit.unchanged() && !hit.refresh(8));
    rows.insert(key(5), value(2), hash).unwrap();
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
            let key = (u64::from(key) + 1) << 16;
            match (rows.find(hash_of(key), key), add) {
                (Some(hit), true) => {
                    prop_assert_eq!(model.insert(key, step as u32 + 1), Some(hit.value.group()));
                    hit.replace(value(step as u32 + 1));
                }
                (Some(hit), false) => prop_assert_eq!(model.remove(&key), Some(rows.remove(hit).group())),
                (None, true) => {
                    prop_assert!(!model.contains_key(&key));
                    if rows.insert(key, value(step as u32 + 1), hash_of).is_ok() {
                        model.insert(key, step as u32 + 1);
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
