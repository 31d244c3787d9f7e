//! Network namespaces.

use std::{
    fmt, fs,
    fs::File,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Arc, Once},
    thread,
    time::Duration,
};

use rustix::{
    net::netdevice,
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde_json::Value;

use crate::{
    command::{Background, Finished, finish, run},
    deadline::{PATIENCE, fail},
    scratch::{PREFIX, Scratch, is_stale, unique},
    tool::{require, require_root},
};

/// Where iproute2 keeps the names of namespaces.
const DIRECTORY: &str = "/run/netns";

/// A network namespace with a name of its own, removed when the last clone is dropped.
///
/// IPv6 is off on every device that appears in it until [`Namespace::enable_ipv6`]: what the kernel says by itself (router
/// solicitations, group reports) would disturb exact counts.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: String,
    file: File,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Namespace {
    /// Makes `tv<pid>-<n>-<label>`, with its loopback up.
    #[track_caller]
    #[must_use]
    pub fn new(label: &str) -> Self {
        static CLEANED: Once = Once::new();
        CLEANED.call_once(|| {
            require_root();
            remove_stale();
            Scratch::remove_stale();
        });
        let name = format!("{PREFIX}{}-{}-{label}", process::id(), unique());
        expect_success(&["ip", "netns", "add", &name]);
        let file = match File::open(Path::new(DIRECTORY).join(&name)) {
            Ok(file) => file,
            Err(error) => fail(format_args!("namespace {name}: {error}")),
        };
        let namespace = Self(Arc::new(Inner { name, file }));
        for conf in ["all", "default"] {
            namespace.set_sysctl(&format!("net/ipv6/conf/{conf}/disable_ipv6"), "1");
            // An address serves as soon as it is there.
            namespace.set_sysctl(&format!("net/ipv6/conf/{conf}/accept_dad"), "0");
            namespace.set_sysctl(&format!("net/ipv6/conf/{conf}/accept_ra"), "0");
        }
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(self.name())
    }

    /// Runs `f` on a thread inside: sockets that it opens and processes that it starts belong to the namespace for good.
    #[track_caller]
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let inside = thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(self.0.file.as_fd(), Some(LinkNameSpaceType::Network))
                        .unwrap_or_else(|error| fail(format_args!("namespace {}: {error}", self.name())));
                    f()
                })
                .join()
        });
        inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a command inside to its end, whatever its status; [`PATIENCE`] at most.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_within(PATIENCE, arguments)
    }

    /// Runs a command inside, which ends within `limit`.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, arguments: &[&str]) -> Finished {
        let mut command = Command::new(require(arguments[0]));
        command.args(&arguments[1..]);
        self.enter(|| finish(command, limit))
    }

    /// Starts a process inside that runs beside the test.
    #[track_caller]
    pub fn start(&self, command: Command) -> Background {
        self.enter(|| Background::start(command))
    }

    /// `ip -n <namespace> <arguments>`, split at spaces; gives what it prints.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        self.iproute2("ip", arguments)
    }

    /// `bridge -n <namespace> <arguments>`, split at spaces; gives what it prints.
    #[track_caller]
    pub fn bridge(&self, arguments: &str) -> String {
        self.iproute2("bridge", arguments)
    }

    #[track_caller]
    fn iproute2(&self, tool: &str, arguments: &str) -> String {
        let words: Vec<&str> = [tool, "-n", self.name()].into_iter().chain(arguments.split_whitespace()).collect();
        expect_success(&words).stdout
    }

    /// Sets `/proc/sys/<key>`, the key with slashes.
    #[track_caller]
    pub fn set_sysctl(&self, key: &str, value: &str) {
        if let Err(error) = self.enter(|| fs::write(Path::new("/proc/sys").join(key), value)) {
            fail(format_args!("sysctl {key} = {value}: {error}"));
        }
    }

    /// Turns IPv6 on for a device.
    #[track_caller]
    pub fn enable_ipv6(&self, device: &str) {
        self.set_sysctl(&format!("net/ipv6/conf/{device}/disable_ipv6"), "0");
    }

    /// Puts an address on a device, with IPv6 turned on where it needs it.
    #[track_caller]
    pub fn add_address(&self, device: &str, address: IpAddr, prefix_len: u8) {
        let mut flags = "";
        if address.is_ipv6() {
            self.enable_ipv6(device);
            // Else it is of use only when the kernel comes to it, a moment later.
            flags = "nodad";
        }
        self.ip(&format!("addr add {address}/{prefix_len} dev {device} {flags}"));
    }

    /// `true` when the device is there.
    #[must_use]
    pub fn has_device(&self, device: &str) -> bool {
        self.device_index(device).is_some()
    }

    /// The number of a device.
    #[must_use]
    pub fn device_index(&self, device: &str) -> Option<u32> {
        self.enter(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
            netdevice::name_to_index(&socket, device).ok()
        })
    }

    /// What `ip -s -d -j addr show` says of a device, or null when it is not there.
    #[must_use]
    pub fn device(&self, device: &str) -> Value {
        let shown = run(&["ip", "-n", self.name(), "-s", "-d", "-j", "addr", "show", "dev", device]).stdout;
        let mut devices: Value = serde_json::from_str(&shown).unwrap_or_default();
        devices.get_mut(0).map(Value::take).unwrap_or_default()
    }

    /// A counter of a device as `ip -s -j link` has it: `"tx"` and `"packets"`, `"rx"` and `"dropped"` …
    #[track_caller]
    #[must_use]
    pub fn statistic(&self, device: &str, direction: &str, counter: &str) -> u64 {
        match self.device(device)["stats64"][direction][counter].as_u64() {
            Some(value) => value,
            None => fail(format_args!("{self:?} has no {direction} {counter} for {device}")),
        }
    }

    /// Sets offloads of a device as `ethtool -K` takes them: `"tx off tso off"`.
    #[track_caller]
    pub fn set_offloads(&self, device: &str, offloads: &str) {
        let words: Vec<&str> = ["ethtool", "-K", device].into_iter().chain(offloads.split_whitespace()).collect();
        let finished = self.run(&words);
        if finished.status != Some(0) {
            fail(format_args!("{}: {}", words.join(" "), finished.stderr.trim()));
        }
    }

    /// A counter of the protocols inside, as `/proc/net/snmp` and `/proc/net/snmp6` have it: `"TcpInCsumErrors"`,
    /// `"Udp6RcvbufErrors"`.
    #[track_caller]
    #[must_use]
    pub fn protocol_counter(&self, name: &str) -> u64 {
        let read = |file: &str| fs::read_to_string(Path::new("/proc/thread-self/net").join(file)).unwrap_or_default();
        let (both, ipv6) = self.enter(|| (read("snmp"), read("snmp6")));
        match protocol_counter(name, &both, &ipv6) {
            Some(value) => value,
            None => fail(format_args!("{self:?} has no counter {name}")),
        }
    }

    /// A UDP socket inside.
    #[track_caller]
    #[must_use]
    pub fn udp_socket(&self, local: impl Into<SocketAddr>) -> UdpSocket {
        let local = local.into();
        let socket = self.enter(|| UdpSocket::bind(local));
        match socket.and_then(|socket| socket.set_read_timeout(Some(PATIENCE)).map(|()| socket)) {
            Ok(socket) => socket,
            Err(error) => fail(format_args!("UDP socket at {local} in {self:?}: {error}")),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// `snmp` has a line of names and one of values for each protocol, `snmp6` a name and a value in each line.
fn protocol_counter(name: &str, snmp: &str, snmp6: &str) -> Option<u64> {
    let row = snmp6.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    let lines: Vec<_> = snmp.lines().collect();
    let column = || {
        lines.chunks_exact(2).find_map(|pair| {
            let (protocol, names) = pair[0].split_once(": ")?;
            let counter = name.strip_prefix(protocol)?;
            let at = names.split(' ').position(|name| name == counter)?;
            pair[1].split(' ').nth(at + 1)?.parse().ok()
        })
    };
    row.or_else(column)
}

#[track_caller]
fn expect_success(arguments: &[&str]) -> Finished {
    let finished = run(arguments);
    if finished.status != Some(0) {
        fail(format_args!("{}: {}", arguments.join(" "), finished.stderr.trim()));
    }
    finished
}

/// Kills what runs in a namespace and removes it. Never panics: it also runs while a panic unwinds.
fn remove(name: &str) {
    let Ok(shown) = Command::new("ip").args(["netns", "pids", name]).output() else { return };
    for pid in String::from_utf8_lossy(&shown.stdout).lines().filter_map(|line| line.trim().parse().ok()) {
        if pid != process::id().cast_signed()
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

/// Removes the namespaces of processes that are gone.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_stale(&name) {
            remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_protocols_are_read() {
        let snmp = "Tcp: InSegs InCsumErrors\nTcp: 7 1\nUdp: InDatagrams InCsumErrors\nUdp: 8 2\n";
        let snmp6 = "Udp6InDatagrams                 \t9\nUdp6InCsumErrors                 \t3\n";
        let counter = |name| protocol_counter(name, snmp, snmp6);
        assert_eq!(counter("TcpInCsumErrors"), Some(1));
        assert_eq!(counter("UdpInCsumErrors"), Some(2));
        assert_eq!(counter("Udp6InCsumErrors"), Some(3));
        assert_eq!(counter("UdpNothing"), None);
    }
}
