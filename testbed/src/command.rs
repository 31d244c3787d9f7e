//! Commands of the system, bounded in time.

use std::{
    fmt,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    deadline::{PATIENCE, fail, holds_within},
    tool::require,
};

/// What a command left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit status; none when a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "status {status}")?,
            None => write!(f, "ended by a signal")?,
        }
        write!(f, "\n--- standard output\n{}--- standard error\n{}", self.stdout, self.stderr)
    }
}

/// Runs a command in the namespace of the calling thread to its end; [`PATIENCE`] at most.
#[track_caller]
pub fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(require(arguments[0]));
    command.args(&arguments[1..]);
    finish(command, PATIENCE)
}

/// Runs `command` to its end, which comes within `limit`.
#[track_caller]
pub(crate) fn finish(mut command: Command, limit: Duration) -> Finished {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Background::start(command);
    let stdout = drain(child.0.stdout.take());
    let stderr = drain(child.0.stderr.take());
    let status = child.wait(limit);
    Finished {
        status: status.code(),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A process that runs beside the test, and is killed when dropped.
#[derive(Debug)]
pub struct Background(pub(crate) Child);

impl Background {
    /// Starts it in the namespace of the calling thread.
    #[track_caller]
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        match command.spawn() {
            Ok(child) => Self(child),
            Err(error) => fail(format_args!("{}: {error}", command.get_program().display())),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // A process that has ended has nothing to be told.
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// How it ended, if it did.
    #[track_caller]
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap_or_else(|error| fail(error))
    }

    /// Waits for its end, which comes within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        if !holds_within(limit, || {
            status = self.0.try_wait().ok().flatten();
            status.is_some()
        }) {
            fail(format_args!("still running after {limit:?}: process {}", self.id()));
        }
        status.unwrap_or_else(|| fail("no status"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_are_kept() {
        let finished = run(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!((finished.status, &*finished.stdout, &*finished.stderr), (Some(3), "out\n", "err\n"));
    }

    #[test]
    #[should_panic(expected = "still running after 50ms")]
    fn a_command_that_hangs_is_killed() {
        let mut command = Command::new("sleep");
        command.arg("60");
        finish(command, Duration::from_millis(50));
    }
}
