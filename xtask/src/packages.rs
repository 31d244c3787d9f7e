//! What the tests need from the system, and how to get it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::step::{Failure, Outcome, quietly};

/// A command that shows that a Debian package is installed, and the package.
type Needed = [(&'static str, &'static str)];

/// What the tests call.
pub(crate) const FOR_TESTS: &Needed = &[
    ("c++", "g++"),
    ("capinfos", "wireshark-common"),
    ("cc", "gcc"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ping", "iputils-ping"),
    ("scapy", "python3-scapy"),
    ("setpriv", "util-linux"),
    ("ss", "iproute2"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("tshark", "tshark"),
    ("/usr/lib/python3/dist-packages/prometheus_client/parser.py", "python3-prometheus-client"),
];

/// What makes the Debian package calls.
pub(crate) const FOR_DEB: &Needed = &[("dpkg-shlibdeps", "dpkg-dev"), ("gzip", "gzip"), ("strip", "binutils")];

/// What looks at it calls.
pub(crate) const FOR_DEB_CHECKS: &Needed = &[("fish", "fish"), ("mandoc", "mandoc"), ("zsh", "zsh")];

/// What the measurements call.
pub(crate) const FOR_BENCHES: &Needed =
    &[("ethtool", "ethtool"), ("ip", "iproute2"), ("iperf3", "iperf3"), ("ping", "iputils-ping")];

/// What the measurements beside Open vSwitch call, too.
pub(crate) const FOR_OPEN_VSWITCH: &Needed = &[("ovs-vswitchd", "openvswitch-switch")];

/// What the measurements with many destinations call, too.
pub(crate) const FOR_DESTINATIONS: &Needed = &[("nft", "nftables")];

/// Installs the Debian packages that are missing; without root it says which command does.
pub(crate) fn debian(needed: &Needed) -> Outcome {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !is_root() {
        return Err(Failure(format!("Debian packages are missing. As root: {install}")));
    }
    for line in ["apt-get update", &install] {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        quietly(&mut command)?;
    }
    match self::missing(needed) {
        still if still.is_empty() => Ok(()),
        still => Err(Failure(format!("still missing after apt-get: {}", still.join(" ")))),
    }
}

/// Network namespaces and raw sockets need root.
pub(crate) fn root() -> Outcome {
    if is_root() {
        Ok(())
    } else {
        Err(Failure("the tests against real peers make network namespaces: run this as root".into()))
    }
}

/// Installs a subcommand of cargo that is missing.
pub(crate) fn subcommand(name: &str) -> Outcome {
    if find(name).is_some() {
        return Ok(());
    }
    quietly(&mut crate::cargo::cargo(&format!("install {name} --locked")))
}

/// Installs the nightly toolchain, which fuzzing needs, where rustup can.
pub(crate) fn nightly() -> Outcome {
    if Command::new("cargo").args(["+nightly", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    quietly(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))
}

fn missing(needed: &Needed) -> Vec<&'static str> {
    needed.iter().filter(|(tool, _)| find(tool).is_none()).map(|(_, package)| *package).collect()
}

/// Where a command is, also those that only root has in its path.
fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map(|home| Path::new(&home).join("bin"));
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(cargo)
        .map(|directory| directory.join(tool))
        .find(|file| file.is_file())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Real, effective, saved and file-system user.
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    effective == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_by_its_package() {
        assert_eq!(missing(&[("sh", "dash"), ("no-such-command", "no-such-package")]), ["no-such-package"]);
    }
}
