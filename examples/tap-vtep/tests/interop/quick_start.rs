//! The quick start of the README, line by line.

use std::time::Duration;

use testbed::{Namespace, Scratch};

use crate::bed::PROGRAM;

const README: &str = include_str!("../../../../README.md");

/// The shell lines between the marks that the README has for this test.
fn lines() -> &'static str {
    let (_, rest) = README.split_once("<!-- quick start: begin").expect("the README marks its quick start");
    let (_, rest) = rest.split_once("```sh\n").expect("it is in shell");
    rest.split_once("```").expect("it ends").0
}

#[test]
fn the_quick_start_works_as_it_is_written() {
    let files = Scratch::new();
    // What is under test has been built already, elsewhere.
    let script = lines()
        .lines()
        .filter(|line| !line.starts_with("cargo build"))
        .map(|line| line.replace("target/release/tap-vtep", PROGRAM) + "\n")
        .collect::<String>();
    assert!(script.contains(PROGRAM) && script.contains("ping -c 3"), "{script}");
    let script = files.write("quick-start.sh", &script).display().to_string();
    // In network and mount namespaces of its own: its names and its socket meet nobody else's.
    let around =
        format!("mount --make-rprivate / && mount -t tmpfs none /run && exec bash -x -e -u -o pipefail {script}");
    let namespace = Namespace::new("reader");
    let finished = namespace.run_within(Duration::from_secs(60), &["unshare", "--mount", "sh", "-c", &around]);
    assert_eq!(finished.status, Some(0), "{finished}");
    for word in ["3 received", "10.42.0.2", "192.0.2.2", "learned"] {
        assert!(finished.stdout.contains(word), "{word} is not shown: {finished}");
    }
}
