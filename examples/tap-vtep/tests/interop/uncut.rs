//! Datagrams as long as UDP has them: what a sender never cut arrives whole, and no length upsets anything.

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, Numbered, Sniffer, Transport, TransportFrame, Underlay, guest_mac, vxlan, wait_until,
};

use crate::bed::{Cable, Counts, HandPeer, TAP, VNI, start, tap_mac};

/// Bytes of payload: with all headers as much as a datagram over IPv4 holds, nearly.
const LONG: usize = 65_300;

#[test]
fn a_super_frame_that_was_never_cut_arrives_whole() {
    for cable in Cable::ALL {
        for family in Family::ALL {
            let underlay = Underlay::new(2);
            cable.lay(&underlay);
            let peer = HandPeer::new(&underlay, 1, family);
            let vtep = start(&underlay, family, &format!("flood = [\"{}\"]", peer.address()));
            let ours = &underlay.host(0).namespace;
            let delivered = Sniffer::new(ours, TAP, Direction::Incoming, |frame| frame.len() > 60_000);
            let payload: Vec<u8> = (0..LONG).map(|place| (place * 7 + place / 251) as u8).collect();
            let frames = Family::ALL.map(|inner| {
                TransportFrame::new(tap_mac(&underlay), inner, Transport::tcp(1)).bytes_with_partial_checksum(&payload)
            });
            for frame in &frames {
                peer.send(frame);
            }
            delivered.expect(2);
            assert!(delivered.frames() == frames, "{cable:?}, {family:?}");
            Counts { delivered: 2, ..Counts::default() }.expect(&vtep);
        }
    }
}

/// Other things that are too long for the segment: each is delivered or counted as one drop, and what comes next is none
/// the worse.
#[test]
fn other_long_datagrams_cost_nothing_else() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let mut vtep = start(&underlay, Family::V4, &format!("flood = [\"{}\"]", peer.address()));
    let destination = tap_mac(&underlay);
    let payload = vec![0x5a; LONG];
    let mut frames = vec![
        Numbered { len: 65_000, ..Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1) }.frame(0),
        Numbered { len: 65_499, ..Numbered::new(destination, guest_mac(2), 1) }.frame(0),
    ];
    for family in Family::ALL {
        for transport in [Transport::tcp(1), Transport::Udp] {
            let frame = TransportFrame::new(destination, family, transport);
            for length in [1399, 1400, 1500, 9000, LONG] {
                let payload = &payload[..length];
                frames.push(frame.bytes(payload));
                frames.push(frame.bytes_with_partial_checksum(payload));
                frames.push(frame.bytes_without_checksum(payload));
                // Its headers promise more than there is.
                let mut short = frame.bytes_with_partial_checksum(payload);
                short.truncate(short.len() - 1);
                frames.push(short);
            }
        }
    }
    for frame in &frames {
        peer.send(frame);
    }
    wait_until("all are dealt with", || Counts::of(&vtep).total() == frames.len() as u64);
    let delivered = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 2);
    peer.send(&usual_frame(destination));
    delivered.expect(1);
    assert!(vtep.is_running());
    // Nothing but its header, and less.
    (0..8).for_each(|length| peer.send_datagram(&vxlan(VNI, &[])[..length]));
    wait_until("those too", || Counts::of(&vtep).drops.get("truncated").is_some_and(|count| *count >= 8));
}

/// A usual frame of stream 2.
fn usual_frame(destination: MacAddr) -> Vec<u8> {
    Numbered::new(destination, guest_mac(2), 2).frame(0)
}
