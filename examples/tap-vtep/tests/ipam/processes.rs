//! Several processes with one file, and processes that are killed.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    io::{Read, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Directory, Ran};

fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A process that holds the file, as far as others can tell: this one.
#[test]
fn a_file_that_is_held() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/24 --shortest 28 --longest 28");
    directory.ok("allocate pool --owner a");
    let mut lock = OpenOptions::new().write(true).open(directory.0.join("pool.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    lock.write_all(format!("{} holder\n", std::process::id()).as_bytes()).unwrap();

    let held = format!("pool: the journal is held by process {} (holder)", std::process::id());
    for words in [
        "allocate pool --owner b",
        "claim pool 10.0.0.16/28 --owner b",
        "release pool 10.0.0.0/28",
        "plan pool --reserve 10.0.0.16 --apply",
    ] {
        assert_eq!(directory.refused(&format!("{words} --wait 0")), (1, held.clone()), "{words}");
    }
    // Who only looks does not care.
    directory.ok("list pool");
    directory.ok("history pool 10.0.0.0/28");
    directory.ok("check pool");
    directory.ok("plan pool --reserve 10.0.0.16");

    let waiting = piped(&mut directory.command("allocate pool --owner b --wait 60".split(' ')));
    thread::sleep(Duration::from_millis(100));
    drop(lock);
    let ran = Ran::from(waiting.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.text.as_str()), (0, "10.0.0.16/28\n"), "{}", ran.errors);
}

#[test]
fn two_processes_at_once() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/8 --shortest 32");
    let mut first = directory.command("allocate pool --owner first --count 50000 --wait 60".split(' '));
    let mut first = first.stdout(Stdio::null()).spawn().unwrap();
    let held = format!("tap-vtep: pool: the journal is held by process {} (tap-vtep)\n", first.id());
    let mut refusals = 0;
    while first.try_wait().unwrap().is_none() {
        let ran = directory.run("release pool 11.0.0.0 --wait 0");
        match ran.status {
            1 => refusals += usize::from(ran.errors == held),
            // Before the first one has the file, or after it.
            status => assert_eq!(status, 2, "{}", ran.errors),
        }
    }
    assert!(first.wait().unwrap().success());
    assert!(refusals > 0);
    directory.ok("check pool");
    assert_eq!(directory.json("list pool --owner second")["usage"][0]["grants"], 50_000);
}

#[test]
fn many_processes_get_different_subnets() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/16 --shortest 24 --longest 24");
    let allocate = |number: i32| {
        let owner = format!("owner-{number}");
        piped(&mut directory.command(["allocate", "pool", "--owner", &owner, "--wait", "60"]))
    };
    let children: Vec<Child> = (0..20).map(allocate).collect();
    let mut subnets: Vec<String> = Vec::new();
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.errors.as_str()), (0, ""));
        subnets.push(ran.text);
    }
    subnets.sort_unstable_by_key(|subnet| subnet.trim().parse::<ipnet::IpNet>().unwrap());
    assert_eq!(subnets, (0..20).map(|number| format!("10.0.{number}.0/24\n")).collect::<Vec<_>>());
    assert_eq!(directory.json("check pool")["grants"], 20);
}

#[test]
fn what_was_printed_is_there_after_kill() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/16 --shortest 28 --longest 28");
    let (mut printed, mut killed_unprinted) = (HashSet::new(), 0);
    for round in 0..160_u64 {
        let owner = format!("owner-{round}");
        let mut child = piped(&mut directory.command(["allocate", "pool", "--owner", &owner, "--count", "3"]));
        let (mut output, mut text) = (child.stdout.take().unwrap(), vec![0]);
        if round % 2 == 0 {
            // From its first instruction to after it is done.
            thread::sleep(Duration::from_micros(round * 125));
            text.clear();
        } else {
            // As soon as it says something.
            output.read_exact(&mut text).unwrap();
        }
        child.kill().unwrap();
        output.read_to_end(&mut text).unwrap();
        child.wait().unwrap();
        killed_unprinted += usize::from(text.is_empty());
        let text = String::from_utf8(text).unwrap();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            assert!(printed.insert((line.to_owned(), owner.clone())), "{line} was given twice");
        }
    }
    assert!(killed_unprinted > 0 && !printed.is_empty(), "{killed_unprinted} of 160");

    let report = directory.run("check pool");
    assert_eq!(report.status, 0, "{}", report.text);
    let listing = directory.json("list pool");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let grants = listing["grants"].as_array().unwrap().iter();
    let grants: HashSet<(String, String)> =
        grants.map(|grant| (text(&grant["prefix"]), text(&grant["owner"]))).collect();
    assert!(printed.is_subset(&grants), "{:?}", printed.difference(&grants));
    assert_eq!(grants.len() % 3, 0, "all of a command or nothing");
    // Who was killed does not hold the file.
    let ran = directory.run("allocate pool --owner last --wait 0");
    assert_eq!(ran.status, 0, "{}", ran.errors);
}
