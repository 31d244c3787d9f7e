//! One TAP for several segments, told apart by VLAN tags.

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, Numbered, TapVtep, Underlay, guest_mac, vxlan, wait_until};

use crate::bed::{HandPeer, PROGRAM, stranger};

const TRUNK: &str = "trunk0";
const COUNT: u32 = 300;
/// Names, VNIs and VLANs.
const SEGMENTS: [(&str, u32, u16); 3] = [("red", 101, 1), ("green", 102, 2), ("blue", 103, 4094)];

fn configuration(underlay: &Underlay, segments: &[(&str, u32, u16)]) -> String {
    let (local, remote) = (underlay.host(0).address(Family::V4), underlay.host(1).address(Family::V4));
    let segment = |(name, vni, vlan): &(&str, u32, u16)| {
        format!(
            "[[segment]]\nname = \"{name}\"\nvni = {vni}\ntap = \"{TRUNK}\"\nvlan = {vlan}\nflood = [\"{remote}\"]\n"
        )
    };
    let segments: String = segments.iter().map(segment).collect();
    format!("[underlay]\nlocal = \"{local}\"\n{segments}")
}

fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00], &vlan.to_be_bytes(), &frame[12..]].concat()
}

fn counter(vtep: &TapVtep, segment: &str, counter: &str) -> u64 {
    let stats = vtep.show("stats");
    let segments = stats["segments"].as_array().unwrap();
    let segment = segments.iter().find(|row| row["name"] == segment).unwrap();
    segment[counter].as_u64().unwrap()
}

/// Frames of each VLAN go out in their segment without the tag, and come in to the TAP; also when a segment has gone and when
/// the TAP was made again.
#[test]
fn each_vlan_is_a_segment() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&underlay, &SEGMENTS));
    let there_and_back = |sender: &mut FrameSender, (name, vni, vlan): (&str, u32, u16)| {
        let before = ["tx_frames", "rx_frames"].map(|of| counter(&vtep, name, of));
        for number in 0..COUNT {
            let frame = Numbered::new(MacAddr::BROADCAST, stranger(1), 7).frame(number);
            sender.send(&tagged(&frame, vlan));
            assert_eq!(peer.receive(), vxlan(vni, &frame), "{name}");
            peer.send_datagram(&vxlan(vni, &Numbered::new(MacAddr::BROADCAST, guest_mac(2), 7).frame(number)));
        }
        let expected = before.map(|before| before + u64::from(COUNT));
        wait_until("all are counted", || ["tx_frames", "rx_frames"].map(|of| counter(&vtep, name, of)) == expected);
    };
    let mut sender = FrameSender::new(&ours.namespace, TRUNK);
    for segment in SEGMENTS {
        there_and_back(&mut sender, segment);
    }
    let frame = Numbered::new(MacAddr::BROADCAST, stranger(1), 7).frame(0);
    sender.send(&frame);
    sender.send(&tagged(&frame, 3));
    wait_until("frames of no VLAN of ours are counted", || vtep.show("stats")["drops"]["vlan_tag"] == 2);

    vtep.reload(&configuration(&underlay, &SEGMENTS[1..]));
    wait_until("a segment has gone", || vtep.show("segments").as_array().unwrap().len() == 2);
    for segment in &SEGMENTS[1..] {
        there_and_back(&mut sender, *segment);
    }
    vtep.reload(&configuration(&underlay, &SEGMENTS));
    wait_until("it is back", || vtep.show("segments").as_array().unwrap().len() == 3);
    there_and_back(&mut sender, SEGMENTS[0]);

    ours.namespace.ip(&format!("link del {TRUNK}"));
    ours.namespace.ip(&format!("tuntap add {TRUNK} mode tap"));
    wait_until("the TAP is served again", || {
        vtep.log().iter().filter(|line| line.contains("the TAP is back")).count() == SEGMENTS.len()
    });
    let mut sender = FrameSender::new(&ours.namespace, TRUNK);
    for segment in SEGMENTS {
        there_and_back(&mut sender, segment);
    }
}
