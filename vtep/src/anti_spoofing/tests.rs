//! Each claim that a frame can make, true and false.

use core::net::Ipv4Addr;
use std::{vec, vec::Vec};

use ether_wire::nd;

use super::*;

const HERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// RFC 4291 appendix A, by hand.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

const OK: Result<(), DropReason> = Ok(());
const MAC: Result<(), DropReason> = Err(DropReason::SourceMac);
const IP: Result<(), DropReason> = Err(DropReason::SourceIp);

/// One station with two addresses.
fn one() -> AllowedSources {
    AllowedSources::stations([(HERE, vec![V4.into(), V6.into()])])
}

fn check(frame: &[u8]) -> Result<(), DropReason> {
    one().check(None, frame)
}

fn frame(source: MacAddr, ether_type: u16, packet: &[u8]) -> Vec<u8> {
    [&[0xff; 6][..], &source.octets(), &ether_type.to_be_bytes(), packet].concat()
}

fn ipv4(source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(source, FOREIGN_V4, IpProtocol::new(protocol), 20 + payload.len() as u16);
    header.set_dont_fragment(false);
    [header.to_bytes().to_vec(), payload.to_vec()].concat()
}

fn ipv6(source: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header::new(source, nd::ALL_NODES, IpProtocol::new(next_header), payload.len() as u16);
    [header.to_bytes().to_vec(), payload.to_vec()].concat()
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes(), 8_u16.to_be_bytes(), [0, 0]].concat()
}

#[test]
fn a_source_mac_is_that_of_a_station() {
    assert_eq!(check(&frame(HERE, 0x88b5, &[])), OK);
    assert_eq!(check(&frame(OTHER, 0x88b5, &[])), MAC);
    assert_eq!(check(&frame(HERE, 0x88b5, &[])[..13]), Err(DropReason::Truncated));
    let own = AllowedSources::own_station(vec![V4.into()]);
    assert_eq!(own.check(Some(HERE), &frame(HERE, 0x88b5, &[])), OK);
    assert_eq!(own.check(Some(OTHER), &frame(HERE, 0x88b5, &[])), MAC);
    // Until it is known, nobody has it.
    assert_eq!(own.check(None, &frame(HERE, 0x88b5, &[])), MAC);
    assert_eq!(AllowedSources::default().check(Some(HERE), &frame(HERE, 0x88b5, &[])), MAC);
}

#[test]
fn a_source_ip_is_one_of_the_stations() {
    let v4 = |source| check(&frame(HERE, 0x0800, &ipv4(source, 17, &udp(5000, 53))));
    assert_eq!([v4(V4), v4(FOREIGN_V4), v4(Ipv4Addr::UNSPECIFIED)], [OK, IP, IP]);
    for next_header in [6, 17, 59] {
        let v6 = |source| check(&frame(HERE, 0x86dd, &ipv6(source, next_header, &udp(5000, 53))));
        assert_eq!([v6(V6), v6(LINK_LOCAL), v6(FOREIGN_V6), v6(Ipv6Addr::UNSPECIFIED)], [OK, OK, IP, IP]);
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let (v4, v6) = (ipv4(V4, 17, &udp(1, 2)), ipv6(V6, 17, &udp(1, 2)));
    for length in 0..20 {
        assert_eq!(check(&frame(HERE, 0x0800, &v4[..length])), IP);
        assert_eq!(check(&frame(HERE, 0x0806, &v4[..length])), IP);
    }
    for length in 0..40 {
        assert_eq!(check(&frame(HERE, 0x86dd, &v6[..length])), IP);
    }
    // A version that the EtherType does not say.
    assert_eq!(check(&frame(HERE, 0x0800, &v6)), IP);
    assert_eq!(check(&frame(HERE, 0x86dd, &[&v4[..], &[0; 40]].concat())), IP);
}

#[test]
fn vlan_tags_hide_nothing() {
    let tagged = |tags: u8, source| {
        let mut packet = [0x81, 0x00, 0, 5].repeat(tags.into())[2..].to_vec();
        packet.extend([0x08, 0x00]);
        packet.extend(ipv4(source, 17, &udp(1, 2)));
        frame(HERE, 0x8100, &packet)
    };
    for tags in 1..=ethernet::MAX_VLAN_TAGS {
        assert_eq!([check(&tagged(tags, V4)), check(&tagged(tags, FOREIGN_V4))], [OK, IP]);
    }
    assert_eq!(check(&tagged(ethernet::MAX_VLAN_TAGS + 1, V4)), IP);
}

#[test]
fn a_host_without_an_address_may_ask_for_one() {
    let nobody = Ipv4Addr::UNSPECIFIED;
    let from = |source, protocol, payload: &[u8]| check(&frame(HERE, 0x0800, &ipv4(source, protocol, payload)));
    assert_eq!(from(nobody, 17, &udp(68, 67)), OK);
    assert_eq!(
        [from(nobody, 17, &udp(67, 68)), from(nobody, 17, &udp(68, 53)), from(nobody, 6, &udp(68, 67))],
        [IP; 3]
    );
    assert_eq!([from(nobody, 2, &[0x16; 8]), from(nobody, 17, &udp(68, 67)[..7])], [OK, IP]);
    assert_eq!(from(FOREIGN_V4, 17, &udp(68, 67)), IP);
    // Of a later fragment nobody knows what it is.
    let mut fragment = ipv4(nobody, 17, &udp(68, 67));
    fragment[7] = 1;
    assert_eq!(check(&frame(HERE, 0x0800, &fragment)), IP);
}

#[test]
fn arp_says_the_same_as_the_frame() {
    let arp = |operation: u16, mac, ip| {
        let packet = ArpPacket::new(ArpOperation::new(operation), (mac, ip), (MacAddr::ZERO, FOREIGN_V4));
        let mut frame = packet.to_frame(MacAddr::BROADCAST).to_vec();
        frame[6..12].copy_from_slice(&HERE.octets());
        check(&frame)
    };
    let nobody = Ipv4Addr::UNSPECIFIED;
    for operation in [1, 2] {
        assert_eq!(arp(operation, HERE, V4), OK);
        assert_eq!([arp(operation, HERE, FOREIGN_V4), arp(operation, OTHER, V4)], [IP, MAC]);
    }
    // A probe, and what is none.
    assert_eq!([arp(1, HERE, nobody), arp(2, HERE, nobody)], [OK, IP]);
    let mut other_hardware = frame(HERE, 0x0806, &[0; 28]);
    assert_eq!(check(&other_hardware), IP);
    other_hardware.truncate(30);
    assert_eq!(check(&other_hardware), IP);
}

#[test]
fn neighbor_discovery_says_the_same_as_the_frame() {
    let group = nd::solicited_node(FOREIGN_V6);
    let solicitation = |mac: MacAddr, ip| {
        let question = NeighborSolicitation::new(FOREIGN_V6).to_frame((mac, ip), (nd::multicast_mac(group), group));
        let mut frame = question.unwrap().to_vec();
        frame[6..12].copy_from_slice(&HERE.octets());
        check(&frame)
    };
    assert_eq!([solicitation(HERE, V6), solicitation(HERE, LINK_LOCAL)], [OK; 2]);
    assert_eq!([solicitation(HERE, FOREIGN_V6), solicitation(OTHER, V6)], [IP, MAC]);
    let advertisement = |mac: MacAddr, target, source| {
        let answer = NeighborAdvertisement::new(target).to_frame((mac, source), (OTHER, FOREIGN_V6));
        let mut frame = answer.unwrap().to_vec();
        frame[6..12].copy_from_slice(&HERE.octets());
        check(&frame)
    };
    assert_eq!([advertisement(HERE, V6, V6), advertisement(HERE, LINK_LOCAL, V6)], [OK; 2]);
    let nobody = Ipv6Addr::UNSPECIFIED;
    assert_eq!(
        [advertisement(HERE, FOREIGN_V6, V6), advertisement(OTHER, V6, V6), advertisement(HERE, V6, FOREIGN_V6)],
        [IP, MAC, IP]
    );
    assert_eq!(advertisement(HERE, V6, nobody), IP);
}

/// An `ICMPv6` message of a type, with its checksum.
fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let header = Ipv6Header::new(source, destination, IpProtocol::ICMPV6, message.len() as u16);
    let mut header = header;
    header.set_hop_limit(255);
    let sum = header.pseudo_header(IpProtocol::ICMPV6, message.len() as u32).add_bytes(message).checksum();
    let mut packet = [header.to_bytes().to_vec(), message.to_vec()].concat();
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    frame(HERE, 0x86dd, &packet)
}

#[test]
fn the_unspecified_address_asks_but_tells_nothing() {
    let nobody = Ipv6Addr::UNSPECIFIED;
    let message = |kind: u8| {
        let mut message = [0; 24];
        message[0] = kind;
        message[8..].copy_from_slice(&V6.octets());
        icmpv6(nobody, nd::solicited_node(V6), &message)
    };
    for kind in 0..=u8::MAX {
        let expected = if [131, 133, 135, 143].contains(&kind) { OK } else { IP };
        assert_eq!(check(&message(kind)), expected, "{kind}");
    }
    // A solicitation from nobody has no link-layer address, whatever it claims by it.
    let mut with_option = [0; 32];
    with_option[0] = 135;
    with_option[8..24].copy_from_slice(&V6.octets());
    with_option[24..].copy_from_slice(&[1, 1, 2, 0, 0, 0, 0, 1]);
    assert_eq!(check(&icmpv6(nobody, nd::solicited_node(V6), &with_option)), IP);
}

#[test]
fn fragments_of_other_icmp_are_no_neighbor_discovery() {
    // Behind the fragment header stands what could be the type of an advertisement.
    let fragment = |source| ipv6(source, 44, &[58, 0, 0x05, 0xa8, 0, 0, 0, 1, 136, 0, 0, 0]);
    assert_eq!(check(&frame(HERE, 0x86dd, &fragment(V6))), OK);
    assert_eq!(check(&frame(HERE, 0x86dd, &fragment(FOREIGN_V6))), IP);
    assert_eq!(check(&frame(HERE, 0x86dd, &fragment(Ipv6Addr::UNSPECIFIED))), IP);
}

#[test]
fn a_station_without_addresses_may_have_any() {
    let allowed = AllowedSources::stations([(HERE, vec![]), (OTHER, vec![V4.into()])]);
    let check = |frame: &[u8]| allowed.check(None, frame);
    for ip in [V4, FOREIGN_V4] {
        assert_eq!(check(&frame(HERE, 0x0800, &ipv4(ip, 17, &udp(1, 2)))), OK);
    }
    assert_eq!(check(&frame(HERE, 0x86dd, &ipv6(FOREIGN_V6, 17, &udp(1, 2)))), OK);
    assert_eq!(check(&frame(OTHER, 0x0800, &ipv4(FOREIGN_V4, 17, &udp(1, 2)))), IP);
    // But not another's MAC.
    let mut arp = ArpPacket::request(OTHER, V4, FOREIGN_V4).to_frame(MacAddr::BROADCAST);
    arp[6..12].copy_from_slice(&HERE.octets());
    assert_eq!(check(&arp), MAC);
}
