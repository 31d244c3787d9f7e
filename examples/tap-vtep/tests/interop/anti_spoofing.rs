//! Anti-spoofing: the kernel on the TAP says what it is and passes; whatever else is said there is dropped and counted.

use std::net::{Ipv4Addr, Ipv6Addr};

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, TapVtep, UdpFrame, Underlay, frame, guest_mac, internet_checksum, ping, ping_with};

use crate::{
    bed::{Counts, HandPeer, TAP, flood_to_all, guest_address, kernel_peers, start, stranger, tap_mac},
    neighbor_frame::{Arp, Nd},
};

const ADDRESSES: &str = "addresses = [\"10.50.0.1/24\", \"fd00:50::1/64\"]";

/// What a host does by itself passes: resolution, detection, group reports, packets.
#[test]
fn the_tap_itself_may_speak() {
    for more in ["", "suppress = true"] {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        // As on any host: the kernel solicits, detects duplicates and joins groups.
        for setting in ["all", "default"] {
            ours.set_sysctl(&format!("net/ipv6/conf/{setting}/disable_ipv6"), "0");
            ours.set_sysctl(&format!("net/ipv6/conf/{setting}/accept_dad"), "1");
            ours.set_sysctl(&format!("net/ipv6/conf/{setting}/accept_ra"), "1");
        }
        let peers = kernel_peers(&underlay, Family::V4);
        peers[0].enable_ipv6();
        let lines = format!("{}\n{ADDRESSES}\nanti_spoofing = true\n{more}", flood_to_all(&underlay, Family::V4));
        let vtep = start(&underlay, Family::V4, &lines);
        testbed::wait_until("the addresses serve", || {
            !ours.ip(&format!("-6 address show dev {TAP}")).contains("tentative")
        });
        for family in Family::ALL {
            assert_eq!(ping(ours, peers[0].guest_address(family), 3).received, 3, "{family:?}");
            ours.ip(&format!("neigh flush dev {TAP}"));
            assert_eq!(ping(&peers[0].guest, guest_address(1, family), 3).received, 3, "{family:?}");
        }
        assert_eq!(vtep.drops(), 0, "{}", vtep.show("stats"));
    }
}

/// An address that the host gives itself is not among those that it may have.
#[test]
fn an_address_of_its_own_choice_is_dropped() {
    let underlay = Underlay::new(2);
    let peers = kernel_peers(&underlay, Family::V4);
    let lines =
        format!("{}\naddresses = [\"10.50.0.1/24\"]\nanti_spoofing = true", flood_to_all(&underlay, Family::V4));
    let vtep = start(&underlay, Family::V4, &lines);
    let ours = &underlay.host(0).namespace;
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 1).received, 1);
    assert_eq!(vtep.drops(), 0);
    ours.ip(&format!("address add 10.50.0.77/24 dev {TAP}"));
    let target = peers[0].guest_address(Family::V4);
    assert_eq!(ping_with(ours, target, 5, &["-I", "10.50.0.77"]).received, 0);
    testbed::wait_until("they are counted", || vtep.counter("drops/source_ip") >= 5);
    assert_eq!(vtep.drops(), vtep.counter("drops/source_ip"));
    // The MAC of another one.
    let before = Counts::of(&vtep);
    let count = FrameSender::new(ours, TAP).send_all((0..100).map(|_| frame(guest_mac(2), stranger(1), &[0; 46])));
    before.and_dropped("source_mac", count).expect(&vtep);
}

const V4: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 5);
const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 6);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 5);
const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 6);

/// A bridged TAP: one guest with two addresses, and another one of which only the MAC is known.
fn with_list() -> (Underlay, HandPeer, TapVtep) {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let lines = format!(
        "{}\nallowed = [{{ mac = \"{}\", ips = [\"{V4}\", \"{V6}\"] }}, {{ mac = \"{}\" }}]",
        flood_to_all(&underlay, Family::V4),
        stranger(1),
        stranger(2),
    );
    let vtep = start(&underlay, Family::V4, &lines);
    (underlay, peer, vtep)
}

/// An IPv4 packet with a UDP datagram.
fn udp(source: MacAddr, ip: Ipv4Addr, ports: [u16; 2]) -> Vec<u8> {
    let destination = MacAddr::BROADCAST;
    let mut bytes = UdpFrame { destination, source, traffic_class: 0, ttl: 64, source_port: ports[0] }.bytes();
    bytes[14 + 12..14 + 16].copy_from_slice(&ip.octets());
    bytes[14 + 10..14 + 12].fill(0);
    let checksum = internet_checksum(&bytes[14..34]).to_be_bytes();
    bytes[14 + 10..14 + 12].copy_from_slice(&checksum);
    bytes[36..38].copy_from_slice(&ports[1].to_be_bytes());
    bytes
}

#[test]
fn guests_of_a_list_are_held_to_it() {
    let (underlay, _peer, vtep) = with_list();
    let (one, two, third) = (stranger(1), stranger(2), stranger(3));
    let nobody = Ipv4Addr::UNSPECIFIED;
    let target = [10, 50, 0, 9].into();
    let link_local = |mac: MacAddr| {
        let mac = mac.octets();
        let low = [&[mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe], &mac[3..]].concat();
        Ipv6Addr::from_bits(0xfe80 << 112 | low.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    };
    let arp = |mac: MacAddr, ip: Ipv4Addr| Arp::request((mac, ip), target).frame(MacAddr::BROADCAST);
    let nd = |mac: MacAddr, ip: Ipv6Addr| Nd::solicitation((mac, ip), "fd00:50::9".parse().unwrap());
    let cases = [
        ("", frame(MacAddr::BROADCAST, one, &[0; 46])),
        ("", udp(one, V4, [5000, 53])),
        ("", udp(one, nobody, [68, 67])),
        ("", arp(one, V4)),
        ("", arp(one, nobody)),
        ("", nd(one, V6).frame_to_group()),
        ("", nd(one, link_local(one)).frame_to_group()),
        ("", udp(two, FOREIGN_V4, [5000, 53])),
        ("", arp(two, FOREIGN_V4)),
        ("", nd(two, FOREIGN_V6).frame_to_group()),
        ("source_mac", frame(MacAddr::BROADCAST, third, &[0; 46])),
        ("source_mac", udp(third, V4, [5000, 53])),
        ("source_mac", frame(MacAddr::BROADCAST, tap_mac(&underlay), &[0; 46])),
        ("source_mac", Arp::request((two, V4), target).from(one).frame(MacAddr::BROADCAST)),
        ("source_mac", Arp::request((one, V4), target).from(two).frame(MacAddr::BROADCAST)),
        ("source_mac", nd(two, V6).from(one).frame_to_group()),
        ("source_ip", udp(one, FOREIGN_V4, [5000, 53])),
        ("source_ip", udp(one, nobody, [5000, 53])),
        ("source_ip", arp(one, FOREIGN_V4)),
        ("source_ip", Arp::reply((one, FOREIGN_V4), (two, target)).frame(two)),
        ("source_ip", nd(one, FOREIGN_V6).frame_to_group()),
        ("source_ip", nd(one, link_local(two)).frame_to_group()),
    ];
    let mut expected = Counts::of(&vtep);
    for (reason, _) in &cases {
        match *reason {
            "" => expected.sent += 100,
            reason => expected = expected.and_dropped(reason, 100),
        }
    }
    let mut sender = FrameSender::new(&underlay.host(0).namespace, TAP);
    for (_, frame) in &cases {
        sender.send_all((0..100).map(|_| frame.clone()));
    }
    expected.expect(&vtep);
}

/// What is forged does not make us forget where the real one is.
#[test]
fn a_forged_source_moves_no_row() {
    let (underlay, peer, vtep) = with_list();
    peer.send(&frame(MacAddr::BROADCAST, guest_mac(2), &[0; 46]));
    crate::bed::expect_at(&vtep, guest_mac(2), &peer.address());
    let before = Counts::of(&vtep);
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&frame(MacAddr::BROADCAST, guest_mac(2), &[0; 46]));
    before.and_dropped("source_mac", 1).expect(&vtep);
    assert_eq!(vtep.remote_of(guest_mac(2)), Some(peer.address()));
}

#[test]
fn a_wrong_list_is_one_line() {
    let underlay = Underlay::new(2);
    let files = testbed::Scratch::new();
    let host = underlay.host(0);
    let mac = stranger(1);
    for (lines, words) in [
        (format!("allowed = [{{ mac = \"{mac}\" }}, {{ mac = \"{mac}\" }}]"), "in the list already"),
        ("allowed = [{ mac = \"ff:ff:ff:ff:ff:ff\" }]".to_owned(), "not a unicast MAC address"),
        (format!("allowed = [{{ mac = \"{mac}\", ips = [\"224.0.0.1\"] }}]"), "not the address of one host"),
        (format!("anti_spoofing = false\nallowed = [{{ mac = \"{mac}\" }}]"), "there is a list"),
        ("storm = { broadcast = 10000001 }".to_owned(), "at most 10000000 frames a second"),
        ("storm = { broadcast = 1, burst = 0 }".to_owned(), "must be a frame at least"),
        ("storm = { everything = 1 }".to_owned(), "unknown field"),
    ] {
        let file = crate::bed::configuration_file(&files, &crate::bed::one_segment(host, Family::V4, &lines));
        let finished = crate::bed::run_to_end(&underlay, &["check", "--config", &file]);
        assert_eq!(finished.status, Some(2), "{finished}");
        let line = crate::bed::only_line(&finished);
        assert!(line.contains(words), "{line}");
    }
}
