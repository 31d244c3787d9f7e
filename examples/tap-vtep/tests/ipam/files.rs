//! Files that are damaged, cut short, not there, or of strange names, and outputs that nobody reads.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io,
    os::unix::ffi::OsStrExt,
    process::Stdio,
};

use crate::{Directory, Ran};

#[test]
fn no_file() {
    let directory = Directory::new();
    let error = "pool: cannot open the journal: No such file or directory (os error 2)".to_owned();
    for words in [
        "allocate pool --owner a",
        "claim pool 10.0.0.0/24 --owner a",
        "release pool 10.0.0.0/24",
        "list pool",
        "history pool 10.0.0.0/24",
        "check pool",
        "plan pool --reserve 10.0.0.1",
        "plan pool --reserve 10.0.0.1 --apply",
    ] {
        assert_eq!(directory.refused(words), (2, error.clone()), "{words}");
    }
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_is_no_pool_file() {
    let directory = Directory::new();
    fs::write(directory.0.join("pool"), "not a pool\n").unwrap();
    let error = "pool: the journal is damaged at byte 0: this is no journal of ipam".to_owned();
    assert_eq!(directory.refused("list pool"), (1, error.clone()));
    assert_eq!(directory.refused("allocate pool --owner a"), (1, error.clone()));
    let ran = directory.run("check pool");
    assert_eq!((ran.status, ran.text, ran.errors), (1, error + "\n", String::new()));
    assert_eq!(fs::read(directory.0.join("pool")).unwrap(), b"not a pool\n");
}

#[test]
fn each_flipped_bit_is_found() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/24 --shortest 28 --longest 28");
    directory.ok("allocate pool --owner a --count 3");
    let path = directory.0.join("pool");
    let whole = fs::read(&path).unwrap();
    let end = usize::try_from(directory.json("check pool")["bytes"].as_u64().unwrap()).unwrap();
    for at in (0..end).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let ran = directory.run("check pool");
        assert_eq!((ran.status, ran.errors.as_str()), (1, ""), "byte {at}: {}", ran.text);
        assert!(ran.text.starts_with("pool: the journal is damaged at byte "), "byte {at}: {}", ran.text);
        let (status, error) = directory.refused("allocate pool --owner b");
        assert_eq!((status, error + "\n"), (1, ran.text), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "it is not touched");
    }
    let ran = directory.run("check pool --json");
    assert_eq!((ran.status, ran.text.contains(r#""sound":false"#)), (1, true), "{}", ran.text);
}

#[test]
fn what_a_crash_cut_short_goes_on() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/24 --shortest 28 --longest 28");
    directory.ok("allocate pool --owner a");
    let before = directory.json("check pool")["bytes"].as_u64().unwrap();
    directory.ok("allocate pool --owner b");
    let end = directory.json("check pool")["bytes"].as_u64().unwrap();
    let file = OpenOptions::new().write(true).open(directory.0.join("pool")).unwrap();
    file.set_len(end - 3).unwrap();

    let torn = end - 3 - before;
    let ran = directory.run("check pool");
    assert_eq!((ran.status, ran.errors.as_str()), (0, ""));
    let note = format!(
        "pool: {torn} bytes from byte {before} on are of a change that was never finished; the next change cuts them off\n"
    );
    assert!(ran.text.starts_with(&note), "{}", ran.text);
    assert_eq!(directory.json("check pool")["torn_bytes"], torn);

    let ran = directory.run("allocate pool --owner c");
    let note = format!("tap-vtep: pool: cut off {torn} bytes of a change that was never finished\n");
    assert_eq!((ran.status, ran.text.as_str(), ran.errors), (0, "10.0.0.16/28\n", note));
    directory.ok("check pool");
}

#[test]
fn a_name_that_is_no_text() {
    let directory = Directory::new();
    let name = OsStr::from_bytes(b"po\xffol");
    let run = |words: &[&str]| {
        let mut command = directory.command([words[0]]);
        Ran::from(command.arg(name).args(&words[1..]).output().unwrap())
    };
    assert_eq!(run(&["init", "10.0.0.0/24"]).status, 0);
    assert_eq!(run(&["allocate", "--owner", "ä", "--length", "24"]).text, "10.0.0.0/24\n");
    assert_eq!(run(&["check"]).status, 0);
    assert_eq!(run(&["init", "10.0.0.0/24"]).errors, "tap-vtep: po\u{fffd}ol: there is a file of that name\n");
}

#[test]
fn nobody_reads_on() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/16 --shortest 28 --longest 28");
    directory.ok("allocate pool --owner a --count 4096");
    for words in ["list pool", "list pool --json", "history pool 10.0.0.0/16", "release pool --all --owner a"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = directory.command(words.split(' ')).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{words}");
    }
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let status = directory.command(["list", "nothing"]).stderr(writer).stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn an_output_that_is_full() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/16 --shortest 28 --longest 28");
    for words in ["list pool", "list pool --json", "allocate pool --owner a"] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = directory.command(words.split(' ')).stdout(full).output().unwrap();
        let error = "tap-vtep: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), error.to_owned()));
    }
}
