//! A VTEP of the demonstration: this program again, as a process of its own on one of the hosts.
#![allow(unsafe_code)] // What a child does between `fork` and `exec` is set by an unsafe function.

use std::{
    fs::{self, File},
    io,
    os::unix::{net::UnixDatagram, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use vtep::Encapsulation;

use super::{DemoError, Doing as _, TAP, VNI, hosts::Host, interrupt};

/// This very program, whatever has become of its file.
const PROGRAM: &str = "/proc/self/exe";
/// How long a VTEP may take to be ready, and how long to end.
const LIMIT: Duration = Duration::from_secs(10);

/// A running VTEP. It ends when this value is dropped, and when this process ends in whatever way.
pub(super) struct Endpoint {
    host: char,
    child: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Endpoint {
    /// Starts the VTEP of `host`, with one tunnel to the one of `remote`, and waits until it says that it is ready.
    pub(super) fn start(
        [host, remote]: [&Host; 2],
        encapsulation: Encapsulation,
        directory: &Path,
    ) -> Result<Self, DemoError> {
        let file = |extension: &str| directory.join(host.name.to_string()).with_extension(extension);
        let (control, log, notify) = (file("control"), file("log"), file("notify"));
        let ready = UnixDatagram::bind(&notify).doing("make a socket for the message that a VTEP is ready")?;
        ready.set_read_timeout(Some(interrupt::PATIENCE)).doing("wait for a VTEP")?;
        host.enter()?;
        let mut command = program();
        command
            .args(["run", "--vni", &VNI.to_string(), "--tap", TAP, "--encapsulation", encapsulation.as_str()])
            .args(["--local", &host.underlay.to_string(), "--remote", &remote.underlay.to_string()])
            .args(host.overlay_networks().flat_map(|network| ["--address".to_owned(), network]))
            .arg("--control")
            .arg(&control)
            .env("NOTIFY_SOCKET", &notify)
            .stdout(Stdio::null())
            .stderr(File::create(&log).doing("make a file for the messages of a VTEP")?);
        let child = command.spawn().doing("start a VTEP")?;
        let mut endpoint = Self { host: host.name, child, control, log };
        endpoint.wait_until_ready(&ready)?;
        Ok(endpoint)
    }

    fn wait_until_ready(&mut self, ready: &UnixDatagram) -> Result<(), DemoError> {
        let mut buffer = [0; 4096];
        let answer = interrupt::wait(LIMIT, || {
            if self.child.try_wait().doing("wait for a VTEP")?.is_some() {
                return Err(self.failed("ended before it was ready"));
            }
            match ready.recv(&mut buffer) {
                Ok(length) => {
                    Ok(buffer[..length].split(|byte| *byte == b'\n').find(|line| *line == b"READY=1").map(drop))
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(None)
                }
                Err(error) => Err(error).doing("wait for a VTEP"),
            }
        });
        answer?.ok_or_else(|| self.failed("was not ready in time"))
    }

    /// What `tap-vtep show <what> --json` says of this VTEP.
    pub(super) fn show(&self, what: &str) -> Result<Value, DemoError> {
        interrupt::check()?;
        let mut command = program();
        let output = command.args(["show", what, "--json", "--control"]).arg(&self.control).output();
        let Output { status, stdout, stderr } = output.doing("ask a VTEP for its tables")?;
        if !status.success() {
            return Err(DemoError::Endpoint { host: self.host, what: "does not answer", last: last_line(&stderr) });
        }
        serde_json::from_slice(&stdout).map_err(io::Error::from).doing("read the answer of a VTEP")
    }

    /// Ends the VTEP and waits until it is gone.
    pub(super) fn stop(mut self) -> Result<(), DemoError> {
        match self.terminate() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed("did not end as it should")),
            Err(error) => Err(error).doing("end a VTEP"),
        }
    }

    /// Asks it to end and, after a while, makes it; `true` if it ended by itself and in good order.
    fn terminate(&mut self) -> io::Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status.success());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let start = std::time::Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(interrupt::PATIENCE / 10);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(false)
    }

    fn failed(&self, what: &'static str) -> DemoError {
        DemoError::Endpoint { host: self.host, what, last: last_line(&fs::read(&self.log).unwrap_or_default()) }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.terminate();
    }
}

/// This program as a child that dies with its parent and that the terminal's Ctrl-C does not reach.
fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg0("tap-vtep")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .process_group(0);
    let parent = getpid();
    let die_with_the_parent = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before that.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, which is allowed between `fork` and `exec`.
    unsafe { command.pre_exec(die_with_the_parent) };
    command
}

/// The last line of what a child wrote, without the program's name before it.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.trim_start_matches("tap-vtep: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_why() {
        assert_eq!(last_line(b"one\ntap-vtep: two\n\n"), "two");
        assert_eq!(last_line(b""), "it said nothing");
    }
}
