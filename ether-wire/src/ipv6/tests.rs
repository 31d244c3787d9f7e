use proptest::prelude::*;
use std::vec::Vec;

use super::*;

const SOURCE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DESTINATION: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

proptest! {
    #[test]
    fn set_then_get(
        bytes: [u8; 40],
        version in 0_u8..16,
        dscp in 0_u8..64,
        ecn in 0_u8..4,
        flow_label in 0_u32..1 << 20,
        payload_length: u16,
        next_header: u8,
        hop_limit: u8,
        addresses: [u128; 2],
    ) {
        let mut bytes = bytes;
        let (header, _) = Ipv6Header::from_prefix_mut(&mut bytes).unwrap();
        header.set_flow_label(flow_label);
        header.set_dscp(dscp);
        header.set_ecn(Ecn::from_bits(ecn));
        header.set_version(version);
        header.set_payload_length(payload_length);
        header.set_next_header(next_header.into());
        header.set_hop_limit(hop_limit);
        header.set_source(addresses[0].into());
        header.set_destination(addresses[1].into());
        prop_assert_eq!((header.version(), header.dscp(), header.ecn().bits()), (version, dscp, ecn));
        prop_assert_eq!((header.flow_label(), header.payload_length()), (flow_label, payload_length));
        prop_assert_eq!((header.next_header().get(), header.hop_limit()), (next_header, hop_limit));
        prop_assert_eq!(header.traffic_class(), dscp << 2 | ecn);
        prop_assert_eq!([header.source().to_bits(), header.destination().to_bits()], addresses);
        header.set_traffic_class(!header.traffic_class());
        prop_assert_eq!((header.version(), header.dscp(), header.ecn().bits()), (version, !dscp & 0x3f, !ecn & 3));
        prop_assert_eq!(header.flow_label(), flow_label);
    }

    #[test]
    fn set_then_get_fragment(
        bytes: [u8; 8],
        next: u8,
        reserved in (any::<u8>(), 0_u8..4),
        offset in 0_u16..1 << 13,
        more: bool,
        identification: u32,
    ) {
        let mut bytes = bytes;
        let (header, _) = FragmentHeader::from_prefix_mut(&mut bytes).unwrap();
        header.set_reserved2(reserved.1);
        header.set_next_header(next.into());
        header.set_more_fragments(more);
        header.set_offset(offset);
        header.set_identification(identification);
        header.set_reserved(reserved.0);
        prop_assert_eq!((header.next_header().get(), header.offset()), (next, offset));
        prop_assert_eq!((header.more_fragments(), header.identification()), (more, identification));
        prop_assert_eq!((header.reserved(), header.reserved2()), reserved);
        header.set_reserved(0);
        header.set_reserved2(0xfc);
        prop_assert_eq!(bytes, FragmentHeader::new(next.into(), offset, more, identification).to_bytes());
    }

    #[test]
    fn decoded_parts_are_the_packet(
        kinds in prop::collection::vec((prop::sample::select(&[43_u8, 60][..]), 0_u8..3), 0..MAX_EXTENSION_HEADERS),
        fragment: Option<u32>,
        payload in prop::collection::vec(any::<u8>(), 0..40),
        padding in 0_usize..8,
    ) {
        let mut next_headers: Vec<u8> = kinds.iter().map(|(kind, _)| *kind).collect();
        if fragment.is_some() {
            next_headers.push(44);
        }
        next_headers.push(17);
        let mut extensions = Vec::new();
        for ((_, units), next) in kinds.iter().zip(&next_headers[1..]) {
            extensions.extend([*next, *units]);
            extensions.resize(extensions.len() + 6 + 8 * usize::from(*units), 0xaa);
        }
        let fragment = fragment.map(|identification| FragmentHeader::new(IpProtocol::UDP, 0, true, identification));
        if let Some(fragment) = fragment {
            extensions.extend(fragment.to_bytes());
        }
        let length = (extensions.len() + payload.len()) as u16;
        let header = Ipv6Header::new(SOURCE, DESTINATION, next_headers[0].into(), length);
        let mut bytes = Vec::from(header.to_bytes());
        bytes.extend(&extensions);
        bytes.extend(&payload);
        let total = bytes.len();
        bytes.resize(total + padding, 0xee);
        let expected = Ipv6Packet {
            header: &header,
            extension_headers: &extensions,
            protocol: IpProtocol::UDP,
            fragment,
            payload: &payload,
        };
        prop_assert_eq!(Ipv6Header::decode(&bytes), Ok(expected));
        for length in 0..total {
            let needed = if length < 40 { 40 } else { total };
            let error = DecodeError::Truncated { needed, available: length };
            prop_assert_eq!(Ipv6Header::decode(&bytes[..length]), Err(error));
        }
        // The payload length cuts an extension header.
        for length in 0..extensions.len() {
            let walked = upper_layer(header.next_header(), &extensions[..length]);
            let truncated = matches!(walked, Err(DecodeError::Truncated { available, .. }) if available == length);
            prop_assert!(truncated);
        }
    }

    #[test]
    fn any_bytes_are_answered(next_header in prop::sample::select(&[0_u8, 43, 44, 60, 6][..]), bytes in prop::collection::vec(0_u8..64, 0..100)) {
        if let Ok(upper) = upper_layer(next_header.into(), &bytes) {
            prop_assert!(upper.offset <= bytes.len());
        }
    }
}

#[test]
fn the_walk_has_an_end() {
    let headers = [60, 0, 0, 0, 0, 0, 0, 0].repeat(MAX_EXTENSION_HEADERS + 1);
    let expected = DecodeError::TooManyExtensionHeaders { limit: MAX_EXTENSION_HEADERS };
    assert_eq!(upper_layer(IpProtocol::HOP_BY_HOP, &headers), Err(expected));
}

#[test]
fn hop_by_hop_is_first_or_nothing() {
    let headers = [0, 0, 0, 0, 0, 0, 0, 0].repeat(2);
    let expected = UpperLayer { protocol: IpProtocol::HOP_BY_HOP, offset: 8, fragment: None };
    assert_eq!(upper_layer(IpProtocol::DESTINATION_OPTIONS, &headers), Ok(expected));
}

#[test]
fn behind_the_middle_of_a_packet_there_are_no_headers() {
    let fragment = FragmentHeader::new(IpProtocol::DESTINATION_OPTIONS, 1, true, 7);
    let mut bytes = Vec::from(fragment.to_bytes());
    bytes.extend([6, 255, 0, 0, 0, 0, 0, 0]);
    let expected = UpperLayer { protocol: IpProtocol::DESTINATION_OPTIONS, offset: 8, fragment: Some(fragment) };
    assert_eq!(upper_layer(IpProtocol::FRAGMENT, &bytes), Ok(expected));
    // In the first fragment they are read.
    bytes[3] &= 0b111;
    let truncated = DecodeError::Truncated { needed: 8 + 2048, available: 16 };
    assert_eq!(upper_layer(IpProtocol::FRAGMENT, &bytes), Err(truncated));
}

#[test]
fn another_version_is_named() {
    let mut header = Ipv6Header::new(SOURCE, DESTINATION, IpProtocol::NO_NEXT_HEADER, 0);
    header.set_version(4);
    assert_eq!(Ipv6Header::decode(&header.to_bytes()), Err(DecodeError::Version { expected: 6, found: 4 }));
}
