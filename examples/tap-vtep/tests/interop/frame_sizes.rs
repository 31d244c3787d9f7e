//! Frames of every size, from a bare Ethernet header to a full MTU, both ways and unchanged.

use overlay_types::MacAddr;
use testbed::{
    Direction, EXPERIMENTAL, Family, FrameSender, KernelVtep, Namespace, Numbered, Sniffer, Underlay, guest_mac,
};

use crate::{
    bed::{TAP, flood_to_all, kernel_peers, start, stranger},
    shown::{Feature, With, shown_by_vxlan},
};

const ETHERNET_LEN: usize = 14;

/// Sends one frame of each size and compares what arrives byte by byte.
fn pass_all(from: (&Namespace, &str), to: (&Namespace, &str), destination: MacAddr, source: MacAddr, mtu: usize) {
    let sizes = ETHERNET_LEN..=ETHERNET_LEN + mtu;
    let wanted = source.octets();
    let arriving = Sniffer::new(to.0, to.1, Direction::Incoming, move |frame| {
        frame[6..12] == wanted && frame[12..14] == EXPERIMENTAL.to_be_bytes()
    });
    let frames: Vec<_> = sizes
        .map(|size| {
            let mut frame = Numbered { len: size, ..Numbered::new(destination, source, 1) }.frame(size as u32);
            frame.truncate(size);
            frame
        })
        .collect();
    FrameSender::new(from.0, from.1).send_all(frames.clone());
    arriving.expect(frames.len() as u64);
    assert!(arriving.frames() == frames, "a frame came changed or out of order");
}

#[test]
fn every_size_passes_unchanged_both_ways() {
    for (family, mtu) in [(Family::V4, 1450), (Family::V6, 1430)] {
        let underlay = Underlay::new(2);
        let peers = kernel_peers(&underlay, family);
        let vtep = start(&underlay, family, &flood_to_all(&underlay, family));
        let ours = (&underlay.host(0).namespace, TAP);
        let theirs = (&peers[0].guest, KernelVtep::GUEST_DEVICE);
        pass_all(ours, theirs, guest_mac(2), stranger(1), mtu);
        pass_all(theirs, ours, stranger(1), guest_mac(2), mtu);
        let each = (mtu + 1) as u64;
        assert_eq!((vtep.counter("tx_frames"), vtep.counter("rx_frames"), vtep.drops()), (each, each, 0));
        shown_by_vxlan(Feature::Sizes, With::Kernel, family);
    }
}
