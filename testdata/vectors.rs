//! Reads the packets of this folder, and the manifest that describes them.
//!
//! A test includes it by `#[path = "../../testdata/vectors.rs"] mod vectors;` and needs `serde_json` and `sha2`.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// One described packet.
pub(crate) struct Vector {
    /// The whole Ethernet frame as it was on the wire.
    pub(crate) frame: Vec<u8>,
    /// The bytes behind the outer UDP header (NVGRE: behind the IP header), without Ethernet padding.
    pub(crate) tunnel: Vec<u8>,
    /// Its object in the manifest.
    pub(crate) manifest: Value,
}

impl Vector {
    /// Where it is and what it is for, for the messages of failed assertions.
    pub(crate) fn name(&self) -> String {
        format!("{} {}: {}", self.text("file"), self.manifest["packet"], self.text("name"))
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap_or_else(|| panic!("{key} is text in {}", self.manifest))
    }

    /// The number at `key`, decimal or `"0x…"`.
    pub(crate) fn number(&self, key: &str) -> u64 {
        number(&self.manifest[key])
    }

    /// Asserts that these are the bytes behind the tunnel header.
    pub(crate) fn assert_inner(&self, inner: &[u8]) {
        let expected = &self.manifest["inner"];
        assert_eq!(inner.len() as u64, number(&expected["length"]), "{}", self.name());
        let digest = hex(expected["sha256"].as_str().expect("inner.sha256"));
        assert_eq!(Sha256::digest(inner)[..], digest, "{}", self.name());
    }

    /// What is expected by the RFC, and whether it is the decoder that refuses.
    ///
    /// One packet (`scapy-geneve.pcap` 390) is said to be truncated in its header while it ends in its inner frame: what
    /// counts is whether the header is whole.
    pub(crate) fn verdict(&self) -> (&str, bool) {
        let verdict = &self.manifest["verdict"];
        let rfc = verdict["rfc"].as_str().expect("verdict.rfc");
        let whole = self.number("tunnel_bytes") >= self.number("header_length");
        (rfc, verdict["stage"] == "header" && !(rfc == "truncated" && whole))
    }

    /// What Linux does: its own verdict, or that of the RFC where they agree.
    pub(crate) fn linux_verdict(&self) -> &str {
        self.manifest["verdict"]["linux"]["verdict"].as_str().unwrap_or(self.verdict().0)
    }
}

/// A number, decimal or `"0x…"`.
pub(crate) fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => {
            u64::from_str_radix(text.strip_prefix("0x").expect("0x"), 16).expect("a hexadecimal number")
        }
        other => other.as_u64().unwrap_or_else(|| panic!("{other} is a number")),
    }
}

/// Bytes from hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// All described packets of this encapsulation, in the order of the manifest.
pub(crate) fn of(encapsulation: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("testdata/manifest.json");
    let manifest: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    assert_eq!(manifest["format"], 1);
    let mut files = HashMap::new();
    let described = manifest["packets"].as_array().expect("packets").iter();
    let vectors: Vec<_> = described
        .filter(|packet| packet["encapsulation"] == encapsulation)
        .map(|packet| {
            let file = packet["file"].as_str().expect("file").to_owned();
            let frames: &mut Vec<Vec<u8>> = files.entry(file).or_insert_with_key(|file| {
                let bytes = fs::read(folder.join(file)).expect("a pcap file");
                let described = &manifest["files"][file];
                assert_eq!(Sha256::digest(&bytes)[..], hex(described["sha256"].as_str().expect("sha256")), "{file}");
                let frames = frames_of_pcap(&bytes);
                assert_eq!(frames.len() as u64, number(&described["packets"]), "{file}");
                frames
            });
            let frame = frames[usize::try_from(number(&packet["packet"])).expect("an index") - 1].clone();
            let tunnel = tunnel(&frame).to_vec();
            assert_eq!(tunnel.len() as u64, number(&packet["tunnel_bytes"]), "{packet}");
            Vector { frame, tunnel, manifest: packet.clone() }
        })
        .collect();
    assert!(!vectors.is_empty(), "packets of {encapsulation}");
    vectors
}

/// The packets of a classic little-endian pcap file.
pub(crate) fn frames_of_pcap(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(word(bytes, 0), 0xa1b2_c3d4, "a little-endian pcap file");
    assert_eq!(word(bytes, 20), 1, "link type Ethernet");
    bytes = &bytes[24..];
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let len = word(bytes, 8) as usize;
        frames.push(bytes[16..16 + len].to_vec());
        bytes = &bytes[16 + len..];
    }
    frames
}

/// What is behind the outer headers of `frame`: Ethernet, IPv4 or IPv6 (with destination options), UDP or GRE.
fn tunnel(frame: &[u8]) -> &[u8] {
    let short = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let (mut protocol, mut at, end) = match short(12) {
        0x0800 => (frame[23], 14 + usize::from(frame[14] & 0xf) * 4, 14 + short(16)),
        0x86dd => (frame[20], 54, 54 + short(18)),
        other => panic!("EtherType {other:#06x}"),
    };
    if protocol == 60 {
        (protocol, at) = (frame[at], at + 8 + usize::from(frame[at + 1]) * 8);
    }
    match protocol {
        17 => &frame[at + 8..end],
        47 => &frame[at..end],
        other => panic!("IP protocol {other}"),
    }
}
