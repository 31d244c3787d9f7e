//! The zero checksum over IPv6 (RFC 6936): sent and taken where it is configured, and nowhere else.

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, FrameSender, Host, Numbered, OuterPacket, Sniffer, TapVtep, Underlay, guest_mac, vxlan,
    wait_until,
};

use crate::{
    bed::{
        Cable, Counts, HandPeer, PORT, PROGRAM, TAP, VNI, configuration_file, flood_to_all, one_segment, only_line,
        run_to_end, start, start_two,
    },
    shown::{Feature, With, shown_by_vxlan},
    tunnel::Tunnel,
};

const SOURCE_PORT: u16 = 50_000;

fn frame(number: u32) -> Vec<u8> {
    Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1).frame(number)
}

/// Sends packets without a checksum, from the host with this index.
fn send(underlay: &Underlay, from: usize, payloads: &[Vec<u8>]) {
    let outer = OuterPacket::between(underlay.host(from), underlay.host(0), Family::V6);
    let packets = payloads.iter().map(|payload| outer.udp_without_checksum([SOURCE_PORT, PORT], payload));
    FrameSender::new(&underlay.host(from).namespace, Host::DEVICE).send_all(packets);
}

#[test]
fn a_segment_sends_what_it_is_told() {
    for (word, is_zero) in [("true", false), ("false", true)] {
        let underlay = Underlay::new(2);
        Cable::Wire.lay(&underlay);
        let peer = HandPeer::new(&underlay, 1, Family::V6);
        let lines = format!("{}\nudp_checksum = {word}", flood_to_all(&underlay, Family::V6));
        let _vtep = start(&underlay, Family::V6, &lines);
        let ours = &underlay.host(0).namespace;
        let wire = Sniffer::new(ours, Host::DEVICE, Direction::Outgoing, |frame| {
            Tunnel::Vxlan.open(Family::V6, frame).is_some()
        });
        FrameSender::new(ours, TAP).send_all((0..20).map(frame));
        wire.expect(20);
        for frame in wire.frames() {
            assert_eq!(frame[14 + 46..14 + 48] == [0, 0], is_zero, "udp_checksum = {word}");
        }
        drop(peer);
    }
}

#[test]
fn two_of_ours_understand_each_other() {
    for cable in Cable::ALL {
        let underlay = Underlay::new(2);
        cable.lay(&underlay);
        let both = start_two(&underlay, Family::V6, "udp_checksum = false");
        for vtep in &both {
            Counts::expect_no_drop(vtep, &format!("{cable:?}"));
        }
    }
    shown_by_vxlan(Feature::ZeroChecksum, With::Ours, Family::V6);
}

/// With the segment's VNI and from its remotes it is taken; others are counted. The rest of RFC 6936 §5, the
/// destination and the port, the sockets see to.
#[test]
fn who_is_not_configured_is_counted() {
    let underlay = Underlay::new(3);
    let peer = underlay.host(1).address(Family::V6);
    let vtep = start(&underlay, Family::V6, &format!("flood = [\"{peer}\"]\nudp_checksum = false"));
    let delivered = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    send(&underlay, 1, &[vxlan(VNI, &frame(0)), vxlan(VNI, &frame(1)), vxlan(VNI + 1, &frame(2))]);
    send(&underlay, 2, &[vxlan(VNI, &frame(3))]);
    let expected = Counts { delivered: 2, ..Counts::default() };
    expected.and_dropped("unknown_vni", 1).and_dropped("unknown_source", 1).expect(&vtep);
    delivered.expect_stream(1, 2);
}

/// The kernel drops it where it is not configured, and does so again when the configuration changes.
#[test]
fn where_it_is_not_configured_it_is_not_taken() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let lines = flood_to_all(&underlay, Family::V6);
    let without = one_segment(ours, Family::V6, &lines);
    let with = one_segment(ours, Family::V6, &format!("{lines}\nudp_checksum = false"));
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &without);
    let delivered = Sniffer::of_stream(&ours.namespace, TAP, 1);
    let refused = || ours.namespace.protocol_counter("Udp6InCsumErrors");
    for (number, configuration) in (0..).zip([&without, &with, &without, &with]) {
        let is_taken = configuration == &with;
        if number > 0 {
            let logged = || vtep.log().iter().filter(|line| line.contains("was read again")).count();
            let before = logged();
            vtep.reload(configuration);
            wait_until("it is read", || logged() > before);
        }
        let (before, taken) = (refused(), delivered.count());
        send(&underlay, 1, &[vxlan(VNI, &frame(number))]);
        if is_taken {
            delivered.expect(taken + 1);
        } else {
            wait_until("the kernel drops it", || refused() == before + 1);
        }
        assert_eq!(delivered.count(), taken + u64::from(is_taken));
    }
    assert_eq!(delivered.numbers(1), [1, 3]);
}

/// A socket takes it for all segments of its port, so all of them must know whom they hear.
#[test]
fn sources_must_be_configured() {
    let underlay = Underlay::new(1);
    let files = testbed::Scratch::new();
    let check = |family: Family, lines: &str| {
        let file = configuration_file(&files, &one_segment(underlay.host(0), family, lines));
        run_to_end(&underlay, &["check", "--config", &file])
    };
    let other = |lines: &str| format!("udp_checksum = false\n[[segment]]\nname = \"red\"\nvni = 43\n{lines}");
    for lines in
        ["udp_checksum = false\nsources = \"any\"", &other("sources = \"any\""), &other("group = \"ff05::42\"")]
    {
        let finished = check(Family::V6, lines);
        assert_eq!(finished.status, Some(2), "{lines}: {finished}");
        let line = only_line(&finished);
        assert!(line.contains("RFC 6936") && line.contains("sources = \"configured\""), "{line}");
    }
    for lines in ["udp_checksum = false", &other(""), &other("port = 4790\nsources = \"any\"")] {
        let finished = check(Family::V6, lines);
        assert_eq!(finished.status, Some(0), "{lines}: {finished}");
    }
    assert_eq!(check(Family::V4, &other("sources = \"any\"")).status, Some(0));
}
