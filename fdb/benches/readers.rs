//! What a stopwatch around one thread does not see: memory for each row, readers beside a writer, and the longest
//! insertions while somebody floods the table. Prints tables; needs a second or two for each line.
//!
//! The writer learns 100,000 new addresses per second. `FDB_BENCH_MAX=100000` for less rows.
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)] // figures to be printed

use std::{
    collections::HashMap,
    hint::black_box,
    process::Command,
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fdb::{ForwardingTable, RemoteId, RowState, SegmentId, SegmentOptions, TableOptions};
use overlay_types::MacAddr;

type Key = (SegmentId, MacAddr);
/// What a row of `fdb` holds and others have to hold then, too: who has the address, who said so, and when it was last
/// heard of.
type Entry = (RemoteId, RowState, u32);
type Hash = foldhash::fast::RandomState;

/// How long readers read.
const TIME: Duration = Duration::from_millis(1500);
/// New addresses per second.
const NEW: u32 = 100_000;
const PROBES: usize = 1 << 16;

/// A bijection of 46 bits, so that keys are in no order and each is another one.
fn key(number: usize) -> Key {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
    let bytes = mixed.to_be_bytes();
    let mac = MacAddr::new([bytes[2] & 0xfc | 2, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    (SegmentId::new(42).unwrap(), mac)
}

fn remote(number: usize) -> RemoteId {
    RemoteId::new(number as u32 % 100).unwrap()
}

/// A map that readers and a writer share.
trait Map: Sync {
    fn get(&self, key: Key) -> Option<RemoteId>;
    fn learn(&self, key: Key, remote: RemoteId);
}

struct Fdb(ForwardingTable);

impl Map for Fdb {
    fn get(&self, (segment, mac): Key) -> Option<RemoteId> {
        self.0.lookup(segment, mac)?.remote()
    }

    fn learn(&self, (segment, mac): Key, remote: RemoteId) {
        let _ = self.0.learn(segment, mac, remote, Duration::ZERO);
    }
}

impl Map for papaya::HashMap<Key, Entry, Hash> {
    fn get(&self, key: Key) -> Option<RemoteId> {
        self.pin().get(&key).map(|entry| entry.0)
    }

    fn learn(&self, key: Key, remote: RemoteId) {
        self.pin().insert(key, (remote, RowState::Learned, 0));
    }
}

impl Map for dashmap::DashMap<Key, Entry, Hash> {
    fn get(&self, key: Key) -> Option<RemoteId> {
        self.get(&key).map(|entry| entry.0)
    }

    fn learn(&self, key: Key, remote: RemoteId) {
        self.insert(key, (remote, RowState::Learned, 0));
    }
}

impl Map for RwLock<HashMap<Key, Entry>> {
    fn get(&self, key: Key) -> Option<RemoteId> {
        self.read().unwrap().get(&key).map(|entry| entry.0)
    }

    fn learn(&self, key: Key, remote: RemoteId) {
        self.write().unwrap().insert(key, (remote, RowState::Learned, 0));
    }
}

impl Map for RwLock<hashbrown::HashMap<Key, Entry, Hash>> {
    fn get(&self, key: Key) -> Option<RemoteId> {
        self.read().unwrap().get(&key).map(|entry| entry.0)
    }

    fn learn(&self, key: Key, remote: RemoteId) {
        self.write().unwrap().insert(key, (remote, RowState::Learned, 0));
    }
}

fn empty(name: &str) -> Box<dyn Map> {
    match name {
        "fdb" => {
            let table = ForwardingTable::new(TableOptions { secret: *b"a random secret.", max_learned: 1 << 25 });
            table.add_segment(key(0).0, SegmentOptions { max_learned: 1 << 25, ..SegmentOptions::default() });
            Box::new(Fdb(table))
        }
        "papaya" => Box::new(papaya::HashMap::<Key, Entry, Hash>::default()),
        "dashmap" => Box::new(dashmap::DashMap::<Key, Entry, Hash>::default()),
        "RwLock<HashMap>" => Box::new(RwLock::new(HashMap::<Key, Entry>::new())),
        _ => Box::new(RwLock::new(hashbrown::HashMap::<Key, Entry, Hash>::default())),
    }
}

const NAMES: [&str; 5] = ["fdb", "papaya", "dashmap", "RwLock<hashbrown + foldhash>", "RwLock<HashMap>"];

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn filled(name: &str, size: usize) -> Box<dyn Map> {
    let map = empty(name);
    for number in 0..size {
        map.learn(key(number), remote(number));
    }
    map
}

/// How many new addresses there are to be after a time.
fn due(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX) * (NEW / 1000)
}

/// The figure that so much of the sorted ones are below.
fn part(sorted: &[u32], part: f64) -> u32 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// What so many readers did: millions of lookups per second in all, and of the time of single ones the 99.9th
/// percentile in nanoseconds.
fn read(map: &dyn Map, size: usize, readers: usize, learning: bool, fresh: &mut usize) -> (f64, u32) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = |seed: usize| {
            let stop = &stop;
            move || {
                let mut state = seed as u64;
                let probes: Vec<Key> = (0..PROBES)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        key((state >> 33) as usize % size)
                    })
                    .collect();
                let (mut lookups, mut times) = (0u64, Vec::with_capacity(1 << 20));
                let begin = Instant::now();
                'all: loop {
                    for group in probes.chunks(256) {
                        for &probe in group {
                            black_box(map.get(probe));
                        }
                        // One of 256 is timed, so that the clock costs next to nothing.
                        let before = Instant::now();
                        black_box(map.get(group[0]));
                        let time = before.elapsed();
                        if times.len() < times.capacity() {
                            times.push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
                        }
                        lookups += group.len() as u64 + 1;
                        if stop.load(Ordering::Relaxed) {
                            break 'all;
                        }
                    }
                }
                (lookups as f64 / begin.elapsed().as_secs_f64() / 1e6, times)
            }
        };
        let handles: Vec<_> = (0..readers).map(|seed| scope.spawn(reader(seed + 1))).collect();
        let begin = Instant::now();
        let mut learned = 0u32;
        while begin.elapsed() < TIME {
            // One who waits too long for a lock learns less.
            while learning && begin.elapsed() < TIME && learned < due(begin.elapsed()) {
                map.learn(key(*fresh), remote(*fresh));
                *fresh += 1;
                learned += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        let (mut rate, mut all) = (0.0, Vec::new());
        for handle in handles {
            let (lookups, times) = handle.join().unwrap();
            rate += lookups;
            all.extend(times);
        }
        all.sort_unstable();
        (rate, part(&all, 0.999))
    })
}

/// Each in a process of its own: what one gave back, the next would get for nothing.
fn memory(sizes: &[usize]) {
    println!("| bytes for each row | {} |", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---:|".repeat(sizes.len()));
    for name in NAMES {
        print!("| {name} |");
        for size in sizes {
            let me = std::env::current_exe().unwrap();
            let output = Command::new(me).args(["memory", name, &size.to_string()]).output().unwrap();
            print!(" {} |", String::from_utf8_lossy(&output.stdout).trim());
        }
        println!();
    }
    println!();
}

/// What [`memory`] asks of the process.
fn memory_of(name: &str, size: usize) {
    let before = resident();
    let map = filled(name, size);
    println!("{:.1}", (resident() - before) as f64 / size as f64);
    black_box(map.get(key(0)));
}

fn readers(size: usize) {
    println!(
        "| {size} rows | 1 reader, M/s | 2 readers, M/s | ratio | 99.9 % of 1, ns | of 2, ns | of 2 without learning, ns |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for name in NAMES {
        let map = filled(name, size);
        let mut fresh = size;
        let (one, late_one) = read(&*map, size, 1, true, &mut fresh);
        let (two, late_two) = read(&*map, size, 2, true, &mut fresh);
        let (_, quiet) = read(&*map, size, 2, false, &mut fresh);
        println!("| {name} | {one:.1} | {two:.1} | {:.2} | {late_one} | {late_two} | {quiet} |", two / one);
    }
    println!();
}

/// A million made-up stations from one remote, in a segment of the default cap.
fn flood() {
    let table = ForwardingTable::new(TableOptions::new(*b"a random secret."));
    table.add_segment(key(0).0, SegmentOptions::default());
    let mut times: Vec<u32> = (0..1_000_000)
        .map(|number| {
            let (segment, mac) = key(number);
            let before = Instant::now();
            let _ = black_box(table.learn(segment, mac, remote(0), Duration::ZERO));
            u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX)
        })
        .collect();
    times.sort_unstable();
    println!("| a flood of 1,000,000 stations, ns for each | median | 99 % | 99.99 % | maximum |");
    println!("|---|---:|---:|---:|---:|");
    let [half, most, nearly_all, all] = [0.5, 0.99, 0.9999, 1.0].map(|share| part(&times, share));
    println!("| fdb, cap 8192 | {half} | {most} | {nearly_all} | {all} |\n");
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, what, name, size] = &words[..]
        && what == "memory"
    {
        return memory_of(name, size.parse().unwrap());
    }
    let max = std::env::var("FDB_BENCH_MAX").ok().and_then(|max| max.parse().ok()).unwrap_or(10_000_000);
    let sizes: Vec<usize> = [100_000, 1_000_000, 10_000_000].into_iter().filter(|&size| size <= max).collect();
    memory(&sizes);
    for &size in &sizes {
        readers(size);
    }
    flood();
}
