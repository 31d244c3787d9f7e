//! What the configuration says about the outer headers is on the wire: TTL, DSCP, ECN, don't fragment, checksum, source ports.

use std::collections::{BTreeMap, BTreeSet};

use testbed::{
    Direction, Family, FrameSender, Host, Sniffer, TapVtep, UdpFrame, Underlay, guest_mac, internet_checksum, mark,
    vxlan, wait_until,
};

use crate::bed::{Cable, HandPeer, PORT, TAP, VNI, start, stranger};

const ETHERNET_LEN: usize = 14;

fn inner() -> UdpFrame {
    UdpFrame { destination: guest_mac(2), source: stranger(1), traffic_class: 0, ttl: 33, source_port: 1000 }
}

/// The outer IP packets that our endpoint sends for these frames from its TAP.
fn outer(family: Family, lines: &str, frames: &[UdpFrame]) -> Vec<Vec<u8>> {
    let underlay = Underlay::new(2);
    Cable::Wire.lay(&underlay);
    let peer = HandPeer::new(&underlay, 1, family);
    let lines = format!("flood = [\"{}\"]\n{lines}", peer.address());
    let _vtep = start(&underlay, family, &lines);
    let port_at = ETHERNET_LEN + ip_header_len(family) + 2;
    let wire = Sniffer::new(&underlay.host(0).namespace, Host::DEVICE, Direction::Outgoing, move |frame| {
        frame.get(port_at..port_at + 2) == Some(&PORT.to_be_bytes())
    });
    FrameSender::new(&underlay.host(0).namespace, TAP).send_all(frames.iter().map(UdpFrame::bytes));
    wire.expect(frames.len() as u64);
    // Flows may overtake each other.
    let mut received: Vec<_> = frames.iter().map(|_| peer.receive()).collect();
    let mut expected: Vec<_> = frames.iter().map(|frame| vxlan(VNI, &frame.bytes())).collect();
    received.sort_unstable();
    expected.sort_unstable();
    assert_eq!(received, expected, "the inner frames go unchanged");
    wire.frames().iter().map(|frame| frame[ETHERNET_LEN..].to_vec()).collect()
}

fn ip_header_len(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

fn traffic_class(family: Family, packet: &[u8]) -> u8 {
    match family {
        Family::V4 => packet[1],
        Family::V6 => packet[0] << 4 | packet[1] >> 4,
    }
}

fn ttl(family: Family, packet: &[u8]) -> u8 {
    packet[if family == Family::V4 { 8 } else { 7 }]
}

#[test]
fn the_ttl_is_a_number_or_the_inner_one() {
    for family in Family::ALL {
        for (word, expected) in [("64", 64), ("9", 9), ("255", 255), ("\"inherit\"", 33)] {
            let packets = outer(family, &format!("ttl = {word}"), &[inner()]);
            assert_eq!(ttl(family, &packets[0]), expected, "{family:?}, ttl = {word}");
        }
    }
}

#[test]
fn the_dscp_is_a_number_or_the_inner_one() {
    for family in Family::ALL {
        for (word, expected) in [("46", 46), ("0", 0), ("\"inherit\"", 10)] {
            let frame = UdpFrame { traffic_class: 10 << 2, ..inner() };
            let packets = outer(family, &format!("dscp = {word}"), &[frame]);
            assert_eq!(traffic_class(family, &packets[0]), expected << 2, "{family:?}, dscp = {word}");
        }
    }
}

/// RFC 6040 §4.1: normal mode copies the field, compatibility mode sends Not-ECT.
#[test]
fn the_inner_ecn_is_copied_or_left_out() {
    let frames = [0, 1, 2, 3].map(|ecn| UdpFrame { traffic_class: ecn, ..inner() });
    for family in Family::ALL {
        for (mode, expected) in [("normal", [0, 1, 2, 3]), ("compatibility", [0; 4])] {
            let packets = outer(family, &format!("ecn = \"{mode}\"\ndscp = 0"), &frames);
            let fields: Vec<_> = packets.iter().map(|packet| traffic_class(family, packet) & 3).collect();
            assert_eq!(fields, expected, "{family:?}, {mode}");
        }
    }
}

#[test]
fn fragmenting_is_forbidden_as_configured() {
    for (word, expected) in [("true", 0x40), ("false", 0x00)] {
        let packets = outer(Family::V4, &format!("df = {word}"), &[inner()]);
        assert_eq!(packets[0][6], expected, "df = {word}");
    }
}

#[test]
fn the_outer_checksum_is_sent_as_configured() {
    for (word, is_zero) in [("true", false), ("false", true)] {
        let packets = outer(Family::V4, &format!("udp_checksum = {word}"), &[inner()]);
        assert_eq!(packets[0][26..28] == [0, 0], is_zero, "udp_checksum = {word}");
    }
    let packets = outer(Family::V6, "", &[inner()]);
    assert_ne!(packets[0][46..48], [0, 0]);
}

#[test]
fn source_ports_are_of_the_range_and_stay_with_their_flow() {
    for family in Family::ALL {
        for (lines, range) in [("", 49152..=65535), ("source_ports = [50000, 50009]", 50000..=50009)] {
            let flows: Vec<_> = (0..64).map(|flow| UdpFrame { source_port: 1000 + flow, ..inner() }).collect();
            let twice = [&flows[..], &flows].concat();
            let at = ip_header_len(family);
            // By the inner source port, 8 bytes of VXLAN, 14 of Ethernet and 20 of IPv4 behind the outer UDP header.
            let inner_at = at + 8 + 8 + 14 + 20;
            let mut ports: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
            for packet in outer(family, lines, &twice) {
                let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
                ports.entry(port(inner_at)).or_default().insert(port(at));
            }
            assert_eq!(ports.len(), 64);
            assert!(ports.values().all(|ports| ports.len() == 1), "a flow changes its port: {ports:?}");
            let all: BTreeSet<u16> = ports.into_values().flatten().collect();
            assert!(all.iter().all(|port| range.contains(port)), "{all:?}");
            assert!(all.len() > 4, "{all:?}");
        }
    }
}

/// Our endpoint, a peer that marks its datagrams, and what arrives.
struct Arrival {
    peer: HandPeer,
    vtep: TapVtep,
    delivered: Sniffer,
    _underlay: Underlay,
}

impl Arrival {
    fn new() -> Self {
        let underlay = Underlay::new(2);
        let peer = HandPeer::new(&underlay, 1, Family::V4);
        let vtep = start(&underlay, Family::V4, &format!("flood = [\"{}\"]", peer.address()));
        let delivered = Sniffer::new(&underlay.host(0).namespace, TAP, Direction::Incoming, |_| true);
        Self { peer, vtep, delivered, _underlay: underlay }
    }
}

/// RFC 6040 §4.2, figure 4, all sixteen pairs: what comes out, or a drop.
#[test]
fn congestion_on_the_way_reaches_the_inner_packet() {
    const NOT_ECT: u8 = 0;
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    // By the inner field: what the outer fields 0 to 3 make of it.
    let table = [
        (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
        (ECT_0, [Some(ECT_0), Some(ECT_1), Some(ECT_0), Some(CE)]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (CE, [Some(CE); 4]),
    ];
    let Arrival { peer, vtep, delivered, .. } = &Arrival::new();
    let mut expected = Vec::new();
    for (inner_ecn, row) in table {
        for (outer_ecn, result) in (0..).zip(row) {
            mark(peer.socket(), outer_ecn);
            let frame = UdpFrame { source: guest_mac(2), traffic_class: 0x28 | inner_ecn, ..inner() };
            let drops = vtep.counter("drops/ecn");
            peer.send(&frame.bytes());
            match result {
                Some(ecn) => {
                    expected.push(0x28 | ecn);
                    wait_until("it is delivered", || delivered.count() == expected.len() as u64);
                }
                None => wait_until("it is dropped", || vtep.counter("drops/ecn") == drops + 1),
            }
        }
    }
    let frames = delivered.frames();
    let classes: Vec<_> = frames.iter().map(|frame| frame[UdpFrame::TRAFFIC_CLASS]).collect();
    assert_eq!(classes, expected);
    assert!(frames.iter().all(|frame| internet_checksum(&frame[14..34]) == 0), "an inner checksum is wrong");
    assert_eq!(vtep.drops(), 1);
}
