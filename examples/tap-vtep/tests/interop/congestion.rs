//! Marks of congestion in bursts that are merged on the way: exactly those that were made arrive (RFC 6040).

use std::iter;

use rustix::process::Signal;
use testbed::{Direction, Family, Sniffer, TapVtep, Transport, TransportFrame, Underlay, vxlan, wait_until};

use crate::{
    bed::{Cable, HandPeer, TAP, VNI, start, tap_mac},
    socket_options::{cut_sends, mark},
};

const ECT: u8 = 2;
const CE: u8 = 3;
const COUNT: usize = 64;
const SEGMENT: usize = 900;

/// The burst: `COUNT` frames of one flow, and which of them carries the mark inside.
fn burst(first: &TransportFrame, payload: &[u8], marked: Option<usize>) -> Vec<Vec<u8>> {
    let frames = payload.chunks(SEGMENT).enumerate().map(|(index, chunk)| {
        let mut frame = TransportFrame { identification: index as u16, traffic_class: ECT, ..*first };
        if let Transport::Tcp { sequence, .. } = &mut frame.transport {
            *sequence += (index * SEGMENT) as u32;
        }
        if marked == Some(index) {
            frame.traffic_class = CE;
        }
        vxlan(VNI, &frame.bytes(chunk))
    });
    frames.collect()
}

/// Sends the burst, and compares what the TAP delivers of it.
fn pass(vtep: &TapVtep, peer: &HandPeer, delivered: &Sniffer, first: &TransportFrame, is_outside: bool) {
    let context = format!("{first:?}, outside: {is_outside}");
    let payload: Vec<u8> = (0..COUNT * SEGMENT).map(|place| (place * 7 + place / 251) as u8).collect();
    let marked = COUNT / 2;
    let datagrams = burst(first, &payload, (!is_outside).then_some(marked));
    let before = delivered.frames().len();
    // Stopped, it finds all of them at once.
    vtep.signal(Signal::STOP);
    cut_sends(peer.socket(), datagrams[0].len() as u16);
    let (before_it, behind_it) = if is_outside { (marked, marked + 1) } else { (0, 0) };
    for part in [0..before_it, before_it..behind_it, behind_it..COUNT].into_iter().filter(|part| !part.is_empty()) {
        mark(peer.socket(), if is_outside && part.len() == 1 { CE } else { ECT });
        peer.send_datagram(&datagrams[part].concat());
    }
    vtep.signal(Signal::CONT);

    let header = first.header_len();
    let arrived = || delivered.frames().split_off(before);
    wait_until(&format!("all bytes arrive: {context}"), || {
        arrived().iter().map(|frame| frame.len() - header).sum::<usize>() >= payload.len()
    });
    let frames = arrived();
    let of_class = |class: u8| {
        let frames = frames.iter().filter(move |frame| TransportFrame::traffic_class_of(first.family, frame) == class);
        frames.flat_map(|frame| &frame[header..]).copied().collect::<Vec<u8>>()
    };
    let all: Vec<u8> = frames.iter().flat_map(|frame| &frame[header..]).copied().collect();
    assert!(all == payload, "{context}");
    assert!(of_class(CE) == payload[marked * SEGMENT..][..SEGMENT], "{} bytes marked: {context}", of_class(CE).len());
    assert_eq!(of_class(ECT).len(), (COUNT - 1) * SEGMENT, "{context}");
    // They came merged, or the test shows nothing.
    assert!(frames.len() < COUNT / 2, "{} frames: {context}, {:?}", frames.len(), vtep.log());
}

#[test]
fn a_mark_in_a_burst_arrives_and_no_other() {
    for outer in Family::ALL {
        for cable in Cable::ALL {
            let underlay = Underlay::new(2);
            cable.lay(&underlay);
            let peer = HandPeer::new(&underlay, 1, outer);
            let vtep = start(&underlay, outer, &format!("flood = [\"{}\"]", peer.address()));
            let destination = tap_mac(&underlay);
            let flows = Family::ALL
                .into_iter()
                .flat_map(|inner| iter::zip(iter::repeat(inner), [Transport::tcp(1), Transport::Udp]));
            for (number, (inner, transport)) in (0..).zip(flows) {
                for is_outside in [false, true] {
                    let ports = (5000 + number, 6000 + u16::from(is_outside));
                    let first = TransportFrame { ports, ..TransportFrame::new(destination, inner, transport) };
                    let at = first.transport_at();
                    let wanted = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
                    let delivered = Sniffer::new(&underlay.host(0).namespace, TAP, Direction::Incoming, move |frame| {
                        frame.get(at..at + 4) == Some(&wanted)
                    });
                    pass(&vtep, &peer, &delivered, &first, is_outside);
                }
            }
        }
    }
}
