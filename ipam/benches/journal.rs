//! The journal beside the disk and beside redb, in one run: acknowledged changes a second, and how long it takes to open a
//! million grants. Each line is the median of the rounds, with the least and the most.
//!
//! A processor that has nothing else to do may sleep while the disk works, and wake up late. So the disk is measured beside a
//! thread that keeps a processor awake, too, and the faster of both in a round is what that round's other lines are compared with.
//!
//! It measures the disk of the target directory; on one in memory it says nothing.

#[path = "../tests/journal_support/mod.rs"]
mod journal_support;

use std::{
    convert::Infallible,
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ipam::journal::{Journal, JournalOptions};
use journal_support::{Change, Leases, Scratch, single};
use redb::{Database, TableDefinition};

const THREADS: [usize; 3] = [1, 8, 32];
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);
const GRANTS: u32 = 1_000_000;
const TABLE: TableDefinition<u32, &[u8]> = TableDefinition::new("grants");

/// What one round of each writer gives: changes a second.
type Writer<'a> = Box<dyn Fn() -> f64 + 'a>;

fn main() {
    let scratch = Scratch::new("bench-journal");
    let place = scratch.0.as_path();
    println!("{ROUNDS} rounds of {} ms each, in turn\n", ROUND.as_millis());
    println!("{:<44} {:>10} {:>10} {:>10}   {:>24}", "a second", "median", "least", "most", "times the disk");
    let mut writers: Vec<(String, Writer<'_>)> = vec![
        ("disk: write 64 bytes, fdatasync".into(), Box::new(move || disk(place))),
        ("disk: the same, beside a busy thread".into(), Box::new(move || beside_a_busy_thread(|| disk(place)))),
    ];
    for threads in THREADS {
        let of = |what: &str| format!("{what}, {threads} threads");
        writers.push((of("journal"), Box::new(move || journal(place, threads))));
        writers.push((of("redb, a commit for each"), Box::new(move || redb(place, threads))));
        writers.push((of("redb, a commit for all that wait"), Box::new(move || redb_together(place, threads))));
    }
    // Part of a line's name, for less; the disk is always there.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    writers.retain(|(name, _)| name.starts_with("disk") || name.contains(&filter));
    let mut measured = vec![Vec::new(); writers.len()];
    for _ in 0..ROUNDS {
        for ((_, writer), measured) in writers.iter().zip(&mut measured) {
            measured.push(writer());
        }
    }
    let disk: Vec<f64> = measured[0].iter().zip(&measured[1]).map(|(idle, busy)| idle.max(*busy)).collect();
    for ((name, _), rates) in writers.iter().zip(&measured) {
        // Each beside the disk as it was in the same round.
        let ratios = rates.iter().zip(&disk).map(|(rate, disk)| rate / disk).collect();
        let ([median, least, most], ratio) = (spread(rates.clone()), spread(ratios));
        let ratio = format!("{:.2} ({:.2}–{:.2})", ratio[0], ratio[1], ratio[2]);
        println!("{name:<44} {median:>10.0} {least:>10.0} {most:>10.0}   {ratio:>24}");
    }
    if filter.is_empty() {
        open(&scratch);
    }
}

/// Median, least, most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}

/// How often a second it is done, by as many threads; they are told their number.
fn rate(threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (done, stop, work) = (&done, &stop, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work(thread);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let done = done.into_inner() as f64;
    done / start.elapsed().as_secs_f64()
}

fn disk(directory: &Path) -> f64 {
    let path = directory.join("disk");
    let file = Mutex::new(File::create(&path).unwrap());
    rate(1, |_| {
        let mut file = file.lock().unwrap();
        file.write_all(&[7; 64]).unwrap();
        file.sync_data().unwrap();
    })
}

fn beside_a_busy_thread(work: impl FnOnce() -> f64) -> f64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let rate = work();
        stop.store(true, Ordering::Relaxed);
        rate
    })
}

fn journal(directory: &Path, threads: usize) -> f64 {
    let path = directory.join("journal");
    let _ = std::fs::remove_file(&path);
    let journal = Journal::create(&path, Leases::default(), JournalOptions::default()).unwrap();
    let next = AtomicU32::new(0);
    rate(threads, |_| {
        let (address, at) = (single(next.fetch_add(1, Ordering::Relaxed)), Duration::from_secs(1));
        journal.change(|leases| leases.grant(address, "a pod of a node", at).map(|change| ((), [change]))).unwrap();
    })
}

fn database(directory: &Path) -> Database {
    let path = directory.join("redb");
    let _ = std::fs::remove_file(&path);
    Database::create(path).unwrap()
}

/// What the journal writes for a grant.
fn value() -> Vec<u8> {
    let change = Change::Grant { prefix: single(1), owner: "a pod of a node".into(), at: Duration::from_secs(1) };
    postcard::to_allocvec(&change).unwrap()
}

fn redb(directory: &Path, threads: usize) -> f64 {
    let (database, next, value) = (database(directory), AtomicU32::new(0), value());
    rate(threads, |_| {
        let write = database.begin_write().unwrap();
        write.open_table(TABLE).unwrap().insert(next.fetch_add(1, Ordering::Relaxed), value.as_slice()).unwrap();
        write.commit().unwrap();
    })
}

/// As one would do it by hand: who finds nobody writing commits for all who wait.
fn redb_together(directory: &Path, threads: usize) -> f64 {
    #[derive(Default)]
    struct Queue {
        waiting: Vec<u32>,
        batch: u64,
        done: u64,
        is_writing: bool,
    }
    let (database, next, value) = (database(directory), AtomicU32::new(0), value());
    let (queue, turn) = (Mutex::new(Queue::default()), Condvar::new());
    rate(threads, |_| {
        let mut guard = queue.lock().unwrap();
        guard.waiting.push(next.fetch_add(1, Ordering::Relaxed));
        let mine = guard.batch;
        while guard.done <= mine {
            if guard.is_writing {
                guard = turn.wait(guard).unwrap();
                continue;
            }
            guard.is_writing = true;
            guard.batch += 1;
            let keys = std::mem::take(&mut guard.waiting);
            drop(guard);
            let write = database.begin_write().unwrap();
            {
                let mut table = write.open_table(TABLE).unwrap();
                for key in keys {
                    table.insert(key, value.as_slice()).unwrap();
                }
            }
            write.commit().unwrap();
            guard = queue.lock().unwrap();
            guard.is_writing = false;
            guard.done = guard.batch;
            turn.notify_all();
        }
    })
}

/// How long it takes to open a million grants: as they were made, and compacted.
fn open(scratch: &Scratch) {
    let path = scratch.file("million");
    let options = JournalOptions { growth: 0, ..JournalOptions::default() };
    let journal = Journal::create(&path, Leases::default(), options).unwrap();
    for base in (0..GRANTS).step_by(1000) {
        let grant = |leases: &mut Leases| {
            let changes = (base..base + 1000).map(|number| {
                let owner = format!("pod-{number:012}");
                leases.grant(single(number), &owner, Duration::from_secs(number.into())).unwrap()
            });
            Ok::<_, Infallible>(((), changes.collect::<Vec<_>>()))
        };
        journal.change(grant).unwrap();
    }
    println!("\n{:<44} {:>10} {:>10} {:>10}", "a million grants", "median", "least", "most");
    let print = |name: &str, [median, least, most]: [f64; 3]| {
        println!("{name:<44} {median:>9.3}s {least:>9.3}s {most:>9.3}s");
    };
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let opened = || {
        let (journal, torn) = Journal::<Leases>::open(&path, options).unwrap();
        assert_eq!((torn, journal.read(|leases| leases.leases.len()).unwrap()), (None, GRANTS as usize));
    };
    drop(journal);
    print("open", spread((0..5).map(|_| timed(&opened)).collect()));
    let (journal, _) = Journal::<Leases>::open(&path, options).unwrap();
    let compacted = || assert!(journal.compact().unwrap().after > 0);
    print("compact", spread((0..5).map(|_| timed(&compacted)).collect()));
    drop(journal);
    print("open after that", spread((0..5).map(|_| timed(&opened)).collect()));
    let checked = || assert!(ipam::journal::check::<Leases>(&path).unwrap().is_sound());
    print("check", spread((0..5).map(|_| timed(&checked)).collect()));
}
