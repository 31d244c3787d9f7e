//! `tap-vtep` on a host.

use std::{
    fmt,
    fs::Permissions,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    process::Signal,
};
use serde_json::Value;

use crate::{
    command::{Background, Finished},
    deadline::{PATIENCE, fail, holds_within},
    namespace::Namespace,
    scratch::Scratch,
    tool::require,
};

/// The lines that a program has printed so far.
type Lines = Arc<Mutex<Vec<String>>>;

/// How a program ended, and what it said all along.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit status; none when a signal ended it.
    pub status: Option<i32>,
    /// The lines on its standard error.
    pub log: Vec<String>,
    /// The lines on its standard output.
    pub output: Vec<String>,
}

/// A running `tap-vtep run` with a control socket of its own, killed when dropped.
pub struct TapVtep {
    program: PathBuf,
    namespace: Namespace,
    process: Background,
    files: Scratch,
    log: Lines,
    output: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl fmt::Debug for TapVtep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tap-vtep {} in {:?}", self.process.id(), self.namespace)
    }
}

impl TapVtep {
    /// Starts `run` with these options and waits until it is ready.
    #[track_caller]
    #[must_use]
    pub fn run(program: &str, namespace: &Namespace, options: &[&str]) -> Self {
        Self::start(program, namespace, Scratch::new(), options).ready()
    }

    /// Starts `run` with this configuration and waits until it is ready.
    #[track_caller]
    #[must_use]
    pub fn configured(program: &str, namespace: &Namespace, configuration: &str) -> Self {
        Self::configured_with(program, namespace, configuration, [])
    }

    /// The same with more in its environment.
    #[track_caller]
    #[must_use]
    pub fn configured_with<const N: usize>(
        program: &str,
        namespace: &Namespace,
        configuration: &str,
        environment: [(&str, PathBuf); N],
    ) -> Self {
        let files = Scratch::new();
        let file = files.write(CONFIGURATION, configuration).display().to_string();
        let mut command = Command::new(program);
        command.envs(environment);
        Self::launch(command, program, namespace, files, &["--config", &file]).ready()
    }

    /// The same as the user `nobody`, who has these capabilities and no others, ambient: `["net_admin"]`.
    #[track_caller]
    #[must_use]
    pub fn configured_as_nobody(
        program: &str,
        namespace: &Namespace,
        configuration: &str,
        capabilities: &[&str],
    ) -> Self {
        let files = Scratch::new();
        let file = files.write(CONFIGURATION, configuration).display().to_string();
        // Where the user can reach it.
        let copy = files.path("tap-vtep");
        let device = files.path("tun");
        let made = std::fs::copy(program, &copy)
            .and_then(|_| chown(files.path("."), Some(NOBODY), Some(NOBODY)))
            .and_then(|()| Ok(mknodat(CWD, &device, FileType::CharacterDevice, Mode::empty(), makedev(10, 200))?))
            .and_then(|()| std::fs::set_permissions(&device, Permissions::from_mode(0o666)));
        if let Err(error) = made {
            fail(format_args!("{}: {error}", copy.display()));
        }
        let sets: Vec<_> = capabilities.iter().map(|capability| format!("+{capability}")).collect();
        let sets = ["-all".to_owned()].into_iter().chain(sets).collect::<Vec<_>>().join(",");
        // A container may have the device for root alone; udev makes it for all.
        let mut command = Command::new(require("unshare"));
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /dev/net/tun && exec \"$@\""]).arg(device);
        command.arg(require("setpriv"));
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
        command.args(["--inh-caps", "--ambient-caps", "--bounding-set"].map(|set| format!("{set}={sets}")));
        command.arg(copy);
        Self::launch(command, program, namespace, files, &["--config", &file]).ready()
    }

    #[track_caller]
    fn start(program: &str, namespace: &Namespace, files: Scratch, options: &[&str]) -> Self {
        Self::launch(Command::new(program), program, namespace, files, options)
    }

    #[track_caller]
    fn launch(mut command: Command, program: &str, namespace: &Namespace, files: Scratch, options: &[&str]) -> Self {
        command.arg("run").args(options).arg("--control").arg(files.path(CONTROL));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = namespace.start(command);
        let (log, output) = (Lines::default(), Lines::default());
        let readers = [
            process.0.stderr.take().map(|pipe| keep_lines(pipe, &log)),
            process.0.stdout.take().map(|pipe| keep_lines(pipe, &output)),
        ];
        let readers = readers.into_iter().flatten().collect();
        Self { program: program.into(), namespace: namespace.clone(), process, files, log, output, readers }
    }

    /// Waits for the line that says so, and for an answer on the control socket.
    #[track_caller]
    fn ready(mut self) -> Self {
        let mut status = None;
        let ready = holds_within(PATIENCE, || {
            status = self.process.status();
            status.is_some()
                || self.log().iter().any(|line| line.to_lowercase().contains("ready"))
                    && self.command(&["show", "segments", "--json"]).status == Some(0)
        });
        if let Some(status) = status {
            fail(format_args!("tap-vtep did not start: {status}\n{}", self.log().join("\n")));
        }
        if !ready {
            fail(format_args!("tap-vtep is not ready after {PATIENCE:?}\n{}", self.log().join("\n")));
        }
        self
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `false` when it has ended.
    #[track_caller]
    pub fn is_running(&mut self) -> bool {
        self.process.status().is_none()
    }

    /// Its control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.files.path(CONTROL)
    }

    /// Writes its configuration anew and sends SIGHUP.
    #[track_caller]
    pub fn reload(&self, configuration: &str) {
        self.files.write(CONFIGURATION, configuration);
        self.signal(Signal::HUP);
    }

    /// A command of the program that talks to this process, as `["fdb", "flush"]`.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Finished {
        let control = self.control();
        let program = self.program.display().to_string();
        let control = control.display().to_string();
        let arguments: Vec<&str> = [&*program].iter().chain(words).copied().chain(["--control", &control]).collect();
        self.namespace.run(&arguments)
    }

    /// A command that has to succeed; gives what it prints.
    #[track_caller]
    pub fn expect(&self, words: &[&str]) -> String {
        let finished = self.command(words);
        if finished.status != Some(0) {
            fail(format_args!("tap-vtep {}: {finished}", words.join(" ")));
        }
        finished.stdout
    }

    /// `show <what> --json`.
    #[track_caller]
    #[must_use]
    pub fn show(&self, what: &str) -> Value {
        let shown = self.expect(&["show", what, "--json"]);
        serde_json::from_str(&shown).unwrap_or_else(|error| fail(format_args!("show {what} --json: {error}: {shown}")))
    }

    /// A counter of the only segment: `"tx_frames"`, `"drops/unknown_vni"`, `"not_learned/table_full"`. A reason that has no
    /// row has not been met: 0.
    #[track_caller]
    #[must_use]
    pub fn counter(&self, path: &str) -> u64 {
        number(&self.show("stats")["segments"][0], path)
    }

    /// A counter of what belongs to no segment, as `"drops/unknown_vni"`.
    #[track_caller]
    #[must_use]
    pub fn outer_counter(&self, path: &str) -> u64 {
        number(&self.show("stats"), path)
    }

    /// All drops of the only segment together.
    #[track_caller]
    #[must_use]
    pub fn drops(&self) -> u64 {
        sum(&self.show("stats")["segments"][0]["drops"])
    }

    /// The row of a MAC address in the only segment's table.
    #[track_caller]
    #[must_use]
    pub fn fdb_row(&self, mac: impl fmt::Display) -> Option<Value> {
        let mac = mac.to_string();
        let rows = self.show("fdb");
        rows.as_array()?.iter().find(|row| row["mac"] == *mac).cloned()
    }

    /// Where the only segment's table says that a MAC address is.
    #[track_caller]
    #[must_use]
    pub fn remote_of(&self, mac: impl fmt::Display) -> Option<String> {
        self.fdb_row(mac)?["remote"].as_str().map(str::to_owned)
    }

    /// Resident memory of the process in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks it to end (SIGTERM) and waits for it.
    #[track_caller]
    #[must_use]
    pub fn stop(self) -> Exit {
        self.signal(Signal::TERM);
        self.wait(PATIENCE)
    }

    /// Waits for it to end by itself.
    #[track_caller]
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Exit {
        let status = self.process.wait(limit).code();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Exit { status, log: self.log(), output }
    }
}

/// The user and the group of this name on Debian.
const NOBODY: u32 = 65534;

const CONFIGURATION: &str = "vtep.toml";
const CONTROL: &str = "control.sock";

fn keep_lines(pipe: impl Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

fn number(object: &Value, path: &str) -> u64 {
    path.split('/').fold(object, |value, key| &value[key]).as_u64().unwrap_or(0)
}

fn sum(object: &Value) -> u64 {
    object.as_object().map_or(0, |rows| rows.values().filter_map(Value::as_u64).sum())
}
