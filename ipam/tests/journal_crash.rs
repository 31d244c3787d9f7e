//! `kill -9` at a random moment under load, a thousand times: no acknowledged grant is lost, none is given twice.

mod journal_support;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ipam::journal::{Journal, JournalOptions, Retention, Snapshot, check, history};
use journal_support::{Leases, Scratch, Unfit, seconds};

const KILLS: u64 = 1000;
/// A new file after as many.
const SERIES: u64 = 50;
const THREADS: u64 = 4;
/// Each holds at most as many.
const HELD: usize = 20;

/// So that a compaction is under way now and then.
const OPTIONS: JournalOptions = JournalOptions {
    retention: Retention { time: Duration::from_secs(1000), entries: 50 },
    growth: 2,
    at_least: 2 << 10,
};

#[test]
fn killed_a_thousand_times() {
    let scratch = Scratch::new("kill");
    // A generator of our own, with a fixed seed: the moments differ by how the threads run anyway.
    let mut random = 0x1234_5678_u64;
    let (mut acknowledged, mut compacting) = (0, 0);
    let mut path = scratch.file("pool-0");
    // By owner: what it was given, and whether that may be gone already.
    let mut grants: HashMap<String, (String, Fate)> = HashMap::new();
    for kill in 0..KILLS {
        if kill % SERIES == 0 {
            let _ = fs::remove_file(&path);
            path = scratch.file(&format!("pool-{}", kill / SERIES));
            grants.clear();
            drop(Journal::create(&path, Leases::default(), OPTIONS).unwrap());
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_micros((random >> 33) % 20_000);
        for line in until_killed(&path, kill, moment) {
            let mut words = line.split(' ').map(str::to_owned);
            match (words.next().as_deref(), words.next(), words.next()) {
                (Some("granted"), Some(owner), Some(prefix)) => {
                    acknowledged += 1;
                    assert!(grants.insert(owner, (prefix, Fate::Granted)).is_none());
                }
                (Some("releasing"), Some(owner), _) => grants.get_mut(&owner).unwrap().1 = Fate::Releasing,
                (Some("released"), Some(owner), _) => grants.get_mut(&owner).unwrap().1 = Fate::Released,
                _ => panic!("{line}"),
            }
        }
        compacting += u64::from(path.with_extension("new").exists());
        let (journal, _) = Journal::<Leases>::open(&path, OPTIONS).unwrap();
        let state = journal.read(Clone::clone).unwrap();
        let found: HashMap<&str, String> =
            state.leases.values().map(|lease| (lease.owner.as_str(), lease.prefix.to_string())).collect();
        assert_eq!(found.len(), state.leases.len(), "one for each owner");
        for (owner, (prefix, fate)) in &grants {
            match fate {
                Fate::Granted => assert_eq!(found.get(owner.as_str()), Some(prefix), "kill {kill}: {owner}"),
                Fate::Releasing => assert!(found.get(owner.as_str()).is_none_or(|found| found == prefix)),
                Fate::Released => assert_eq!(found.get(owner.as_str()), None, "kill {kill}: {owner}"),
            }
        }
        // What nobody was told is at most what each thread was waiting for.
        let unknown = found.keys().filter(|owner| !grants.contains_key(**owner)).count();
        assert!(unknown as u64 <= THREADS, "kill {kill}: {unknown}");
        // The next process begins with nothing of its own.
        let leases: Vec<_> = state.leases.values().map(|lease| lease.prefix).collect();
        journal
            .change(|state| {
                let released = leases.iter().map(|prefix| state.release(*prefix, seconds(kill + 1)));
                Ok::<_, Unfit>(((), released.collect::<Result<Vec<_>, _>>()?))
            })
            .unwrap();
        grants.clear();
        drop(journal);
        if kill % SERIES == SERIES - 1 {
            let report = check::<Leases>(&path).unwrap();
            assert!(report.is_sound(), "{report:?}");
        }
    }
    println!("{acknowledged} grants acknowledged; {compacting} of {KILLS} kills within a compaction");
    assert!(acknowledged > KILLS, "there was load: {acknowledged}");
}

enum Fate {
    Granted,
    Releasing,
    Released,
}

/// Runs a process that grants and releases, kills it at that moment, and returns the whole lines that it wrote.
fn until_killed(path: &Path, kill: u64, moment: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_is_killed", "--nocapture", "--test-threads=1"])
        .env("IPAM_JOURNAL", path)
        .env("IPAM_KILL", kill.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert_eq!(first, "open\n");
    // The pipe is read meanwhile: a process that waits for it is not under load.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        text
    });
    thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// In a process of its own, by [`killed_a_thousand_times`]; nothing otherwise.
#[test]
fn what_is_killed() {
    let Some(path) = std::env::var_os("IPAM_JOURNAL") else { return };
    let kill: u64 = std::env::var("IPAM_KILL").unwrap().parse().unwrap();
    let (journal, _) = Journal::<Leases>::open(&path, OPTIONS).unwrap();
    let say = |line: String| std::io::stderr().write_all((line + "\n").as_bytes()).unwrap();
    say("open".into());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                let mut held = Vec::new();
                for number in 0.. {
                    let owner = format!("{kill}-{thread}-{number}");
                    let granted = |leases: &mut Leases| {
                        let (prefix, change) = leases.allocate(&owner, seconds(kill + 1))?;
                        Ok::<_, Unfit>((prefix, [change]))
                    };
                    let prefix = journal.change(granted).unwrap();
                    say(format!("granted {owner} {prefix}"));
                    held.push((owner, prefix));
                    if held.len() == HELD {
                        let (owner, prefix) = held.remove(number % HELD);
                        say(format!("releasing {owner}"));
                        let released =
                            |leases: &mut Leases| Ok::<_, Unfit>(((), [leases.release(prefix, seconds(kill + 1))?]));
                        journal.change(released).unwrap();
                        say(format!("released {owner}"));
                    }
                }
            });
        }
    });
}

#[test]
fn readers_see_a_state_that_there_was() {
    let scratch = Scratch::new("readers");
    let path = scratch.file("pool");
    let options = JournalOptions { growth: 2, at_least: 1 << 10, ..OPTIONS };
    let journal = Journal::create(&path, Leases::default(), options).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (journal, stop, path) = (&journal, &stop, &path);
        // Two prefixes at a time, so that half of a change is seen as one that is odd.
        let writers: Vec<_> = (0..3_u32)
            .map(|thread| {
                scope.spawn(move || {
                    for number in 0..400_u32 {
                        let owner = format!("{thread}-{number}");
                        let pair = [thread << 8, thread << 8 | 1].map(journal_support::single);
                        journal
                            .change(|leases| {
                                let taken = leases.owner(pair[0]).is_some();
                                let one = |prefix| {
                                    let at = seconds(number.into());
                                    if taken { leases.release(prefix, at) } else { leases.grant(prefix, &owner, at) }
                                };
                                Ok::<_, Unfit>(((), pair.into_iter().map(one).collect::<Result<Vec<_>, _>>()?))
                            })
                            .unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let snapshot = Snapshot::<Leases>::read(path).unwrap();
                let latest = snapshot.state().leases.values().map(|lease| lease.at.as_secs()).max().unwrap_or(0);
                assert_eq!(snapshot.state().leases.len() % 2, 0);
                last = last.max(latest);
                assert!(check::<Leases>(path).unwrap().is_sound());
                history::<Leases>(path, None).unwrap();
            }
            assert!(last > 0);
        });
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}
