//! Open vSwitch with its user-space datapath.

use std::process::{Command, Stdio};

use crate::{
    command::{Background, finish},
    deadline::{PATIENCE, fail, wait_until},
    namespace::Namespace,
    scratch::Scratch,
    tool::require,
};

/// Debian's place of the data base's schema.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// The socket of the data base.
const DATABASE: &str = "db.sock";

/// The two daemons of Open vSwitch in a namespace, with files of their own; both end when it is dropped.
#[derive(Debug)]
pub struct OpenVswitch {
    // Before their files.
    _daemons: [Background; 2],
    directory: Scratch,
    namespace: Namespace,
}

impl OpenVswitch {
    /// Starts them, with an empty data base.
    #[track_caller]
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let directory = Scratch::new();
        let path = |file| directory.path(file).display().to_string();
        let control = |name| format!("--unixctl={}", path(name));
        let daemon = |words: &[&str]| {
            let mut command = command(namespace, &directory, &[words, &["-vsyslog:off"]].concat());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Background::start(command)
        };
        run(namespace, &directory, &["ovsdb-tool", "create", &path("conf.db"), SCHEMA]);
        let remote = format!("--remote=punix:{}", path(DATABASE));
        let server = daemon(&["ovsdb-server", &path("conf.db"), &remote, &control("db.ctl")]);
        wait_until("ovsdb-server listens", || directory.path(DATABASE).exists());
        let database = format!("unix:{}", path(DATABASE));
        run(namespace, &directory, &["ovs-vsctl", &format!("--db={database}"), "--no-wait", "init"]);
        let switch = daemon(&["ovs-vswitchd", &database, &control("switch.ctl")]);
        Self { _daemons: [switch, server], directory, namespace: namespace.clone() }
    }

    /// `ovs-vsctl <words>`, the words split at spaces; it waits until the switch has done it.
    #[track_caller]
    pub fn configure(&self, words: &str) -> String {
        let database = format!("--db=unix:{}", self.directory.path(DATABASE).display());
        let timeout = format!("--timeout={}", PATIENCE.as_secs());
        let words: Vec<_> = ["ovs-vsctl", &database, &timeout].into_iter().chain(words.split_whitespace()).collect();
        run(&self.namespace, &self.directory, &words)
    }

    /// `ovs-ofctl <words>`.
    #[track_caller]
    pub fn openflow(&self, words: &[&str]) -> String {
        let words = [&["ovs-ofctl", "--names"], words].concat();
        run(&self.namespace, &self.directory, &words)
    }
}

/// A program of Open vSwitch that finds its files in this directory. `ip netns exec` gives it the namespace's `/sys`, too.
fn command(namespace: &Namespace, directory: &Scratch, words: &[&str]) -> Command {
    let mut command = Command::new(require("ip"));
    command.args(["netns", "exec", namespace.name()]).arg(require(words[0])).args(&words[1..]);
    for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
        command.env(variable, directory.path(""));
    }
    command
}

#[track_caller]
fn run(namespace: &Namespace, directory: &Scratch, words: &[&str]) -> String {
    let finished = finish(command(namespace, directory, words), PATIENCE);
    if finished.status != Some(0) {
        fail(format_args!("{}: {finished}", words.join(" ")));
    }
    finished.stdout
}
