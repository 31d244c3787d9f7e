//! Any bytes as an IPv6 packet with a Neighbor Solicitation or Advertisement and its options.

#![no_main]

use ether_wire::{
    DecodeError, EthernetHeader, IpProtocol, Ipv6Header, MacAddr,
    icmp::IcmpHeader,
    nd::{ALL_NODES, HOP_LIMIT, NdOptions, NeighborAdvertisement, NeighborSolicitation, solicited_node},
};
use libfuzzer_sys::fuzz_target;

const HOST: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const PROXY: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

fuzz_target!(|bytes: &[u8]| {
    check_options(bytes);
    check(bytes);
    // The same with what the fuzzer seldom finds: hop limit, type and checksum.
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    check(&bytes);
});

fn check_options(bytes: &[u8]) {
    match NdOptions::decode(bytes) {
        Ok(options) => {
            assert_eq!(options.as_bytes(), bytes);
            let mut at = 0;
            for option in options {
                assert_eq!((option.kind, option.data), (bytes[at], &bytes[at + 2..at + 2 + option.data.len()]));
                assert!(option.data.len() % 8 == 6 && options.find(option.kind).is_some());
                at += option.data.len() + 2;
            }
            assert_eq!(at, bytes.len());
        }
        Err(DecodeError::OptionLength { length, available, .. }) => {
            assert!(available <= bytes.len() && (length == 0 || length > available));
        }
        Err(other) => panic!("{other}"),
    }
}

/// Makes hop limit, type, code and checksum what they should be.
fn repair(bytes: &mut [u8]) {
    let Ok(packet) = Ipv6Header::decode(bytes) else { return };
    let (source, destination) = (packet.header.source(), packet.header.destination());
    let (start, length) = (Ipv6Header::LEN + packet.extension_headers.len(), packet.payload.len());
    let sum = ether_wire::checksum::Sum::pseudo_ipv6(source, destination, IpProtocol::ICMPV6, length as u32);
    bytes[7] = HOP_LIMIT;
    if start == Ipv6Header::LEN {
        bytes[6] = IpProtocol::ICMPV6.get();
    }
    let Ok((header, behind)) = IcmpHeader::from_prefix_mut(&mut bytes[start..start + length]) else { return };
    header.set_message_type(if header.message_type() % 2 == 0 {
        NeighborAdvertisement::TYPE
    } else {
        NeighborSolicitation::TYPE
    });
    header.set_code(0);
    header.set_checksum(header.compute_checksum(sum, behind));
}

fn check(bytes: &[u8]) {
    let Ok(packet) = Ipv6Header::decode(bytes) else { return };
    if let Ok(found) = NeighborSolicitation::decode(&packet) {
        let source = packet.header.source();
        assert_common(&packet, found.message.as_bytes(), found.options);
        assert!(!found.message.target().is_multicast());
        if let Some(binding) = found.sender_binding() {
            assert!(binding.0 == source && binding.1.is_unicast() && !found.is_duplicate_address_detection());
        }
        // The answer is one, of which only the asker learns.
        let answer = found.answer(HOST, PROXY, true);
        let answer = Ipv6Header::decode(&answer[EthernetHeader::LEN..]).expect("our own");
        let answer = NeighborAdvertisement::decode(&answer).expect("valid");
        assert_eq!(answer.message.target(), found.message.target());
        assert!(answer.message.is_router() && !answer.message.is_override());
        assert_eq!(answer.message.is_solicited(), !source.is_unspecified() && !source.is_multicast());
        let destination = answer.ip.destination();
        assert!(if source.is_unspecified() { destination == ALL_NODES } else { destination == source });
        if !found.message.target().is_unspecified() {
            assert_eq!(answer.target_binding(), Some((found.message.target(), PROXY)));
        }
        // The question asked anew.
        let to = (HOST, solicited_node(found.message.target()));
        match found.message.to_frame((PROXY, source), to) {
            Ok(frame) => {
                let again = Ipv6Header::decode(&frame[EthernetHeader::LEN..]).expect("our own");
                let again = NeighborSolicitation::decode(&again).expect("valid");
                assert_eq!(
                    (again.message.target(), again.message.reserved()),
                    (found.message.target(), found.message.reserved())
                );
            }
            Err(_) => assert!(source.is_unspecified()),
        }
    }
    if let Ok(found) = NeighborAdvertisement::decode(&packet) {
        assert_common(&packet, found.message.as_bytes(), found.options);
        assert!(!found.message.target().is_multicast());
        assert!(!(found.message.is_solicited() && packet.header.destination().is_multicast()));
        if let Some((ip, mac)) = found.target_binding() {
            assert!(ip == found.message.target() && mac.is_unicast());
        }
        let to = (HOST, packet.header.destination());
        let frame = found.message.to_frame((PROXY, packet.header.source()), to).expect("as it came");
        let again = Ipv6Header::decode(&frame[EthernetHeader::LEN..]).expect("our own");
        let again = NeighborAdvertisement::decode(&again).expect("valid");
        assert_eq!(again.message.as_bytes()[4..], found.message.as_bytes()[4..]);
    }
}

/// What RFC 4861 §7.1 asks of both messages.
fn assert_common(packet: &ether_wire::ipv6::Ipv6Packet<'_>, message: &[u8; 24], options: NdOptions<'_>) {
    assert_eq!([&message[..], options.as_bytes()].concat(), packet.payload);
    assert_eq!((packet.header.hop_limit(), packet.protocol, message[1]), (255, IpProtocol::ICMPV6, 0));
    assert!(packet.fragment.is_none());
    let pseudo_header = packet.header.pseudo_header(IpProtocol::ICMPV6, packet.payload.len() as u32);
    assert!(pseudo_header.add_bytes(packet.payload).is_valid());
}
