//! Files that are cut off or have a flipped bit: refused with what and where, or recovered up to the last whole record.

mod journal_support;

use std::{fs, path::Path, process::Command};

use ipam::journal::{
    Damage, DamageKind, Finding, Journal, JournalError, JournalOptions, OpenError, Snapshot, check, history, replay,
};
use journal_support::{Leases, Scratch, Unfit, seconds, single};

fn grant(journal: &Journal<Leases>, number: u32, at: u64) {
    let owner = format!("owner-{number}");
    journal.change(|leases| Ok::<_, Unfit>(((), [leases.grant(single(number), &owner, seconds(at))?]))).unwrap();
}

fn release(journal: &Journal<Leases>, number: u32, at: u64) {
    journal.change(|leases| Ok::<_, Unfit>(((), [leases.release(single(number), seconds(at))?]))).unwrap();
}

/// A journal with a compacted part of six grants and some history, and four changes behind it; with the sizes and the states
/// behind each of its records.
fn small(path: &Path) -> Vec<(u64, Leases)> {
    let journal = Journal::create(path, Leases::default(), JournalOptions::default()).unwrap();
    (0..7).for_each(|number| grant(&journal, number, 10));
    release(&journal, 3, 20);
    journal.compact().unwrap();
    let state = || (check::<Leases>(path).unwrap().bytes, journal.read(Clone::clone).unwrap());
    let mut states = vec![state()];
    for number in 10..14 {
        grant(&journal, number, 30);
        states.push(state());
    }
    states
}

fn opened(path: &Path) -> Result<(Leases, Option<(u64, u64)>), Damage> {
    match Journal::<Leases>::open(path, JournalOptions::default()) {
        Ok((journal, torn)) => Ok((journal.read(Clone::clone).unwrap(), torn.map(|torn| (torn.offset, torn.bytes)))),
        Err(OpenError::Journal(JournalError::Damaged(damage))) => Err(damage),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_length() {
    let scratch = Scratch::new("lengths");
    let path = scratch.file("pool");
    let states = small(&path);
    let bytes = fs::read(&path).unwrap();
    let compacted = states[0].0;
    assert_eq!(states.last().unwrap().0, bytes.len() as u64);
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let length = length as u64;
        match opened(&path) {
            Ok((state, torn)) => {
                let (end, expected) =
                    states.iter().rfind(|(end, _)| *end <= length).expect("not within the compacted part");
                assert_eq!(state, *expected, "{length}");
                // Zeros behind it are room that was reserved.
                let left_out = bytes[*end as usize..length as usize].iter().rposition(|&byte| byte != 0);
                assert_eq!(torn, left_out.map(|last| (*end, last as u64 + 1)), "{length}");
                // What was left out is gone from the file.
                assert_eq!(fs::metadata(&path).unwrap().len(), *end);
            }
            Err(Damage { offset, kind }) => {
                assert!(length < compacted, "{length}: {kind}");
                assert!(offset <= length);
                assert_eq!(fs::metadata(&path).unwrap().len(), length, "it was not touched");
                match kind {
                    DamageKind::Empty => assert_eq!(length, 0),
                    DamageKind::HeaderCut { available, needed: 20 } => assert_eq!(available, length),
                    DamageKind::CompactedPartCut => assert!(length >= 20),
                    other => panic!("{length}: {other}"),
                }
            }
        }
    }
}

#[test]
fn every_bit() {
    let scratch = Scratch::new("bits");
    let path = scratch.file("pool");
    let states = small(&path);
    let bytes = fs::read(&path).unwrap();
    // As it is while the journal is open, with room behind it.
    for room in [0, 4096] {
        let (mut refused, mut recovered) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped.resize(bytes.len() + room, 0);
            let at = (bit / 8) as u64;
            let whole = states.iter().rfind(|(end, _)| *end <= at);
            match replay::<Leases>(&flipped) {
                Ok(replayed) => {
                    // Never fewer than there were before the damaged place.
                    let (end, expected) = whole.expect("the compacted part is not left out");
                    assert_eq!((replayed.end, &replayed.state), (*end, expected), "bit {bit}");
                    assert!(replayed.torn.is_some(), "bit {bit}");
                    recovered += 1;
                }
                Err(JournalError::Damaged(damage)) => {
                    assert!(damage.offset <= at, "bit {bit}: {damage}");
                    if let Some((end, _)) = whole {
                        assert_eq!(damage.offset, *end, "bit {bit}");
                    }
                    fs::write(&path, &flipped).unwrap();
                    assert_eq!(opened(&path), Err(damage.clone()));
                    assert_eq!(fs::read(&path).unwrap(), flipped, "it was not touched");
                    let report = check::<Leases>(&path).unwrap();
                    assert_eq!(report.findings, [Finding::Damaged(damage)]);
                    refused += 1;
                }
                Err(error) => panic!("bit {bit}: {error}"),
            }
        }
        // All bytes of the last record are there, so not even there a flipped bit looks like a crash.
        assert_eq!((refused, recovered), (bytes.len() * 8, 0));
    }
}

#[test]
fn bits_in_the_reserved_room() {
    let scratch = Scratch::new("room");
    let path = scratch.file("pool");
    let states = small(&path);
    let (end, expected) = states.last().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(bytes.len() + 2048, 0);
    for bit in *end as usize * 8..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match replay::<Leases>(&bytes) {
            Ok(replayed) => assert_eq!((replayed.end, &replayed.state), (*end, expected)),
            Err(JournalError::Damaged(damage)) => assert_eq!(damage.offset, *end),
            Err(error) => panic!("{error}"),
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn files_of_something_else_are_left_alone() {
    let scratch = Scratch::new("else");
    let path = scratch.file("pool");
    for (bytes, kind) in [(&b""[..], DamageKind::Empty), (b"{\"pools\": []}", DamageKind::NotAJournal)] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(opened(&path), Err(Damage { offset: 0, kind }));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(!scratch.file("pool.lock").exists(), "nothing is left beside it");
        let error = Journal::create(&path, Leases::default(), JournalOptions::default()).unwrap_err();
        assert_eq!(error, OpenError::Exists);
    }
}

#[test]
fn a_second_process_is_refused_by_name() {
    let scratch = Scratch::new("second");
    let path = scratch.file("pool");
    let journal = Journal::create(&path, Leases::default(), JournalOptions::default()).unwrap();
    grant(&journal, 1, 10);
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_the_second_process_does", "--nocapture"])
        .env("IPAM_JOURNAL", &path)
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_str().unwrap();
    let holder = format!("the journal is held by process {} ({program})", std::process::id());
    assert!(said.contains(&holder), "{said}");
    // Who reads needs no lock.
    assert!(said.contains("1 grants"), "{said}");
    drop(journal);
    Journal::<Leases>::open(&path, JournalOptions::default()).unwrap();
}

/// In a process of its own, by [`a_second_process_is_refused_by_name`]; nothing otherwise.
#[test]
fn what_the_second_process_does() {
    let Some(path) = std::env::var_os("IPAM_JOURNAL") else { return };
    eprintln!("{}", Journal::<Leases>::open(&path, JournalOptions::default()).unwrap_err());
    eprintln!("{} grants", Snapshot::<Leases>::read(&path).unwrap().state().leases.len());
}

#[test]
fn history_survives_compaction() {
    let scratch = Scratch::new("history");
    let path = scratch.file("pool");
    let journal = Journal::create(&path, Leases::default(), JournalOptions::default()).unwrap();
    grant(&journal, 1, 10);
    release(&journal, 1, 20);
    grant(&journal, 2, 25);
    grant(&journal, 1, 30);
    let told = |intervals: Vec<ipam::journal::Interval>| -> Vec<_> {
        let told = |interval: ipam::journal::Interval| {
            format!("{} {} {:?} {:?}", interval.prefix, interval.owner, interval.from, interval.to)
        };
        intervals.into_iter().map(told).collect()
    };
    let expected = ["0.0.0.1/32 owner-1 10s Some(20s)", "0.0.0.1/32 owner-1 30s None"];
    assert_eq!(told(journal.history(Some(single(1))).unwrap()), expected);
    for _ in 0..2 {
        journal.compact().unwrap();
        assert_eq!(told(journal.history(Some(single(1))).unwrap()), expected);
        assert_eq!(told(history::<Leases>(&path, Some("0.0.0.0/31".parse().unwrap())).unwrap()), expected);
        assert_eq!(history::<Leases>(&path, None).unwrap().len(), 3);
    }
    let report = check::<Leases>(&path).unwrap();
    assert!(report.is_sound() && report.granted == 2, "{report:?}");
}

#[test]
fn a_panic_changes_nothing() {
    let scratch = Scratch::new("panic");
    let journal = Journal::create(scratch.file("pool"), Leases::default(), JournalOptions::default()).unwrap();
    grant(&journal, 1, 10);
    let before = journal.read(Clone::clone).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = journal.change(|leases| -> Result<((), [_; 1]), Unfit> {
            leases.grant(single(2), "nobody", seconds(20))?;
            panic!("on purpose");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(journal.read(Clone::clone).unwrap(), before);
    grant(&journal, 2, 30);
}
