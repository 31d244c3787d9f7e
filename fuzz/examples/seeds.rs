//! Fills `corpus/` with seeds: each tunnel header of the test data, with a little of what is behind it.
//!
//! `cargo run --example seeds` in this folder, before the first run of a target.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The targets that read bytes, and which files they begin from.
const TARGETS: [(&str, &[&str]); 9] = [
    ("vxlan_decode", &["vxlan"]),
    ("gbp_decode", &["vxlan"]),
    ("gpe_decode", &["vxlan"]),
    ("vxlan_round_trip", &["vxlan"]),
    ("geneve_decode", &["geneve"]),
    ("geneve_round_trip", &["geneve"]),
    ("nvgre_decode", &["nvgre", "gre-"]),
    ("gre_decode", &["nvgre", "gre-"]),
    ("nvgre_round_trip", &["nvgre", "gre-"]),
];

/// Bytes of a seed: the largest Geneve header and some payload.
const LEN: usize = 280;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(here.join("../testdata"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pcap"));
    for (target, kinds) in TARGETS {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut seeds = BTreeSet::new();
        for file in files.iter().filter(|path| kinds.iter().any(|kind| name(path).contains(kind))) {
            for frame in frames(&fs::read(file)?) {
                if let Some(tunnel) = tunnel(frame) {
                    let len = tunnel.len().min(if kinds == ["geneve"] { LEN } else { 24 });
                    seeds.insert(tunnel[..len].to_vec());
                }
            }
        }
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:04}")), seed)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}

/// The packets of a classic little-endian pcap file.
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file.get(24..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let Some((frame, behind)) = behind.split_at_checked(len) else { break };
        frames.push(frame);
        rest = behind;
    }
    frames
}

/// What is behind the outer headers, if they are IPv4 or IPv6 with UDP or GRE.
fn tunnel(frame: &[u8]) -> Option<&[u8]> {
    let (protocol, at) = match frame.get(12..14)? {
        [0x08, 0x00] => (*frame.get(23)?, 14 + usize::from(frame.get(14)? & 0xf) * 4),
        [0x86, 0xdd] => (*frame.get(20)?, 54),
        _ => return None,
    };
    match protocol {
        17 => frame.get(at + 8..),
        47 => frame.get(at..),
        _ => None,
    }
}
