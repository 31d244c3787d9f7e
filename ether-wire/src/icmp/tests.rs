use overlay_types::MacAddr;
use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::ipv6::FragmentHeader;

const FROM: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const TO: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SOURCE_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DESTINATION_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn link_header(tags: u8, ether_type: EtherType) -> Vec<u8> {
    let mut bytes = EthernetHeader::new(TO, FROM, ether_type).to_bytes().to_vec();
    bytes.truncate(12);
    for _ in 0..tags {
        bytes.extend([0x81, 0, 0, 7]);
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes
}

fn ipv4_frame(tags: u8, payload: &[u8], edit: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let mut header = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::UDP, (payload.len() + 20) as u16);
    header.set_dont_fragment(true);
    edit(&mut header);
    [&link_header(tags, EtherType::IPV4)[..], header.as_bytes(), payload].concat()
}

fn ipv6_frame(tags: u8, payload: &[u8], edit: impl FnOnce(&mut Ipv6Header)) -> Vec<u8> {
    let mut header = Ipv6Header::new(SOURCE_6, DESTINATION_6, IpProtocol::UDP, payload.len() as u16);
    edit(&mut header);
    [&link_header(tags, EtherType::IPV6)[..], header.as_bytes(), payload].concat()
}

fn answer(frame: &[u8], mtu: u16) -> Result<Vec<u8>, EncodeError> {
    let mut buffer = [0xaa; MAX_TOO_BIG_LEN];
    too_big(frame, mtu, &mut buffer).map(|length| buffer[..length].to_vec())
}

proptest! {
    #[test]
    fn set_then_get(bytes: [u8; 8], message_type: u8, code: u8, checksum: u16, data: u32) {
        let mut bytes = bytes;
        let (header, _) = IcmpHeader::from_prefix_mut(&mut bytes).unwrap();
        header.set_message_type(message_type);
        header.set_code(code);
        header.set_checksum(checksum);
        header.set_data(data);
        prop_assert_eq!((header.message_type(), header.code()), (message_type, code));
        prop_assert_eq!((header.checksum(), header.data()), (checksum, data));
        header.set_checksum(0);
        prop_assert_eq!(*header, IcmpHeader::new(message_type, code, data));
    }

    #[test]
    fn ipv4_is_told(tags in 0..=MAX_VLAN_TAGS, length in 0_usize..1600, padding in 0_usize..20, mtu: u16) {
        let mut frame = ipv4_frame(tags, &std::vec![7; length], |_| ());
        let end = frame.len();
        frame.resize(end + padding, 0xee);
        let answer = answer(&frame, mtu).unwrap();
        let stations = EthernetHeader::from_prefix(&answer).unwrap().0;
        prop_assert_eq!((stations.destination(), stations.source()), (FROM, TO));
        let payload = ethernet::payload(&answer).unwrap();
        prop_assert_eq!((payload.tags, payload.ether_type), (tags, EtherType::IPV4));
        prop_assert_eq!(&answer[12..payload.offset], &frame[12..payload.offset]);
        let packet = Ipv4Header::decode_with(&answer[payload.offset..], DecodeOptions::STRICT).unwrap();
        prop_assert_eq!((packet.header.source(), packet.header.destination()), (DESTINATION, SOURCE));
        prop_assert_eq!(packet.header.protocol(), IpProtocol::ICMP);
        prop_assert!(answer.len() - payload.offset <= 576);
        let (icmp, quoted) = IcmpHeader::from_prefix(packet.payload).unwrap();
        prop_assert!(icmp.is_checksum_valid(Sum::ZERO, quoted));
        prop_assert_eq!((icmp.message_type(), icmp.code(), icmp.data()), (3, 4, mtu.into()));
        // The most that fits, and no padding of the frame.
        prop_assert_eq!(quoted, &frame[payload.offset..end.min(payload.offset + 548)]);
    }

    #[test]
    fn ipv6_is_told(tags in 0..=MAX_VLAN_TAGS, length in 0_usize..1600, padding in 0_usize..20, mtu: u16) {
        let mut frame = ipv6_frame(tags, &std::vec![7; length], |_| ());
        let end = frame.len();
        frame.resize(end + padding, 0xee);
        let answer = answer(&frame, mtu).unwrap();
        let payload = ethernet::payload(&answer).unwrap();
        prop_assert_eq!((payload.tags, payload.ether_type), (tags, EtherType::IPV6));
        let packet = Ipv6Header::decode(&answer[payload.offset..]).unwrap();
        prop_assert_eq!((packet.header.source(), packet.header.destination()), (DESTINATION_6, SOURCE_6));
        prop_assert_eq!(packet.protocol, IpProtocol::ICMPV6);
        prop_assert!(answer.len() - payload.offset <= 1280);
        let (icmp, quoted) = IcmpHeader::from_prefix(packet.payload).unwrap();
        let pseudo = packet.header.pseudo_header(IpProtocol::ICMPV6, packet.payload.len() as u32);
        prop_assert!(icmp.is_checksum_valid(pseudo, quoted));
        prop_assert_eq!((icmp.message_type(), icmp.code(), icmp.data()), (2, 0, mtu.into()));
        prop_assert_eq!(quoted, &frame[payload.offset..end.min(payload.offset + 1232)]);
    }

    #[test]
    fn any_frame_is_answered_or_refused(frame in prop::collection::vec(any::<u8>(), 0..100), kind in 0_u8..3) {
        let mut frame = frame;
        if let Some(place) = frame.get_mut(12..15) {
            match kind {
                0 => place.copy_from_slice(&[0x08, 0x00, 0x45]),
                1 => place.copy_from_slice(&[0x86, 0xdd, 0x60]),
                _ => {}
            }
        }
        let _ = answer(&frame, 1450);
    }
}

#[test]
fn what_must_not_be_answered_is_named() {
    let ipv4 = |edit: fn(&mut Ipv4Header)| answer(&ipv4_frame(0, &[8; 64], edit), 1450).map(|_| ());
    assert_eq!(ipv4(|_| ()), Ok(()));
    assert_eq!(ipv4(|header| header.set_dont_fragment(false)), Err(EncodeError::MayFragment));
    assert_eq!(ipv4(|header| header.set_more_fragments(true)), Ok(()));
    assert_eq!(ipv4(|header| header.set_fragment_offset(1)), Err(EncodeError::LaterFragment));
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 255]] {
        let frame = ipv4_frame(0, &[], |header| header.set_source(address.into()));
        assert_eq!(answer(&frame, 1450), Err(EncodeError::NotUnicast));
        let frame = ipv4_frame(0, &[], |header| header.set_destination(address.into()));
        assert_eq!(answer(&frame, 1450), Err(EncodeError::NotUnicast));
    }
    for address in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, crate::nd::ALL_NODES] {
        let frame = ipv6_frame(0, &[], |header| header.set_source(address));
        assert_eq!(answer(&frame, 1450), Err(EncodeError::NotUnicast));
        let frame = ipv6_frame(0, &[], |header| header.set_destination(address));
        assert_eq!(answer(&frame, 1450), Err(EncodeError::NotUnicast));
    }
    let mut group = ipv4_frame(0, &[], |_| ());
    group[0] |= 1;
    assert_eq!(answer(&group, 1450), Err(EncodeError::NotUnicast));

    assert_eq!(answer(&link_header(0, EtherType::ARP), 1450), Err(EncodeError::NotIp));
    let frame = ipv4_frame(0, &[8; 64], |_| ());
    for length in 0..frame.len() {
        assert_eq!(answer(&frame[..length], 1450), Err(EncodeError::NotIp));
    }
    let frame = ipv6_frame(0, &[8; 64], |_| ());
    for length in 0..frame.len() {
        assert_eq!(answer(&frame[..length], 1450), Err(EncodeError::NotIp));
    }
}

#[test]
fn errors_are_not_answered_with_errors() {
    for message_type in 0..=u8::MAX {
        let error = [3, 4, 5, 11, 12].contains(&message_type);
        assert_eq!(IcmpHeader::new(message_type, 0, 0).is_icmp_error(), error);
        let frame = ipv4_frame(0, &[message_type; 8], |header| header.set_protocol(IpProtocol::ICMP));
        assert_eq!(answer(&frame, 1450).err(), error.then_some(EncodeError::IcmpError));

        let error = message_type < 128 || message_type == 137;
        assert_eq!(IcmpHeader::new(message_type, 0, 0).is_icmpv6_error(), error);
        let frame = ipv6_frame(0, &[message_type; 8], |header| header.set_next_header(IpProtocol::ICMPV6));
        assert_eq!(answer(&frame, 1450).err(), error.then_some(EncodeError::IcmpError));
        // Also behind extension headers.
        let payload = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &[message_type; 8]].concat();
        let frame = ipv6_frame(0, &payload, |header| header.set_next_header(IpProtocol::DESTINATION_OPTIONS));
        assert_eq!(answer(&frame, 1450).err(), error.then_some(EncodeError::IcmpError));
    }
    // No message at all may be anything.
    let frame = ipv4_frame(0, &[], |header| header.set_protocol(IpProtocol::ICMP));
    assert_eq!(answer(&frame, 1450), Err(EncodeError::IcmpError));
    // The middle of a message has no type.
    let payload = [FragmentHeader::new(IpProtocol::ICMPV6, 1, true, 7).as_bytes(), &[1; 8][..]].concat();
    let frame = ipv6_frame(0, &payload, |header| header.set_next_header(IpProtocol::FRAGMENT));
    assert!(answer(&frame, 1450).is_ok());
}

#[test]
fn a_short_buffer_is_left_alone() {
    for frame in [ipv4_frame(1, &[7; 1500], |_| ()), ipv6_frame(1, &[7; 1500], |_| ())] {
        let needed = answer(&frame, 1450).unwrap().len();
        for available in 0..needed {
            let mut buffer = std::vec![0xaa; available];
            let expected = EncodeError::BufferTooSmall { needed, available };
            assert_eq!(too_big(&frame, 1450, &mut buffer), Err(expected));
            assert!(buffer.iter().all(|byte| *byte == 0xaa));
        }
    }
}

#[test]
fn the_longest_answer_fits() {
    let frame = ipv6_frame(MAX_VLAN_TAGS, &[7; 9000], |_| ());
    assert_eq!(answer(&frame, 1450).unwrap().len(), MAX_TOO_BIG_LEN);
}

#[test]
fn an_own_address_answers_all_but_itself() {
    let own = (Ipv4Addr::new(10, 0, 0, 254), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe));
    let answer_of = |frame: &[u8], too_big: TooBig| {
        let mut buffer = [0; MAX_TOO_BIG_LEN];
        let length = too_big.write(frame, &mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    for (address, expected) in [(own.0, own.0), (SOURCE, DESTINATION), (DESTINATION, DESTINATION)] {
        let frame = ipv4_frame(0, &[7; 1500], |_| ());
        let answer = answer_of(&frame, TooBig::new(1400).from_ipv4(address).from_ipv6(own.1));
        let packet = Ipv4Header::decode_with(&answer[14..], DecodeOptions::STRICT).unwrap();
        assert_eq!((packet.header.source(), packet.header.destination()), (expected, SOURCE));
        assert_eq!(packet.payload, &too_big_of(&frame)[34..]);
    }
    for (address, expected) in [(own.1, own.1), (SOURCE_6, DESTINATION_6), (DESTINATION_6, DESTINATION_6)] {
        let frame = ipv6_frame(0, &[7; 1500], |_| ());
        let answer = answer_of(&frame, TooBig::new(1400).from_ipv4(own.0).from_ipv6(address));
        let packet = Ipv6Header::decode(&answer[14..]).unwrap();
        assert_eq!((packet.header.source(), packet.header.destination()), (expected, SOURCE_6));
        let (icmp, quoted) = IcmpHeader::from_prefix(packet.payload).unwrap();
        let pseudo = packet.header.pseudo_header(IpProtocol::ICMPV6, packet.payload.len() as u32);
        assert!(icmp.is_checksum_valid(pseudo, quoted));
        assert_eq!(&answer[62..], &too_big_of(&frame)[62..]);
    }
}

/// What [`too_big`] says.
fn too_big_of(frame: &[u8]) -> Vec<u8> {
    answer(frame, 1400).unwrap()
}

#[test]
fn a_sender_that_allows_fragments_is_told_where_asked_for() {
    let frame = ipv4_frame(0, &[7; 1500], |header| header.set_dont_fragment(false));
    let mut buffer = [0; MAX_TOO_BIG_LEN];
    assert_eq!(TooBig::new(1400).write(&frame, &mut buffer), Err(EncodeError::MayFragment));
    let length = TooBig::new(1400).without_df().write(&frame, &mut buffer).unwrap();
    assert_eq!(&buffer[42..length], &frame[14..14 + length - 42]);
    // A later fragment of it is not the start of anything.
    let later = ipv4_frame(0, &[7; 1500], |header| {
        header.set_dont_fragment(false);
        header.set_fragment_offset(100);
    });
    assert_eq!(TooBig::new(1400).without_df().write(&later, &mut buffer), Err(EncodeError::LaterFragment));
}
