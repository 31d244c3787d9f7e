//! What the configuration says about the outer headers is on the wire: TTL, DSCP, don't fragment, checksum, source ports.

use std::collections::{BTreeMap, BTreeSet};

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, FrameSender, Host, Namespace, Sniffer, TapVtep, Transport, TransportFrame, UdpFrame, Underlay,
    guest_mac, vxlan,
};

use crate::{
    bed::{
        Cable, Counts, HandPeer, PORT, PROGRAM, TAP, VNI, add_guest_addresses, flood_to_all, guest_address, start,
        stranger, with_super_frames,
    },
    socket_options::{cut_sends, mark, set_hops},
    tunnel::{Tunnel, traffic_class, ttl},
};

const ETHERNET_LEN: usize = 14;
/// What inner IP packets say.
const INNER_TTL: u8 = 33;
const INNER_DSCP: u8 = 10;

/// What a segment says of TTL and DSCP, and what that makes of an IP packet and of any other frame.
struct Rule {
    lines: &'static str,
    /// TTL and DSCP.
    ip: (u8, u8),
    other: (u8, u8),
}

const RULES: [Rule; 5] = [
    Rule { lines: "", ip: (64, INNER_DSCP), other: (64, 0) },
    Rule { lines: "ttl = 9\ndscp = 46", ip: (9, 46), other: (9, 46) },
    Rule { lines: "ttl = 255\ndscp = 0", ip: (255, 0), other: (255, 0) },
    Rule { lines: "ttl = \"inherit\"\ndscp = \"inherit\"", ip: (INNER_TTL, INNER_DSCP), other: (64, 0) },
    Rule { lines: "ttl = \"inherit\"\ndscp = 63", ip: (INNER_TTL, 63), other: (64, 63) },
];

/// The frame with these VLAN tags, each an `EtherType` and a VLAN.
fn tagged(frame: &[u8], tags: &[[u16; 2]]) -> Vec<u8> {
    let tags: Vec<u8> = tags.iter().flatten().flat_map(|word| word.to_be_bytes()).collect();
    [&frame[..12], &tags, &frame[12..]].concat()
}

/// A question for an address, as RFC 826 has it.
fn arp_request() -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    let sender = guest_mac(1).octets();
    let arp = [&fixed[..], &sender, &[10, 50, 0, 1], &[0; 6], &[10, 50, 0, 2], &[0; 18]].concat();
    [&MacAddr::BROADCAST.octets()[..], &sender, &[0x08, 0x06], &arp].concat()
}

/// Frames of every kind, and whether it is IP that they carry.
fn frames() -> Vec<(Vec<u8>, bool)> {
    let ip = Family::ALL.map(|family| {
        let frame = TransportFrame {
            source: guest_mac(1),
            traffic_class: INNER_DSCP << 2,
            ttl: INNER_TTL,
            ..TransportFrame::new(guest_mac(2), family, Transport::Udp)
        };
        (frame.bytes(b"payload"), true)
    });
    let plain = [&ip[..], &[(arp_request(), false)]].concat();
    let tags: [&[[u16; 2]]; 3] = [&[], &[[0x8100, 5]], &[[0x88a8, 7], [0x8100, 5]]];
    let of = |tags| plain.iter().map(move |(frame, is_ip)| (tagged(frame, tags), *is_ip));
    tags.into_iter().flat_map(of).collect()
}

#[test]
fn ttl_and_dscp_are_numbers_or_the_inner_ones() {
    for tunnel in Tunnel::ALL {
        for family in Family::ALL {
            for rule in RULES {
                let underlay = Underlay::new(2);
                Cable::Wire.lay(&underlay);
                let flood = flood_to_all(&underlay, family);
                let vtep = tunnel.start(&underlay, family, &format!("{flood}\nvlan = \"carry\"\n{}", rule.lines));
                let ours = &underlay.host(0).namespace;
                let wire = Sniffer::new(ours, Host::DEVICE, Direction::Outgoing, move |frame| {
                    tunnel.open(family, frame).is_some()
                });
                let frames = frames();
                FrameSender::new(ours, TAP).send_all(frames.iter().map(|(frame, _)| frame.clone()));
                wire.expect(frames.len() as u64);
                let seen = wire.frames();
                for (frame, is_ip) in &frames {
                    let packets = seen.iter().filter_map(|packet| tunnel.open(family, packet));
                    let packets: Vec<_> = packets.filter(|(_, inner)| inner == frame).collect();
                    let [(packet, _)] = packets[..] else { panic!("{} times {frame:02x?}", packets.len()) };
                    let fields = (ttl(family, packet), traffic_class(family, packet) >> 2);
                    let expected = if *is_ip { rule.ip } else { rule.other };
                    assert_eq!(fields, expected, "{tunnel:?} over {family:?}, {:?}: {frame:02x?}", rule.lines);
                }
                Counts { sent: frames.len() as u64, ..Counts::default() }.expect(&vtep);
            }
        }
    }
}

/// The ways of a super-frame: by sockets in each tunnel, and by tunnel GSO where there is that.
fn ways() -> impl Iterator<Item = (&'static str, Tunnel, Family)> {
    let by_sockets = Tunnel::ALL.into_iter().flat_map(|tunnel| Family::ALL.map(|family| ("socket", tunnel, family)));
    by_sockets.chain([("tunnel-gso", Tunnel::Vxlan, Family::V4)])
}

/// The guest of our host, and what leaves the host when it sends super-frames.
struct SuperFrames {
    underlay: Underlay,
    vtep: TapVtep,
    tunnel: Tunnel,
    outer: Family,
}

impl SuperFrames {
    const SEGMENT: usize = 1000;
    const COUNT: usize = 20;

    fn new((way, tunnel, outer): (&str, Tunnel, Family), lines: &str) -> Self {
        let underlay = Underlay::new(2);
        Cable::Wire.lay(&underlay);
        let (ours, remote) = (underlay.host(0), underlay.host(1).address(outer));
        let row = format!("[[segment.fdb]]\nmac = \"{}\"\nremote = \"{remote}\"", guest_mac(2));
        let lines = format!("{}\n{lines}\n{row}", flood_to_all(&underlay, outer));
        let configuration = with_super_frames(way, &tunnel.one_segment(ours, outer, &lines));
        let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
        add_guest_addresses(&underlay);
        for inner in Family::ALL {
            let there = guest_address(2, inner);
            ours.namespace.ip(&format!("neigh replace {there} lladdr {} dev {TAP}", guest_mac(2)));
        }
        Self { underlay, vtep, tunnel, outer }
    }

    fn ours(&self) -> &Namespace {
        &self.underlay.host(0).namespace
    }

    /// The outer packets of one super-frame.
    fn packets(&self, inner: Family) -> Vec<Vec<u8>> {
        let (tunnel, outer) = (self.tunnel, self.outer);
        let ether_type = if inner == Family::V4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        let wire = Sniffer::new(self.ours(), Host::DEVICE, Direction::Outgoing, move |frame| {
            let inner = tunnel.open(outer, frame).map(|(_, inner)| inner);
            inner.is_some_and(|inner| inner[12..14] == ether_type && inner.len() > Self::SEGMENT)
        });
        let socket = self.ours().udp_socket((guest_address(1, inner), 0));
        cut_sends(&socket, Self::SEGMENT as u16);
        mark(&socket, INNER_DSCP << 2);
        set_hops(&socket, INNER_TTL);
        socket.send_to(&vec![0x5a; Self::COUNT * Self::SEGMENT], (guest_address(2, inner), 7000)).unwrap();
        wire.expect(Self::COUNT as u64);
        Counts::expect_no_drop(&self.vtep, "super-frames");
        wire.frames().iter().map(|frame| frame[ETHERNET_LEN..].to_vec()).collect()
    }
}

#[test]
fn packets_of_super_frames_have_the_same_ttl_and_dscp() {
    for way in ways() {
        for rule in RULES {
            let bed = SuperFrames::new(way, rule.lines);
            for inner in Family::ALL {
                for packet in bed.packets(inner) {
                    let fields = (ttl(way.2, &packet), traffic_class(way.2, &packet) >> 2);
                    assert_eq!(fields, rule.ip, "{way:?}, {:?}: {inner:?}", rule.lines);
                }
            }
        }
    }
}

#[test]
fn fragmenting_is_forbidden_as_configured() {
    for way in ways().filter(|(.., family)| *family == Family::V4) {
        for (word, expected) in [("true", 0x40), ("false", 0x00)] {
            let bed = SuperFrames::new(way, &format!("df = {word}"));
            let wire = Sniffer::new(bed.ours(), Host::DEVICE, Direction::Outgoing, move |frame| {
                way.1.open(Family::V4, frame).is_some_and(|(_, inside)| inside == inner().bytes())
            });
            FrameSender::new(bed.ours(), TAP).send(&inner().bytes());
            wire.expect(1);
            let packets = bed.packets(Family::V4);
            for packet in packets.iter().map(Vec::as_slice).chain([&wire.frames()[0][ETHERNET_LEN..]]) {
                assert_eq!(packet[6] & 0xe0, expected, "{way:?}, df = {word}");
            }
            // RFC 6864 §4.1: only what may be fragmented needs a number of its own.
            if word == "false" {
                let numbers: BTreeSet<_> = packets.iter().map(|packet| [packet[4], packet[5]]).collect();
                assert_eq!(numbers.len(), packets.len(), "{way:?}");
            }
        }
    }
}

fn inner() -> UdpFrame {
    UdpFrame { destination: guest_mac(2), source: stranger(1), traffic_class: 0, ttl: INNER_TTL, source_port: 1000 }
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
