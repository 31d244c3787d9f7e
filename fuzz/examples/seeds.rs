//! Fills `corpus/` with seeds from the test data: for the tunnels each tunnel header with a little of what is behind it,
//! for the frames around them each frame, outer and inner, from where the target begins to read.
//!
//! `cargo run --example seeds` in this folder, before the first run of a target.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What a target begins from: its part of a frame, or nothing.
type Part = fn(&[u8]) -> Option<Vec<u8>>;

/// The targets that read bytes, which files they begin from, and what of a frame.
const TARGETS: [(&str, &[&str], Part); 18] = [
    ("vxlan_decode", &["vxlan"], header),
    ("gbp_decode", &["vxlan"], header),
    ("gpe_decode", &["vxlan"], header),
    ("vxlan_round_trip", &["vxlan"], header),
    ("geneve_decode", &["geneve"], header_with_options),
    ("geneve_round_trip", &["geneve"], header_with_options),
    ("nvgre_decode", &["nvgre", "gre-"], header),
    ("gre_decode", &["nvgre", "gre-"], header),
    ("nvgre_round_trip", &["nvgre", "gre-"], header),
    ("ethernet_decode", &[""], whole),
    ("ipv4_decode", &[""], ipv4),
    ("ipv6_decode", &[""], ipv6),
    ("transport_decode", &[""], transport),
    ("neighbor_decode", &[""], neighbor),
    ("too_big_encode", &[""], with_mtu),
    ("ether_round_trip", &[""], any_header),
    ("offload_segment", &[""], with_virtio),
    ("offload_coalesce", &[""], train),
];

/// Bytes of a seed: the largest Geneve header and some payload, or an inner frame behind the outer headers.
const LEN: usize = 280;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(here.join("../testdata"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pcap"));
    for (target, kinds, part) in TARGETS {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut seeds = BTreeSet::new();
        for file in files.iter().filter(|path| kinds.iter().any(|kind| name(path).contains(kind))) {
            for frame in frames(&fs::read(file)?) {
                seeds.extend(part(frame));
                // A tunnel in a tunnel is none of the tunnel targets' business.
                if kinds == [""] {
                    seeds.extend(inner(frame).and_then(part));
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

/// The first `len` bytes, or all.
fn front(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes[..bytes.len().min(len)].to_vec()
}

fn header(frame: &[u8]) -> Option<Vec<u8>> {
    tunnel(frame).map(|tunnel| front(tunnel, 24))
}

fn header_with_options(frame: &[u8]) -> Option<Vec<u8>> {
    tunnel(frame).map(|tunnel| front(tunnel, LEN))
}

fn whole(frame: &[u8]) -> Option<Vec<u8>> {
    Some(front(frame, LEN))
}

fn with_mtu(frame: &[u8]) -> Option<Vec<u8>> {
    Some([&1450_u16.to_be_bytes()[..], &front(frame, LEN)].concat())
}

/// The whole frame behind a virtio-net header that is made to fit it, with segments of 20 bytes.
fn with_virtio(frame: &[u8]) -> Option<Vec<u8>> {
    Some([&[1, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0], frame].concat())
}

/// The whole frame, with a whole checksum, and four that go on where it ends.
fn train(frame: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(frame.len()).ok()?.to_be_bytes();
    Some([&[0x12, length[0], length[1]], frame, &[0x13, 0, 0].repeat(4)].concat())
}

/// What is behind Ethernet, if it is IPv4.
fn ipv4(frame: &[u8]) -> Option<Vec<u8>> {
    is_ip(frame, 4).then(|| front(&frame[14..], LEN))
}

/// What is behind Ethernet, if it is IPv6.
fn ipv6(frame: &[u8]) -> Option<Vec<u8>> {
    is_ip(frame, 6).then(|| front(&frame[14..], LEN))
}

/// What is behind the IP header.
fn transport(frame: &[u8]) -> Option<Vec<u8>> {
    let at = if is_ip(frame, 4) { 34 } else { 54 };
    (is_ip(frame, 4) || is_ip(frame, 6)).then(|| Some(front(frame.get(at..)?, LEN)))?
}

/// IPv6 with a message of Neighbor Discovery.
fn neighbor(frame: &[u8]) -> Option<Vec<u8>> {
    ipv6(frame).filter(|packet| packet.get(6) == Some(&58) && matches!(packet.get(40), Some(135 | 136)))
}

/// Ethernet, IP or transport header at the front, one of them for each frame.
fn any_header(frame: &[u8]) -> Option<Vec<u8>> {
    let place = frame.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 3;
    frame.get([0, 14, 34][place]..).map(|header| front(header, 48))
}

fn is_ip(frame: &[u8], version: u8) -> bool {
    let ether_type: &[u8] = if version == 4 { &[0x08, 0x00] } else { &[0x86, 0xdd] };
    frame.get(12..14) == Some(ether_type) && frame.get(14).is_some_and(|byte| byte >> 4 == version)
}

/// The frame in a tunnel of VXLAN or NVGRE, or of Geneve without options: behind eight bytes.
fn inner(frame: &[u8]) -> Option<&[u8]> {
    tunnel(frame)?.get(8..).filter(|inner| inner.len() >= 14)
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
