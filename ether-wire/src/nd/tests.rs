use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::ipv6::FragmentHeader;

const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const IP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OTHER_IP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x00ab, 0xcdef);

proptest! {
    #[test]
    fn set_then_get(bytes: [[u8; 12]; 2], fields: [u8; 2], checksum: u16, reserved in 0_u32..1 << 29, flags: [bool; 3], target: u128) {
        let mut solicitation_bytes = bytes.concat();
        let (solicitation, _) = NeighborSolicitation::from_prefix_mut(&mut solicitation_bytes).unwrap();
        solicitation.set_message_type(fields[0]);
        solicitation.set_code(fields[1]);
        solicitation.set_checksum(checksum);
        solicitation.set_reserved(!reserved);
        solicitation.set_target(target.into());
        prop_assert_eq!([solicitation.message_type(), solicitation.code()], fields);
        prop_assert_eq!((solicitation.checksum(), solicitation.reserved()), (checksum, !reserved));
        prop_assert_eq!(solicitation.target().to_bits(), target);

        let mut advertisement_bytes = bytes.concat();
        let (advertisement, _) = NeighborAdvertisement::from_prefix_mut(&mut advertisement_bytes).unwrap();
        advertisement.set_message_type(fields[0]);
        advertisement.set_code(fields[1]);
        advertisement.set_checksum(checksum);
        advertisement.set_reserved(reserved);
        advertisement.set_router(flags[0]);
        advertisement.set_solicited(flags[1]);
        advertisement.set_override(flags[2]);
        advertisement.set_target(target.into());
        prop_assert_eq!([advertisement.message_type(), advertisement.code()], fields);
        prop_assert_eq!((advertisement.checksum(), advertisement.reserved()), (checksum, reserved));
        let found = [advertisement.is_router(), advertisement.is_solicited(), advertisement.is_override()];
        prop_assert_eq!(found, flags);
        prop_assert_eq!(advertisement.target().to_bits(), target);
        advertisement.set_reserved(u32::MAX);
        let found = [advertisement.is_router(), advertisement.is_solicited(), advertisement.is_override()];
        prop_assert_eq!(found, flags);
    }

    #[test]
    fn any_packet_is_answered(payload in prop::collection::vec(any::<u8>(), 0..64), solicitation: bool) {
        let mut payload = payload;
        if let Some(first) = payload.first_mut() {
            *first = if solicitation { 135 } else { 136 };
        }
        let packet = packet(IP, OTHER_IP, &mut payload);
        let packet = Ipv6Header::decode(&packet).unwrap();
        let _ = NeighborSolicitation::decode(&packet);
        let _ = NeighborAdvertisement::decode(&packet);
    }
}

/// An IPv6 packet with this message, hop limit and checksum right.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, message: &mut [u8]) -> Vec<u8> {
    let mut ip = Ipv6Header::new(source, destination, IpProtocol::ICMPV6, message.len() as u16);
    ip.set_hop_limit(255);
    if message.len() >= 4 {
        message[2..4].fill(0);
        let sum = ip.pseudo_header(IpProtocol::ICMPV6, message.len() as u32).add_bytes(message);
        message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    }
    [ip.as_bytes(), &*message].concat()
}

fn solicitation(edit: impl FnOnce(&mut NeighborSolicitation), options: &[u8]) -> Vec<u8> {
    let mut message = NeighborSolicitation::new(OTHER_IP);
    edit(&mut message);
    [message.as_bytes(), options].concat()
}

fn advertisement(edit: impl FnOnce(&mut NeighborAdvertisement), options: &[u8]) -> Vec<u8> {
    let mut message = NeighborAdvertisement::new(IP);
    edit(&mut message);
    [message.as_bytes(), options].concat()
}

fn decode_solicitation(packet: &[u8]) -> Result<(), DecodeError> {
    NeighborSolicitation::decode(&Ipv6Header::decode(packet)?).map(|_| ())
}

fn decode_advertisement(packet: &[u8]) -> Result<(), DecodeError> {
    NeighborAdvertisement::decode(&Ipv6Header::decode(packet)?).map(|_| ())
}

#[test]
fn every_check_of_7_1_1_is_named() {
    let group = solicited_node(OTHER_IP);
    let source = LinkLayerAddress::new(NdOption::SOURCE_LINK_LAYER_ADDRESS, MAC).to_bytes();
    let none = |_: &mut NeighborSolicitation| ();
    let decode =
        |source, destination, mut message: Vec<u8>| decode_solicitation(&packet(source, destination, &mut message));
    assert_eq!(decode(IP, group, solicitation(none, &source)), Ok(()));
    assert_eq!(decode(IP, OTHER_IP, solicitation(none, &[])), Ok(()));

    let mut bytes = packet(IP, group, &mut solicitation(none, &source));
    bytes[7] = 254;
    assert_eq!(decode_solicitation(&bytes), Err(DecodeError::HopLimit { found: 254 }));
    bytes[7] = 255;
    let found = u16::from_be_bytes([bytes[42], bytes[43]]) ^ 0x0100;
    bytes[42] ^= 1;
    assert_eq!(decode_solicitation(&bytes), Err(DecodeError::Checksum { found }));

    let code = solicitation(|message| message.set_code(1), &[]);
    assert_eq!(decode(IP, group, code), Err(DecodeError::IcmpCode { found: 1 }));
    for length in 0..24 {
        let message = solicitation(none, &[])[..length].to_vec();
        let expected = DecodeError::Truncated { needed: 24, available: length };
        assert_eq!(decode(IP, group, message), Err(expected));
    }
    let target = solicitation(|message| message.set_target(ALL_NODES), &[]);
    assert_eq!(decode(IP, group, target), Err(DecodeError::MulticastTarget { target: ALL_NODES }));
    let zero_length = solicitation(none, &[1, 0, 0, 0, 0, 0, 0, 0]);
    let expected = DecodeError::OptionLength { kind: 1, length: 0, available: 8 };
    assert_eq!(decode(IP, group, zero_length), Err(expected));

    let unspecified = Ipv6Addr::UNSPECIFIED;
    assert_eq!(decode(unspecified, group, solicitation(none, &[])), Ok(()));
    let expected = DecodeError::DetectionDestination { destination: OTHER_IP };
    assert_eq!(decode(unspecified, OTHER_IP, solicitation(none, &[])), Err(expected));
    let expected = DecodeError::DetectionDestination { destination: ALL_NODES };
    assert_eq!(decode(unspecified, ALL_NODES, solicitation(none, &[])), Err(expected));
    assert_eq!(decode(unspecified, group, solicitation(none, &source)), Err(DecodeError::DetectionLinkLayerAddress));
    // A target's address is nothing to a solicitation, so it is ignored (§4.3).
    let target_option = LinkLayerAddress::new(NdOption::TARGET_LINK_LAYER_ADDRESS, MAC).to_bytes();
    assert_eq!(decode(unspecified, group, solicitation(none, &target_option)), Ok(()));

    let other_type = DecodeError::IcmpType { expected: 135, found: 136 };
    assert_eq!(decode(IP, group, advertisement(|_| (), &[])), Err(other_type));
}

#[test]
fn every_check_of_7_1_2_is_named() {
    let decode = |destination, mut message: Vec<u8>| decode_advertisement(&packet(IP, destination, &mut message));
    assert_eq!(decode(OTHER_IP, advertisement(|message| message.set_solicited(true), &[])), Ok(()));
    assert_eq!(decode(ALL_NODES, advertisement(|message| message.set_override(true), &[])), Ok(()));
    let expected = DecodeError::SolicitedMulticast { destination: ALL_NODES };
    assert_eq!(decode(ALL_NODES, advertisement(|message| message.set_solicited(true), &[])), Err(expected));
    let target = advertisement(|message| message.set_target(ALL_NODES), &[]);
    assert_eq!(decode(OTHER_IP, target), Err(DecodeError::MulticastTarget { target: ALL_NODES }));
    let code = advertisement(|message| message.set_code(2), &[]);
    assert_eq!(decode(OTHER_IP, code), Err(DecodeError::IcmpCode { found: 2 }));
    let other_type = DecodeError::IcmpType { expected: 136, found: 135 };
    assert_eq!(decode(OTHER_IP, solicitation(|_| (), &[])), Err(other_type));
    let expected = DecodeError::OptionLength { kind: 2, length: 16, available: 8 };
    assert_eq!(decode(OTHER_IP, advertisement(|_| (), &[2, 2, 0, 0, 0, 0, 0, 0])), Err(expected));
}

#[test]
fn fragments_are_refused() {
    let mut message = solicitation(|_| (), &[]);
    let whole = packet(IP, OTHER_IP, &mut message);
    let mut bytes = whole[..40].to_vec();
    bytes.extend(FragmentHeader::new(IpProtocol::ICMPV6, 0, false, 1).to_bytes());
    bytes.extend(message);
    let (header, _) = Ipv6Header::from_prefix_mut(&mut bytes).unwrap();
    header.set_payload_length(32);
    header.set_next_header(IpProtocol::FRAGMENT);
    assert_eq!(decode_solicitation(&bytes), Err(DecodeError::Fragmented));
}

#[test]
fn another_protocol_is_no_message() {
    let mut bytes = packet(IP, OTHER_IP, &mut solicitation(|_| (), &[]));
    Ipv6Header::from_prefix_mut(&mut bytes).unwrap().0.set_next_header(IpProtocol::UDP);
    assert_eq!(decode_solicitation(&bytes), Err(DecodeError::IcmpType { expected: 135, found: 135 }));
}

#[test]
fn a_question_and_its_answer() {
    let to = (multicast_mac(solicited_node(OTHER_IP)), solicited_node(OTHER_IP));
    assert_eq!(to.0, MacAddr::new([0x33, 0x33, 0xff, 0xab, 0xcd, 0xef]));
    let frame = NeighborSolicitation::new(OTHER_IP).to_frame((MAC, IP), to).unwrap();
    let (stations, packet) = EthernetHeader::from_prefix(&frame).unwrap();
    assert_eq!(*stations, EthernetHeader::new(to.0, MAC, EtherType::IPV6));
    let question = Ipv6Header::decode(packet).unwrap();
    let question = NeighborSolicitation::decode(&question).unwrap();
    assert!(!question.is_duplicate_address_detection());
    assert_eq!(question.sender_binding(), Some((IP, MAC)));

    let frame = question.answer(MAC, OTHER_MAC, true);
    let (stations, packet) = EthernetHeader::from_prefix(&frame).unwrap();
    assert_eq!(*stations, EthernetHeader::new(MAC, OTHER_MAC, EtherType::IPV6));
    let answer = Ipv6Header::decode(packet).unwrap();
    let answer = NeighborAdvertisement::decode(&answer).unwrap();
    assert_eq!((answer.ip.source(), answer.ip.destination()), (OTHER_IP, IP));
    assert!(answer.message.is_router() && answer.message.is_solicited() && !answer.message.is_override());
    assert_eq!(answer.target_binding(), Some((OTHER_IP, OTHER_MAC)));
}

#[test]
fn the_answer_to_nobody_goes_to_all() {
    let mut message = solicitation(|_| (), &[]);
    let bytes = packet(Ipv6Addr::UNSPECIFIED, solicited_node(OTHER_IP), &mut message);
    let question = Ipv6Header::decode(&bytes).unwrap();
    let question = NeighborSolicitation::decode(&question).unwrap();
    assert!(question.is_duplicate_address_detection());
    assert_eq!(question.sender_binding(), None);
    let frame = question.answer(MAC, OTHER_MAC, false);
    let (stations, packet) = EthernetHeader::from_prefix(&frame).unwrap();
    assert_eq!(stations.destination(), MacAddr::new([0x33, 0x33, 0, 0, 0, 1]));
    let answer = Ipv6Header::decode(packet).unwrap();
    let answer = NeighborAdvertisement::decode(&answer).unwrap();
    assert_eq!(answer.ip.destination(), ALL_NODES);
    assert!(!answer.message.is_router() && !answer.message.is_solicited() && !answer.message.is_override());
}

#[test]
fn what_a_receiver_would_refuse_is_not_written() {
    let ask = NeighborSolicitation::new(IP).to_frame((MAC, Ipv6Addr::UNSPECIFIED), (OTHER_MAC, OTHER_IP));
    assert_eq!(ask, Err(EncodeError::UnspecifiedSource));
    let mut answer = NeighborAdvertisement::new(IP);
    assert!(answer.to_frame((MAC, IP), (MacAddr::BROADCAST, ALL_NODES)).is_ok());
    answer.set_solicited(true);
    let sent = answer.to_frame((MAC, IP), (MacAddr::BROADCAST, ALL_NODES));
    assert_eq!(sent, Err(EncodeError::SolicitedMulticast));
    assert!(answer.to_frame((MAC, IP), (OTHER_MAC, OTHER_IP)).is_ok());
}

#[test]
fn only_possible_addresses_are_learned() {
    let learn = |source, mac: [u8; 6]| {
        let option = LinkLayerAddress::new(NdOption::SOURCE_LINK_LAYER_ADDRESS, mac.into()).to_bytes();
        let bytes = packet(source, OTHER_IP, &mut solicitation(|_| (), &option));
        let packet = Ipv6Header::decode(&bytes).unwrap();
        NeighborSolicitation::decode(&packet).unwrap().sender_binding()
    };
    assert_eq!(learn(IP, MAC.octets()), Some((IP, MAC)));
    assert_eq!(learn(IP, [0; 6]), None);
    assert_eq!(learn(IP, [0xff; 6]), None);
    assert_eq!(learn(ALL_NODES, MAC.octets()), None);
}
