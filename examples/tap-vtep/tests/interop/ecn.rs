//! The ECN field across a tunnel (RFC 6040) on real sockets: what leaves for each inner field, and what arrives for each pair
//! of an inner and an outer one.

use std::net::IpAddr;

use rustix::process::Signal;
use testbed::{
    Direction, Family, FrameSender, Host, OuterPacket, Sniffer, TapVtep, Transport, TransportFrame, Underlay,
    guest_mac, internet_checksum, wait_until,
};

use crate::{
    bed::{
        Cable, Counts, HandPeer, PROGRAM, TAP, add_guest_addresses, flood_to_all, guest_address, start, tap_mac,
        with_super_frames,
    },
    socket_options::{cut_sends, mark},
    tunnel::{Tunnel, traffic_class},
};

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// Figure 3: by mode, what the outer header says for the inner fields 0 to 3.
const ENCAPSULATION: [(&str, [u8; 4]); 2] = [("normal", [NOT_ECT, ECT_1, ECT_0, CE]), ("compatibility", [NOT_ECT; 4])];

/// Figure 4: by inner field, what the outer fields 0 to 3 make of it.
const DECAPSULATION: [(u8, [Option<u8>; 4]); 4] = [
    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
    (ECT_0, [Some(ECT_0), Some(ECT_1), Some(ECT_0), Some(CE)]),
    (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
    (CE, [Some(CE); 4]),
];

/// DSCP of all inner packets.
const DSCP: u8 = 10 << 2;

fn decapsulated(inner: u8, outer: u8) -> Option<u8> {
    DECAPSULATION.iter().find(|(ecn, _)| *ecn == inner).and_then(|(_, row)| row[usize::from(outer)])
}

/// The ECN field of a frame of [`TransportFrame`], its checksum verified.
fn inner_ecn(family: Family, frame: &[u8]) -> u8 {
    assert!(family == Family::V6 || internet_checksum(&frame[14..34]) == 0, "the inner checksum is wrong");
    let class = TransportFrame::traffic_class_of(family, frame);
    assert_eq!(class & !3, DSCP);
    class & 3
}

/// Our endpoint with a segment of this encapsulation and mode, a host that it floods to, and the packets between them.
struct Bed {
    vtep: TapVtep,
    tunnel: Tunnel,
    outer: Family,
    /// From the other host.
    packets: OuterPacket,
    underlay: Underlay,
}

impl Bed {
    fn new(tunnel: Tunnel, outer: Family, mode: &str, cable: Cable) -> Self {
        let underlay = Underlay::new(2);
        cable.lay(&underlay);
        let flood = flood_to_all(&underlay, outer);
        let vtep = tunnel.start(&underlay, outer, &format!("{flood}\necn = \"{mode}\""));
        Self::of(vtep, tunnel, outer, underlay)
    }

    fn of(vtep: TapVtep, tunnel: Tunnel, outer: Family, underlay: Underlay) -> Self {
        let packets = OuterPacket::between(underlay.host(1), underlay.host(0), outer);
        Self { vtep, tunnel, outer, packets, underlay }
    }

    /// The packets that leave our host with frames between these ports.
    fn wire(&self, ports: (u16, u16)) -> Sniffer {
        let (tunnel, outer) = (self.tunnel, self.outer);
        Sniffer::new(&self.underlay.host(0).namespace, Host::DEVICE, Direction::Outgoing, move |frame| {
            tunnel.open(outer, frame).is_some_and(|(_, inner)| ports_of(inner) == Some(ports))
        })
    }

    /// The frames between these ports that the TAP delivers.
    fn delivered(&self, ports: (u16, u16)) -> Sniffer {
        Sniffer::new(&self.underlay.host(0).namespace, TAP, Direction::Incoming, move |frame| {
            ports_of(frame) == Some(ports)
        })
    }

    /// A packet from the peer with this outer field.
    fn packet(&self, ecn: u8, frame: &[u8]) -> Vec<u8> {
        self.tunnel.packet(&OuterPacket { traffic_class: ecn, ..self.packets }, frame)
    }

    fn peer(&self) -> FrameSender {
        FrameSender::new(&self.underlay.host(1).namespace, Host::DEVICE)
    }
}

/// The ports of TCP or UDP in a frame without a VLAN tag.
fn ports_of(frame: &[u8]) -> Option<(u16, u16)> {
    let at = match frame.get(12..14)? {
        [0x08, 0x00] => 34,
        [0x86, 0xdd] => 54,
        _ => return None,
    };
    let port = |at: usize| frame.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    Some((port(at)?, port(at + 2)?))
}

#[test]
fn what_leaves_says_what_the_mode_says() {
    for tunnel in Tunnel::ALL {
        for outer in Family::ALL {
            for (mode, expected) in ENCAPSULATION {
                let bed = Bed::new(tunnel, outer, mode, Cable::Wire);
                let mut guest = FrameSender::new(&bed.underlay.host(0).namespace, TAP);
                for inner in Family::ALL {
                    for (ecn, expected) in (0..).zip(expected) {
                        let ports = (7000 + u16::from(ecn), if inner == Family::V4 { 4 } else { 6 });
                        let wire = bed.wire(ports);
                        let frame = TransportFrame {
                            source: guest_mac(1),
                            ports,
                            traffic_class: DSCP | ecn,
                            ..TransportFrame::new(guest_mac(2), inner, Transport::Udp)
                        };
                        let frame = frame.bytes(b"payload");
                        guest.send(&frame);
                        wire.expect(1);
                        let frames = wire.frames();
                        let (packet, inside) = tunnel.open(outer, &frames[0]).unwrap();
                        let class = traffic_class(outer, packet);
                        let context = format!("{tunnel:?} over {outer:?}, {mode}, inner {inner:?} with {ecn}");
                        assert_eq!(class, DSCP | expected, "{context}");
                        assert_eq!(inside, frame, "{context}");
                    }
                }
                Counts { sent: 8, ..Counts::default() }.expect(&bed.vtep);
            }
        }
    }
}

/// The mode is the sender's matter: what arrives goes by figure 4 in both.
#[test]
fn what_arrives_is_what_both_fields_make_of_it() {
    for tunnel in Tunnel::ALL {
        for outer in Family::ALL {
            for (mode, _) in ENCAPSULATION {
                let bed = Bed::new(tunnel, outer, mode, Cable::Wire);
                let (destination, mut peer) = (tap_mac(&bed.underlay), bed.peer());
                let mut expected = Counts::default();
                for inner in Family::ALL {
                    for (inner_field, row) in DECAPSULATION {
                        for (outer_field, result) in (0..).zip(row) {
                            let ports = (7000 + u16::from(inner_field << 2 | outer_field), 7000);
                            let delivered = bed.delivered(ports);
                            let frame = TransportFrame {
                                ports,
                                traffic_class: DSCP | inner_field,
                                ..TransportFrame::new(destination, inner, Transport::Udp)
                            };
                            peer.send(&bed.packet(outer_field, &frame.bytes(b"payload")));
                            expected = match result {
                                Some(_) => expected.and_delivered(1),
                                None => expected.and_dropped("ecn", 1),
                            };
                            expected.expect(&bed.vtep);
                            let wanted = result.map(|ecn| TransportFrame { traffic_class: DSCP | ecn, ..frame });
                            let wanted: Vec<_> = wanted.iter().map(|frame| frame.bytes(b"payload")).collect();
                            delivered.expect(wanted.len() as u64);
                            assert!(
                                delivered.frames() == wanted,
                                "{tunnel:?} over {outer:?}, {mode}: inner {inner:?} {inner_field}, outer {outer_field}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// One flow whose outer field changes from packet to packet, where the kernel merges what it can: each keeps its own.
#[test]
fn a_burst_with_every_field_keeps_each() {
    const COUNT: u16 = 256;
    /// Runs of one field, so that there is something to merge, and of one packet each.
    fn outer_of(number: u16) -> u8 {
        if number < COUNT / 2 { (number / 16 % 4) as u8 } else { (number % 4) as u8 }
    }
    for tunnel in Tunnel::ALL {
        for outer in Family::ALL {
            let bed = Bed::new(tunnel, outer, "normal", Cable::WireWithGro);
            let destination = tap_mac(&bed.underlay);
            for (inner, field) in Family::ALL.into_iter().flat_map(|inner| [(inner, NOT_ECT), (inner, ECT_0)]) {
                let ports = (7000 + u16::from(field), if inner == Family::V4 { 4 } else { 6 });
                let delivered = bed.delivered(ports);
                let before = Counts::of(&bed.vtep);
                let first = TransportFrame {
                    ports,
                    traffic_class: DSCP | field,
                    ..TransportFrame::new(destination, inner, Transport::Udp)
                };
                let number = |number: u16| [&number.to_be_bytes()[..], &[0x5a; 98]].concat();
                let packets: Vec<_> = (0..COUNT)
                    .map(|index| {
                        let frame = TransportFrame { identification: index, ..first }.bytes(&number(index));
                        bed.packet(outer_of(index), &frame)
                    })
                    .collect();
                // Stopped, it finds all of them at once.
                bed.vtep.signal(Signal::STOP);
                bed.peer().send_all(packets);
                bed.vtep.signal(Signal::CONT);
                let results: Vec<_> =
                    (0..COUNT).map(|index| decapsulated(field, outer_of(index)).map(|ecn| (index, ecn))).collect();
                let dropped = results.iter().filter(|result| result.is_none()).count() as u64;
                let after = before.and_delivered(u64::from(COUNT) - dropped);
                let after = if dropped > 0 { after.and_dropped("ecn", dropped) } else { after };
                after.expect(&bed.vtep);
                let header = first.header_len();
                let parts = || -> Vec<(u16, u8)> {
                    let frames = delivered.frames();
                    let parts = frames.iter().flat_map(|frame| {
                        let ecn = inner_ecn(inner, frame);
                        // The kernel may show a merged run as one.
                        frame[header..].chunks(100).map(move |part| (u16::from_be_bytes([part[0], part[1]]), ecn))
                    });
                    parts.collect()
                };
                let expected: Vec<_> = results.into_iter().flatten().collect();
                wait_until("all are delivered", || parts().len() >= expected.len());
                assert!(parts() == expected, "{tunnel:?} over {outer:?}: inner {inner:?} {field}");
            }
        }
    }
}

/// A super-frame from the TAP: each packet that is cut from it says what its inner one says, by sockets and by tunnel GSO.
#[test]
fn each_packet_of_a_super_frame_has_its_field() {
    const SEGMENT: usize = 1000;
    const COUNT: usize = 20;
    let ways = Tunnel::ALL.into_iter().flat_map(|tunnel| Family::ALL.map(|outer| ("socket", tunnel, outer)));
    for (way, tunnel, outer) in ways.chain([("tunnel-gso", Tunnel::Vxlan, Family::V4)]) {
        let underlay = Underlay::new(2);
        Cable::Wire.lay(&underlay);
        let ours = underlay.host(0);
        let lines = flood_to_all(&underlay, outer);
        let configuration = with_super_frames(way, &tunnel.one_segment(ours, outer, &lines));
        let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
        add_guest_addresses(&underlay);
        let bed = Bed::of(vtep, tunnel, outer, underlay);
        // Whoever is sent super-frames whole must be one remote.
        bed.vtep.expect(&[
            "fdb",
            "add",
            &guest_mac(2).to_string(),
            "remote",
            &bed.underlay.host(1).address(outer).to_string(),
        ]);
        let ours = &bed.underlay.host(0).namespace;
        for inner in Family::ALL {
            let there: IpAddr = guest_address(2, inner);
            ours.ip(&format!("neigh replace {there} lladdr {} dev {TAP}", guest_mac(2)));
            for ecn in [NOT_ECT, ECT_1, ECT_0, CE] {
                let socket = ours.udp_socket((guest_address(1, inner), 0));
                let ports = (socket.local_addr().unwrap().port(), 7000);
                let wire = bed.wire(ports);
                cut_sends(&socket, SEGMENT as u16);
                mark(&socket, DSCP | ecn);
                socket.send_to(&vec![0x5a; COUNT * SEGMENT], (there, ports.1)).unwrap();
                wire.expect(COUNT as u64);
                for frame in wire.frames() {
                    let (packet, inside) = tunnel.open(outer, &frame).unwrap();
                    assert_eq!(
                        (traffic_class(outer, packet), inner_ecn(inner, inside)),
                        (DSCP | ecn, ecn),
                        "{tunnel:?} over {outer:?} by {way}: inner {inner:?} {ecn}"
                    );
                }
            }
        }
        Counts::expect_no_drop(&bed.vtep, way);
    }
}

/// What a peer over a veth never cut is marked as a whole, or dropped as a whole.
#[test]
fn a_super_frame_that_was_never_cut_has_one_field() {
    let payload: Vec<u8> = (0..60_000_usize).map(|place| (place * 7 + place / 251) as u8).collect();
    for outer in Family::ALL {
        let underlay = Underlay::new(2);
        let peer = HandPeer::new(&underlay, 1, outer);
        let vtep = start(&underlay, outer, &flood_to_all(&underlay, outer));
        let destination = tap_mac(&underlay);
        let mut expected = Counts::default();
        for inner in Family::ALL {
            for (inner_field, row) in DECAPSULATION {
                for (outer_field, result) in (0..).zip(row) {
                    let delivered = Sniffer::new(&underlay.host(0).namespace, TAP, Direction::Incoming, |frame| {
                        frame.len() > 50_000
                    });
                    let frame = |ecn| {
                        let frame = TransportFrame::new(destination, inner, Transport::tcp(1));
                        TransportFrame { traffic_class: DSCP | ecn, ..frame }.bytes_with_partial_checksum(&payload)
                    };
                    mark(peer.socket(), outer_field);
                    peer.send(&frame(inner_field));
                    expected = match result {
                        Some(_) => expected.and_delivered(1),
                        None => expected.and_dropped("ecn", 1),
                    };
                    expected.expect(&vtep);
                    let wanted: Vec<_> = result.map(frame).into_iter().collect();
                    delivered.expect(wanted.len() as u64);
                    assert!(
                        delivered.frames() == wanted,
                        "over {outer:?}: inner {inner:?} {inner_field}, outer {outer_field}"
                    );
                }
            }
        }
    }
}
