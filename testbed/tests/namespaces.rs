//! Namespaces come and go with their values.

use std::{fs, panic, process::Command};

use testbed::{Namespace, Scratch, run, wait_until};

#[test]
fn a_namespace_goes_with_its_value() {
    let namespace = Namespace::new("gone");
    let path = namespace.path();
    assert!(path.exists());
    drop(namespace);
    assert!(!path.exists());
}

#[test]
fn a_namespace_goes_when_the_test_panics() {
    let files = Scratch::new();
    let note = files.path("name");
    let outcome = panic::catch_unwind(|| {
        let namespace = Namespace::new("panics");
        fs::write(&note, namespace.path().display().to_string()).expect("scratch is writable");
        panic!("on purpose");
    });
    assert!(outcome.is_err());
    let path = fs::read_to_string(&note).expect("the closure wrote it");
    assert!(path.contains("-panics") && !fs::exists(&path).expect("/run is readable"));
}

#[test]
fn a_process_that_is_left_inside_is_killed() {
    let namespace = Namespace::new("left");
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut sleeper = namespace.start(command);
    assert!(sleeper.status().is_none());
    drop(namespace);
    wait_until("the process ends", || sleeper.status().is_some());
}

#[test]
fn what_a_dead_process_left_is_removed_by_the_next() {
    // The number of a process that has ended, and is not used again at once.
    let dead = run(&["sh", "-c", "echo $$"]).stdout.trim().to_owned();
    let name = format!("tv{dead}-0-stale");
    assert_eq!(run(&["ip", "netns", "add", &name]).status, Some(0));
    let directory = std::env::temp_dir().join(format!("tv{dead}-1"));
    fs::create_dir(&directory).expect("the temporary directory is writable");
    // A process of its own, for what a process does before its first namespace.
    let this = std::env::current_exe().expect("it runs");
    let this = this.display().to_string();
    let finished = run(&[&this, "--exact", "a_namespace_goes_with_its_value"]);
    assert_eq!(finished.status, Some(0), "{finished}");
    assert!(!fs::exists(format!("/run/netns/{name}")).expect("/run is readable"));
    assert!(!directory.exists());
}

#[test]
fn a_closure_runs_inside_and_its_sockets_stay_there() {
    let namespace = Namespace::new("inside");
    let outside = fs::read_link("/proc/thread-self/ns/net").expect("proc is mounted");
    let inside = namespace.enter(|| fs::read_link("/proc/thread-self/ns/net").expect("proc is mounted"));
    assert_ne!(inside, outside);
    assert_eq!(fs::read_link("/proc/thread-self/ns/net").expect("proc is mounted"), outside);

    let socket = namespace.udp_socket(([127, 0, 0, 1], 4789));
    let other = Namespace::new("other");
    // The same address and port are free elsewhere, and nothing crosses.
    let stranger = other.udp_socket(([127, 0, 0, 1], 4789));
    let sender = namespace.udp_socket(([127, 0, 0, 1], 0));
    sender.send_to(b"here", ("127.0.0.1", 4789)).expect("loopback is up");
    let mut buffer = [0; 8];
    assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 4);
    stranger.set_nonblocking(true).expect("it is a socket");
    assert!(stranger.recv(&mut buffer).is_err());
}

#[test]
fn ipv6_is_silent_until_it_is_wanted() {
    let namespace = Namespace::new("quiet");
    namespace.ip("link add a0 type veth peer name b0");
    namespace.ip("link set a0 up");
    namespace.ip("link set b0 up");
    assert_eq!(namespace.device("a0")["addr_info"].as_array().map(Vec::len), Some(0));
    namespace.add_address("a0", "fd00::1".parse().expect("an address"), 64);
    assert!(namespace.device("a0")["addr_info"].to_string().contains("fd00::1"));
    assert!(namespace.device("c0").is_null());
}

#[test]
#[should_panic(expected = "ip -n")]
fn a_command_that_fails_fails_the_test() {
    Namespace::new("fails").ip("link set no-such-device up");
}
