//! System calls of a running process that fail on purpose.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use rustix::process::Signal;

use crate::{
    command::Background,
    deadline::{PATIENCE, fail, holds_within},
    scratch::Scratch,
    tool::require,
};

/// `strace` on threads of a process, changing what a system call answers; let go when dropped.
#[derive(Debug)]
pub struct Fault {
    strace: Background,
    files: Scratch,
}

impl Fault {
    /// From now on `call` fails as strace's `inject` says: `"error=ENOBUFS:when=1..10"`, `"retval=1:when=3"`.
    #[track_caller]
    #[must_use]
    pub fn inject(process: u32, call: &str, how: &str) -> Self {
        Self::attach(&["-f", "-p", &process.to_string()], call, how)
    }

    /// The same for one thread of a process, by its name: others may make the same call for something else.
    #[track_caller]
    #[must_use]
    pub fn inject_thread(process: u32, thread: &str, call: &str, how: &str) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let is_it = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == thread);
        let found = threads.map(|entry| entry.path()).find(is_it);
        match found.as_deref().and_then(Path::file_name).and_then(OsStr::to_str) {
            Some(id) => Self::attach(&["-p", id], call, how),
            None => fail(format_args!("process {process} has no thread {thread}")),
        }
    }

    #[track_caller]
    fn attach(whom: &[&str], call: &str, how: &str) -> Self {
        let files = Scratch::new();
        let mut command = Command::new(require("strace"));
        command.args(whom).arg("-o").arg(files.path(TRACE));
        command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{how}")]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut strace = Background::start(command);
        let Some(stderr) = strace.0.stderr.take() else { fail("strace has no standard error") };
        let attached = thread::spawn(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.next().unwrap_or_default()
        });
        if !holds_within(PATIENCE, || attached.is_finished()) {
            fail(format_args!("strace does not attach: {}", whom.join(" ")));
        }
        let said = attached.join().unwrap_or_default();
        if !said.contains("attached") {
            fail(format_args!("strace: {said}"));
        }
        Self { strace, files }
    }

    /// Lets the process go; says how many calls got the made answer.
    #[track_caller]
    #[must_use]
    pub fn end(mut self) -> usize {
        self.strace.signal(Signal::INT);
        self.strace.wait(PATIENCE);
        let trace = fs::read_to_string(self.files.path(TRACE)).unwrap_or_default();
        trace.lines().filter(|line| line.contains("(INJECTED)")).count()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // Killed, it would leave its tracee stopped.
        self.strace.signal(Signal::INT);
        let _ = holds_within(PATIENCE, || self.strace.0.try_wait().is_ok_and(|status| status.is_some()));
    }
}

const TRACE: &str = "trace";
