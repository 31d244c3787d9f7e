//! What one who may send any frame can't do.

use std::time::Duration;

use fdb::{Dampening, ForwardingTable, Learn, NotLearned, RemoteId, SegmentId, SegmentOptions, TableOptions};
use overlay_types::MacAddr;

const NOW: Duration = Duration::from_secs(5);

fn mac(number: u64) -> MacAddr {
    let [_, _, octets @ ..] = number.to_be_bytes();
    MacAddr::new(octets)
}

fn remote(number: u32) -> RemoteId {
    RemoteId::new(number).unwrap()
}

fn table(options: SegmentOptions) -> (ForwardingTable, SegmentId) {
    let table = ForwardingTable::new(TableOptions::new(*b"nobody knows it."));
    let blue = SegmentId::new(42).unwrap();
    table.add_segment(blue, options);
    (table, blue)
}

#[test]
fn a_million_made_up_stations_push_out_none_but_their_own() {
    let (table, blue) = table(SegmentOptions::default());
    let host = |number: u32| (mac(0x0200_0000_0000 + u64::from(number)), remote(1 + number % 10));
    for number in 0..100 {
        let (mac, remote) = host(number);
        assert_eq!(table.learn(blue, mac, remote, Duration::ZERO), Learn::New);
    }
    let mut state = 1u64;
    for _ in 0..1_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let made_up = mac(state >> 16 & 0xfcff_ffff_ffff | 0x0400_0000_0000);
        // There is always room: that of the flood's own oldest.
        let answer = table.learn(blue, made_up, remote(0), NOW);
        assert!(matches!(answer, Learn::New | Learn::Refreshed), "{answer:?}");
    }
    assert_eq!(table.learned_len(blue), 8192);
    for number in 0..100 {
        let (mac, remote) = host(number);
        assert_eq!(table.lookup(blue, mac).map(|forward| forward.remote().unwrap()), Some(remote));
    }
    assert_eq!(table.not_learned(blue).table_full, 0);
    // And a new host behind another remote finds its place.
    assert_eq!(table.learn(blue, mac(0x0200_0001_0000), remote(20), NOW), Learn::New);
}

#[test]
fn many_senders_with_one_row_each_take_from_nobody() {
    let (table, blue) = table(SegmentOptions { max_learned: 64, ..SegmentOptions::default() });
    for number in 0..64 {
        assert_eq!(table.learn(blue, mac(0x0200_0000_0000 + u64::from(number)), remote(number), NOW), Learn::New);
    }
    for number in 64..1000 {
        let answer = table.learn(blue, mac(0x0200_0000_0000 + u64::from(number)), remote(number), NOW);
        assert_eq!(answer, Learn::NotLearned(NotLearned::TableFull));
    }
    assert_eq!(table.not_learned(blue).table_full, 936);
}

#[test]
fn keys_that_collide_elsewhere_find_their_places() {
    // One address for each 2¹⁶: equal low bits; and consecutive ones.
    for step in [1 << 16, 1 << 24, 1] {
        let (table, blue) = table(SegmentOptions { max_learned: 100_000, ..SegmentOptions::default() });
        for number in 0..100_000 {
            let station = mac(0x0200_0000_0000 ^ (number * step) & 0xfeff_ffff_ffff);
            assert!(matches!(table.learn(blue, station, remote(1), NOW), Learn::New | Learn::Refreshed));
        }
    }
}

#[test]
fn a_station_that_moves_too_often_is_held() {
    let rule = Dampening { moves: 2, within: Duration::from_secs(10), hold: Duration::from_secs(30) };
    let (table, blue) = table(SegmentOptions { dampening: Some(rule), ..SegmentOptions::default() });
    let station = mac(0x0200_0000_0001);
    let learn = |remote_number, second| table.learn(blue, station, remote(remote_number), Duration::from_secs(second));
    assert_eq!(learn(1, 0), Learn::New);
    assert_eq!(learn(2, 1), Learn::Moved { from: remote(1) });
    assert_eq!(learn(1, 2), Learn::Moved { from: remote(2) });
    assert_eq!(learn(2, 3), Learn::NotLearned(NotLearned::Dampened));
    assert_eq!(learn(2, 32), Learn::NotLearned(NotLearned::Dampened));
    assert_eq!(learn(1, 32), Learn::Refreshed);
    assert_eq!(table.lookup(blue, station).unwrap().remote(), Some(remote(1)));
    assert_eq!(learn(2, 33), Learn::Moved { from: remote(1) });
    assert_eq!(table.not_learned(blue).dampened, 2);
}

#[test]
fn an_address_of_nobody_is_never_found() {
    let (table, blue) = table(SegmentOptions { max_learned: 100, ..SegmentOptions::default() });
    let nobody = [mac(0), mac(0xffff_ffff_ffff), mac(0x0100_5e00_0001)];
    // In slots that were never used, that are, and that were.
    for round in 0..3u64 {
        for &address in &nobody {
            assert_eq!(table.learn(blue, address, remote(1), NOW), Learn::NotLearned(NotLearned::InvalidMac));
            assert_eq!(table.lookup(blue, address), None);
            let mut found = [None; 5];
            table.lookup_burst(&[(blue, address); 5], &mut found);
            assert_eq!(found, [None; 5]);
        }
        for number in 1..=100 {
            let _ = table.learn(blue, mac(0x0200_0000_0000 | (round << 20) | number), remote(1), NOW);
        }
    }
    assert_eq!(table.learned_len(blue), 100);
}
