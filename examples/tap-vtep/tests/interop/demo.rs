//! `tap-vtep demo`: ends well as root and as an ordinary user, tells what happened, and leaves nothing behind.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use testbed::{Background, Finished, Namespace, Scratch, require, wait_until};

use crate::bed::{PROGRAM, only_line};

/// How long a demo may take on a busy machine with two cores.
const LIMIT: Duration = Duration::from_secs(120);

/// What a demo might leave: namespaces by name and by number, devices, processes of the program.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    names: BTreeSet<String>,
    devices: String,
    processes: BTreeSet<u32>,
}

impl Traces {
    fn now(namespace: &Namespace, program: &str) -> Self {
        let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().display().to_string());
        // Those of this test suite come and go with its tests.
        let names = names.filter(|name| !name.starts_with("tv")).collect();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_program =
            |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.display().to_string() == program);
        let devices = namespace.ip("-o link show");
        Self { names, devices, processes: processes.filter(is_program).collect() }
    }
}

/// One demo at a time, so that none sees another's traces.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of the program under a name of its own, readable for everyone: its processes are told from those of other tests.
fn own_copy(files: &Scratch) -> String {
    let program = files.path("tap-vtep");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program.display().to_string()
}

#[test]
fn it_speaks_each_encapsulation() {
    let _alone = alone();
    let files = Scratch::new();
    let program = own_copy(&files);
    let namespace = Namespace::new("demo");
    for (encapsulation, expected) in [("geneve", "network identifier (VNI) 4242"), ("nvgre", "(VSID) 4242")] {
        let finished =
            namespace.run_within(LIMIT, &[&program, "demo", "--encapsulation", encapsulation, "--megabytes", "20"]);
        assert_eq!(finished.status, Some(0), "{finished}");
        assert!(finished.stdout.contains(expected), "{finished}");
    }
    let finished = namespace.run_within(LIMIT, &[&program, "demo", "--encapsulation", "vlan"]);
    assert_eq!(finished.status, Some(2), "{finished}");
}

/// What somebody who has never seen an endpoint is shown.
fn tells_what_happened(finished: &Finished) {
    let said = finished.stdout.to_lowercase();
    for word in ["ping", "tcp", "vxlan", "vni", "udp", "ethernet", "learned", "mac", "gbit/s", "dropped"] {
        assert!(said.contains(word), "{word} is not shown: {finished}");
    }
}

#[test]
fn it_ends_well_as_root_twice_and_leaves_nothing() {
    let _alone = alone();
    let files = Scratch::new();
    let program = own_copy(&files);
    let namespace = Namespace::new("demo");
    let before = Traces::now(&namespace, &program);
    for _ in 0..2 {
        let finished = namespace.run_within(LIMIT, &[&program, "demo"]);
        assert_eq!(finished.status, Some(0), "{finished}");
        tells_what_happened(&finished);
        assert_eq!(Traces::now(&namespace, &program), before);
    }
}

/// Wherever it is interrupted, it cleans up.
#[test]
fn interrupted_it_leaves_nothing() {
    let _alone = alone();
    let files = Scratch::new();
    let program = own_copy(&files);
    let namespace = Namespace::new("demo");
    let before = Traces::now(&namespace, &program);
    for (signal, after) in
        [(Signal::INT, 50), (Signal::INT, 400), (Signal::TERM, 1000), (Signal::INT, 2000), (Signal::HUP, 3000)]
    {
        let mut command = Command::new(&program);
        command.args(["demo", "--megabytes", "20000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut demo: Background = namespace.start(command);
        thread::sleep(Duration::from_millis(after));
        assert!(demo.status().is_none(), "it ended before it was interrupted");
        demo.signal(signal);
        let status = demo.wait(LIMIT);
        assert!(!status.success(), "{signal:?} after {after} ms: {status}");
        wait_until("nothing is left", || Traces::now(&namespace, &program) == before);
    }
}

/// As an ordinary user, with `/dev/net/tun` open to everyone or to root alone (in a mount namespace of the test's own).
fn as_ordinary_user(namespace: &Namespace, program: &str, files: &Scratch, tun_mode: &str) -> Finished {
    let tun = files.path("tun").display().to_string();
    let script = format!(
        "mount --make-rprivate / && rm -f {tun} && mknod -m {tun_mode} {tun} c 10 200 && mount --bind {tun} /dev/net/tun && \
         exec {} --reuid=65534 --regid=65534 --clear-groups {program} demo",
        require("setpriv").display()
    );
    namespace.run_within(LIMIT, &["unshare", "--mount", "sh", "-c", &script])
}

#[test]
fn it_ends_well_as_an_ordinary_user_where_the_system_allows_it() {
    let _alone = alone();
    let files = Scratch::new();
    let program = own_copy(&files);
    let namespace = Namespace::new("demo");
    let before = Traces::now(&namespace, &program);
    for _ in 0..2 {
        let finished = as_ordinary_user(&namespace, &program, &files, "0666");
        assert_eq!(finished.status, Some(0), "{finished}");
        tells_what_happened(&finished);
        assert_eq!(Traces::now(&namespace, &program), before);
    }
}

#[test]
fn it_says_in_one_line_what_the_system_does_not_allow() {
    let _alone = alone();
    let files = Scratch::new();
    let program = own_copy(&files);
    let namespace = Namespace::new("demo");
    let before = Traces::now(&namespace, &program);
    let finished = as_ordinary_user(&namespace, &program, &files, "0600");
    assert_eq!(finished.status, Some(1), "{finished}");
    assert!(only_line(&finished).contains("/dev/net/tun"), "{finished}");
    assert_eq!(Traces::now(&namespace, &program), before);
}
