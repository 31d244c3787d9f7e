//! Who gets what: broadcast, unknown unicast and multicast to every peer exactly once and never back, a known address to its
//! peer alone; by head-end replication and by IP multicast groups.

use std::{net::IpAddr, time::Duration};

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, Flood, FrameSender, Host, KernelVtep, KernelVtepOptions, Namespace, Numbered, Ping, Sniffer,
    TapVtep, Underlay, guest_mac, ping, stays, wait_until,
};

use crate::{
    bed::{Cable, PORT, TAP, VNI, add_guest_addresses, flood_to_all, guest_address, kernel_peers, start, stranger},
    shown::{Feature, With, shown_by_vxlan},
};

const COUNT: u32 = 1000;

/// Time for a frame that should not come to come.
const MOMENT: Duration = Duration::from_millis(300);

fn group_of(address: &str) -> MacAddr {
    address.parse().unwrap()
}

/// Sends a stream out of our TAP that every peer has to get once, and that nobody brings back.
fn floods_to_all(underlay: &Underlay, peers: &[KernelVtep], destination: MacAddr, stream: u32) {
    let ours = &underlay.host(0).namespace;
    let arriving: Vec<_> =
        peers.iter().map(|peer| Sniffer::of_stream(&peer.guest, KernelVtep::GUEST_DEVICE, stream)).collect();
    let returning = Sniffer::of_stream(ours, TAP, stream);
    let frames = Numbered::new(destination, stranger(1), stream);
    FrameSender::new(ours, TAP).send_all(frames.frames(COUNT));
    for sniffer in &arriving {
        sniffer.expect_stream(stream, COUNT);
    }
    stays("nothing comes back", MOMENT, || returning.count() == 0);
}

/// Broadcast, unknown unicast and multicast: one stream of [`COUNT`] frames each.
fn floods_what_has_no_owner(underlay: &Underlay, peers: &[KernelVtep], vtep: &TapVtep) {
    let destinations = [MacAddr::BROADCAST, stranger(99), group_of("01:00:5e:01:02:03"), group_of("33:33:00:00:00:05")];
    for (stream, destination) in (1..).zip(destinations) {
        floods_to_all(underlay, peers, destination, stream);
        let sent = u64::from(COUNT * stream);
        assert_eq!(
            (vtep.counter("tx_frames"), vtep.counter("flooded"), vtep.drops()),
            (sent, sent, 0),
            "{destination}"
        );
    }
}

#[test]
fn head_end_replication_reaches_each_peer_once() {
    for family in Family::ALL {
        let underlay = Underlay::new(3);
        let peers = kernel_peers(&underlay, family);
        let vtep = start(&underlay, family, &flood_to_all(&underlay, family));
        floods_what_has_no_owner(&underlay, &peers, &vtep);
        // Each frame is counted once as sent, and once for each peer.
        for remote in vtep.show("remotes").as_array().unwrap() {
            assert_eq!(remote["tx_packets"], 4 * COUNT, "{remote}");
            assert_eq!(remote["rx_packets"], 0, "{remote}");
        }
        shown_by_vxlan(Feature::Flood, With::Kernel, family);
    }
}

/// All members of a mesh may have one flood list: an endpoint's own address in it is none of its remotes.
#[test]
fn our_own_address_in_the_flood_list_is_left_out() {
    let underlay = Underlay::new(3);
    let peers = kernel_peers(&underlay, Family::V4);
    let members: Vec<_> = underlay.hosts().iter().map(|host| format!("\"{}\"", host.address(Family::V4))).collect();
    let vtep = start(&underlay, Family::V4, &format!("flood = [{}]", members.join(", ")));
    floods_to_all(&underlay, &peers, MacAddr::BROADCAST, 1);
    assert_eq!((vtep.counter("tx_frames"), vtep.counter("rx_frames"), vtep.drops()), (u64::from(COUNT), 0, 0));
}

/// A group instead of a list, IPv4 and IPv6: our endpoint joins it on the underlay device and sends to it.
#[test]
fn a_multicast_group_reaches_each_peer_once() {
    for (family, group) in [(Family::V4, "239.1.1.1"), (Family::V6, "ff05::42")] {
        let underlay = Underlay::new(3);
        Cable::Wire.lay(&underlay);
        let options = KernelVtepOptions { vni: VNI, port: PORT, flood: Flood::Group(group.parse::<IpAddr>().unwrap()) };
        let peers: Vec<_> = underlay.hosts()[1..].iter().map(|host| KernelVtep::new(host, &options)).collect();
        let host = underlay.host(0);
        let configuration = crate::bed::one_segment(host, family, &format!("group = \"{group}\""))
            .replace("[underlay]", &format!("[underlay]\ndevice = \"{}\"", Host::DEVICE));
        let vtep = TapVtep::configured(crate::bed::PROGRAM, &host.namespace, &configuration);
        let memberships = host.namespace.ip(&format!("maddr show dev {}", Host::DEVICE));
        assert!(memberships.contains(group), "{memberships}");

        // One datagram to the group on the wire for each frame, not one for each peer.
        let wire = Sniffer::new(&host.namespace, Host::DEVICE, Direction::Outgoing, |frame| {
            frame.windows(2).any(|bytes| bytes == testbed::EXPERIMENTAL.to_be_bytes())
        });
        floods_what_has_no_owner(&underlay, &peers, &vtep);
        wire.expect(u64::from(4 * COUNT));

        // What the peers send to the group reaches us once.
        let arriving = Sniffer::of_stream(&host.namespace, TAP, 9);
        let frames = Numbered::new(MacAddr::BROADCAST, guest_mac(2), 9);
        FrameSender::new(&peers[0].guest, KernelVtep::GUEST_DEVICE).send_all(frames.frames(COUNT));
        arriving.expect_stream(9, COUNT);
        add_guest_addresses(&underlay);
        for peer in &peers {
            let all = Ping { sent: 3, received: 3, duplicates: 0 };
            assert_eq!(ping(&host.namespace, peer.guest_address(Family::V4), 3), all, "{group}");
        }
        shown_by_vxlan(Feature::Groups, With::Kernel, family);
    }
}

/// What comes from one tunnel is delivered here, and goes into no other: the kernel peers replicate by themselves, so a copy
/// from us would be a second one.
#[test]
fn a_flood_from_a_tunnel_is_delivered_once_and_not_passed_on() {
    let underlay = Underlay::new(3);
    let peers = kernel_peers(&underlay, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    let third = Sniffer::of_stream(&peers[1].guest, KernelVtep::GUEST_DEVICE, 1);
    let returning = Sniffer::of_stream(&peers[0].guest, KernelVtep::GUEST_DEVICE, 1);
    let frames = Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1);
    FrameSender::new(&peers[0].guest, KernelVtep::GUEST_DEVICE).send_all(frames.frames(COUNT));
    ours.expect_stream(1, COUNT);
    third.expect_stream(1, COUNT);
    stays("nothing comes back", MOMENT, || returning.count() == 0);
    assert_eq!((vtep.counter("rx_frames"), vtep.counter("tx_frames"), vtep.drops()), (u64::from(COUNT), 0, 0));
}

/// Frames of a stream as they pass the underlay device of a host.
fn on_the_wire(namespace: &Namespace, stream: u32) -> Sniffer {
    Sniffer::new(namespace, Host::DEVICE, Direction::Incoming, move |frame| {
        let wanted = [&testbed::EXPERIMENTAL.to_be_bytes()[..], &stream.to_be_bytes()].concat();
        frame.windows(wanted.len()).any(|bytes| bytes == wanted)
    })
}

#[test]
fn a_known_address_gets_its_frames_alone() {
    let underlay = Underlay::new(3);
    Cable::Wire.lay(&underlay);
    let peers = kernel_peers(&underlay, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    // No IPv6: what it says by itself is flooded.
    ours.add_address(TAP, guest_address(1, Family::V4), 24);
    for peer in &peers {
        assert_eq!(ping(ours, peer.guest_address(Family::V4), 2).received, 2);
    }
    for (stream, target) in (1..).zip(0..peers.len()) {
        let guest = &peers[target];
        let address = underlay.host(target + 1).address(Family::V4).to_string();
        assert_eq!(vtep.remote_of(guest.guest_mac()), Some(address));
        let flooded = vtep.counter("flooded");
        let wires: Vec<_> = underlay.hosts()[1..].iter().map(|host| on_the_wire(&host.namespace, stream)).collect();
        let arriving = Sniffer::of_stream(&guest.guest, KernelVtep::GUEST_DEVICE, stream);
        let frames = Numbered::new(guest.guest_mac(), stranger(1), stream);
        FrameSender::new(ours, TAP).send_all(frames.frames(COUNT));
        arriving.expect_stream(stream, COUNT);
        for (index, wire) in wires.iter().enumerate() {
            let expected = if index == target { u64::from(COUNT) } else { 0 };
            wire.expect(expected);
        }
        assert_eq!(vtep.counter("flooded"), flooded);
    }
}

/// A peer that answers every datagram with "port unreachable" costs the healthy one nothing.
#[test]
fn a_peer_that_refuses_costs_the_other_no_packet() {
    for family in Family::ALL {
        let underlay = Underlay::new(3);
        Cable::Wire.lay(&underlay);
        let healthy = KernelVtep::new(underlay.host(1), &KernelVtepOptions::to(&[underlay.host(0).address(family)]));
        // As many refusals as there are datagrams.
        let closed = &underlay.host(2).namespace;
        closed.set_sysctl("net/ipv4/icmp_ratelimit", "0");
        closed.set_sysctl("net/ipv6/icmp/ratelimit", "0");
        let vtep = start(&underlay, family, &flood_to_all(&underlay, family));
        let arriving = Sniffer::of_stream(&healthy.guest, KernelVtep::GUEST_DEVICE, 1);
        let refused = on_the_wire(closed, 1);
        let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
        let count = 20_000;
        FrameSender::new(&underlay.host(0).namespace, TAP).send_all(frames.frames(count));
        arriving.expect_stream(1, count);
        wait_until("the refuser is sent as many", || refused.count() == u64::from(count));
        assert_eq!((vtep.counter("tx_frames"), vtep.drops()), (u64::from(count), 0), "{family:?}");
    }
}

/// Nobody answers for an address of the underlay: the other gets each frame once all the same, and each is counted once.
#[test]
fn an_entry_that_does_not_resolve_costs_the_others_nothing() {
    for (family, nobody) in [(Family::V4, "10.200.0.99"), (Family::V6, "fd00:200::99")] {
        let underlay = Underlay::new(3);
        Cable::Wire.lay(&underlay);
        let peers = kernel_peers(&underlay, family);
        let [two, three] = [1, 2].map(|host| underlay.host(host).address(family));
        let vtep = start(&underlay, family, &format!("flood = [\"{two}\", \"{nobody}\", \"{three}\"]"));
        floods_to_all(&underlay, &peers, MacAddr::BROADCAST, 1);
        assert_eq!((vtep.counter("tx_frames"), vtep.drops()), (u64::from(COUNT), 0), "{family:?}");
    }
}

/// A flood entry is changed for another by SIGHUP, in the midst of a stream: who stays has each frame once, and keeps its counters.
#[test]
fn a_changed_entry_leaves_the_others_as_they_were() {
    let underlay = Underlay::new(4);
    Cable::Wire.lay(&underlay);
    let peers = kernel_peers(&underlay, Family::V4);
    let [stays, goes, comes] = [1, 2, 3].map(|host| underlay.host(host).address(Family::V4));
    let flood = |second: IpAddr| {
        let lines = format!("flood = [\"{stays}\", \"{second}\"]");
        crate::bed::one_segment(underlay.host(0), Family::V4, &lines)
    };
    let ours = &underlay.host(0).namespace;
    let vtep = TapVtep::configured(crate::bed::PROGRAM, ours, &flood(goes));
    let arriving = peers.iter().map(|peer| Sniffer::of_stream(&peer.guest, KernelVtep::GUEST_DEVICE, 1));
    let arriving: Vec<_> = arriving.collect();
    let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
    let mut sender = FrameSender::new(ours, TAP);
    sender.send_all((0..COUNT).map(|number| frames.frame(number)));
    wait_until("the second has them", || arriving[1].count() == u64::from(COUNT));
    vtep.reload(&flood(comes));
    // Those in the midst of it go to the old one or to the new one.
    sender.send_all((COUNT..2 * COUNT).map(|number| frames.frame(number)));
    wait_until("it has read that", || vtep.log().iter().any(|line| line.contains("read again")));
    wait_until("the first has them", || arriving[0].count() == u64::from(2 * COUNT));
    let before = [1, 2].map(|peer| arriving[peer].count());
    assert_eq!(before[0] + before[1], u64::from(2 * COUNT), "each frame has gone to one of both");
    sender.send_all((2 * COUNT..3 * COUNT).map(|number| frames.frame(number)));
    arriving[0].expect_stream(1, 3 * COUNT);
    arriving[1].expect(before[0]);
    arriving[2].expect(before[1] + u64::from(COUNT));
    assert_eq!((vtep.counter("tx_frames"), vtep.drops()), (u64::from(3 * COUNT), 0));
    let remotes = vtep.show("remotes");
    let of_it = remotes.as_array().unwrap().iter().find(|remote| remote["address"] == stays.to_string());
    assert_eq!(of_it.map(|remote| remote["tx_packets"].clone()), Some((3 * COUNT).into()), "{remotes}");
}
