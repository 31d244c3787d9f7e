//! The tools of the system that a test calls, and the package that each comes from.

use std::{env, path::PathBuf};

use crate::deadline::fail;

/// Tool and Debian package.
const PACKAGES: &[(&str, &str)] = &[
    ("bridge", "iproute2"),
    ("capinfos", "wireshark-common"),
    ("cc", "gcc"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("nft", "nftables"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ping", "iputils-ping"),
    ("setpriv", "util-linux"),
    ("ss", "iproute2"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("tshark", "tshark"),
    ("unshare", "util-linux"),
];

/// Where `tool` is.
///
/// # Panics
///
/// With the Debian package that has it, when it is not installed.
#[track_caller]
#[must_use]
pub fn require(tool: &str) -> PathBuf {
    if tool.contains('/') {
        return PathBuf::from(tool);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(tool))
        .find(|file| file.is_file());
    match found {
        Some(file) => file,
        None => fail(missing(tool)),
    }
}

fn missing(tool: &str) -> String {
    match PACKAGES.iter().find(|(name, _)| *name == tool) {
        Some((_, package)) => format!("`{tool}` is missing: apt-get install {package}"),
        None => format!("`{tool}` is missing"),
    }
}

/// # Panics
///
/// When this process does not run as root, which namespaces and raw sockets need.
#[track_caller]
pub fn require_root() {
    if !rustix::process::geteuid().is_root() {
        fail("tests with real peers make network namespaces: run them as root");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        assert_eq!(missing("strace"), "`strace` is missing: apt-get install strace");
        assert_eq!(missing("ping"), "`ping` is missing: apt-get install iputils-ping");
        assert_eq!(missing("frobnicate"), "`frobnicate` is missing");
    }

    #[test]
    #[should_panic(expected = "`no-such-tool` is missing")]
    fn a_missing_tool_fails_the_test() {
        let _ = require("no-such-tool");
    }
}
