//! What a service manager is told (`sd_notify`), by a socket such as it gives to a service.

use std::{
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use testbed::{Background, Family, PATIENCE, Scratch, Underlay, require};

use crate::bed::{PROGRAM, TAP, configuration_file, one_segment};

/// The manager's side.
struct Manager(UnixDatagram);

impl Manager {
    fn receive(&self) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        match self.0.recv(&mut buffer) {
            Ok(len) => Some(String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message that is not a sign of life alone.
    #[track_caller]
    fn message(&self) -> Vec<String> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let message = self.receive().expect("a message");
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }

    /// Waits for a sign of life.
    #[track_caller]
    fn is_fed(&self) {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        while self.receive().expect("a sign of life") != ["WATCHDOG=1"] {}
    }
}

#[test]
fn it_is_told_of_the_start_of_changes_and_of_the_end() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let files = Scratch::new();
    let manager = Manager(UnixDatagram::bind(files.path("notify.sock")).unwrap());
    let configuration = one_segment(underlay.host(0), Family::V4, "");
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config", &configuration_file(&files, &configuration), "--control"]);
    command.arg(files.path("control.sock")).env("NOTIFY_SOCKET", files.path("notify.sock"));
    command.stderr(Stdio::null());
    let mut vtep = ours.start(command);
    assert_eq!(manager.message(), ["READY=1", "STATUS=1 segment, 1 worker"]);
    assert!(ours.has_device(TAP));

    let mut last = 0;
    let mut reload = |configuration: &str| {
        configuration_file(&files, configuration);
        vtep.signal(Signal::HUP);
        let message = manager.message();
        assert_eq!(message[0], "RELOADING=1", "{message:?}");
        let at: i64 = message[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(at > last);
        last = at;
        manager.message()
    };
    let red = "[[segment]]\nname = \"red\"\nvni = 43\ntap = \"tap1\"\n";
    let two = ["READY=1", "STATUS=2 segments, 1 worker"];
    assert_eq!(reload(&format!("{configuration}{red}")), two);
    let refused = reload("[underlay]\n");
    assert_eq!(refused[0], "READY=1");
    assert!(refused[1].starts_with("STATUS=2 segments, 1 worker; SIGHUP: "), "{refused:?}");
    assert_eq!(reload(&format!("{configuration}{red}")), two);

    ours.ip("link delete tap1");
    assert_eq!(manager.message(), ["STATUS=segment red: TAP tap1 is gone"]);
    ours.ip("tuntap add tap1 mode tap");
    assert_eq!(manager.message(), [two[1]]);
    vtep.signal(Signal::TERM);
    assert_eq!(manager.message(), ["STOPPING=1"]);
    assert_eq!(vtep.wait(PATIENCE).code(), Some(0));
}

/// Signs of life come while the workers turn, and no longer.
#[test]
fn the_watchdog_is_fed_while_the_workers_turn() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let files = Scratch::new();
    let manager = Manager(UnixDatagram::bind(files.path("notify.sock")).unwrap());
    let configuration = one_segment(underlay.host(0), Family::V4, "");
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config", &configuration_file(&files, &configuration), "--control"]);
    command.arg(files.path("control.sock")).env("NOTIFY_SOCKET", files.path("notify.sock"));
    command.env("WATCHDOG_USEC", "1000000").stderr(Stdio::null());
    let mut vtep = ours.start(command);
    assert_eq!(manager.message()[0], "READY=1");
    for _ in 0..3 {
        manager.is_fed();
    }
    let hold = hold_worker(vtep.id());
    assert_eq!(manager.message(), ["STATUS=worker 0 does not turn"]);
    // Two of its periods, and nothing.
    manager.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(manager.receive(), None);
    drop(hold);
    manager.is_fed();
    vtep.signal(Signal::TERM);
    assert_eq!(vtep.wait(PATIENCE).code(), Some(0));
}

/// Holds the first worker of a process before each of its system calls, until the value is dropped.
pub(crate) fn hold_worker(process: u32) -> Background {
    let mut tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|task| task.unwrap().path());
    let is_it = |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap() == "worker-0\n";
    let worker = tasks.find(is_it).unwrap();
    let mut command = Command::new(require("strace"));
    command.arg("--attach").arg(worker.file_name().unwrap()).args(["--quiet=all", "--output=/dev/null"]);
    command.args(["--trace=epoll_wait,read", "--inject=epoll_wait,read:delay_enter=600s"]);
    Background::start(command)
}
