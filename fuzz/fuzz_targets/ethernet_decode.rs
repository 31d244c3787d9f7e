//! Any bytes as an Ethernet frame: its VLAN tags, ARP, and the hash of its flow.

#![no_main]

use ether_wire::{
    DecodeError, EtherType, EthernetHeader, FlowHash, FlowHasher, VlanTag,
    arp::ArpPacket,
    ethernet::{self, MAX_VLAN_TAGS},
    flow::DEFAULT_SOURCE_PORTS,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    check_hash(frame);
    match EthernetHeader::from_prefix(frame) {
        Ok((header, behind)) => {
            assert_eq!(header.as_bytes()[..], frame[..14]);
            assert_eq!(behind, &frame[14..]);
            check_tags(frame, header);
        }
        Err(error) => {
            assert_eq!(error, DecodeError::Truncated { needed: 14, available: frame.len() });
            assert!(frame.len() < 14 && ethernet::payload(frame).is_none());
        }
    }
    check_arp(frame.get(14..).unwrap_or_default());
});

/// The way through the tags, step by step.
fn check_tags(frame: &[u8], header: &EthernetHeader) {
    let Some(payload) = ethernet::payload(frame) else {
        assert!(header.ether_type().is_vlan());
        return;
    };
    assert!(payload.tags <= MAX_VLAN_TAGS && !payload.ether_type.is_vlan());
    assert_eq!(payload.offset, 14 + 4 * usize::from(payload.tags));
    let mut ether_type = header.ether_type();
    for at in (14..payload.offset).step_by(4) {
        assert!(ether_type.is_vlan());
        let (tag, _) = VlanTag::from_prefix(&frame[at..]).expect("payload has seen it");
        let control = u16::from(tag.priority()) << 13 | u16::from(tag.drop_eligible()) << 12 | tag.id();
        assert_eq!(control.to_be_bytes(), frame[at..at + 2]);
        ether_type = tag.ether_type();
    }
    assert_eq!(ether_type, payload.ether_type);
    // What stands behind the tags does not matter.
    assert_eq!(ethernet::payload(&frame[..payload.offset]), Some(payload));
}

fn check_arp(bytes: &[u8]) {
    match ArpPacket::decode(bytes) {
        Ok((packet, padding)) => {
            assert_eq!((&packet.as_bytes()[..], padding), bytes.split_at(28));
            let sender = (packet.sender_mac(), packet.sender_ip());
            let new = ArpPacket::new(packet.operation(), sender, (packet.target_mac(), packet.target_ip()));
            assert_eq!(*packet, new);
            if let Some((ip, mac)) = packet.sender_binding() {
                assert_eq!((mac, ip), sender);
                assert!(mac.is_unicast() && !packet.is_probe());
            }
            let frame = packet.answer(packet.target_mac()).to_frame(packet.sender_mac());
            let (answer, _) = ArpPacket::decode(&frame[14..]).expect("our own");
            assert_eq!((answer.sender_ip(), answer.target_ip()), (packet.target_ip(), packet.sender_ip()));
        }
        Err(DecodeError::Truncated { needed, available }) => {
            assert!(needed == 28 && available == bytes.len() && available < 28);
        }
        Err(_) => {
            let (packet, _) = ArpPacket::from_prefix(bytes).expect("long enough");
            let kind = (packet.hardware_type(), packet.protocol_type());
            assert_ne!((kind, packet.hardware_length(), packet.protocol_length()), ((1, EtherType::IPV4), 6, 4));
        }
    }
}

fn check_hash(frame: &[u8]) {
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let hash = hasher.hash(frame);
    assert_eq!(hash, hasher.hash(frame));
    check_projections(hash);
    let Some(payload) = ethernet::payload(frame) else { return };
    let mut other = frame.to_vec();
    match payload.ether_type {
        // What a router or a mark on the way changes is not the flow's: DSCP and ECN, TTL, the header checksum; nor are
        // the stations, as long as there is a whole header.
        EtherType::IPV4 if ether_wire::Ipv4Header::decode_with(&frame[payload.offset..], ANY_CHECKSUM).is_ok() => {
            other[..12].fill(0xa5);
            other[payload.offset + 1] ^= 0xff;
            other[payload.offset + 8] ^= 0xff;
            other[payload.offset + 10] ^= 0xff;
        }
        EtherType::IPV6 if ether_wire::Ipv6Header::decode(&frame[payload.offset..]).is_ok() => {
            other[..12].fill(0xa5);
            // Hop limit and flow label.
            other[payload.offset + 7] ^= 0xff;
            other[payload.offset + 3] ^= 0xff;
        }
        _ => return,
    }
    assert_eq!(hasher.hash(&other), hash);
}

const ANY_CHECKSUM: ether_wire::DecodeOptions = ether_wire::DecodeOptions::LENGTHS;

fn check_projections(hash: FlowHash) {
    assert!(DEFAULT_SOURCE_PORTS.contains(&hash.udp_source_port(DEFAULT_SOURCE_PORTS)));
    assert!((1..=0xf_ffff).contains(&hash.ipv6_flow_label()));
    assert_eq!(hash.udp_source_port(7..=7), 7);
}
