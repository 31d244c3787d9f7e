//! Several segments share a port and are kept apart by their VNI.

use overlay_types::MacAddr;
use testbed::{
    Family, FrameSender, KernelVtep, KernelVtepOptions, Numbered, Ping, Sniffer, TapVtep, Underlay, guest_mac, ping,
    vxlan, wait_until,
};

use crate::{
    bed::{HandPeer, PORT, PROGRAM, stranger},
    shown::{Feature, With, shown_by_vxlan},
};

const COUNT: u32 = 500;

/// Two segments on one port, and the same VNI once more on another port.
fn configuration(underlay: &Underlay) -> String {
    let (local, remote) = (underlay.host(0).address(Family::V4), underlay.host(1).address(Family::V4));
    let segment = |name: &str, vni: u32, port: u16| {
        format!(
            "[[segment]]\nname = \"{name}\"\nvni = {vni}\nport = {port}\ntap = \"{name}0\"\nflood = [\"{remote}\"]\n"
        )
    };
    let segments = [segment("red", 1, PORT), segment("green", 2, PORT), segment("blue", 1, 8472)].concat();
    format!("[underlay]\nlocal = \"{local}\"\n{segments}")
}

const SEGMENTS: [(&str, u32, u16); 3] = [("red0", 1, PORT), ("green0", 2, PORT), ("blue0", 1, 8472)];

#[test]
fn frames_stay_in_their_segment() {
    let underlay = Underlay::new(2);
    let (ours, theirs) = (underlay.host(0), underlay.host(1));
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let other_port = theirs.namespace.udp_socket((theirs.address(Family::V4), 8472));
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&underlay));
    let sniffers: Vec<Vec<Sniffer>> = SEGMENTS
        .iter()
        .map(|(tap, ..)| (0..3).map(|stream| Sniffer::of_stream(&ours.namespace, tap, stream)).collect())
        .collect();
    for number in 0..COUNT {
        for (stream, (_, vni, port)) in (0..).zip(SEGMENTS) {
            let frame = Numbered::new(MacAddr::BROADCAST, guest_mac(2), stream).frame(number);
            let datagram = vxlan(vni, &frame);
            if port == PORT {
                peer.send_datagram(&datagram);
            } else {
                other_port.send_to(&datagram, (ours.address(Family::V4), port)).unwrap();
            }
        }
    }
    for (here, row) in sniffers.iter().enumerate() {
        for (stream, sniffer) in row.iter().enumerate() {
            if here == stream {
                sniffer.expect_stream(stream as u32, COUNT);
            } else {
                sniffer.expect(0);
            }
        }
    }
    // The same MAC has a row in each segment that saw it, and only there.
    let rows = vtep.show("fdb");
    assert_eq!(rows.as_array().unwrap().len(), 3, "{rows}");

    for (tap, vni, port) in SEGMENTS {
        let frame = Numbered::new(MacAddr::BROADCAST, stranger(1), 7).frame(vni);
        FrameSender::new(&ours.namespace, tap).send(&frame);
        let datagram = if port == PORT {
            peer.receive()
        } else {
            let mut buffer = vec![0; 2048];
            let len = other_port.recv(&mut buffer).unwrap();
            buffer.truncate(len);
            buffer
        };
        assert_eq!(datagram, vxlan(vni, &frame), "{tap}");
    }
}

#[test]
fn kernel_peers_in_two_segments_do_not_meet() {
    let underlay = Underlay::new(2);
    let (ours, theirs) = (underlay.host(0), underlay.host(1));
    let peers: Vec<_> = SEGMENTS[..2]
        .iter()
        .map(|(_, vni, port)| {
            let options =
                KernelVtepOptions { vni: *vni, port: *port, ..KernelVtepOptions::to(&[ours.address(Family::V4)]) };
            KernelVtep::new(theirs, &options)
        })
        .collect();
    let _vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&underlay));
    let all = Ping { sent: 2, received: 2, duplicates: 0 };
    let none = Ping { received: 0, ..all };
    // Both guests have the same address; only the segment tells them apart.
    ours.namespace.add_address("red0", crate::bed::guest_address(1, Family::V4), 24);
    assert_eq!(ping(&ours.namespace, peers[0].guest_address(Family::V4), 2), all);
    peers[0].guest.ip("link set eth0 down");
    ours.namespace.ip("neigh flush dev red0");
    assert_eq!(ping(&ours.namespace, peers[1].guest_address(Family::V4), 2), none);
    peers[0].guest.ip("link set eth0 up");
    wait_until("the guest is back", || ping(&ours.namespace, peers[0].guest_address(Family::V4), 2) == all);
    shown_by_vxlan(Feature::Segments, With::Kernel, Family::V4);
}
