//! What tshark says of all that is on the wire.

use std::time::Duration;

use testbed::{Direction, Encapsulation, Family, Host, Namespace, Scratch, Sniffer};

use super::{VNI, traffic::DATAGRAM_PORT};
use crate::checksums::{CHECKING, IS_TCP_ZERO, TCP_ZERO, capture};

/// All that passes the device of a host, from now on.
pub(super) struct Wire {
    outgoing: Sniffer,
    incoming: Sniffer,
}

/// Fields that are no number of a checksum's status come first.
const CHECKSUMS: [&str; 5] = [
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
];

/// tshark's number for errors, as malformed packets are.
const ERROR: &str = "8388608";

impl Wire {
    pub(super) fn new(host: &Host) -> Self {
        let [outgoing, incoming] = [Direction::Outgoing, Direction::Incoming]
            .map(|direction| Sniffer::new(&host.namespace, Host::DEVICE, direction, |_| true));
        Self { outgoing, incoming }
    }

    /// Frames of the tunnel that have gone out.
    pub(super) fn sent(&self, encapsulation: Encapsulation, outer: Family) -> u64 {
        let frames = self.outgoing.frames();
        frames.iter().filter(|frame| is_tunnel_frame(frame, encapsulation, outer)).count() as u64
    }

    /// There were frames in this encapsulation with the right key both ways, and nothing else but what hosts say to find
    /// each other; nothing was malformed, and no checksum wrong.
    #[track_caller]
    pub(super) fn expect_only(self, encapsulation: Encapsulation, outer: Family, context: &str) {
        let frames = [self.outgoing.frames(), self.incoming.frames()];
        drop(self);
        for frames in frames {
            let expected = frames.iter().filter(|frame| is_tunnel_frame(frame, encapsulation, outer)).count();
            let known = tunnel_frames(&frames, encapsulation, outer, context);
            assert_eq!(known, expected, "frames that tshark knows, and those of the tunnel: {context}");
            assert!(known > 1000, "{known} frames: {context}");
        }
    }
}

/// By the protocol, and by the port where there is one.
fn is_tunnel_frame(frame: &[u8], encapsulation: Encapsulation, outer: Family) -> bool {
    let (protocol, payload) = match outer {
        Family::V4 => (14 + 9, 14 + 20),
        Family::V6 => (14 + 6, 14 + 40),
    };
    let port = match encapsulation {
        Encapsulation::Vxlan => 4789_u16,
        Encapsulation::Geneve => 6081,
        Encapsulation::Nvgre => return frame.get(protocol) == Some(&47),
    };
    frame.get(protocol) == Some(&17) && frame.get(payload + 2..payload + 4) == Some(&port.to_be_bytes())
}

#[track_caller]
fn tunnel_frames(frames: &[Vec<u8>], encapsulation: Encapsulation, outer: Family, context: &str) -> usize {
    let ip = if outer == Family::V4 { "ip" } else { "ipv6" };
    let (protocols, field, key) = match encapsulation {
        Encapsulation::Vxlan => ("udp:vxlan", "vxlan.vni", VNI),
        Encapsulation::Geneve => ("udp:geneve", "geneve.vni", VNI),
        Encapsulation::Nvgre => ("gre", "gre.key", VNI << 8),
    };
    let begin = format!("eth:ethertype:{ip}:{protocols}:eth:ethertype:");
    let mut count = 0;
    for line in dissect(frames, field).lines() {
        let context = || format!("{line}: {context}");
        let columns: Vec<_> = line.split('\t').collect();
        let [shown, found, severities, checksums @ .., _, _] = &columns[..] else { panic!("{}", context()) };
        assert!(!severities.split(',').any(|severity| severity == ERROR), "an error: {}", context());
        let is_wrong = |status: &str| status == "0" || status == "Bad";
        for (field, column) in CHECKSUMS.iter().zip(checksums) {
            let is_zero = *field == "tcp.checksum.status" && line.ends_with(IS_TCP_ZERO);
            assert!(is_zero || !column.split(',').any(is_wrong), "a checksum: {}", context());
        }
        if shown.starts_with(&begin) {
            count += 1;
            let found = number(found).unwrap_or_else(|| panic!("no key: {}", context()));
            // The FlowID is free.
            let found = if encapsulation == Encapsulation::Nvgre { found & !0xff } else { found };
            assert_eq!(found, key, "{}", context());
        } else {
            let is_neighbors_talk = *shown == "eth:ethertype:arp" || shown.ends_with(":icmpv6");
            assert!(is_neighbors_talk, "what is this? {}", context());
        }
    }
    count
}

fn number(shown: &str) -> Option<u32> {
    match shown.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => shown.parse().ok(),
    }
}

/// A line for each frame: its protocols, its key, errors, checksums.
fn dissect(frames: &[Vec<u8>], key: &str) -> String {
    let files = Scratch::new();
    let file = capture(&files, "wire.pcap", frames).display().to_string();
    let mut words = vec!["tshark", "-n", "-r", &file, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"];
    // In what guests carry no dissector shall find anything.
    let datagrams = format!("udp.port=={DATAGRAM_PORT},data");
    words.extend(["-d", "tcp.port==1-65535,data", "-d", &datagrams]);
    words.extend(CHECKING);
    for field in ["frame.protocols", key, "_ws.expert.severity"].iter().chain(&CHECKSUMS).chain(&TCP_ZERO) {
        words.extend(["-e", field]);
    }
    let finished = Namespace::new("tshark").run_within(Duration::from_secs(120), &words);
    assert_eq!(finished.status, Some(0), "{}", finished.stderr);
    finished.stdout
}
