//! What is not delivered or sent is counted under exactly one reason, the right one: frames and datagrams in are those
//! delivered or sent, and the drops.

use std::net::IpAddr;

use overlay_types::MacAddr;
use testbed::{EXPERIMENTAL, Family, FrameSender, Host, Numbered, Sniffer, TapVtep, Underlay, frame, guest_mac, vxlan};

use crate::bed::{Counts, HandPeer, PORT, TAP, VNI, expect_at, flood_to_all, start, stranger, tap_mac};

/// Our endpoint, a peer made by hand, and what it delivers of stream 1.
struct Drops {
    underlay: Underlay,
    peer: HandPeer,
    vtep: TapVtep,
    delivered: Sniffer,
}

impl Drops {
    fn new(lines: &str) -> Self {
        Self::over(Family::V4, lines)
    }

    /// The second host is the peer; the third is nobody that our endpoint knows.
    fn over(family: Family, lines: &str) -> Self {
        let underlay = Underlay::new(3);
        let peer = HandPeer::new(&underlay, 1, family);
        let lines = format!("flood = [\"{}\"]\n{lines}", peer.address());
        let vtep = start(&underlay, family, &lines);
        let delivered = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
        Self { underlay, peer, vtep, delivered }
    }

    /// Each of these datagrams is dropped for this reason, and for no other.
    #[track_caller]
    fn drop_all(&self, reason: &str, datagrams: &[Vec<u8>]) {
        let before = Counts::of(&self.vtep);
        for datagram in datagrams {
            self.peer.send_datagram(datagram);
        }
        before.and_dropped(reason, datagrams.len() as u64).expect(&self.vtep);
        self.delivered.expect(0);
    }

    /// Each of these frames from the TAP is dropped for this reason, and for no other.
    #[track_caller]
    fn drop_all_from_tap(&self, reason: &str, frames: Vec<Vec<u8>>) {
        let before = Counts::of(&self.vtep);
        let count = FrameSender::new(&self.underlay.host(0).namespace, TAP).send_all(frames);
        before.and_dropped(reason, count).expect(&self.vtep);
    }

    /// These datagrams are delivered.
    #[track_caller]
    fn deliver_all(&self, datagrams: &[Vec<u8>]) {
        let before = Counts::of(&self.vtep);
        for datagram in datagrams {
            self.peer.send_datagram(datagram);
        }
        before.and_delivered(datagrams.len() as u64).expect(&self.vtep);
        self.delivered.expect(datagrams.len() as u64);
    }
}

/// A frame of stream 1 that nothing is wrong with.
fn good_frame() -> Vec<u8> {
    Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1).frame(0)
}

#[test]
fn what_is_cut_off_anywhere_in_its_headers_is_truncated() {
    for family in Family::ALL {
        let drops = Drops::over(family, "");
        let datagram = vxlan(VNI, &good_frame());
        // The VXLAN header has 8 bytes, the Ethernet header behind it 14.
        let datagrams: Vec<_> = (0..8 + 14).map(|len| datagram[..len].to_vec()).collect();
        drops.drop_all("truncated", &datagrams);
        drops.deliver_all(&[datagram]);
    }
}

#[test]
fn without_the_i_flag_the_header_is_invalid() {
    let drops = Drops::new("");
    let with_flags = |flags: u8| {
        let mut datagram = vxlan(VNI, &good_frame());
        datagram[0] = flags;
        datagram
    };
    let datagrams: Vec<_> = (0..=u8::MAX).filter(|flags| flags & 0x08 == 0).map(with_flags).collect();
    assert_eq!(datagrams.len(), 128);
    drops.drop_all("invalid_header", &datagrams);
}

/// The 39 bits of the header that are neither the I flag nor the VNI, one at a time.
fn each_reserved_bit() -> Vec<Vec<u8>> {
    let is_reserved = |bit: &usize| match bit / 8 {
        0 => 0x80 >> (bit % 8) != 0x08,
        1..=3 | 7 => true,
        _ => false,
    };
    let datagrams: Vec<_> = (0..64)
        .filter(is_reserved)
        .map(|bit| {
            let mut datagram = vxlan(VNI, &good_frame());
            datagram[bit / 8] |= 0x80 >> (bit % 8);
            datagram
        })
        .collect();
    assert_eq!(datagrams.len(), 39);
    datagrams
}

#[test]
fn each_reserved_bit_is_refused_where_the_policy_says_so() {
    Drops::new("reserved_bits = \"reject\"").drop_all("reserved_bits", &each_reserved_bit());
}

/// RFC 7348 §5: "MUST be ignored on receipt".
#[test]
fn each_reserved_bit_is_ignored_by_default() {
    Drops::new("").deliver_all(&each_reserved_bit());
}

#[test]
fn a_segment_that_is_not_here_is_unknown() {
    let drops = Drops::new("");
    let others = [0, VNI - 1, VNI + 1, VNI << 8, 0x00ff_ffff].map(|vni| vxlan(vni, &good_frame()));
    drops.drop_all("unknown_vni", &others);
    // It belongs to no segment, and is counted there.
    assert_eq!(drops.vtep.outer_counter("drops/unknown_vni"), 5);
    assert_eq!(drops.vtep.drops(), 0);
}

#[test]
fn a_source_that_nothing_names_is_unknown() {
    for family in Family::ALL {
        let drops = Drops::over(family, "");
        let stranger = HandPeer::new(&drops.underlay, 2, family);
        let before = Counts::of(&drops.vtep);
        for _ in 0..10 {
            stranger.send(&good_frame());
        }
        before.and_dropped("unknown_source", 10).expect(&drops.vtep);
        drops.delivered.expect(0);
        assert_eq!(drops.vtep.show("fdb").as_array().unwrap().len(), 0);
    }
}

#[test]
fn any_source_is_taken_where_the_policy_says_so() {
    let drops = Drops::new("sources = \"any\"");
    let other = HandPeer::new(&drops.underlay, 2, Family::V4);
    let before = Counts::of(&drops.vtep);
    other.send(&good_frame());
    before.and_delivered(1).expect(&drops.vtep);
    drops.delivered.expect(1);
    expect_at(&drops.vtep, guest_mac(2), &other.address());
}

/// An address that only a row of the table names is known, too.
#[test]
fn a_source_that_a_static_row_names_is_known() {
    let underlay = Underlay::new(3);
    let other = HandPeer::new(&underlay, 2, Family::V4);
    let lines = format!(
        "{}\n[[segment.fdb]]\nmac = \"{}\"\nremote = \"{}\"",
        "flood = [\"10.200.0.2\"]",
        stranger(1),
        other.address()
    );
    let vtep = start(&underlay, Family::V4, &lines);
    let before = Counts::of(&vtep);
    other.send(&good_frame());
    before.and_delivered(1).expect(&vtep);
}

/// Half of twenty addresses of a host are named, by the flood list and by static rows.
#[test]
fn of_twenty_sources_the_ten_that_are_named_are_known() {
    for family in Family::ALL {
        let underlay = Underlay::new(2);
        let host = &underlay.host(1).namespace;
        let sources = (100..120).map(|number| match family {
            Family::V4 => IpAddr::from([10, 200, 0, number]),
            Family::V6 => IpAddr::from([0xfd00, 0x200, 0, 0, 0, 0, 0, number.into()]),
        });
        let sources: Vec<_> = sources.collect();
        let prefix_len = if family == Family::V4 { 24 } else { 64 };
        for source in &sources {
            host.add_address(Host::DEVICE, *source, prefix_len);
        }
        let flood: Vec<_> = sources[..7].iter().map(|source| format!("\"{source}\"")).collect();
        let rows = (1..).zip(&sources[7..10]).map(|(number, source)| {
            format!("[[segment.fdb]]\nmac = \"{}\"\nremote = \"{source}\"\n", stranger(number))
        });
        let lines = format!("flood = [{}]\n{}", flood.join(", "), rows.collect::<String>());
        let vtep = start(&underlay, family, &lines);
        let delivered = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
        let before = Counts::of(&vtep);
        for source in &sources {
            let socket = host.udp_socket((*source, 0));
            socket.send_to(&vxlan(VNI, &good_frame()), (underlay.host(0).address(family), PORT)).unwrap();
        }
        before.and_delivered(10).and_dropped("unknown_source", 10).expect(&vtep);
        delivered.expect(10);
    }
}

/// Frames with an 802.1Q and an 802.1ad tag.
fn tagged(source: MacAddr) -> Vec<Vec<u8>> {
    [0x8100_u16, 0x88a8]
        .map(|tag| {
            let mut bytes = frame(MacAddr::BROADCAST, source, &[0; 60]);
            let tag = [tag.to_be_bytes(), [0, 5], EXPERIMENTAL.to_be_bytes()].concat();
            bytes.splice(12..14, tag);
            bytes
        })
        .to_vec()
}

/// RFC 7348 §6.1.
#[test]
fn vlan_tags_are_dropped_both_ways() {
    let drops = Drops::new("");
    let datagrams: Vec<_> = tagged(guest_mac(2)).iter().map(|frame| vxlan(VNI, frame)).collect();
    drops.drop_all("vlan_tag", &datagrams);
    drops.drop_all_from_tap("vlan_tag", tagged(stranger(1)));
}

#[test]
fn vlan_tags_are_carried_where_the_configuration_says_so() {
    let drops = Drops::new("vlan = \"carry\"");
    let before = Counts::of(&drops.vtep);
    for frame in tagged(guest_mac(2)) {
        drops.peer.send(&frame);
    }
    let mut after = before.and_delivered(2);
    after.expect(&drops.vtep);
    let mut sender = FrameSender::new(&drops.underlay.host(0).namespace, TAP);
    for frame in tagged(stranger(1)) {
        sender.send(&frame);
        assert_eq!(drops.peer.receive(), vxlan(VNI, &frame));
    }
    after.sent += 2;
    after.expect(&drops.vtep);
}

#[test]
fn our_own_address_from_a_tunnel_is_dropped() {
    let drops = Drops::new("");
    let looped = Numbered::new(MacAddr::BROADCAST, tap_mac(&drops.underlay), 1).frame(0);
    drops.drop_all("own_mac", &[vxlan(VNI, &looped)]);
}

#[test]
fn a_source_that_no_station_can_have_is_dropped_from_the_tap() {
    let drops = Drops::new("");
    let sources = [MacAddr::ZERO, MacAddr::BROADCAST, "01:00:5e:00:00:01".parse().unwrap()];
    let frames = sources.map(|source| Numbered::new(guest_mac(2), source, 2).frame(0)).to_vec();
    drops.drop_all_from_tap("source_mac", frames);
}

/// What came from a tunnel never goes back into one, and is none of the TAP's business.
#[test]
fn a_frame_from_a_tunnel_for_a_host_behind_another_is_dropped() {
    let underlay = Underlay::new(3);
    let (one, two) = (HandPeer::new(&underlay, 1, Family::V4), HandPeer::new(&underlay, 2, Family::V4));
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let delivered = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    two.send(&frame(MacAddr::BROADCAST, guest_mac(3), &[0; 46]));
    expect_at(&vtep, guest_mac(3), &two.address());
    let before = Counts::of(&vtep);
    for frame in Numbered::new(guest_mac(3), guest_mac(2), 1).frames(10) {
        one.send(&frame);
    }
    before.and_dropped("split_horizon", 10).expect(&vtep);
    delivered.expect(0);
    assert_eq!(vtep.counter("tx_frames"), 0);
}

#[test]
fn with_nobody_to_send_to_there_is_no_remote() {
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, "");
    let before = Counts::of(&vtep);
    let mut sender = FrameSender::new(&underlay.host(0).namespace, TAP);
    sender.send_all([MacAddr::BROADCAST, guest_mac(2)].map(|to| Numbered::new(to, stranger(1), 1).frame(0)));
    before.and_dropped("no_remote", 2).expect(&vtep);
}

/// A TAP whose MTU was raised brings frames that no datagram of the underlay's MTU can carry.
#[test]
fn what_does_not_fit_is_too_big() {
    for family in Family::ALL {
        let drops = Drops::over(family, "");
        drops.underlay.host(0).namespace.ip(&format!("link set {TAP} mtu 9000"));
        let largest = 1500 - family.vxlan_overhead() as usize + 14;
        let frames = (largest + 1..largest + 11)
            .map(|len| Numbered { len, ..Numbered::new(guest_mac(2), stranger(1), 2) }.frame(0))
            .collect();
        drops.drop_all_from_tap("too_big", frames);
    }
}

/// Ten kinds of datagrams and five kinds of frames at once: every one is found again under one counter.
#[test]
fn everything_that_comes_in_is_accounted_for() {
    const ROUNDS: u64 = 500;
    let drops = Drops::new("reserved_bits = \"reject\"");
    let stranger_peer = HandPeer::new(&drops.underlay, 2, Family::V4);
    let own = tap_mac(&drops.underlay);
    let good = vxlan(VNI, &good_frame());
    let mut invalid = good.clone();
    invalid[0] = 0;
    let mut reserved = good.clone();
    reserved[7] = 1;
    let tagged_frames = tagged(guest_mac(2));
    let looped = vxlan(VNI, &frame(MacAddr::BROADCAST, own, &[0; 46]));
    let datagrams = [
        ("", good.clone()),
        ("truncated", good[..7].to_vec()),
        ("truncated", good[..21].to_vec()),
        ("invalid_header", invalid),
        ("reserved_bits", reserved),
        ("unknown_vni", vxlan(VNI + 1, &good_frame())),
        ("vlan_tag", vxlan(VNI, &tagged_frames[0])),
        ("own_mac", looped),
    ];
    let to = |destination, source| Numbered::new(destination, source, 2).frame(0);
    let frames = [
        ("", to(guest_mac(2), stranger(1))),
        ("", to(MacAddr::BROADCAST, stranger(1))),
        ("source_mac", to(guest_mac(2), MacAddr::BROADCAST)),
        ("vlan_tag", tagged(stranger(1)).swap_remove(1)),
    ];
    let mut expected = Counts::of(&drops.vtep);
    for (reason, _) in &datagrams {
        expected =
            if reason.is_empty() { expected.and_delivered(ROUNDS) } else { expected.and_dropped(reason, ROUNDS) };
    }
    for (reason, _) in &frames {
        if reason.is_empty() {
            expected.sent += ROUNDS;
        } else {
            expected = expected.and_dropped(reason, ROUNDS);
        }
    }
    expected = expected.and_dropped("unknown_source", ROUNDS);

    let mut sender = FrameSender::new(&drops.underlay.host(0).namespace, TAP);
    for _ in 0..ROUNDS {
        for (_, datagram) in &datagrams {
            drops.peer.send_datagram(datagram);
        }
        stranger_peer.send(&good_frame());
        sender.send_all(frames.iter().map(|(_, frame)| frame.clone()));
        // One round after the other: nothing on the way may overflow.
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    expected.expect(&drops.vtep);
    drops.delivered.expect(ROUNDS);
}
