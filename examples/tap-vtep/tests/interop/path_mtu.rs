//! What does not fit: its sender is told and comes again with less, whether the segment, our interface or a router far away
//! sets the limit. Nothing vanishes without a count.

use std::net::IpAddr;

use testbed::{
    Direction, Family, FrameSender, Host, Sniffer, TapVtep, Transport, TransportFrame, Underlay, transfer, wait_until,
};

use crate::bed::{Counts, TAP, flood_to_all, guest_address, start, start_two, start_two_with, stranger, tap_mac};
use crate::shown::{Feature, With, shown};
use crate::tunnel::Tunnel;

const ETHERNET_LEN: usize = 14;

/// The MTU that a too-big message tells.
fn told_mtu(frame: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    match frame.get(12..14)? {
        [0x08, 0x00] if frame[23] == 1 && frame.get(34..36)? == [3, 4] => number(38).map(|word| word & 0xffff),
        [0x86, 0xdd] if frame[20] == 58 && frame.get(54..56)? == [2, 0] => number(58),
        _ => None,
    }
}

/// Too-big messages that come out of the TAP of a host.
fn answers(host: &Host) -> Sniffer {
    Sniffer::new(&host.namespace, TAP, Direction::Incoming, |frame| told_mtu(frame).is_some())
}

/// The MTUs that they tell, each once.
fn told(answers: &Sniffer) -> Vec<u32> {
    let mut told: Vec<_> = answers.frames().iter().filter_map(|frame| told_mtu(frame)).collect();
    told.sort_unstable();
    told.dedup();
    told
}

/// Sizes of frames from the smallest up to a packet of 9,000 bytes: in steps, and each one where something may end.
fn sizes(headers: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (64..=9014).step_by(97).collect();
    for edge in [60, 64, 576, 1280, 1400, 1430, 1450, 1500, 8930, 8950, 9000, 9014 - ETHERNET_LEN - 4] {
        sizes.extend(edge + ETHERNET_LEN - 4..=edge + ETHERNET_LEN + 4);
    }
    sizes.retain(|size| (headers.max(64)..=9014).contains(size));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Sends frames of all sizes from the first host's TAP; those that fit arrive unchanged, and of all others the sender hears.
fn send_all_sizes(underlay: &Underlay, vtep: &TapVtep, mtu: usize, context: &str) {
    let [here, there] = [underlay.host(0), underlay.host(1)];
    here.namespace.ip(&format!("link set {TAP} mtu 9500"));
    let destination = there.namespace.device(TAP)["address"].as_str().unwrap().parse().unwrap();
    for inner in Family::ALL {
        let form = TransportFrame { source: stranger(1), ..TransportFrame::new(destination, inner, Transport::Udp) };
        let sizes = sizes(form.header_len());
        let is_it = |frame: &[u8]| frame[6..12] == stranger(1).octets();
        let arriving = Sniffer::new(&there.namespace, TAP, Direction::Incoming, is_it);
        let answered = answers(here);
        let before = Counts::of(vtep).drops.get("too_big").copied().unwrap_or(0);
        let frames: Vec<_> = sizes.iter().map(|size| form.bytes(&vec![0x5a; size - form.header_len()])).collect();
        FrameSender::new(&here.namespace, TAP).send_all(frames.clone());
        let fits = |frame: &&Vec<u8>| frame.len() <= ETHERNET_LEN + mtu;
        let fitting: Vec<_> = frames.iter().filter(fits).cloned().collect();
        let too_big = (frames.len() - fitting.len()) as u64;
        arriving.expect(fitting.len() as u64);
        assert!(arriving.frames() == fitting, "{inner:?}: {context}");
        answered.expect(too_big);
        assert_eq!(told(&answered), [mtu as u32], "{inner:?}: {context}");
        assert!(answered.frames().iter().all(|frame| frame[..6] == stranger(1).octets()));
        let drops = Counts::of(vtep).drops;
        assert_eq!((drops.get("too_big").copied(), drops.len()), (Some(before + too_big), 1), "{inner:?}: {context}");
    }
}

#[test]
fn every_size_arrives_or_is_answered_and_counted() {
    for (underlay_mtu, outer) in [(1500, Family::V4), (1500, Family::V6), (9000, Family::V4), (9000, Family::V6)] {
        let underlay = Underlay::with_mtu(2, underlay_mtu);
        let both = start_two(&underlay, outer, "");
        let mtu = (underlay_mtu - outer.vxlan_overhead()) as usize;
        send_all_sizes(&underlay, &both[0], mtu, &format!("underlay {outer:?}, {underlay_mtu}"));
    }
}

/// The segment allows more than our own interface carries: the system refuses it.
#[test]
fn what_our_interface_does_not_carry_is_answered_too() {
    for outer in Family::ALL {
        let underlay = Underlay::new(2);
        let both = start_two(&underlay, outer, "mtu = 9000");
        let mtu = (1500 - outer.vxlan_overhead()) as usize;
        send_all_sizes(&underlay, &both[0], mtu, &format!("underlay {outer:?}"));
    }
}

/// The way from the first host to the second leads through the third, whose link to the second carries `mtu` bytes.
pub(crate) fn narrow(underlay: &Underlay, family: Family, mtu: u32) {
    let [one, two, router] = [0, 1, 2].map(|index| underlay.host(index));
    let (version, length) = if family == Family::V4 { ("-4", 32) } else { ("-6", 128) };
    let (to, via) = (two.address(family), router.address(family));
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        router.namespace.set_sysctl(&format!("net/{key}"), "1");
    }
    for scope in ["all", Host::DEVICE] {
        router.namespace.set_sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0");
        one.namespace.set_sysctl(&format!("net/ipv6/conf/{scope}/accept_redirects"), "0");
    }
    router.namespace.ip(&format!("{version} route replace {to}/{length} dev {} mtu {mtu}", Host::DEVICE));
    one.namespace.ip(&format!("{version} route replace {to}/{length} via {via}"));
}

/// The path MTU that `show remotes` has for a host.
pub(crate) fn shown_mtu(vtep: &TapVtep, remote: IpAddr) -> u64 {
    let remotes = vtep.show("remotes");
    let row = remotes.as_array().unwrap().iter().find(|row| row["address"] == remote.to_string());
    row.unwrap_or_else(|| panic!("{remotes}"))["mtu"].as_u64().unwrap()
}

fn narrows_under_way(way: &str, tunnel: Tunnel, outer: Family) {
    const NARROW: u32 = 1400;
    let context = format!("{way}, {tunnel:?}, {outer:?}");
    // NVGRE is without UDP.
    let overhead = outer.vxlan_overhead() - if tunnel == Tunnel::Nvgre { 8 } else { 0 };
    let underlay = Underlay::new(3);
    let both = start_two_with(way, tunnel, &underlay, outer, "");
    let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
    let remote = underlay.host(1).address(outer);
    let moves = |inner| {
        let moved = transfer(one, two, guest_address(2, inner), 2_000_000);
        assert_eq!(moved.sent, moved.received, "{context}");
    };
    Family::ALL.into_iter().for_each(moves);
    assert_eq!(shown_mtu(&both[0], remote), 1500, "{context}");
    narrow(&underlay, outer, NARROW);
    for inner in Family::ALL {
        let answered = answers(underlay.host(0));
        moves(inner);
        wait_until(&format!("the guest is told: {context}"), || answered.count() > 0);
        assert_eq!(told(&answered), [NARROW - overhead], "{inner:?}: {context}");
    }
    assert_eq!(shown_mtu(&both[0], remote), u64::from(NARROW), "{context}");
    let drops = Counts::of(&both[0]).drops;
    assert_eq!(drops.keys().collect::<Vec<_>>(), ["too_big"], "{context}");
    assert_eq!(shown_mtu(&both[1], underlay.host(0).address(outer)), 1500, "{context}");

    // The kernel forgets: so do we, as soon as something is sent.
    narrow(&underlay, outer, 1500);
    let version = if outer == Family::V4 { "-4" } else { "-6" };
    one.ip(&format!("{version} route flush cache"));
    wait_until(&format!("the path is whole again: {context}"), || {
        let _ = testbed::ping(one, guest_address(2, Family::V4), 1);
        shown_mtu(&both[0], remote) == 1500
    });
}

#[test]
fn a_path_that_narrows_under_way_is_learned_and_the_guest_is_told() {
    for tunnel in [Tunnel::Vxlan, Tunnel::Nvgre] {
        for outer in Family::ALL {
            narrows_under_way("socket", tunnel, outer);
        }
        // Whole where the underlay takes them so, as it does over IPv4.
        narrows_under_way("auto", tunnel, Family::V4);
        for outer in Family::ALL {
            shown(Feature::PathMtu, tunnel.encapsulation(), With::Ours, outer);
        }
    }
}

#[test]
fn syns_are_clamped_both_ways_where_asked_for() {
    for (lines, expected) in [("clamp_mss = true", [1410, 1390]), ("", [8960, 8940])] {
        let underlay = Underlay::new(2);
        let both = start_two(&underlay, Family::V4, &format!("mtu = 1450\n{lines}"));
        let hosts = [underlay.host(0), underlay.host(1)];
        // Guests that think more of their TAP than it has.
        for host in hosts {
            host.namespace.ip(&format!("link set {TAP} mtu 9000"));
        }
        for (inner, mss) in Family::ALL.into_iter().zip(expected) {
            let at = if inner == Family::V4 { 34 } else { 54 };
            // SYN and SYN-ACK, each as it arrives; the option comes first.
            let syns = hosts.map(|host| {
                Sniffer::new(&host.namespace, TAP, Direction::Incoming, move |frame| {
                    let protocol = if at == 34 { frame.get(23) } else { frame.get(20) };
                    protocol == Some(&6) && frame.get(at + 13).is_some_and(|flags| flags & 2 != 0)
                })
            });
            let moved = transfer(&hosts[0].namespace, &hosts[1].namespace, guest_address(2, inner), 1000);
            assert_eq!(moved.sent, moved.received);
            for syns in &syns {
                syns.expect(1);
                let frame = &syns.frames()[0];
                assert_eq!(frame[at + 20..at + 22], [2, 4]);
                assert_eq!(u16::from_be_bytes([frame[at + 22], frame[at + 23]]), mss, "{inner:?}, {lines}");
            }
        }
        for vtep in &both {
            Counts::expect_no_drop(vtep, lines);
        }
        for host in hosts {
            assert_eq!(host.namespace.protocol_counter("TcpInCsumErrors"), 0);
        }
    }
}

/// A station behind the TAP hears from the TAP's address, where it has one; the TAP's own host would not believe that.
#[test]
fn the_answer_comes_from_the_endpoint_s_own_address_where_that_helps() {
    let underlay = Underlay::new(2);
    let lines = format!("{}\naddresses = [\"10.50.0.9/24\"]", flood_to_all(&underlay, Family::V4));
    let vtep = start(&underlay, Family::V4, &lines);
    let host = underlay.host(0);
    host.namespace.ip(&format!("link set {TAP} mtu 9000"));
    let form = TransportFrame::new(testbed::guest_mac(2), Family::V4, Transport::Udp);
    for (source, expected) in [(stranger(1), [10, 50, 0, 9]), (tap_mac(&underlay), [10, 50, 0, 1])] {
        let answered = answers(host);
        let frame = TransportFrame { source, ..form }.bytes(&[0; 2000]);
        FrameSender::new(&host.namespace, TAP).send(&frame);
        answered.expect(1);
        assert_eq!(answered.frames()[0][26..30], expected);
    }
    let drops = Counts::of(&vtep).drops;
    assert_eq!((drops["too_big"], drops.len()), (2, 1));
}
