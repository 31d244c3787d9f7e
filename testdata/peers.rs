//! Runs tshark and scapy for the tests against them.
//!
//! A test includes it by `#[path = "../../../testdata/peers.rs"] mod peers;` and needs `proptest` and `serde_json`. On
//! Debian the packages are `tshark` and `python3-scapy`.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs, path::Path, process::Command};

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::Value;

/// Packets of each kind, each way.
const PACKETS: usize = 10_000;

/// A frame that we encode, and what tshark has to say about it, field by field.
pub(crate) struct Packet {
    pub(crate) frame: Vec<u8>,
    pub(crate) fields: Vec<String>,
}

/// Encodes a packet of each random value, and asserts that tshark, called with these arguments, reads these fields.
pub(crate) fn check_by_tshark<T: std::fmt::Debug>(
    name: &str,
    arguments: &[&str],
    fields: &[&str],
    strategy: impl Strategy<Value = T>,
    encode: impl Fn(T) -> Packet,
) {
    let mut runner = TestRunner::default();
    let packets: Vec<_> =
        (0..PACKETS).map(|_| encode(strategy.new_tree(&mut runner).expect("a value").current())).collect();
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x4_0000, 1] {
        file.extend(word.to_le_bytes());
    }
    for packet in &packets {
        let len = u32::try_from(packet.frame.len()).expect("a short frame");
        for word in [0, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&packet.frame);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
    fs::write(&path, file).expect("a file for tshark");

    let lines = tshark(&path, arguments, fields);
    assert_eq!(lines.len(), packets.len(), "{name}: lines of tshark");
    for (packet, line) in packets.iter().zip(&lines) {
        assert_eq!(line, &packet.fields, "{name} {fields:?} {}", hex(&packet.frame));
    }
}

/// These fields of each packet of the file, as tshark reads them.
fn tshark(path: &Path, arguments: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new("tshark")
        .args(["-n", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=;", "-r"])
        .arg(path)
        .args(arguments)
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output()
        .expect("tshark runs: install the Debian package tshark");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("tshark writes text");
    text.lines().map(|line| line.split('\t').map(present).collect()).collect()
}

/// The values of a field without what some versions of tshark write for an option without data, and with the flags of
/// all versions as numbers.
fn present(values: &str) -> String {
    let values = values.split(';').filter(|value| *value != "<MISSING>");
    let number = |value| match value {
        "False" => "0",
        "True" => "1",
        other => other,
    };
    values.map(number).collect::<Vec<_>>().join(";")
}

/// Asserts that `decode` reads from each packet of `kind` the values that scapy was given. `program` makes the packets,
/// one JSON object on a line for each: its bytes and the values.
pub(crate) fn check_by_scapy(program: &str, kind: &str, decode: impl Fn(&[u8], &Value)) {
    // Debian's own Python, which is the one that has Debian's scapy.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", program, kind, &PACKETS.to_string()])
        .output()
        .expect("Python runs: install the Debian package python3-scapy");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!error.contains("No module named 'scapy'"), "install the Debian package python3-scapy\n{error}");
    assert!(output.status.success(), "scapy: {error}");
    let text = String::from_utf8(output.stdout).expect("the program writes text");
    assert_eq!(text.lines().count(), PACKETS, "{kind}: packets of scapy");
    for line in text.lines() {
        let packet: Value = serde_json::from_str(line).expect("the program writes JSON");
        let hex = packet["bytes"].as_str().expect("bytes");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        decode(&bytes, &packet);
    }
}

/// Asserts that the field `key` is what we read.
#[track_caller]
pub(crate) fn equal(packet: &Value, key: &str, ours: impl Into<Value>) {
    assert_eq!(packet[key], ours.into(), "{key} of {packet}");
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
