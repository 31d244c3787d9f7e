//! `explain`: what it says is what happens, to the byte; and nothing happens because of it.

use std::io::Write as _;

use overlay_types::MacAddr;
use serde_json::{Value, json};
use testbed::{Direction, Family, FrameSender, Host, Numbered, Sniffer, TapVtep, UdpFrame, Underlay, guest_mac, vxlan};

use crate::bed::{
    Cable, Counts, HandPeer, PROGRAM, TAP, VNI, expect_at, flood_to_all, one_segment, only_line, rows, start, stranger,
};

const ETHERNET_LEN: usize = 14;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn explain(vtep: &TapVtep, words: &[&str], bytes: &[u8]) -> Value {
    let bytes = hex(bytes);
    let words = [&["explain", "--json"], words, &[&bytes]].concat();
    serde_json::from_str(&vtep.expect(&words)).unwrap()
}

/// The packets that `explain` says would go out, by the remote that gets them.
fn said(explained: &Value) -> Vec<(String, String)> {
    let mut packets: Vec<_> = explained["destinations"]
        .as_array()
        .unwrap_or_else(|| panic!("nothing would be sent: {explained}"))
        .iter()
        .map(|to| (to["remote"].as_str().unwrap().to_owned(), to["bytes"].as_str().unwrap().to_owned()))
        .collect();
    packets.sort_unstable();
    packets
}

/// The packet with zero where `explain` says that the kernel fills something in.
fn without_kernel(family: Family, mut packet: Vec<u8>, explained: &Value) -> Vec<u8> {
    let by_kernel = &explained["destinations"][0]["by_kernel"];
    match family {
        Family::V4 => {
            assert_eq!(*by_kernel, json!(["identification", "header_checksum"]));
            packet[4..6].fill(0);
            // The checksum counts the identification: what is said is right for 0.
            packet[10..12].fill(0);
            let checksum = testbed::internet_checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        Family::V6 => {
            assert_eq!(*by_kernel, json!([]));
            let label = u32::from_be_bytes([0, packet[1] & 0x0f, packet[2], packet[3]]);
            assert_ne!(label, 0, "as if the kernel had none");
        }
    }
    packet
}

#[test]
fn the_bytes_are_those_on_the_wire() {
    for family in Family::ALL {
        let mut ways = vec!["\"vxlan\"", "\"geneve\"", "\"nvgre\"", "\"vxlan\"\ndf = false\nport = 8472"];
        if family == Family::V4 {
            ways.extend(["\"vxlan\"\nudp_checksum = false", "\"geneve\"\nudp_checksum = false"]);
        }
        for way in ways {
            let underlay = Underlay::new(3);
            Cable::Wire.lay(&underlay);
            let known = underlay.host(2).address(family);
            let lines = format!(
                "{}\nencapsulation = {way}\nttl = \"inherit\"\n\
                 [[segment.fdb]]\nmac = \"{}\"\nremote = \"{known}\"",
                flood_to_all(&underlay, family),
                guest_mac(3),
            );
            let configuration = one_segment(underlay.host(0), family, &lines).replace("vni = 42", "vni = 0x1042");
            let vtep = TapVtep::configured(PROGRAM, &underlay.host(0).namespace, &configuration);
            for destination in [MacAddr::BROADCAST, guest_mac(3)] {
                let frame =
                    UdpFrame { destination, source: stranger(1), traffic_class: 0x2a, ttl: 33, source_port: 1000 }
                        .bytes();
                let explained = explain(&vtep, &[], &frame);
                assert_eq!(explained["verdict"], "send", "{explained}");
                let inner = frame.clone();
                let wire =
                    Sniffer::new(&underlay.host(0).namespace, Host::DEVICE, Direction::Outgoing, move |packet| {
                        packet.ends_with(&inner)
                    });
                FrameSender::new(&underlay.host(0).namespace, TAP).send(&frame);
                let expected = said(&explained);
                assert_eq!(expected.len(), if destination == MacAddr::BROADCAST { 2 } else { 1 });
                wire.expect(expected.len() as u64);
                let mut seen: Vec<_> = wire
                    .frames()
                    .iter()
                    .map(|packet| hex(&without_kernel(family, packet[ETHERNET_LEN..].to_vec(), &explained)))
                    .collect();
                seen.sort_unstable();
                let mut expected: Vec<_> = expected.into_iter().map(|(_, bytes)| bytes).collect();
                expected.sort_unstable();
                assert_eq!(seen, expected, "{family:?}, {way}");
            }
        }
    }
}

#[test]
fn what_the_kernel_fragments_is_said() {
    for (family, overhead) in [(Family::V4, 36), (Family::V6, 56)] {
        for (df, larger, packets) in [(true, 0, 1), (false, 0, 1), (false, 1, 2)] {
            let underlay = Underlay::new(2);
            Cable::Wire.lay(&underlay);
            let lines = format!("{}\ndf = {df}\nmtu = 1500", flood_to_all(&underlay, family));
            let vtep = start(&underlay, family, &lines);
            let mut frame = Numbered::new(MacAddr::BROADCAST, stranger(1), 1).frame(0);
            frame.resize(1500 - overhead + larger, 0xa5);
            let explained = explain(&vtep, &[], &frame);
            let to = &explained["destinations"][0];
            assert_eq!((&to["length"], &to["fragmented"]), (&(1500 + larger).into(), &(packets > 1).into()), "{to}");
            let shown = vtep.expect(&["explain", &hex(&frame)]);
            assert_eq!(shown.contains("the kernel fragments it"), packets > 1, "{shown}");

            let wire = Sniffer::new(&underlay.host(0).namespace, Host::DEVICE, Direction::Outgoing, move |packet| {
                let packet = &packet[ETHERNET_LEN..];
                match family {
                    Family::V4 => packet[0] == 0x45 && packet[9] == 17,
                    Family::V6 => packet[0] >> 4 == 6 && matches!(packet[6], 17 | 44),
                }
            });
            FrameSender::new(&underlay.host(0).namespace, TAP).send(&frame);
            wire.expect(packets);
            Counts { sent: 1, ..Counts::default() }.expect(&vtep);
        }
    }
}

#[test]
fn rows_and_reasons_are_said_and_nothing_happens() {
    let underlay = Underlay::new(3);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    peer.send(&Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1).frame(0));
    expect_at(&vtep, guest_mac(2), &peer.address());
    let before = (Counts::of(&vtep), rows(&vtep));

    let to = |destination, source| Numbered::new(destination, source, 2).frame(0);
    let known = explain(&vtep, &["--from-tap"], &to(guest_mac(2), stranger(1)));
    assert_eq!((&known["match"], &known["segment"]), (&"row".into(), &"blue".into()), "{known}");
    assert_eq!(known["destination_row"]["remote"], peer.address());
    assert_eq!(known["destination_row"]["state"], "learned");
    assert!(known["destination_row"]["age_s"].is_number());
    assert_eq!(explain(&vtep, &[], &to(stranger(7), stranger(1)))["match"], "unknown_unicast");
    assert_eq!(explain(&vtep, &[], &to("01:00:5e:00:00:01".parse().unwrap(), stranger(1)))["match"], "multicast");
    assert_eq!(explain(&vtep, &[], &to(MacAddr::BROADCAST, guest_mac(2)))["forgets_source"], true);
    assert_eq!(explain(&vtep, &[], &to(guest_mac(2), MacAddr::BROADCAST))["reason"], "source_mac");
    assert_eq!(explain(&vtep, &[], &[])["reason"], "truncated");

    let address = peer.address();
    let from = ["--from", address.as_str()];
    let frame = to(stranger(1), stranger(9));
    let delivered = explain(&vtep, &from, &vxlan(VNI, &frame));
    assert_eq!((&delivered["verdict"], &delivered["tap"]), (&"deliver".into(), &TAP.into()), "{delivered}");
    assert_eq!(delivered["bytes"], hex(&frame));
    let unknown = explain(&vtep, &from, &vxlan(VNI + 1, &frame));
    assert_eq!((&unknown["reason"], &unknown["segment"]), (&"unknown_vni".into(), &Value::Null), "{unknown}");
    assert_eq!(explain(&vtep, &["--from", "198.51.100.1"], &vxlan(VNI, &frame))["reason"], "unknown_source");
    assert_eq!(explain(&vtep, &from, &vxlan(VNI, &frame)[..9])["reason"], "truncated");

    // People read lines.
    let shown = vtep.expect(&["explain", &hex(&to(guest_mac(2), stranger(1)))]);
    for word in ["blue", "learned", "send", &address, "identification", "0000  45"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!((Counts::of(&vtep), rows(&vtep)), before);
}

#[test]
fn bytes_come_from_standard_input_and_wrong_ones_are_refused_with_their_place() {
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let control = vtep.control().display().to_string();
    let mut child = std::process::Command::new(PROGRAM)
        .args(["explain", "--json", "--control", &control, "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let text = "ff:ff:ff:ff:ff:ff\n06:00:00:00:00:01  08 06\n00 01";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&explained["match"], &explained["frame"]["length"]), (&"broadcast".into(), &16.into()));

    for (words, place) in [
        (&["explain", "ffx"][..], "character 3"),
        (&["explain", "fff"], "character 3"),
        (&["explain", "--segment", "green", "ff"], "green"),
        (&["explain", "--from", "10.200.0", "ff"], "10.200.0"),
        (&["explain", "--from", "10.200.0.2", "--ecn", "3", "ff"], "ect0"),
        (&["explain", "--ecn", "ce", "ff"], "--from"),
        (&["explain"], "HEX"),
    ] {
        let finished = vtep.command(words);
        assert_eq!(finished.status, Some(2), "{words:?}: {finished}");
        assert!(only_line(&finished).contains(place), "{words:?}: {finished}");
    }
}
