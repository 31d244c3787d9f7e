//! What scapy encodes, read by us.

use ether_wire::{
    DecodeOptions, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, VlanTag,
    arp::ArpPacket,
    checksum::Sum,
    ethernet,
    icmp::{self, IcmpHeader},
    nd::{NdOption, NeighborAdvertisement, NeighborSolicitation},
    options::Options,
};
use serde_json::{Value, json};

use crate::peers::{check_by_scapy, equal};

/// The program that makes the packets.
const PROGRAM: &str = include_str!("packets.py");

/// Checks Ethernet and its tags, and hands what is behind them to `decode`, with its type and the values given to scapy.
fn check(kind: &str, decode: impl Fn(EtherType, &[u8], &Value)) {
    check_by_scapy(PROGRAM, kind, |frame, packet| {
        let (header, mut behind) = EthernetHeader::from_prefix(frame).expect("an Ethernet header");
        equal(packet, "destination", header.destination().to_string());
        equal(packet, "source", header.source().to_string());
        let tags = packet["tags"].as_array().expect("tags");
        let payload = ethernet::payload(frame).expect("at most four tags");
        assert_eq!(usize::from(payload.tags), tags.len(), "{packet}");
        let mut ether_type = header.ether_type();
        for expected in tags {
            equal(expected, "type", ether_type.get());
            let (tag, rest) = VlanTag::from_prefix(behind).expect("a tag");
            equal(expected, "id", tag.id());
            equal(expected, "priority", tag.priority());
            equal(expected, "drop_eligible", tag.drop_eligible());
            (ether_type, behind) = (tag.ether_type(), rest);
        }
        assert_eq!((payload.ether_type, &frame[payload.offset..]), (ether_type, behind), "{packet}");
        decode(ether_type, behind, &packet["fields"]);
    });
}

/// Asserts that these are the options given to scapy.
fn assert_options(options: Options<'_>, fields: &Value) {
    let found: Vec<_> = options
        .map(|option| option.expect("a whole option"))
        .map(|option| json!({"kind": option.kind, "data": option.data}))
        .collect();
    equal(fields, "options", found);
}

/// Protocol, payload and pseudo-header of IPv4 or IPv6.
fn ip(ether_type: EtherType, bytes: &[u8]) -> (IpProtocol, &[u8], Sum) {
    if ether_type == EtherType::IPV6 {
        let packet = Ipv6Header::decode(bytes).expect("an IPv6 packet");
        let pseudo_header = packet.header.pseudo_header(packet.protocol, packet.payload.len() as u32);
        return (packet.protocol, packet.payload, pseudo_header);
    }
    assert_eq!(ether_type, EtherType::IPV4);
    let packet = Ipv4Header::decode_with(bytes, DecodeOptions::STRICT).expect("an IPv4 packet");
    (packet.header.protocol(), packet.payload, packet.header.pseudo_header(packet.payload.len() as u16))
}

#[test]
fn ethernet() {
    check("ethernet", |ether_type, _, _| assert_eq!(ether_type.get(), 0x88b5));
}

#[test]
fn ipv4() {
    check("ipv4", |ether_type, bytes, fields| {
        assert_eq!(ether_type, EtherType::IPV4);
        let packet = Ipv4Header::decode(bytes).expect("an IPv4 packet with a right checksum");
        let header = packet.header;
        equal(fields, "header_length", header.header_length());
        equal(fields, "dscp", header.dscp());
        equal(fields, "ecn", header.ecn().bits());
        equal(fields, "identification", header.identification());
        equal(fields, "reserved", header.reserved());
        equal(fields, "dont_fragment", header.dont_fragment());
        equal(fields, "more_fragments", header.more_fragments());
        equal(fields, "fragment_offset", header.fragment_offset());
        equal(fields, "ttl", header.ttl());
        equal(fields, "source", header.source().to_string());
        equal(fields, "destination", header.destination().to_string());
        equal(fields, "payload", packet.payload.len());
        assert_options(packet.options(), fields);
        assert_eq!(header.protocol().get(), 253);
    });
}

#[test]
fn ipv6() {
    check("ipv6", |ether_type, bytes, fields| {
        assert_eq!(ether_type, EtherType::IPV6);
        let packet = Ipv6Header::decode(bytes).expect("an IPv6 packet");
        let header = packet.header;
        equal(fields, "dscp", header.dscp());
        equal(fields, "ecn", header.ecn().bits());
        equal(fields, "flow_label", header.flow_label());
        equal(fields, "hop_limit", header.hop_limit());
        equal(fields, "source", header.source().to_string());
        equal(fields, "destination", header.destination().to_string());
        equal(fields, "extension_headers", packet.extension_headers.len());
        equal(fields, "payload", packet.payload.len());
        assert_eq!(packet.protocol.get(), 253);
        let fragment = packet.fragment.map(|fragment| {
            json!({
                "reserved": fragment.reserved(),
                "offset": fragment.offset(),
                "reserved2": fragment.reserved2(),
                "more_fragments": fragment.more_fragments(),
                "identification": fragment.identification(),
            })
        });
        equal(fields, "fragment", fragment);
    });
}

#[test]
fn udp() {
    check("udp", |ether_type, bytes, fields| {
        let (protocol, payload, pseudo_header) = ip(ether_type, bytes);
        assert_eq!(protocol, IpProtocol::UDP);
        let (header, data) = UdpHeader::decode(payload).expect("a datagram");
        equal(fields, "source_port", header.source_port());
        equal(fields, "destination_port", header.destination_port());
        equal(fields, "payload", data.len());
        assert!(header.checksum() != 0 && header.is_checksum_valid(pseudo_header, data), "{fields}");
        assert_eq!(header.compute_checksum(pseudo_header, data), header.checksum(), "{fields}");
    });
}

#[test]
fn tcp() {
    check("tcp", |ether_type, bytes, fields| {
        let (protocol, payload, pseudo_header) = ip(ether_type, bytes);
        assert_eq!(protocol, IpProtocol::TCP);
        let segment = TcpHeader::decode(payload).expect("a segment");
        let header = segment.header;
        equal(fields, "source_port", header.source_port());
        equal(fields, "destination_port", header.destination_port());
        equal(fields, "sequence_number", header.sequence_number());
        equal(fields, "acknowledgment_number", header.acknowledgment_number());
        // scapy has three reserved bits, and the fourth among its flags.
        equal(fields, "reserved", header.reserved() >> 1);
        equal(fields, "flags", header.flags().bits());
        equal(fields, "window", header.window());
        equal(fields, "urgent_pointer", header.urgent_pointer());
        equal(fields, "payload", segment.data.len());
        assert_options(segment.options(), fields);
        let behind = &payload[TcpHeader::LEN..];
        assert!(header.is_checksum_valid(pseudo_header, behind), "{fields}");
        assert_eq!(header.compute_checksum(pseudo_header, behind), header.checksum(), "{fields}");
    });
}

#[test]
fn arp() {
    check("arp", |ether_type, bytes, fields| {
        assert_eq!(ether_type, EtherType::ARP);
        let (packet, padding) = ArpPacket::decode(bytes).expect("ARP for IPv4 over Ethernet");
        equal(fields, "operation", packet.operation().get());
        equal(fields, "sender_mac", packet.sender_mac().to_string());
        equal(fields, "sender_ip", packet.sender_ip().to_string());
        equal(fields, "target_mac", packet.target_mac().to_string());
        equal(fields, "target_ip", packet.target_ip().to_string());
        assert!(padding.is_empty());
    });
}

#[test]
fn neighbor_discovery() {
    check("nd", |_, bytes, fields| {
        let packet = Ipv6Header::decode(bytes).expect("an IPv6 packet");
        let (target, mac) = if fields["solicitation"] == true {
            let solicitation = NeighborSolicitation::decode(&packet).expect("a solicitation");
            let mac = solicitation.options.link_layer_address(NdOption::SOURCE_LINK_LAYER_ADDRESS);
            (solicitation.message.target(), mac)
        } else {
            let advertisement = NeighborAdvertisement::decode(&packet).expect("an advertisement");
            equal(fields, "router", advertisement.message.is_router());
            equal(fields, "solicited", advertisement.message.is_solicited());
            equal(fields, "override", advertisement.message.is_override());
            let mac = advertisement.options.link_layer_address(NdOption::TARGET_LINK_LAYER_ADDRESS);
            (advertisement.message.target(), mac)
        };
        equal(fields, "source", packet.header.source().to_string());
        equal(fields, "destination", packet.header.destination().to_string());
        equal(fields, "target", target.to_string());
        equal(fields, "mac", mac.map(|mac| mac.to_string()));
    });
}

#[test]
fn too_big() {
    check("too_big", |ether_type, bytes, fields| {
        let (protocol, payload, pseudo_header) = ip(ether_type, bytes);
        let (header, quoted) = IcmpHeader::from_prefix(payload).expect("an ICMP message");
        equal(fields, "mtu", header.data());
        equal(fields, "quoted", quoted.len());
        let kind = (protocol, header.message_type(), header.code());
        if fields["ipv6"] == true {
            assert_eq!(kind, (IpProtocol::ICMPV6, icmp::PACKET_TOO_BIG, 0));
            assert!(header.is_icmpv6_error() && header.is_checksum_valid(pseudo_header, quoted), "{fields}");
        } else {
            assert_eq!(kind, (IpProtocol::ICMP, icmp::DESTINATION_UNREACHABLE, icmp::FRAGMENTATION_NEEDED));
            assert!(header.is_icmp_error() && header.is_checksum_valid(Sum::ZERO, quoted), "{fields}");
        }
    });
}
