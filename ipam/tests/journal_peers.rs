//! The real file system at its limits, as root and by strace: a crash and an error at each system call of the journal, and a
//! disk that is full.

mod journal_support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ipam::journal::{ChangeError, Journal, JournalOptions, Snapshot, check};
use journal_support::{Leases, Scratch, Unfit, seconds, single};

/// What changes or reads files.
const CALLS: [&str; 12] = [
    "openat",
    "flock",
    "fallocate",
    "pwrite64",
    "write",
    "pread64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "rename",
    "unlink",
    "fchmod",
];
const GRANTS: u32 = 6;

fn this_test(name: &str, directory: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let directory = format!("IPAM_JOURNAL={}", directory.to_str().unwrap());
    ["env", &directory, &program, "--exact", name, "--nocapture", "--test-threads=1"].map(str::to_owned).into()
}

/// The scenario under strace, of the calls that have to do with the journal's files.
fn traced(directory: &Path, options: &[&str]) -> Output {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(directory.join("trace")).args(options);
    for name in ["pool", "pool.new", "pool.lock", ""] {
        strace.arg("-P").arg(directory.join(name));
    }
    strace.args(this_test("what_is_traced", directory)).output().expect("strace is installed")
}

/// A directory for each run, since the file's content is that of one.
fn fresh(scratch: &Scratch) -> PathBuf {
    let directory = scratch.file("run");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    directory
}

/// How often each call comes.
fn calls(scratch: &Scratch) -> BTreeMap<&'static str, usize> {
    let directory = fresh(scratch);
    let trace = format!("trace={}", CALLS.join(","));
    let output = traced(&directory, &["-e", &trace]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(acknowledged(&output), (0..2 * GRANTS).collect::<Vec<_>>());
    let trace = fs::read_to_string(directory.join("trace")).unwrap();
    let count = |call: &'static str| (call, trace.matches(&format!(" {call}(")).count());
    CALLS.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
}

fn acknowledged(output: &Output) -> Vec<u32> {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().filter_map(|line| line.strip_prefix("granted ")?.parse().ok()).collect()
}

fn found(path: &Path) -> Vec<u32> {
    let (journal, _) = Journal::<Leases>::open(path, JournalOptions::default()).unwrap();
    let found = journal.read(|leases| {
        let number = |lease: &journal_support::Lease| lease.owner.parse().unwrap();
        leases.leases.values().map(number).collect()
    });
    // It goes on.
    journal.change(|leases| Ok::<_, Unfit>(((), [leases.grant(single(1000), "1000", seconds(1))?]))).unwrap();
    drop(journal);
    assert!(check::<Leases>(path).unwrap().is_sound());
    found.unwrap()
}

#[test]
fn killed_at_each_system_call() {
    let scratch = Scratch::new("calls-killed");
    let calls = calls(&scratch);
    for call in ["fallocate", "pwrite64", "fdatasync", "fsync", "rename", "ftruncate"] {
        assert!(calls.contains_key(call), "{call}: {calls:?}");
    }
    for (call, count) in &calls {
        for number in 1..=*count {
            let directory = fresh(&scratch);
            let output = traced(&directory, &["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
            assert!(!output.status.success(), "{call} {number}");
            let told = acknowledged(&output);
            let path = directory.join("pool");
            if !path.exists() {
                assert!(told.is_empty(), "{call} {number}: {told:?}");
                continue;
            }
            let found = found(&path);
            let expected: Vec<u32> = (0..found.len() as u32).collect();
            assert_eq!(found, expected, "{call} {number}");
            assert!(told.len() <= found.len() && found.len() <= told.len() + 1, "{call} {number}: {told:?} {found:?}");
            assert!(!directory.join("pool.new").exists());
        }
    }
    println!("killed at {} calls: {calls:?}", calls.values().sum::<usize>());
}

#[test]
fn each_system_call_fails() {
    let scratch = Scratch::new("calls-fail");
    let calls = calls(&scratch);
    let mut told_of = 0;
    for error in ["ENOSPC", "EIO"] {
        for (call, count) in &calls {
            for number in 1..=*count {
                let directory = fresh(&scratch);
                let output = traced(&directory, &["-e", &format!("inject={call}:error={error}:when={number}")]);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{call} {number}: {said}");
                told_of += usize::from(said.contains("cannot "));
                // Exactly what was acknowledged, although the errors are in between.
                assert_eq!(found(&directory.join("pool")), acknowledged(&output), "{call} {number} {error}: {said}");
            }
        }
    }
    println!("{told_of} errors told of");
    assert!(told_of > calls["fdatasync"] + calls["pwrite64"]);
}

/// Under strace, by the tests above; nothing otherwise.
#[test]
fn what_is_traced() {
    let Some(directory) = std::env::var_os("IPAM_JOURNAL") else { return };
    let path = Path::new(&directory).join("pool");
    let (mut journal, mut number) = (None, 0);
    for half in 0..2 {
        drop(journal.take());
        // One of the calls may fail; not twice.
        for _ in 0..2 {
            let opened = if path.exists() {
                Journal::open(&path, JournalOptions::default()).map(|(journal, _)| journal)
            } else {
                Journal::create(&path, Leases::default(), JournalOptions::default())
            };
            match opened {
                Ok(opened) => journal = Some(opened),
                Err(error) => {
                    eprintln!("{error}");
                    continue;
                }
            }
            break;
        }
        let journal = journal.as_ref().expect("it opens the second time");
        for _ in 0..GRANTS {
            let owner = number.to_string();
            match journal.change(|leases| Ok::<_, Unfit>(((), [leases.grant(single(number), &owner, seconds(1))?]))) {
                Ok(()) => eprintln!("granted {number}"),
                Err(error) => eprintln!("{error}"),
            }
            number += 1;
        }
        if half == 0
            && let Err(error) = journal.compact()
        {
            eprintln!("{error}");
        }
    }
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new("full");
    let directory = scratch.0.to_str().unwrap().to_owned();
    let mut words = this_test("what_fills_the_disk", &scratch.0);
    let mount = format!("mount -t tmpfs -o size=512k none '{directory}' && exec \"$@\"");
    let mut shell = vec!["unshare".to_owned(), "-m".into(), "sh".into(), "-c".into(), mount, "sh".into()];
    shell.append(&mut words);
    let output = Command::new(&shell[0]).args(&shell[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("went on"), "{said}");
}

/// On a small disk of its own, by [`a_full_disk`]; nothing otherwise.
#[test]
fn what_fills_the_disk() {
    let Some(directory) = std::env::var_os("IPAM_JOURNAL") else { return };
    let path = Path::new(&directory).join("pool");
    let ballast = Path::new(&directory).join("ballast");
    fs::write(&ballast, vec![7; 150_000]).unwrap();
    let journal = Journal::create(&path, Leases::default(), JournalOptions::default()).unwrap();
    let mut expected = Leases::default();
    let mut grant = |number: u32| {
        let owner = format!("{number:0>200}");
        let done = journal.change(|leases| Ok::<_, Unfit>(((), [leases.grant(single(number), &owner, seconds(1))?])));
        if done.is_ok() {
            expected.grant(single(number), &owner, seconds(1)).unwrap();
        }
        assert!(journal.read(|leases| *leases == expected).unwrap());
        assert!(Snapshot::<Leases>::read(&path).unwrap().state() == &expected);
        done
    };
    let mut number = 0;
    let error = loop {
        number += 1;
        if let Err(error) = grant(number) {
            break error;
        }
    };
    let ChangeError::Journal(error) = error else { panic!("{error}") };
    assert!(error.is_full(), "{error}");
    assert_eq!(error.to_string(), "cannot reserve room in the journal: No space left on device (os error 28)");
    for _ in 0..3 {
        assert!(grant(number).is_err());
    }
    // No room for a compaction either; nothing is lost by it.
    assert!(journal.compact().unwrap_err().is_full());
    assert!(grant(number).is_err());
    fs::remove_file(&ballast).unwrap();
    for more in 0..100 {
        grant(number + more).unwrap();
    }
    drop(journal);
    let (journal, torn) = Journal::<Leases>::open(&path, JournalOptions::default()).unwrap();
    assert_eq!(torn, None);
    assert!(journal.read(|leases| *leases == expected).unwrap());
    eprintln!("went on behind {number} grants");
}
