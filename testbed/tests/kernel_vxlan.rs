//! Kernel VXLAN on both sides: shows that the peers, the pings and the transfers of this crate are right by themselves.

use std::net::IpAddr;

use testbed::{
    Direction, Family, Flood, Host, KernelVtep, KernelVtepOptions, Ping, Sniffer, Underlay, ping, ping_with, transfer,
};

fn pair(underlay: &Underlay, family: Family, vni: u32, port: u16) -> [KernelVtep; 2] {
    [0, 1].map(|host| {
        let other = underlay.host(1 - host).address(family);
        let options = KernelVtepOptions { vni, port, ..KernelVtepOptions::to(&[other]) };
        KernelVtep::new(underlay.host(host), &options)
    })
}

#[test]
fn guests_reach_each_other_over_either_underlay() {
    for family in Family::ALL {
        for (vni, port) in [(1, 4789), (16_777_215, 8472)] {
            let underlay = Underlay::new(2);
            let [one, two] = pair(&underlay, family, vni, port);
            one.enable_ipv6();
            two.enable_ipv6();
            for inner in Family::ALL {
                let got = ping(&one.guest, two.guest_address(inner), 3);
                assert_eq!(got, Ping { sent: 3, received: 3, duplicates: 0 }, "{inner:?} over {family:?}, VNI {vni}");
            }
        }
    }
}

#[test]
fn a_cable_joins_two_hosts() {
    let [one, two] = &Host::pair();
    let peers = [(one, two), (two, one)]
        .map(|(here, there)| KernelVtep::new(here, &KernelVtepOptions::to(&[there.address(Family::V4)])));
    assert_eq!(ping(&peers[0].guest, peers[1].guest_address(Family::V4), 3).received, 3);
}

#[test]
fn the_largest_packet_fits_and_no_larger_one() {
    let underlay = Underlay::new(2);
    let [one, two] = pair(&underlay, Family::V4, 42, 4789);
    let address = two.guest_address(Family::V4);
    // 1450 less the headers of IPv4 and ICMP.
    assert_eq!(ping_with(&one.guest, address, 2, &["-s", "1422", "-M", "do"]).received, 2);
    assert_eq!(ping_with(&one.guest, address, 2, &["-s", "1423", "-M", "do"]).received, 0);
}

#[test]
fn a_transfer_arrives_whole() {
    let underlay = Underlay::new(2);
    let [one, two] = pair(&underlay, Family::V4, 42, 4789);
    let moved = transfer(&one.guest, &two.guest, two.guest_address(Family::V4), 10_000_000);
    assert_eq!(moved.sent.bytes, 10_000_000);
    assert_eq!(moved.sent, moved.received);
}

#[test]
fn a_datagram_on_the_wire_has_the_header_of_the_segment() {
    let underlay = Underlay::new(2);
    let [one, two] = pair(&underlay, Family::V4, 0x00ab_cdef, 8472);
    let host = &underlay.host(0).namespace;
    let wire = Sniffer::new(host, Host::DEVICE, Direction::Outgoing, |frame| frame.get(36..38) == Some(&[0x21, 0x18]));
    assert_eq!(ping(&one.guest, two.guest_address(Family::V4), 1).received, 1);
    // ARP and one echo request, each behind Ethernet, IPv4 and UDP.
    let frames = wire.frames();
    assert_eq!(frames.len(), 2);
    for frame in &frames {
        assert_eq!(frame[42..50], [0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
        assert_eq!(frame[56..62], one.guest_mac().octets());
    }
}

#[test]
fn a_multicast_group_joins_three_hosts() {
    for group in ["239.1.1.1", "ff05::42"] {
        let group: IpAddr = group.parse().expect("an address");
        let underlay = Underlay::new(3);
        let options = KernelVtepOptions { vni: 42, port: 4789, flood: Flood::Group(group) };
        let peers: Vec<_> = underlay.hosts().iter().map(|host| KernelVtep::new(host, &options)).collect();
        for other in &peers[1..] {
            assert_eq!(ping(&peers[0].guest, other.guest_address(Family::V4), 2).received, 2, "{group}");
        }
    }
}
