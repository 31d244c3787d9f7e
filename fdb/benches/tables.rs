//! The forwarding table beside the maps that one would take otherwise: random existing keys, one thread.
//!
//! Sizes up to ten million; `FDB_BENCH_MAX=100000` for less. What memory costs is in `latency`: the floor of a lookup
//! that misses the caches.
#![allow(missing_docs)] // of what `criterion_group!` makes

use std::{collections::HashMap, hint::black_box, sync::RwLock, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fdb::{Flush, ForwardingTable, Learn, Origin, RemoteId, RowState, SegmentId, SegmentOptions, TableOptions};
use overlay_types::MacAddr;

const BURST: usize = 32;
/// Keys that are looked up in turn: more than a branch predictor learns, and small beside the tables.
const PROBES: usize = 1 << 16;

type Key = (SegmentId, MacAddr);
/// What a row of `fdb` holds and others have to hold then, too: who has the address, who said so, and when it was last
/// heard of.
type Entry = (RemoteId, RowState, u32);

fn sizes() -> Vec<usize> {
    let max = std::env::var("FDB_BENCH_MAX").ok().and_then(|max| max.parse().ok()).unwrap_or(10_000_000);
    [1_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|&size| size <= max).collect()
}

/// A bijection of 48 bits, so that keys are in no order and each is another one.
fn mac(number: usize) -> MacAddr {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
    let bytes = mixed.to_be_bytes();
    MacAddr::new([bytes[2] & 0xfc | 2, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn blue() -> SegmentId {
    SegmentId::new(42).unwrap()
}

fn remote(number: usize) -> RemoteId {
    RemoteId::new(number as u32 % 100).unwrap()
}

fn entry(number: usize) -> Entry {
    (remote(number), RowState::Learned, 0)
}

/// Existing keys in random order.
fn probes(size: usize) -> Vec<Key> {
    let mut state = 1u64;
    (0..PROBES)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (blue(), mac((state >> 33) as usize % size))
        })
        .collect()
}

fn table(size: usize) -> ForwardingTable {
    table_of(size, mac)
}

fn table_of(size: usize, mac: impl Fn(usize) -> MacAddr) -> ForwardingTable {
    let table = ForwardingTable::new(TableOptions { secret: *b"a random secret.", max_learned: 1 << 25 });
    table.add_segment(blue(), SegmentOptions { max_learned: 1 << 25, ..SegmentOptions::default() });
    for number in 0..size {
        assert_eq!(table.learn(blue(), mac(number), remote(number), Duration::ZERO), Learn::New);
    }
    table
}

/// Goes through all probes: what a turn of the loop around it costs is shared by them.
fn each<'a, T>(probes: &'a [Key], mut act: impl FnMut(&'a Key) -> T) -> impl FnMut() {
    move || {
        for probe in probes {
            black_box(act(probe));
        }
    }
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(PROBES as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    for size in sizes() {
        let probes = probes(size);
        {
            let table = table(size);
            let mut one = each(&probes, |&(segment, mac)| table.lookup(segment, mac));
            group.bench_function(BenchmarkId::new("fdb", size), |bencher| bencher.iter(&mut one));
            let mut one = each(&probes, |&(segment, mac)| table.learn(segment, mac, remote(1), Duration::ZERO));
            group.bench_function(BenchmarkId::new("fdb, learning what is known", size), |bencher| {
                bencher.iter(&mut one);
            });
        }
        {
            let map: hashbrown::HashMap<Key, Entry, foldhash::fast::RandomState> =
                (0..size).map(|number| ((blue(), mac(number)), entry(number))).collect();
            let mut one = each(&probes, |key| map.get(key).map(|entry| entry.0));
            group.bench_function(BenchmarkId::new("hashbrown + foldhash", size), |bencher| bencher.iter(&mut one));
        }
        {
            let map: papaya::HashMap<Key, Entry, foldhash::fast::RandomState> =
                (0..size).map(|number| ((blue(), mac(number)), entry(number))).collect();
            let map = map.pin();
            let mut one = each(&probes, |key| map.get(key).map(|entry| entry.0));
            group.bench_function(BenchmarkId::new("papaya", size), |bencher| bencher.iter(&mut one));
        }
        {
            let map: dashmap::DashMap<Key, Entry, foldhash::fast::RandomState> =
                (0..size).map(|number| ((blue(), mac(number)), entry(number))).collect();
            let mut one = each(&probes, |key| map.get(key).map(|entry| entry.0));
            group.bench_function(BenchmarkId::new("dashmap", size), |bencher| bencher.iter(&mut one));
        }
        {
            let map: RwLock<HashMap<Key, Entry>> =
                RwLock::new((0..size).map(|number| ((blue(), mac(number)), entry(number))).collect());
            let mut one = each(&probes, |key| map.read().unwrap().get(key).map(|entry| entry.0));
            group.bench_function(BenchmarkId::new("RwLock<HashMap>", size), |bencher| bencher.iter(&mut one));
        }
    }
    group.finish();
}

fn burst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("burst of 32, per key");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(BURST as u64));
    for size in sizes() {
        let (table, probes) = (table(size), probes(size));
        let mut forwards = [None; BURST];
        let mut start = 0;
        group.bench_function(BenchmarkId::new("fdb", size), |bencher| {
            bencher.iter(|| {
                start = (start + BURST) % PROBES;
                table.lookup_burst(&probes[start..start + BURST], &mut forwards);
                black_box(&forwards);
            });
        });
    }
    group.finish();
}

/// Dependent reads from an array as large as the table: what one access costs.
fn latency(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("latency");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    for size in sizes() {
        // A cycle through all cache lines of 26 bytes for each row.
        let lines = (size * 26 / 64).next_power_of_two();
        let array: Vec<[usize; 8]> =
            (0..lines).map(|line| [(line.wrapping_mul(1_664_525) + 1_013_904_223) % lines; 8]).collect();
        let mut line = 0;
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter(|| {
                line = array[line][0];
                line
            });
        });
    }
    group.finish();
}

/// Keys that have all low bits in common: many to one place under a hash that anybody can compute.
fn colliding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup among 100 k");
    group.throughput(Throughput::Elements(PROBES as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    let size = 100_000;
    let collide = |number: usize| {
        let bytes = ((number as u64) << 23).to_be_bytes();
        MacAddr::new([bytes[2] & 0xfc | 2, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    };
    for (name, mac) in [("fdb, random keys", mac as fn(usize) -> MacAddr), ("fdb, colliding keys", collide)] {
        let table = table_of(size, mac);
        let probes: Vec<Key> = probes(size).into_iter().zip(0..).map(|(_, n)| (blue(), mac(n * 7919 % size))).collect();
        let mut one = each(&probes, |&(segment, mac)| table.lookup(segment, mac));
        group.bench_function(name, |bencher| bencher.iter(&mut one));
    }
    group.finish();
}

fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(1));
    let size = 1_000_000;
    let full = table(size);
    let mut next = size;
    group.bench_function("learn a new one at 1 M", |bencher| {
        bencher.iter(|| {
            next += 1;
            full.learn(blue(), mac(next), remote(next), Duration::ZERO)
        });
    });
    drop(full);
    for cap in [1000, 100_000] {
        let full = ForwardingTable::new(TableOptions::new(*b"a random secret."));
        full.add_segment(blue(), SegmentOptions { max_learned: cap, ..SegmentOptions::default() });
        let mut next = 0;
        let mut learn = || {
            next += 1;
            full.learn(blue(), mac(next), remote(1), Duration::ZERO)
        };
        for _ in 0..2 * cap {
            assert_eq!(learn(), Learn::New);
        }
        group.bench_function(BenchmarkId::new("learn a new one where one is evicted", cap), |b| b.iter(&mut learn));
    }
    let full = table(size);
    group.bench_function("sweep of 1 M rows", |bencher| {
        bencher.iter(|| full.age(Duration::from_secs(1), usize::MAX));
    });
    let refill = table(1000);
    group.bench_function("flush of a segment", |bencher| {
        bencher.iter(|| refill.flush(Flush { segment: Some(blue()), ..Flush::default() }));
    });
    let _ = refill.insert(blue(), mac(0), remote(0), Origin::Static, Duration::ZERO);
    group.finish();
}

criterion_group!(tables, lookup, burst, latency, colliding, change);
criterion_main!(tables);
